import type { Piece } from '../model/evidence';

/**
 * A sentence in its tones. A figure that ticks is silent in a live region: a reader that
 * speaks hears a new sentence, not every second of an old one.
 */
export function Pieces({ of }: { of: Piece[] }) {
  return (
    <>
      {of.map((p, i) => (
        <span key={i} class={[p.tone, p.tick && 'tick'].filter(Boolean).join(' ') || undefined} aria-live={p.tick ? 'off' : undefined}>
          {p.text}
        </span>
      ))}
    </>
  );
}
