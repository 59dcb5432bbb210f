import { counts, reasonsOf, stateTone, takesWork, type Tone } from '../model/cells';
import { count, freeOf } from '../model/format';
import { requirements, shortName, type Cell, type Provider, type Requirement, type Resources } from '../model/types';
import { Squares } from './squares';

const badges: Record<Provider['runtime_readiness'], { tone: Tone; text: string }> = {
  ready: { tone: 'ok', text: 'ready' },
  degraded: { tone: 'warn', text: 'degraded' },
  not_ready: { tone: 'bad', text: 'not ready' },
  disabled: { tone: 'off', text: 'disabled' },
};

export function ProviderCard({ of: p, cells, pick }: { of: Provider; cells: Cell[]; pick(c: Cell): void }) {
  const badge = badges[p.runtime_readiness];
  const fleet = cells.filter(counts);
  const refuses = badge.tone === 'bad' || badge.tone === 'off';
  return (
    <section class="card" data-testid={`provider-${p.provider}`} aria-label={`provider ${p.provider}`}>
      <header>
        <h2>{p.provider}</h2>
        <span class={`badge ${badge.tone}`} data-testid={`readiness-${p.provider}`}>
          {badge.text}
        </span>
        <small>
          {fleet.length === 0 ? 'no cells' : `${fleet.filter(takesWork).length} of ${fleet.length} take work`}
          {' · '}
          {refuses ? 'refuses deploys' : count(p.leases, 'lease')}
        </small>
      </header>
      <div class="parts">
        <div>
          <ul class="reqs">
            {requirements.map((r) => (
              <Bar key={r} of={r} cells={fleet} dire={refuses} />
            ))}
          </ul>
          <Squares cells={cells} pick={pick} />
        </div>
        <div class="res">
          <Amount name="CPU" kind="cpu" p={p} />
          <Amount name="memory" kind="mem" p={p} />
          <Amount name="block" kind="block" p={p} />
          {p.capacity.gpu > 0 && <Amount name="GPU" kind="gpu" p={p} />}
        </div>
      </div>
    </section>
  );
}

function Bar({ of: r, cells, dire }: { of: Requirement; cells: Cell[]; dire: boolean }) {
  const met = cells.filter((c) => c.readiness[r]).length;
  const tone = met === cells.length ? 'ok' : dire ? 'bad' : 'warn';
  const share = cells.length === 0 ? 0 : met / cells.length;
  const said = `${met} of ${count(cells.length, 'cell')} ${met === 1 ? 'meets' : 'meet'} ${r}`;
  return (
    <li title={said}>
      <span class="sr">{said}</span>
      <span aria-hidden="true">{shortName[r]}</span>
      <span class={`bar ${tone}`} aria-hidden="true">
        <i style={{ width: percent(share) }} />
      </span>
    </li>
  );
}

/** How much is in use, as a bar, and how much is free, as a figure. */
function Amount({ name, kind, p }: { name: string; kind: keyof Resources; p: Provider }) {
  const total = p.capacity[kind];
  const free = Math.max(0, p.free[kind]);
  const used = total > 0 ? 1 - free / total : 0;
  // A provider whose cells said nothing has no capacity at all; one that offers none of a kind has others.
  const silent = p.capacity.cpu === 0 && p.capacity.mem === 0;
  return (
    <>
      <span>{name}</span>
      <span class="bar use" aria-hidden="true">
        <i style={{ width: percent(used) }} />
      </span>
      <span class="figure">{total > 0 ? freeOf(kind, free, total) : silent ? 'not reported' : 'none'}</span>
    </>
  );
}

/** A share as a width: whole only when it is, and never invisible when it is not zero. */
function percent(share: number): string {
  if (share <= 0) return '0';
  if (share >= 1) return '100%';
  return `${Math.min(97, Math.max(2, share * 100)).toFixed(1)}%`;
}

/** A cell in words, for the hint over its square. */
export function describe(c: Cell): string {
  const why = reasonsOf(c)[0];
  const lead = `${c.cell_id}: ${c.state}`;
  return why && stateTone(c.state) !== 'ok' && counts(c) ? `${lead}, ${why.code}: ${why.message}` : lead;
}
