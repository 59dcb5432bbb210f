import type { Timers } from '../model/coalesce';
import type { CellList, NodeState, Problem, ProviderList, SchedulerList } from '../model/types';

/** Why an answer did not come. `unreachable` is a connection that failed or was too slow. */
export type Failure = 'unreachable' | 'logged_out' | 'forbidden' | 'refused';

export class ApiError extends Error {
  constructor(
    readonly failure: Failure,
    readonly problem: Problem,
  ) {
    super(problem.detail ?? problem.kind);
  }
}

export interface Answer<T> {
  value: T;
  /** The scheduler's clock less this one's, ms, where the answer told and they differ by seconds. */
  skew: number;
}

export interface Net extends Timers {
  fetch: typeof fetch;
}

/** A verified read waits on a quorum; past this the page takes what its scheduler knows. */
const verifiedWithin = 1500;
const localWithin = 2000;

/** The Date header has whole seconds: a smaller difference says nothing. */
const skewNoise = 2000;

/** Reads one document. It throws ApiError and nothing else. */
export async function get<T>(net: Net, path: string, within: number): Promise<Answer<T>> {
  const { status, body, skew } = await exchange(net, path, within);
  if (status === 200) return { value: body as T, skew };
  const problem = (body ?? {}) as Partial<Problem>;
  const kind = problem.kind ?? `http_${status}`;
  throw new ApiError(failureOf(status), { ...problem, kind, detail: problem.detail ?? `the scheduler answered ${status}` });
}

async function exchange(net: Net, path: string, within: number) {
  const abort = new AbortController();
  const cancel = net.after(within, () => abort.abort());
  try {
    const r = await net.fetch(`/api/v1/${path}`, {
      headers: { Accept: 'application/json, application/problem+json' },
      credentials: 'same-origin',
      cache: 'no-store',
      signal: abort.signal,
    });
    const text = await r.text();
    return { status: r.status, body: parse(text), skew: skewOf(r.headers.get('Date'), net.now()) };
  } catch {
    const detail = abort.signal.aborted ? `no answer within ${within / 1000} s` : 'the connection failed';
    throw new ApiError('unreachable', { kind: 'unreachable', detail });
  } finally {
    cancel();
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function failureOf(status: number): Failure {
  if (status === 401) return 'logged_out';
  if (status === 403) return 'forbidden';
  return 'refused';
}

function skewOf(date: string | null, now: number): number {
  const d = date === null ? NaN : Date.parse(date) - now;
  return Number.isNaN(d) || Math.abs(d) < skewNoise ? 0 : d;
}

export interface Fleet {
  providers: ProviderList;
  cells: CellList;
  stale: boolean;
  skew: number;
}

/**
 * Reads providers and cells: verified, or, when a verified read cannot succeed (no
 * leader, no quorum in time, or the caller already knows so), from the scheduler's own
 * state.
 */
export async function readFleet(net: Net, verified: boolean): Promise<Fleet> {
  if (verified) {
    try {
      return await both(net, '', verifiedWithin, false);
    } catch (e) {
      if (!(e instanceof ApiError) || e.failure === 'logged_out' || e.failure === 'forbidden') throw e;
    }
  }
  return both(net, '?consistency=stale', localWithin, true);
}

async function both(net: Net, query: string, within: number, stale: boolean): Promise<Fleet> {
  const [p, c] = await Promise.all([
    get<ProviderList>(net, `providers${query}`, within),
    get<CellList>(net, `cells${query}`, within),
  ]);
  return {
    providers: { ...p.value, providers: p.value.providers ?? [] },
    // A list that is empty in Go may be null in JSON.
    cells: { ...c.value, cells: (c.value.cells ?? []).map((cell) => ({ ...cell, reasons: cell.reasons ?? [], inventory: cell.inventory ?? {} })) },
    stale,
    skew: c.skew,
  };
}

export async function readSchedulers(net: Net): Promise<SchedulerList> {
  const { value } = await get<SchedulerList>(net, 'operator/schedulers', localWithin);
  return { ...value, schedulers: value.schedulers ?? [] };
}

export async function readNode(net: Net): Promise<NodeState> {
  const { value } = await get<NodeState>(net, 'operator/node', localWithin);
  return value;
}
