import { batch, signal } from '@preact/signals';
import { coalesce, type Coalesced } from '../model/coalesce';
import { notReady } from '../model/cells';
import type { Link, Stream } from '../model/livechip';
import type { NodeState, Problem, SchedulerList, Snapshot } from '../model/types';
import { ApiError, readFleet, readNode, readSchedulers, type Net } from './http';
import { openStream, type Source } from './stream';

export interface Deps extends Net {
  source(url: string): Source;
}

/** Milliseconds: how often lists are re-read at most, at least, and how often the scheduler is asked whether it lives. */
const gap = 300;
const poll = 5000;
const pulse = 1500;
const retryFirst = 500;
const retryMost = 8000;

/**
 * Live keeps what the page shows in step with the scheduler that serves it: one event
 * stream says that something changed, the lists say what. A slow poll finds what the
 * stream missed, and a small pulse notices within two seconds that the scheduler died or
 * lost its leader. All of it rests while the tab is hidden.
 */
export class Live {
  readonly snapshot = signal<Snapshot | null>(null);
  readonly schedulers = signal<SchedulerList | null>(null);
  readonly node = signal<NodeState | null>(null);
  readonly link = signal<Link>('connecting');
  readonly stream = signal<Stream>('closed');
  readonly downSince = signal<number | undefined>(undefined);
  readonly leaderlessSince = signal<number | undefined>(undefined);
  readonly roundTrip = signal(0);
  /** The scheduler's clock less this one's, ms. */
  readonly skew = signal(0);
  /** The last refusal that was not a log-in, for the page to show. */
  readonly problem = signal<Problem | undefined>(undefined);

  private running = false;
  private readonly lists: Coalesced;
  private readonly beat: Coalesced;
  private cancelled: (() => void)[] = [];
  private closeStream: (() => void) | undefined;
  private cancelRetry: (() => void) | undefined;
  private retry = retryFirst;

  constructor(private readonly deps: Deps) {
    this.lists = coalesce(() => this.refresh(), gap, deps);
    this.beat = coalesce(() => this.ping(), gap, deps);
  }

  start(): void {
    if (this.running) return;
    this.running = true;
    this.every(poll, () => this.lists.ask());
    this.every(pulse, () => this.beat.ask());
    this.beat.ask();
    this.lists.ask();
    this.connect();
  }

  stop(): void {
    this.running = false;
    this.lists.stop();
    this.beat.stop();
    this.cancelled.forEach((cancel) => cancel());
    this.cancelled = [];
    this.cancelRetry?.();
    this.cancelRetry = undefined;
    this.disconnect('closed');
  }

  private every(ms: number, run: () => void): void {
    const again = (): void => {
      this.cancelled = this.cancelled.filter((c) => c !== cancel);
      if (!this.running) return;
      run();
      cancel = this.deps.after(ms, again);
      this.cancelled.push(cancel);
    };
    let cancel = this.deps.after(ms, again);
    this.cancelled.push(cancel);
  }

  private connect(): void {
    if (!this.running || this.closeStream || this.cancelRetry || !this.allowed()) return;
    this.stream.value = this.stream.value === 'lost' ? 'lost' : 'opening';
    this.closeStream = openStream((url) => this.deps.source(url), {
      opened: () => {
        this.retry = retryFirst;
        this.stream.value = 'open';
        this.lists.ask();
      },
      changed: () => this.lists.ask(),
      broke: () => {
        this.disconnect('lost');
        this.beat.ask();
        const wait = this.retry;
        this.retry = Math.min(retryMost, this.retry * 2);
        this.cancelRetry = this.deps.after(wait, () => {
          this.cancelRetry = undefined;
          this.connect();
        });
      },
    });
  }

  private disconnect(now: Stream): void {
    this.closeStream?.();
    this.closeStream = undefined;
    this.stream.value = now;
  }

  /** Without a session only the lists are asked for, until they are given. */
  private allowed(): boolean {
    const link = this.link.peek();
    return link !== 'logged_out' && link !== 'forbidden';
  }

  /** Asks the scheduler about itself: cheap, local, and never waits for a leader. */
  private async ping(): Promise<void> {
    if (!this.allowed()) return;
    const asked = this.deps.now();
    const wasDown = this.downSince.peek() !== undefined;
    try {
      const node = await readNode(this.deps);
      if (!this.running) return;
      const before = this.node.peek();
      batch(() => {
        this.reached();
        this.node.value = node;
        this.roundTrip.value = this.deps.now() - asked;
        this.noteLeader(node);
      });
      if (this.unsettled(node) || wasDown || (before && (before.leader !== node.leader || before.term !== node.term))) this.lists.ask();
    } catch (e) {
      // What this session may see is for the lists to say.
      if (e instanceof ApiError && e.failure !== 'unreachable') return;
      this.failed(e, asked);
    }
  }

  /**
   * Whether the state moved on while some cell is not as it should be. The events tell
   * when a cell becomes ready or stops being it; that a second requirement is lost, or
   * why, changes without one.
   */
  private unsettled(node: NodeState): boolean {
    const s = this.snapshot.peek();
    return s !== null && node.applied_index > s.index && s.cells.some((c) => notReady(c) || c.state === 'draining');
  }

  private async refresh(): Promise<void> {
    const asked = this.deps.now();
    try {
      const [fleet, schedulers] = await Promise.all([
        readFleet(this.deps, this.leaderlessSince.peek() === undefined),
        readSchedulers(this.deps).catch(() => null),
      ]);
      if (!this.running) return;
      batch(() => {
        this.reached();
        this.problem.value = undefined;
        this.skew.value = fleet.skew;
        if (schedulers) this.schedulers.value = schedulers;
        this.snapshot.value = {
          index: fleet.cells.index,
          providers: fleet.providers.providers,
          cells: fleet.cells.cells,
          at: this.deps.now(),
          stale: fleet.stale,
        };
      });
      if (fleet.stale || !this.node.peek()) this.beat.ask();
      this.connect();
    } catch (e) {
      this.failed(e, asked);
    }
  }

  private reached(): void {
    this.link.value = 'up';
    this.downSince.value = undefined;
  }

  private noteLeader(node: NodeState): void {
    if (node.leader !== '') {
      this.leaderlessSince.value = undefined;
    } else if (this.leaderlessSince.peek() === undefined) {
      this.leaderlessSince.value = this.deps.now() - Math.max(0, node.last_contact_ms);
    }
  }

  /** What was seen in a session that ended is not shown to who comes after it. */
  private forget(): void {
    this.snapshot.value = null;
    this.schedulers.value = null;
    this.node.value = null;
    this.downSince.value = undefined;
    this.leaderlessSince.value = undefined;
  }

  private failed(e: unknown, asked: number): void {
    if (!this.running) return;
    const error = e instanceof ApiError ? e : new ApiError('refused', { kind: 'internal', detail: String(e) });
    batch(() => {
      switch (error.failure) {
        case 'unreachable':
          this.link.value = 'down';
          this.downSince.value ??= asked;
          break;
        case 'logged_out':
          this.link.value = 'logged_out';
          this.forget();
          break;
        case 'forbidden':
          this.link.value = 'forbidden';
          this.forget();
          this.problem.value = error.problem;
          break;
        case 'refused':
          this.problem.value = error.problem;
      }
    });
  }
}
