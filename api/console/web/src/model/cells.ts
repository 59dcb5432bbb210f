import { parseTime } from './format';
import { requirements, type Cell, type CellState, type Reason, type Requirement } from './types';

export type Tone = 'ok' | 'warn' | 'bad' | 'off';

/** Whether new work may go to the cell: ready, and not draining, drained or in maintenance. */
export function takesWork(c: Cell): boolean {
  return c.state === 'ready';
}

/** A word about a cell that is no state of it, and what it means. */
export interface Note {
  word: string;
  tone: Tone;
  title: string;
}

/** What an operator has said of a cell, or its conformance suite. */
export function notesOf(c: Cell): Note[] {
  const notes: Note[] = [];
  const proved = c.conformance === 'passed';
  if (c.production) {
    const title = proved ? 'it has passed the conformance suite' : 'it takes no work before it has passed the conformance suite: grafos conformance run';
    notes.push({ word: 'production', tone: proved ? 'ok' : 'warn', title });
  }
  if (c.conformance === 'failed') {
    notes.push({ word: 'not conformant', tone: 'bad', title: `the conformance suite found: ${(c.suite?.failed ?? []).join(', ') || 'it did not end'}` });
  }
  const more = c.inventory.overcommit ?? [];
  if (more.length > 0) {
    notes.push({ word: 'overcommitted', tone: 'warn', title: `it offers more ${more.join(' and ')} than its hardware has` });
  }
  return notes;
}

/** Whether the cell belongs to the fleet at all; a revoked one never comes back. */
export function counts(c: Cell): boolean {
  return c.state !== 'revoked';
}

/** Whether the cell belongs in the not-ready table: it should be ready and is not. */
export function notReady(c: Cell): boolean {
  return counts(c) && unmet(c).length > 0;
}

export function unmet(c: Cell): Requirement[] {
  return requirements.filter((r) => !c.readiness[r]);
}

export function stateTone(s: CellState): Tone {
  switch (s) {
    case 'ready':
      return 'ok';
    case 'warming':
    case 'registered':
      return 'warn';
    case 'unhealthy':
      return 'bad';
    case 'draining':
    case 'drained':
    case 'maintenance':
    case 'revoked':
      return 'off';
  }
}

/**
 * One reason for every unmet requirement, in the order of the requirements. One that the
 * scheduler gave no reason for is said to have none: a gap is shown, not hidden.
 */
export function reasonsOf(c: Cell): Reason[] {
  return unmet(c).flatMap((requirement) => {
    const given = c.reasons.filter((r) => r.requirement === requirement);
    if (given.length > 0) return given;
    return [{ requirement, code: 'no_reason_given', message: 'the scheduler gave no reason', since: '', hint: '' }];
  });
}

/** When the oldest of a cell's reasons began, in ms; now where none says. */
export function since(c: Cell, now: number): number {
  const times = c.reasons.map((r) => parseTime(r.since)).filter((t) => t !== undefined);
  return times.length > 0 ? Math.min(...times) : now;
}

/** What the reason is about in colour: a cell that is on its way is amber, the rest red. */
export function reasonTone(r: Reason): Tone {
  return r.code.startsWith('warming') || r.requirement === 'code_enabled' ? 'warn' : 'bad';
}

/** The not-ready cells: most leases at risk first, then longest unready, then by id. */
export function notReadyCells(cells: Cell[], now: number): Cell[] {
  return cells
    .filter(notReady)
    .map((cell) => ({ cell, since: since(cell, now) }))
    .sort((a, b) => b.cell.leases - a.cell.leases || a.since - b.since || byId(a.cell, b.cell))
    .map((x) => x.cell);
}

const collator = new Intl.Collator('en', { numeric: true });

/** By provider, then by id with its numbers as numbers: aws-2 before aws-10. */
export function byId(a: Cell, b: Cell): number {
  return collator.compare(a.provider, b.provider) || collator.compare(a.cell_id, b.cell_id);
}

/** What the chips over the table of all cells choose. */
export type Show = 'all' | 'work' | 'notready' | CellState;

export interface Filter {
  show: Show;
  provider: string;
  find: string;
}

export const noFilter: Filter = { show: 'all', provider: '', find: '' };

export function matches(c: Cell, f: Filter): boolean {
  if (f.provider !== '' && c.provider !== f.provider) return false;
  if (f.find !== '' && !haystack(c).includes(f.find.toLowerCase())) return false;
  return shows(c, f.show);
}

function haystack(c: Cell): string {
  const { zone = '', rack = '' } = c.inventory;
  const codes = c.reasons.map((r) => r.code).join(' ');
  return `${c.provider}/${c.cell_id} ${zone} ${rack} ${c.state} ${c.version ?? ''} ${codes}`.toLowerCase();
}

function shows(c: Cell, show: Show): boolean {
  switch (show) {
    case 'all':
      return true;
    case 'work':
      return takesWork(c);
    case 'notready':
      return notReady(c);
    default:
      return c.state === show;
  }
}

export interface Chip {
  show: Show;
  label: string;
  count: number;
}

const rareStates: CellState[] = ['warming', 'draining', 'drained', 'maintenance', 'revoked'];

/** The chips with their counts: the first three always, a state's own where some cell is in it. */
export function chips(cells: Cell[]): Chip[] {
  const of = (show: Show, label: string): Chip => ({
    show,
    label,
    count: cells.filter((c) => shows(c, show)).length,
  });
  return [
    of('all', 'all'),
    of('work', 'take work'),
    of('notready', 'not ready'),
    ...rareStates.map((s) => of(s, s)).filter((c) => c.count > 0),
  ];
}

/**
 * The order to show while the pointer rests on a table: what was there keeps its place,
 * what is new comes last, so that no row moves from under a click.
 */
export function holdOrder(shown: string[], wanted: string[]): string[] {
  const want = new Set(wanted);
  const had = new Set(shown);
  return [...shown.filter((id) => want.has(id)), ...wanted.filter((id) => !had.has(id))];
}
