import type { JSX } from 'preact';
import type { CellState } from '../model/types';

// Drawn, not typed: a font may lack the characters or draw them as coloured pictures.
// Every state has a shape of its own, so that colour is never the only sign.
const shapes: Record<CellState, JSX.Element> = {
  ready: <rect x="2.5" y="2.5" width="7" height="7" rx="1" fill="currentColor" />,
  warming: (
    <>
      <circle cx="6" cy="6" r="3.6" class="line" />
      <path d="M6 2.4a3.6 3.6 0 0 0 0 7.2z" fill="currentColor" />
    </>
  ),
  registered: <circle cx="6" cy="6" r="3.6" class="line" stroke-dasharray="1.9 1.9" />,
  unhealthy: <path d="M3 3l6 6M9 3l-6 6" class="line" />,
  draining: <path d="M2.6 3.6h6.8L6 9.4z" class="line" />,
  drained: <rect x="2.6" y="2.6" width="6.8" height="6.8" rx="1" class="line" />,
  maintenance: <path d="M4.3 3v6M7.7 3v6" class="line" />,
  revoked: <path d="M3 6h6" class="line" />,
};

export function Glyph({ state }: { state: CellState }) {
  return (
    <svg class="glyph" viewBox="0 0 12 12" aria-hidden="true">
      {shapes[state] ?? shapes.registered}
    </svg>
  );
}

export function Mark({ met }: { met: boolean }) {
  return (
    <svg class={met ? 'mark met' : 'mark'} viewBox="0 0 12 12" aria-hidden="true">
      <path d={met ? 'M2.2 6.4l2.6 2.6L9.8 3.4' : 'M3 3l6 6M9 3l-6 6'} class="line" />
    </svg>
  );
}
