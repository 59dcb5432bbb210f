import { requirements, type Cell, type CellState, type Provider, type Reason, type Readiness, type Requirement, type Scheduler, type SchedulerList, type Snapshot } from '../src/model/types';

// What the tests build their cases from. No product code imports it.

export const t0 = Date.parse('2026-11-23T08:41:49Z');
export const secondsAgo = (s: number): string => new Date(t0 - s * 1000).toISOString();

export function reason(requirement: Requirement, code: string, seconds = 60, message = code): Reason {
  return { requirement, code, message, since: secondsAgo(seconds), hint: 'do it' };
}

export function cell(id: string, over: Partial<Cell> & { state?: CellState } = {}): Cell {
  const reasons = over.reasons ?? [];
  const readiness = Object.fromEntries(requirements.map((r) => [r, !reasons.some((x) => x.requirement === r)])) as Readiness;
  const amounts = { cpu: 4000, mem: 1024 ** 3, block: 0, net: 0, gpu: 0 };
  return {
    cell_id: id, provider: 'local', state: reasons.length > 0 ? 'unhealthy' : 'ready', ready: reasons.length === 0, mode: 'accepting',
    readiness, inventory: {}, capacity: amounts, free: amounts, leases: 0, last_seen: secondsAgo(1), ...over, reasons,
  };
}

export function silent(id: string, seconds: number, over: Partial<Cell> = {}): Cell {
  return cell(id, {
    last_seen: secondsAgo(seconds),
    reasons: [reason('healthy_cell', 'heartbeat_overdue', seconds - 3, 'last heartbeat 3.1s ago, limit 3s'), reason('outbound_registered', 'session_lost', seconds - 3)],
    ...over,
  });
}

export function provider(name: string, over: Partial<Provider> = {}): Provider {
  const none = { cpu: 0, mem: 0, block: 0, net: 0, gpu: 0 };
  return { provider: name, enabled: true, runtime_readiness: 'ready', cells_total: 1, cells_ready: 1, leases: 0, capacity: none, free: none, ...over };
}

export function snapshot(cells: Cell[], providers: Provider[] = [provider('local')]): Snapshot {
  return { index: 1873, cells, providers, at: t0, stale: false };
}

export function schedulers(...alive: boolean[]): SchedulerList {
  const list = alive.map((a, i): Scheduler => ({ node_id: `s${i + 1}`, url: `https://s${i + 1}`, voter: true, alive: a }));
  return { index: 1873, leader: 's1', term: 7, schedulers: list };
}
