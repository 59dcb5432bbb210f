import type { Tone } from './cells';
import { duration, lag } from './format';
import type { NodeState, Snapshot } from './types';

export type Link = 'connecting' | 'up' | 'down' | 'logged_out' | 'forbidden';
export type Stream = 'closed' | 'opening' | 'open' | 'lost';

export interface ChipInput {
  link: Link;
  stream: Stream;
  snapshot: Snapshot | null;
  node: NodeState | null;
  downSince?: number;
  leaderlessSince?: number;
  /** How long the last answer took, ms. */
  roundTrip: number;
  now: number;
}

export interface LiveChip {
  tone: Tone;
  text: string;
  title: string;
  /** Whether what is shown is greyed. */
  old: boolean;
}

/** After this long without an answer the page is old, whatever else holds: two missed polls. */
export const maxAge = 12_000;

/** The chip that says how live the page is: the worst thing that is true decides. */
export function liveChip(c: ChipInput): LiveChip {
  const name = c.node?.node_id ?? 'the scheduler';
  if (c.link === 'logged_out') return { tone: 'off', text: 'logged out', title: 'This browser holds no session.', old: true };
  if (c.link === 'forbidden') return { tone: 'bad', text: 'not allowed', title: 'This session may not see the fleet.', old: true };
  if (c.downSince !== undefined) {
    return {
      tone: 'bad',
      text: `${name} does not answer · ${duration(c.now - c.downSince)}`,
      title: 'The scheduler that serves this page is gone or out of reach. The page keeps asking.',
      old: true,
    };
  }
  if (!c.snapshot) return { tone: 'off', text: 'connecting…', title: 'Asking the scheduler.', old: false };
  if (c.leaderlessSince !== undefined) {
    return {
      tone: 'bad',
      text: `no leader · ${duration(c.now - c.leaderlessSince)}`,
      title: `${name} knows no leader. What you see is its own state, index ${c.snapshot.index}.`,
      old: true,
    };
  }
  const age = Math.max(0, c.now - c.snapshot.at);
  const behind = c.node?.last_contact_ms ?? 0;
  if (age > maxAge) return { tone: 'warn', text: `stale ${duration(age)} · index ${c.snapshot.index}`, title: 'No answer in that time.', old: true };
  if (c.snapshot.stale) {
    return {
      tone: 'warn',
      text: `stale ${lag(behind + age)} · index ${c.snapshot.index}`,
      title: `Answered by ${name} from its own state: a verified read did not succeed.`,
      old: false,
    };
  }
  if (c.stream === 'lost' || c.stream === 'closed') {
    return { tone: 'warn', text: `polling · index ${c.snapshot.index}`, title: 'The event stream is broken; the page asks every 5 s.', old: false };
  }
  return {
    tone: 'ok',
    text: `live · index ${c.snapshot.index} · ${lag(behind + c.roundTrip)}`,
    title: 'Changes appear as they are committed; the last figure is how far behind this page was when it last asked.',
    old: false,
  };
}
