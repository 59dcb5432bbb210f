import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Live } from '../data/live';
import { matches, noFilter, type Filter } from '../model/cells';
import { formatHash, parseHash } from '../model/hash';
import type { Cell } from '../model/types';
import { AllCells } from './allcells';
import { NotReady } from './notready';
import { ProviderCard } from './provider';

/** The page that answers: does the fleet take work, and if not, which cell, why, and what to do. */
export function Infrastructure({ live }: { live: Live }) {
  const filter = useSignal<Filter>(parseHash(location.hash).filter);
  useEffect(() => {
    const follow = (): void => void (filter.value = parseHash(location.hash).filter);
    addEventListener('hashchange', follow);
    if (location.hash === '') history.replaceState(null, '', formatHash('infrastructure', noFilter));
    return () => removeEventListener('hashchange', follow);
  }, []);
  const choose = (f: Filter): void => {
    filter.value = f;
    history.replaceState(null, '', formatHash('infrastructure', f));
  };
  const snapshot = live.snapshot.value;
  if (!snapshot) return <Skeleton />;

  const pick = (c: Cell): void => {
    if (!matches(c, filter.value)) choose(noFilter);
    // After the table has drawn the row that the filter hid.
    setTimeout(() => showRow(c.cell_id));
  };
  const several = snapshot.providers.length > 1;
  return (
    <>
      {snapshot.providers.length === 0 ? (
        <p class="empty">
          No provider is configured. A scheduler learns its providers from its configuration when the cluster forms.
        </p>
      ) : (
        <div class={several ? 'lanes' : 'lanes one'}>
          {snapshot.providers.map((p) => (
            <ProviderCard key={p.provider} of={p} cells={snapshot.cells.filter((c) => c.provider === p.provider)} pick={pick} />
          ))}
        </div>
      )}
      <NotReady cells={snapshot.cells} skew={live.skew.value} several={several} />
      <AllCells live={live} snapshot={snapshot} filter={filter.value} choose={choose} several={several} />
    </>
  );
}

function showRow(id: string): void {
  const row = document.getElementById(`cell-${id}`);
  row?.scrollIntoView({ block: 'center' });
  row?.focus({ preventScroll: true });
}

/** Holds the place of the cards until the first answer. */
function Skeleton() {
  return (
    <div class="lanes one" aria-hidden="true">
      <div class="card skeleton" />
    </div>
  );
}
