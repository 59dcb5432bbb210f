import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Live } from '../src/data/live';
import type { Source } from '../src/data/stream';
import { cell, provider, schedulers, silent } from './make';

/** A scheduler and its event stream, as the page sees them. */
class Fake {
  leader = 's2';
  index = 1;
  mode: 'up' | 'dead' | 'logged-out' | 'hangs' = 'up';
  verified = true;
  cells: unknown[] = [{ ...cell('local-1'), reasons: null }];
  asked: string[] = [];
  streams: FakeStream[] = [];

  readonly fetch = (async (input: string, init: RequestInit) => {
    const path = input.replace('/api/v1/', '');
    this.asked.push(path);
    if (this.mode === 'dead') throw new TypeError('connection refused');
    if (this.mode === 'hangs') return new Promise((_, fail) => init.signal?.addEventListener('abort', () => fail(init.signal?.reason)));
    if (this.mode === 'logged-out') return problem(401, 'unauthenticated');
    if (path === 'operator/node') return ok({ node_id: 's1', cluster_id: 'g', leader: this.leader, term: 7, applied_index: this.index, last_contact_ms: 20, version: '1' });
    if (path === 'operator/schedulers') return ok(schedulers(true, true, true));
    if (!this.verified && !path.endsWith('consistency=stale')) return problem(503, 'no_leader');
    if (path.startsWith('providers')) return ok({ index: this.index, providers: [provider('local')] });
    return ok({ index: this.index, cells: this.cells });
  }) as unknown as typeof fetch;

  live = new Live({
    fetch: this.fetch,
    source: () => {
      const s = new FakeStream();
      this.streams.push(s);
      return s;
    },
    now: () => Date.now(),
    after(ms, run) {
      const id = setTimeout(run, ms);
      return () => clearTimeout(id);
    },
  });

  count = (path: string): number => this.asked.filter((p) => p === path).length;
  get stream(): FakeStream {
    return this.streams.at(-1)!;
  }
}

class FakeStream implements Source {
  listeners = new Map<string, () => void>();
  closed = false;
  addEventListener(type: string, f: () => void): void {
    this.listeners.set(type, f);
  }
  close(): void {
    this.closed = true;
  }
  emit(type: string): void {
    this.listeners.get(type)?.();
  }
}

const ok = (body: unknown) => new Response(JSON.stringify(body), { status: 200 });
const problem = (status: number, kind: string) => new Response(JSON.stringify({ kind, status, detail: kind }), { status });
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

let f: Fake;
beforeEach(() => {
  vi.useFakeTimers();
  f = new Fake();
});
afterEach(() => {
  f.live.stop();
  vi.useRealTimers();
});

async function begin(): Promise<void> {
  f.live.start();
  await pass(20);
  f.stream.emit('open');
  await pass(320);
}

describe('live', () => {
  test('reads both lists, the schedulers and the node at once, and mends a null list', async () => {
    await begin();
    expect(f.live.link.value).toBe('up');
    expect(f.live.stream.value).toBe('open');
    expect(f.live.snapshot.value?.cells[0]?.reasons).toEqual([]);
    expect(f.live.node.value?.node_id).toBe('s1');
  });

  test('a burst of events is one read, and it is there within a gap', async () => {
    await begin();
    await pass(400);
    const before = f.count('cells');
    f.index = 2;
    for (let i = 0; i < 50; i++) f.stream.emit('message');
    f.stream.emit('message');
    await pass(350);
    expect(f.live.snapshot.value?.index).toBe(2);
    expect(f.count('cells') - before).toBeLessThanOrEqual(2);
  });

  test.each(['message', 'gap', 'problem', 'cell_unready', 'lease_torndown'])('an event named %s is a reason to read again', async (name) => {
    await begin();
    await pass(400);
    const before = f.count('cells');
    f.stream.emit(name);
    await pass(10);
    expect(f.count('cells')).toBe(before + 1);
  });

  test('a change that no event told of is found by the poll', async () => {
    await begin();
    f.index = 9;
    await pass(5100);
    expect(f.live.snapshot.value?.index).toBe(9);
  });

  test('while a cell is out, a change without an event is seen within two seconds', async () => {
    f.cells = [silent('local-1', 4)];
    await begin();
    await pass(400);
    f.index = 9;
    await pass(1900);
    expect(f.live.snapshot.value?.index).toBe(9);
  });

  test('a calm fleet is not read again because time passes', async () => {
    await begin();
    await pass(400);
    const before = f.count('cells');
    f.index = 9;
    await pass(3400);
    expect(f.count('cells')).toBe(before);
  });

  test('a dead scheduler is noticed at once when its stream breaks, and its data kept', async () => {
    await begin();
    await pass(700);
    f.mode = 'dead';
    f.stream.emit('error');
    await pass(50);
    expect(f.live.link.value).toBe('down');
    expect(f.live.stream.value).toBe('lost');
    expect(f.live.snapshot.value?.index).toBe(1);
    expect(f.streams[0]?.closed).toBe(true);
    const since = f.live.downSince.value;
    await pass(4000);
    expect(f.live.downSince.value).toBe(since);
    f.mode = 'up';
    f.index = 5;
    await pass(2500);
    expect([f.live.link.value, f.live.downSince.value, f.live.snapshot.value?.index]).toEqual(['up', undefined, 5]);
  });

  test('a stopped scheduler, which answers nothing, is noticed too', async () => {
    await begin();
    f.mode = 'hangs';
    await pass(4500);
    expect(f.live.link.value).toBe('down');
  });

  test('a broken stream is opened again, later and later', async () => {
    await begin();
    for (const wait of [500, 1000, 2000, 4000, 8000, 8000]) {
      const n = f.streams.length;
      f.stream.emit('error');
      await pass(wait - 50);
      expect(f.streams.length).toBe(n);
      await pass(100);
      expect(f.streams.length).toBe(n + 1);
    }
    f.stream.emit('open');
    expect(f.live.stream.value).toBe('open');
  });

  test('without a leader it shows what its scheduler knows, and says so', async () => {
    await begin();
    f.leader = '';
    f.verified = false;
    f.index = 3;
    await pass(2500);
    expect(f.live.leaderlessSince.value).toBeDefined();
    expect([f.live.snapshot.value?.stale, f.live.snapshot.value?.index]).toEqual([true, 3]);
    const verified = f.count('cells');
    await pass(6000);
    expect(f.count('cells')).toBe(verified);
    f.leader = 's3';
    f.verified = true;
    await pass(2600);
    expect(f.live.leaderlessSince.value).toBeUndefined();
    expect(f.live.snapshot.value?.stale).toBe(false);
  });

  test('a session that ends takes what it saw with it, and a new one goes on', async () => {
    await begin();
    f.mode = 'logged-out';
    f.stream.emit('message');
    await pass(400);
    expect([f.live.link.value, f.live.snapshot.value, f.live.node.value]).toEqual(['logged_out', null, null]);
    f.stream.emit('error');
    await pass(9000);
    const streams = f.streams.length;
    const asked = f.asked.length;
    await pass(10_000);
    expect(f.streams.length).toBe(streams);
    expect(f.asked.length - asked).toBeLessThanOrEqual(9);
    f.mode = 'up';
    for (let ms = 0; f.live.link.value !== 'up'; ms += 20) {
      expect(ms).toBeLessThan(5400);
      await pass(20);
    }
    await pass(20);
    expect(f.live.node.value?.node_id).toBe('s1');
    expect(f.streams.length).toBe(streams + 1);
  });

  test('a hidden tab holds no stream and asks nothing', async () => {
    await begin();
    f.live.stop();
    const asked = f.asked.length;
    expect(f.stream.closed).toBe(true);
    await pass(60_000);
    expect(f.asked.length).toBe(asked);
    f.live.start();
    await pass(50);
    expect(f.asked.length).toBeGreaterThan(asked);
    expect(f.stream.closed).toBe(false);
  });
});
