import { useRef } from 'preact/hooks';

/**
 * Says how often a value changed since it was first shown: as part of a key or a class it
 * makes a change flash once, and the first sight not at all.
 */
export function useChanges(value: string): number {
  const last = useRef(value);
  const times = useRef(0);
  if (last.current !== value) {
    last.current = value;
    times.current += 1;
  }
  return times.current;
}
