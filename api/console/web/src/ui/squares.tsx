import { useState } from 'preact/hooks';
import { byId, stateTone } from '../model/cells';
import type { Cell } from '../model/types';
import { Glyph } from './glyph';
import { describe } from './provider';

const moves: Record<string, number> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

/** So few cells have their names beside them; so many are drawn small. */
const few = 8;
const many = 80;

const sizeOf = (n: number): string => (n <= few ? 'named' : n > many ? 'many' : '');

/**
 * The cells of a provider as squares. They are one stop for the tab key; the arrows move
 * between them, Enter shows the cell's row.
 */
export function Squares({ cells, pick }: { cells: Cell[]; pick(c: Cell): void }) {
  const [at, setAt] = useState(0);
  const sorted = [...cells].sort(byId);
  if (sorted.length === 0) return <p class="squares none">no cell has joined</p>;
  const here = Math.min(at, sorted.length - 1);
  const move = (e: KeyboardEvent): void => {
    const step = moves[e.key];
    if (step === undefined || !(e.currentTarget instanceof HTMLElement)) return;
    e.preventDefault();
    const next = Math.max(0, Math.min(sorted.length - 1, here + step));
    setAt(next);
    e.currentTarget.querySelectorAll('button')[next]?.focus();
  };
  return (
    <div class={`squares ${sizeOf(sorted.length)}`} role="group" aria-label="cells" onKeyDown={move}>
      {sorted.map((c, i) => (
        <button
          key={c.cell_id}
          type="button"
          class={`square ${stateTone(c.state)}`}
          tabIndex={i === here ? 0 : -1}
          title={describe(c)}
          aria-label={describe(c)}
          data-testid={`square-${c.cell_id}`}
          data-state={c.state}
          onClick={() => pick(c)}
        >
          <Glyph state={c.state} />
          {sorted.length <= few && <span class="mono">{c.cell_id}</span>}
        </button>
      ))}
    </div>
  );
}
