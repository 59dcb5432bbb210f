/** What coalesce needs of the clock; the tests bring their own. */
export interface Timers {
  now(): number;
  after(ms: number, run: () => void): () => void;
}

export interface Coalesced {
  /** Asks for a run, soon; any number of asks before it begins are one. */
  ask(): void;
  /** Drops what was asked for. A run that has begun goes on. */
  stop(): void;
}

/**
 * Runs work when asked, at most once every gap ms and never two at a time. What is asked
 * for during a run is done after it, so the newest change is never missed.
 */
export function coalesce(work: () => Promise<void>, gap: number, t: Timers): Coalesced {
  let began = -Infinity;
  let running = false;
  let asked = false;
  let cancel: (() => void) | undefined;

  const schedule = (): void => {
    if (running || cancel || !asked) return;
    cancel = t.after(Math.max(0, began + gap - t.now()), () => {
      cancel = undefined;
      asked = false;
      running = true;
      began = t.now();
      void work().finally(() => {
        running = false;
        schedule();
      });
    });
  };
  return {
    ask() {
      asked = true;
      schedule();
    },
    stop() {
      asked = false;
      cancel?.();
      cancel = undefined;
    },
  };
}
