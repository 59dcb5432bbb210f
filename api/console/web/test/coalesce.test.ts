import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { coalesce, type Timers } from '../src/model/coalesce';

const timers: Timers = {
  now: () => Date.now(),
  after(ms, run) {
    const id = setTimeout(run, ms);
    return () => clearTimeout(id);
  },
};

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('coalesce', () => {
  test('runs the first ask at once and a burst as one, a gap later', async () => {
    const at: number[] = [];
    const begin = Date.now();
    const c = coalesce(async () => void at.push(Date.now() - begin), 300, timers);
    c.ask();
    await vi.advanceTimersByTimeAsync(10);
    for (let i = 0; i < 100; i++) c.ask();
    await vi.advanceTimersByTimeAsync(2000);
    expect(at).toEqual([0, 300]);
  });

  test('under endless asks runs once a gap', async () => {
    let runs = 0;
    const c = coalesce(async () => void runs++, 300, timers);
    for (let ms = 0; ms < 2990; ms += 10) {
      c.ask();
      await vi.advanceTimersByTimeAsync(10);
    }
    expect(runs).toBe(10);
  });

  test('never runs twice at a time, and does what was asked during a run after it', async () => {
    let running = 0;
    let most = 0;
    let runs = 0;
    const slow = async (): Promise<void> => {
      most = Math.max(most, ++running);
      await new Promise((done) => setTimeout(done, 1000));
      running--;
      runs++;
    };
    const c = coalesce(slow, 300, timers);
    c.ask();
    await vi.advanceTimersByTimeAsync(500);
    c.ask();
    await vi.advanceTimersByTimeAsync(400);
    expect(runs).toBe(0);
    await vi.advanceTimersByTimeAsync(5000);
    expect([runs, most]).toEqual([2, 1]);
  });

  test('stopped, it drops what was asked and can be asked again', async () => {
    let runs = 0;
    const c = coalesce(async () => void runs++, 300, timers);
    c.ask();
    c.stop();
    await vi.advanceTimersByTimeAsync(1000);
    expect(runs).toBe(0);
    c.ask();
    await vi.advanceTimersByTimeAsync(1);
    expect(runs).toBe(1);
  });
});
