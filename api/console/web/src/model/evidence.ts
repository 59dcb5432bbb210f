import { duration, parseGoDuration, parseTime, spokenDuration } from './format';
import type { Cell, Reason } from './types';

/**
 * A sentence in pieces. A ticking piece changes every second and is kept out of what is
 * read aloud.
 */
export interface Piece {
  text: string;
  tone?: 'warn' | 'bad';
  tick?: boolean;
}

/** The frames of a message round the figure that goes on growing while the reason holds. */
const growing = [
  /(last heartbeat )(\d[\dhms.]*s)( ago)/,
  /(last session ended )(\d[\dhms.]*s)( ago)/,
  /(no heartbeat for )(\d[\dhms.]*s)()/,
  /(session of it for )(\d[\dhms.]*s)()/,
  /(^)(\d[\dhms.]*s)( of \S+ of steady heartbeats)/,
];

/**
 * The reason's message with its age counted on. A scheduler commits a message when a
 * requirement is lost and not again while it stays lost: "last heartbeat 3.1s ago" would
 * stand there an hour later.
 */
export function evidence(c: Cell, r: Reason, now: number): Piece[] {
  for (const frame of growing) {
    const m = frame.exec(r.message);
    if (!m) continue;
    const [all, before = '', figure = '', after = ''] = m;
    const age = ageNow(c, r, figure, now);
    if (age === undefined) break;
    const bad = !r.code.startsWith('warming');
    return [
      { text: r.message.slice(0, m.index) + before },
      { text: duration(age), tick: true, ...(bad && { tone: 'bad' as const }) },
      { text: after + r.message.slice(m.index + all.length) },
    ];
  }
  return [{ text: r.message }];
}

/** How old what the figure tells is now: by the last heartbeat where known, else since the commit. */
function ageNow(c: Cell, r: Reason, figure: string, now: number): number | undefined {
  const seen = parseTime(c.last_seen);
  if (seen !== undefined && r.code === 'heartbeat_overdue') return now - seen;
  const began = parseTime(r.since);
  const then = parseGoDuration(figure);
  return began === undefined || then === undefined ? undefined : then + now - began;
}

/** The reason as what one says of the cell: "has sent no heartbeat for 4 s". */
export function complaint(c: Cell, r: Reason, now: number): Piece[] {
  const began = parseTime(r.since);
  const lasted: Piece[] = began === undefined ? [] : [{ text: ' for ' }, { text: spokenDuration(now - began), tick: true }];
  switch (r.requirement) {
    case 'code_enabled':
      return [{ text: 'belongs to a provider that is disabled' }];
    case 'durable_provider_cell_record':
      return [{ text: 'has never registered' }];
    case 'identity_bound':
      return [{ text: 'has no valid certificate' }];
    case 'inventory_reported':
      return [{ text: 'has not said what it can host' }];
    case 'outbound_registered':
      return [{ text: 'has held no session to a scheduler' }, ...lasted];
    case 'healthy_cell':
      return health(c, r, now, lasted);
  }
}

function health(c: Cell, r: Reason, now: number, lasted: Piece[]): Piece[] {
  const seen = parseTime(c.last_seen);
  if (c.state === 'warming' || r.code.startsWith('warming')) return [{ text: 'is warming up' }];
  if (r.code === 'stuck') return [{ text: 'is stuck' }, ...lasted];
  if (r.code === 'no_heartbeat') return [{ text: 'has never sent a heartbeat' }];
  if (r.code === 'mass_silence') return [{ text: 'fell silent at once with most others, so a scheduler may be cut off' }];
  if (r.code !== 'heartbeat_overdue') return [{ text: `is unhealthy (${r.code})` }, ...lasted];
  if (seen === undefined) return [{ text: 'has sent no heartbeat' }, ...lasted];
  return [{ text: 'has sent no heartbeat for ' }, { text: spokenDuration(now - seen), tick: true }];
}
