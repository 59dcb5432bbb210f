import { useRef, useState } from 'preact/hooks';
import { holdOrder } from '../model/cells';

/** How long rows keep their place after the pointer left, ms. */
const rest = 2000;

/**
 * Keeps a table's rows where they are while the pointer is on it and a moment longer.
 * It returns the ids in the order to show and the handlers for the table.
 */
export function useHeld(wanted: string[]) {
  const shown = useRef<string[]>([]);
  const until = useRef(0);
  const [, redraw] = useState(0);
  // An empty table is gone from under the pointer, and nothing says that it left.
  if (wanted.length === 0) until.current = 0;
  const held = Date.now() < until.current;
  shown.current = held ? holdOrder(shown.current, wanted) : wanted;
  return {
    order: shown.current,
    hold: {
      onPointerEnter: () => (until.current = Infinity),
      onPointerLeave: () => {
        until.current = Date.now() + rest;
        setTimeout(() => redraw((n) => n + 1), rest);
      },
    },
  };
}
