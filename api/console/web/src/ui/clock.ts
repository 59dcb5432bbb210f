import { signal } from '@preact/signals';

/** The local time in ms, moved once a second while the tab is seen. What ticks reads it. */
export const now = signal(Date.now());

let timer: ReturnType<typeof setInterval> | undefined;

export function startClock(): void {
  now.value = Date.now();
  timer ??= setInterval(() => (now.value = Date.now()), 1000);
}

export function stopClock(): void {
  clearInterval(timer);
  timer = undefined;
}
