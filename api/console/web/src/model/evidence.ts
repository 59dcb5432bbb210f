import { duration, parseTime, spokenDuration } from './format';
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

const heartbeatAge = /(last heartbeat )(\S.*?)( ago)/;

/**
 * The reason's message, with the age in "last heartbeat 4s ago" counted on: the scheduler
 * commits a message when a requirement is lost, and the silence goes on.
 */
export function evidence(c: Cell, r: Reason, now: number): Piece[] {
  const seen = parseTime(c.last_seen);
  const m = heartbeatAge.exec(r.message);
  if (!m || seen === undefined || r.requirement !== 'healthy_cell') return [{ text: r.message }];
  const [all, before, , after] = m as unknown as [string, string, string, string];
  return [
    { text: r.message.slice(0, m.index) + before },
    { text: duration(now - seen), tone: 'bad', tick: true },
    { text: after + r.message.slice(m.index + all.length) },
  ];
}

/** The reason as what one says of the cell: "has sent no heartbeat for 4 s". */
export function complaint(c: Cell, r: Reason, now: number): Piece[] {
  const began = parseTime(r.since);
  const lasted: Piece[] = began === undefined ? [] : [{ text: ' for ' }, { text: spokenDuration(now - began), tick: true }];
  switch (r.requirement) {
    case 'code_enabled':
      return [{ text: 'belongs to a provider that is disabled' }];
    case 'durable_provider_cell_record':
      return [{ text: 'has no record in the replicated state' }];
    case 'identity_bound':
      return [{ text: 'has no valid certificate' }];
    case 'inventory_reported':
      return [{ text: 'has not said what it can host' }];
    case 'outbound_registered':
      if (r.code.startsWith('never')) return [{ text: 'has never connected' }];
      return [{ text: 'has held no session to a scheduler' }, ...lasted];
    case 'healthy_cell':
      return health(c, r, now, lasted);
  }
}

function health(c: Cell, r: Reason, now: number, lasted: Piece[]): Piece[] {
  const seen = parseTime(c.last_seen);
  if (c.state === 'warming' || r.code.startsWith('warming')) return [{ text: 'is warming up' }];
  if (r.code.startsWith('stuck')) return [{ text: 'is stuck' }, ...lasted];
  if (r.code.startsWith('never')) return [{ text: 'has never sent a heartbeat' }];
  if (r.code !== 'heartbeat_overdue') return [{ text: `is unhealthy (${r.code})` }, ...lasted];
  if (seen === undefined) return [{ text: 'has sent no heartbeat' }, ...lasted];
  return [{ text: 'has sent no heartbeat for ' }, { text: spokenDuration(now - seen), tick: true }];
}
