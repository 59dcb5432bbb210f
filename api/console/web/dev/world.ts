import type { Cell, CellState, NodeState, Provider, Reason, Requirement, Resources, SchedulerList } from '../src/model/types.ts';
import { requirements } from '../src/model/types.ts';

// Made-up clusters for developing the page without one. Nothing here is in the bundle.

export type Scenario = 'ready' | 'one-down' | 'no-leader' | 'logged-out' | 'fleet' | 'empty' | 'stale' | 'joining' | 'big';

export interface World {
  providers: Provider[];
  cells: Cell[];
  schedulers: SchedulerList;
  node: NodeState;
  index: number;
}

const GiB = 1024 ** 3;
const began = Date.now();
const ago = (s: number): string => new Date(began - s * 1000).toISOString();
const hence = (h: number): string => new Date(began + h * 3600_000).toISOString();

interface Spec {
  id: string;
  provider: string;
  state?: CellState;
  leases?: number;
  reasons?: Reason[];
  zone?: string;
  rack?: string;
  version?: string;
  cert?: number;
  seen?: number;
  size?: Resources;
  free?: Partial<Resources>;
}

const size: Resources = { cpu: 48000, mem: 192 * GiB, block: 800 * GiB, net: 10e9, gpu: 0 };

function cell(s: Spec): Cell {
  const reasons = s.reasons ?? [];
  const unmet = new Set(reasons.map((r) => r.requirement));
  const readiness = Object.fromEntries(requirements.map((r) => [r, !unmet.has(r)])) as Cell['readiness'];
  const capacity = unmet.has('inventory_reported') ? { cpu: 0, mem: 0, block: 0, net: 0, gpu: 0 } : (s.size ?? size);
  return {
    cell_id: s.id,
    provider: s.provider,
    state: s.state ?? 'ready',
    ready: reasons.length === 0,
    mode: 'accepting',
    readiness,
    reasons,
    inventory: { zone: s.zone, rack: s.rack },
    capacity,
    free: { ...capacity, ...(capacity.cpu > 0 ? s.free : {}) },
    leases: s.leases ?? 0,
    last_seen: s.seen === undefined ? new Date(Date.now() - 400).toISOString() : s.seen < 0 ? undefined : ago(s.seen),
    not_after: unmet.has('identity_bound') ? undefined : hence(s.cert ?? 160),
    version: s.version ?? '0.1.0',
  };
}

function reason(requirement: Requirement, code: string, message: string, seconds: number, hint: string): Reason {
  return { requirement, code, message, since: ago(seconds), hint };
}

const silent = (s: number, limit: string): Reason[] => [
  reason('healthy_cell', 'heartbeat_overdue', `last heartbeat ${limit} ago, limit ${limit}`, s - 3, 'check that the host is up, that grafos cell-agent runs and that it reaches a scheduler'),
  reason('outbound_registered', 'session_lost', `last session ended ${limit} ago, limit ${limit}`, s - 3, "check the agent's --schedulers addresses, its network path out, and its log"),
];

const warming = [reason('healthy_cell', 'warming_up', '1.2s of 30s of steady heartbeats', 4, 'wait: the cell is ready when its heartbeats have been steady for the warm-up')];

const never = [
  reason('identity_bound', 'no_certificate', 'no certificate was ever shown', 530, 'renew or bootstrap the certificate: grafos cloud bootstrap-cell --provider azure --cell-id azure-we-02'),
  reason('healthy_cell', 'no_heartbeat', 'no heartbeat was seen since the cell registered', 530, 'check that the host is up, that grafos cell-agent runs and that it reaches a scheduler'),
  reason('inventory_reported', 'no_inventory', 'the agent of cell epoch 1 has not reported its inventory', 530, "look at the agent's log: it reports right after its session opens"),
  reason('outbound_registered', 'no_session', 'the cell holds no outbound session to any scheduler', 530, "check the agent's --schedulers addresses, its network path out, and its log"),
];

function provider(name: string, cells: Cell[], enabled = true): Provider {
  const mine = cells.filter((c) => c.provider === name);
  const sum = (of: 'capacity' | 'free'): Resources =>
    mine.reduce(
      (t, c) => ({ cpu: t.cpu + c[of].cpu, mem: t.mem + c[of].mem, block: t.block + c[of].block, net: t.net + c[of].net, gpu: t.gpu + c[of].gpu }),
      { cpu: 0, mem: 0, block: 0, net: 0, gpu: 0 },
    );
  const expected = mine.filter((c) => !['revoked', 'drained', 'maintenance'].includes(c.state));
  const ready = mine.filter((c) => c.ready).length;
  const readiness = !enabled ? 'disabled' : ready === 0 ? 'not_ready' : expected.every((c) => c.ready) ? 'ready' : 'degraded';
  return {
    provider: name, enabled, ownership: 'customer', runtime_readiness: readiness, cells_total: mine.length, cells_ready: ready,
    leases: mine.reduce((n, c) => n + c.leases, 0), capacity: sum('capacity'), free: sum('free'),
  };
}

function local(down: number[]): Cell[] {
  const host: Resources = { cpu: 2000, mem: 23.4 * GiB, block: 64 * GiB, net: 1e9, gpu: 0 };
  return [1, 2, 3].map((n) =>
    cell({
      id: `local-${n}`, provider: 'local', size: host, leases: n === 2 ? 3 : n, zone: 'local', rack: 'loopback',
      free: { cpu: 2000 - n * 250, mem: (23.4 - n * 1.5) * GiB, block: 60 * GiB }, cert: 167,
      ...(down.includes(n) ? { state: 'unhealthy' as const, reasons: silent(4, '3s'), seen: 4 } : {}),
    }),
  );
}

function fleet(): Cell[] {
  const cells: Cell[] = [];
  for (let i = 1; i <= 20; i++) {
    const id = `aws-use1-${String(i).padStart(2, '0')}`;
    const base = { id, provider: 'aws', zone: `use1-${'abc'[i % 3]}`, rack: `r${(i % 7) + 1}`, leases: (i * 7) % 19, free: { cpu: 40000 - i * 900, mem: (150 - i * 4) * GiB, block: (700 - i * 11) * GiB } };
    if (i === 11) cells.push(cell({ ...base, state: 'draining', version: '0.0.9', leases: 2 }));
    else if (i === 12) cells.push(cell({ ...base, state: 'unhealthy', reasons: silent(47, '15s'), seen: 47, leases: 3, cert: 22 }));
    else if (i === 17) cells.push(cell({ ...base, state: 'maintenance', leases: 0 }));
    else if (i === 20) cells.push(cell({ ...base, state: 'revoked', leases: 0, seen: 90000, reasons: [reason('healthy_cell', 'identity_revoked', 'the identity is barred for ever', 90000, '')] }));
    else cells.push(cell(base));
  }
  for (let i = 1; i <= 18; i++) {
    cells.push(cell({ id: `gcp-ew4-${String(i).padStart(2, '0')}`, provider: 'gcp', zone: `ew4-${'ab'[i % 2]}`, rack: `r${i % 4}`, leases: i % 6, free: { cpu: 31000, mem: 120 * GiB, block: 500 * GiB }, size: { ...size, gpu: i % 2 ? 2 : 0 } }));
  }
  cells.push(cell({ id: 'azure-we-01', provider: 'azure', state: 'warming', reasons: warming, zone: 'we-1' }));
  cells.push(cell({ id: 'azure-we-02', provider: 'azure', state: 'registered', reasons: never, seen: -1 }));
  return cells;
}

function schedulers(alive: number[], leader: string): SchedulerList {
  return {
    index: 1873, leader, term: 7,
    schedulers: [1, 2, 3].map((n) => ({ node_id: `s${n}`, url: `https://127.0.0.1:749${n}`, voter: true, alive: alive.includes(n) })),
  };
}

function node(leader: string): NodeState {
  return { node_id: 's1', cluster_id: 'g-k3x7q2m9vd', role: 'follower', leader, term: 7, applied_index: 1873, last_contact_ms: leader === '' ? 9000 : 38, version: '0.1.0' };
}

export function world(s: Scenario, index: number): World {
  const make = (cells: Cell[], names: string[], sched = schedulers([1, 2, 3], 's2'), leader = 's2'): World => ({
    providers: names.map((n) => provider(n, cells, n !== 'edge')), cells, schedulers: sched, node: node(leader), index,
  });
  switch (s) {
    case 'one-down':
      return make(local([2]), ['local'], schedulers([1, 2], 's2'));
    case 'no-leader':
      return make(local([]), ['local'], schedulers([1], ''), '');
    case 'fleet':
      return make(fleet(), ['aws', 'azure', 'edge', 'gcp']);
    case 'empty':
      return make([], ['local']);
    case 'joining':
      return make(local([]).map((c, i) => (i === 1 ? { ...c, state: 'warming' as const, ready: false, reasons: warming, readiness: { ...c.readiness, healthy_cell: false } } : c)), ['local']);
    case 'big':
      return make(Array.from({ length: 2000 }, (_, i) => cell({ id: `aws-${i}`, provider: 'aws', zone: `z${i % 9}`, leases: i % 5, ...(i % 97 === 3 ? { state: 'unhealthy' as const, reasons: silent(30 + i, '15s'), seen: 30 + i } : {}) })), ['aws']);
    default:
      return make(local([]), ['local']);
  }
}
