import { counts, notReady, notReadyCells, reasonsOf, stateTone, takesWork, type Tone } from './cells';
import { complaint, type Piece } from './evidence';
import { count, spokenDuration } from './format';
import { quorum } from './quorum';
import type { Cell, Provider, SchedulerList, Snapshot } from './types';

export interface VerdictInput {
  snapshot: Snapshot | null;
  schedulers: SchedulerList | null;
  /** The scheduler that serves the page, and since when (ms) it does not answer. */
  node: string;
  downSince?: number;
  /** Since when (ms) that scheduler knows no leader. */
  leaderlessSince?: number;
  now: number;
}

/** The state of everything as one sentence or two that a person can say aloud. */
export function verdict(v: VerdictInput): Piece[] {
  if (v.downSince !== undefined) return unreachable(v, v.downSince);
  if (!v.snapshot) return [{ text: 'Asking the scheduler…' }];
  if (v.leaderlessSince !== undefined) return leaderless(v, v.leaderlessSince);
  return fleet(v.snapshot, v.now);
}

/** The same sentence as one string. */
export function sayVerdict(v: VerdictInput): string {
  return verdict(v).map((p) => p.text).join('');
}

function unreachable(v: VerdictInput, since: number): Piece[] {
  const who = v.node === '' ? 'The scheduler that serves this page' : `Scheduler ${v.node}`;
  const head: Piece = { text: `${who} does not answer.`, tone: 'bad' };
  if (!v.snapshot) return [head];
  return [
    head,
    { text: ' When last heard, ' },
    { text: spokenDuration(v.now - Math.min(since, v.snapshot.at)), tick: true },
    { text: ` ago, ${lower(headline(v.snapshot.cells))}` },
  ];
}

function leaderless(v: VerdictInput, since: number): Piece[] {
  const q = quorum(v.schedulers);
  const lost = q.tolerates < 0 && q.voters > 0 ? `: ${q.voters - q.alive} of ${q.voters} schedulers are lost` : '';
  return [
    { text: `No leader for `, tone: 'bad' },
    { text: spokenDuration(v.now - since), tone: 'bad', tick: true },
    { text: `${lost}.`, tone: 'bad' },
    { text: ' Nothing new is admitted; running work goes on until its leases end.' },
  ];
}

function fleet(s: Snapshot, now: number): Piece[] {
  if (s.providers.length === 0) return [{ text: 'No provider is configured, so no work can be taken.', tone: 'warn' }];
  if (!s.cells.some(counts)) return [{ text: 'No cell has joined, so no work can be taken.', tone: 'warn' }];
  const out: Piece[] = [{ text: headline(s.cells) }];
  const troubled = s.providers
    .map((p) => ({ p, cells: notReadyCells(s.cells.filter((c) => c.provider === p.provider), now) }))
    .filter(({ p, cells }) => p.enabled && cells.length > 0)
    .sort((a, b) => rank(a.p) - rank(b.p) || atRisk(b.cells) - atRisk(a.cells) || b.cells.length - a.cells.length);
  troubled.forEach(({ p, cells }, i) => out.push(...(i === 0 ? inFull(p, cells, now) : inShort(p, cells))));
  for (const p of s.providers) {
    if (!p.enabled && p.cells_total > 0) out.push({ text: ` ${p.provider} is disabled.` });
  }
  if (troubled.length === 0) out.push(...resting(s.cells));
  return out;
}

/** "2 of 3 cells take work.", in the grammar of the number. */
export function headline(cells: Cell[]): string {
  const all = cells.filter(counts);
  const n = all.filter(takesWork).length;
  if (all.length === 1) return n === 1 ? 'The only cell takes work.' : 'The only cell takes no work.';
  if (n === all.length) return `All ${n} cells take work.`;
  if (n === 0) return `None of ${all.length} cells takes work.`;
  return `${n} of ${all.length} cells ${n === 1 ? 'takes' : 'take'} work.`;
}

const lower = (s: string): string => s.charAt(0).toLowerCase() + s.slice(1).replace('take work', 'took work').replace('takes', 'took');

function inFull(p: Provider, cells: Cell[], now: number): Piece[] {
  const [worst, ...rest] = [...cells].sort((a, b) => severity(b) - severity(a));
  if (!worst) return [];
  const tone = rank(p) === 0 ? 'bad' : 'warn';
  const reason = spoken(worst);
  const said: Piece[] = [{ text: ` ${p.provider} is ${word(p)}: ${worst.cell_id} ` }, ...(reason ? complaint(worst, reason, now) : [])];
  if (rest.length > 0) {
    said.push({ text: `, and ${areNotReady(rest.length, 'other cell')}` });
  }
  said.push({ text: '.' });
  return said.map((piece) => ({ ...piece, tone }));
}

function inShort(p: Provider, cells: Cell[]): Piece[] {
  return [{ text: ` ${p.provider} is ${word(p)}: ${areNotReady(cells.length, 'cell')}.`, tone: rank(p) === 0 ? 'bad' : 'warn' }];
}

const areNotReady = (n: number, noun: string): string => `${count(n, noun)} ${n === 1 ? 'is' : 'are'} not ready`;

/** What is out of work on purpose, where nothing is wrong. */
function resting(cells: Cell[]): Piece[] {
  const states = ['draining', 'drained', 'maintenance'] as const;
  const said = states
    .map((s) => ({ s, n: cells.filter((c) => c.state === s && !notReady(c)).length }))
    .filter(({ n }) => n > 0)
    .map(({ s, n }) => `${n} ${s === 'maintenance' ? 'in maintenance' : s}`);
  return said.length === 0 ? [] : [{ text: ` ${said.join(', ')}.` }];
}

/** The one reason to say of a cell: what it cannot do without comes first. */
function spoken(c: Cell) {
  const order = ['durable_provider_cell_record', 'identity_bound', 'healthy_cell', 'outbound_registered', 'inventory_reported', 'code_enabled'];
  return reasonsOf(c).sort((a, b) => order.indexOf(a.requirement) - order.indexOf(b.requirement))[0];
}

const severity = (c: Cell): number => (({ bad: 3, warn: 2, off: 1, ok: 0 }) satisfies Record<Tone, number>)[stateTone(c.state)];
const atRisk = (cells: Cell[]): number => cells.reduce((n, c) => n + c.leases, 0);
const rank = (p: Provider): number => (p.runtime_readiness === 'not_ready' ? 0 : 1);

/** The provider's readiness as a word. One that is ready with a cell out is between two events. */
function word(p: Provider): string {
  return p.runtime_readiness === 'not_ready' ? 'not ready' : p.runtime_readiness === 'ready' ? 'changing' : p.runtime_readiness;
}
