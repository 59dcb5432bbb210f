// The shapes of /api/v1 that the console reads, under their names on the wire. They
// follow the structs of package api; what the console does not read is left out.

export const requirements = [
  'code_enabled',
  'durable_provider_cell_record',
  'identity_bound',
  'healthy_cell',
  'inventory_reported',
  'outbound_registered',
] as const;

export type Requirement = (typeof requirements)[number];

/** One word for each requirement. */
export const shortName: Record<Requirement, string> = {
  code_enabled: 'enabled',
  durable_provider_cell_record: 'record',
  identity_bound: 'identity',
  healthy_cell: 'healthy',
  inventory_reported: 'inventory',
  outbound_registered: 'outbound',
};

/** The letter over its column of marks: V for inventory, which shares its first with identity. */
export const letter: Record<Requirement, string> = {
  code_enabled: 'E',
  durable_provider_cell_record: 'R',
  identity_bound: 'I',
  healthy_cell: 'H',
  inventory_reported: 'V',
  outbound_registered: 'O',
};

export type Readiness = Record<Requirement, boolean>;

export type CellState =
  | 'registered'
  | 'warming'
  | 'ready'
  | 'unhealthy'
  | 'draining'
  | 'drained'
  | 'maintenance'
  | 'revoked';

/** Amounts: cpu in millicores, mem and block in bytes, net in bits/s, gpu in devices. */
export interface Resources {
  cpu: number;
  mem: number;
  block: number;
  net: number;
  gpu: number;
}

export interface Reason {
  requirement: Requirement;
  code: string;
  message: string;
  since: string;
  hint: string;
}

export interface Cell {
  cell_id: string;
  provider: string;
  state: CellState;
  ready: boolean;
  mode: string;
  readiness: Readiness;
  reasons: Reason[];
  inventory: { zone?: string; rack?: string; overcommit?: string[] };
  capacity: Resources;
  free: Resources;
  leases: number;
  last_seen?: string;
  not_after?: string;
  version?: string;
  session?: string;
  /** What the conformance suite says of the agent that the cell has now. */
  conformance?: 'passed' | 'failed' | 'none';
  /** The newest result of the suite, also of an agent before this one. */
  suite?: { failed?: string[]; at?: string };
  /** The cell takes work only when it has passed the suite. */
  production?: boolean;
}

export interface CellList {
  index: number;
  cells: Cell[];
}

export type RuntimeReadiness = 'ready' | 'degraded' | 'not_ready' | 'disabled';

export interface Provider {
  provider: string;
  enabled: boolean;
  ownership?: string;
  runtime_readiness: RuntimeReadiness;
  cells_total: number;
  cells_ready: number;
  leases: number;
  capacity: Resources;
  free: Resources;
}

export interface ProviderList {
  index: number;
  providers: Provider[];
}

export interface Scheduler {
  node_id: string;
  url: string;
  voter: boolean;
  alive: boolean;
}

export interface SchedulerList {
  index: number;
  leader: string;
  term: number;
  schedulers: Scheduler[];
}

export interface NodeState {
  node_id: string;
  cluster_id: string;
  role: string;
  leader: string;
  term: number;
  applied_index: number;
  last_contact_ms: number;
  version: string;
  broken?: string[];
}

export interface Problem {
  kind: string;
  title?: string;
  detail?: string;
  status?: number;
  hint?: string;
}

/** What the page shows: both lists, and when and how they were read. */
export interface Snapshot {
  index: number;
  providers: Provider[];
  cells: Cell[];
  /** Local time of the answer, ms. */
  at: number;
  /** Answered from one scheduler's own state, unverified. */
  stale: boolean;
}
