import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { Live } from '../data/live';
import { byId, chips, counts, matches, noFilter, notesOf, stateTone, takesWork, type Filter } from '../model/cells';
import { bytes, cores, parseTime, shortDuration } from '../model/format';
import { letter, requirements, type Cell, type Snapshot } from '../model/types';
import { now } from './clock';
import { useChanges } from './flash';
import { Glyph, Mark } from './glyph';
import { useHeld } from './held';

/** Rows drawn at first: more are one click away and cost nothing until then. */
const page = 200;

interface Props {
  live: Live;
  snapshot: Snapshot;
  filter: Filter;
  choose(f: Filter): void;
  several: boolean;
}

export function AllCells({ live, snapshot, filter, choose, several }: Props) {
  const limit = useSignal(page);
  const chosen = snapshot.cells.filter((c) => matches(c, filter)).sort(byId);
  const byCell = new Map(chosen.map((c) => [c.cell_id, c]));
  const { order, hold } = useHeld(chosen.map((c) => c.cell_id));
  const rows = order.slice(0, limit.value);
  return (
    <section aria-labelledby="cells-title">
      <h2 id="cells-title">
        All cells <small>{snapshot.cells.length}</small>
      </h2>
      {snapshot.cells.length > 0 && <Chips snapshot={snapshot} filter={filter} choose={choose} />}
      {snapshot.cells.length === 0 ? (
        <p class="empty" data-testid="cells-empty">
          No cell has joined. <code>grafos admin bootstrap-token --provider P</code> makes the token that lets one in.
        </p>
      ) : rows.length === 0 ? (
        <p class="empty" data-testid="cells-empty">
          No cell matches.{' '}
          <button type="button" class="link" onClick={() => choose(noFilter)}>
            show all {snapshot.cells.length}
          </button>
        </p>
      ) : (
        <table class="cells" role="table" data-testid="cells" {...hold}>
          <Head />
          <tbody role="rowgroup">
            {rows.map((id) => {
              const c = byCell.get(id);
              return c && <Row key={id} of={c} at={snapshot.at} live={live} several={several} />;
            })}
          </tbody>
        </table>
      )}
      {order.length > rows.length && (
        <button type="button" class="more" onClick={() => (limit.value = Infinity)}>
          show the other {order.length - rows.length}
        </button>
      )}
    </section>
  );
}

function Chips({ snapshot, filter, choose }: Pick<Props, 'snapshot' | 'filter' | 'choose'>) {
  const find = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const slash = (e: KeyboardEvent): void => {
      if (e.key !== '/' || e.ctrlKey || e.metaKey || e.altKey || e.target instanceof HTMLInputElement) return;
      e.preventDefault();
      find.current?.focus();
    };
    addEventListener('keydown', slash);
    return () => removeEventListener('keydown', slash);
  }, []);
  return (
    <div class="filters" role="group" aria-label="which cells">
      {chips(snapshot.cells).map((c) => (
        <button
          key={c.show}
          type="button"
          class="filter"
          aria-pressed={filter.show === c.show}
          data-testid={`filter-${c.show}`}
          onClick={() => choose({ ...filter, show: c.show })}
        >
          {c.label} <b>{c.count}</b>
        </button>
      ))}
      {snapshot.providers.length > 1 && <i class="gap" aria-hidden="true" />}
      {snapshot.providers.length > 1 &&
        snapshot.providers.map((p) => (
          <button
            key={p.provider}
            type="button"
            class="filter"
            aria-pressed={filter.provider === p.provider}
            data-testid={`filter-provider-${p.provider}`}
            onClick={() => choose({ ...filter, provider: filter.provider === p.provider ? '' : p.provider })}
          >
            {p.provider}
          </button>
        ))}
      <input
        ref={find}
        type="search"
        class="find"
        placeholder="/  find by id, zone, code"
        aria-label="find cells by id, zone, rack, state, version or reason code"
        value={filter.find}
        onInput={(e) => choose({ ...filter, find: e.currentTarget.value })}
      />
    </div>
  );
}

function Head() {
  const plain = (name: string, c?: string) => (
    <th role="columnheader" scope="col" class={c}>
      {name}
    </th>
  );
  return (
    <thead role="rowgroup">
      <tr role="row">
        {plain('cell')}
        {plain('state')}
        <th role="columnheader" scope="col" class="marks">
          {requirements.map((r) => (
            <abbr key={r} title={r}>
              {letter[r]}
            </abbr>
          ))}
        </th>
        {plain('zone / rack', 'where')}
        {plain('free CPU', 'num')}
        {plain('free mem', 'num')}
        {plain('free block', 'num')}
        {plain('leases', 'num')}
        {plain('version', 'version')}
        {plain('seen', 'num')}
        {plain('cert', 'num')}
      </tr>
    </thead>
  );
}

function Row({ of: c, at, live, several }: { of: Cell; at: number; live: Live; several: boolean }) {
  const changes = useChanges(c.state);
  const reported = c.capacity.cpu > 0 || c.capacity.mem > 0;
  const skewed = c.version !== undefined && c.version !== '' && live.node.value !== null && c.version !== live.node.value.version;
  const free = (n: number, print: (n: number) => string): string => (reported ? print(Math.max(0, n)) : '–');
  const where = [c.inventory.zone, c.inventory.rack].filter(Boolean).join(' / ');
  return (
    <tr
      role="row"
      id={`cell-${c.cell_id}`}
      tabIndex={-1}
      data-testid={`cell-row-${c.cell_id}`}
      data-state={c.state}
      class={[!takesWork(c) && 'resting', changes > 0 && (changes % 2 ? 'flash-a' : 'flash-b')].filter(Boolean).join(' ') || undefined}
    >
      <td role="cell" class="cell mono">
        {several && <span class="of">{c.provider}/</span>}
        {c.cell_id}
        {notesOf(c).map((n) => (
          <span key={n.word} class={`badge ${n.tone}`} title={n.title}>
            {n.word}
          </span>
        ))}
      </td>
      <td role="cell" class={`state ${stateTone(c.state)}`}>
        <Glyph state={c.state} /> {c.state}
      </td>
      <td role="cell" class="marks">
        {requirements.map((r) => (
          <span key={r} title={`${r}: ${c.readiness[r] ? 'met' : 'not met'}`}>
            <Mark met={c.readiness[r]} />
            <span class="sr">
              {r} {c.readiness[r] ? 'met' : 'not met'}
            </span>
          </span>
        ))}
      </td>
      <td role="cell" class="where">{where === '' ? '–' : where}</td>
      <td role="cell" class="num cpu">{free(c.free.cpu, cores)}</td>
      <td role="cell" class="num mem">{free(c.free.mem, bytes)}</td>
      <td role="cell" class="num block">{free(c.free.block, bytes)}</td>
      <td role="cell" class="num leases">
        {c.leases}
        <span class="unit"> {c.leases === 1 ? 'lease' : 'leases'}</span>
      </td>
      <td role="cell" class={skewed ? 'version warn' : 'version'} title={skewed ? `the scheduler runs ${live.node.value?.version}` : undefined}>
        {c.version ?? '–'}
      </td>
      <td role="cell" class="num seen">
        <Seen of={c} at={at} skew={live.skew.value} />
      </td>
      <td role="cell" class="num cert">
        <Cert of={c} skew={live.skew.value} />
      </td>
    </tr>
  );
}

/**
 * How long ago the last heartbeat was. For a cell that is well it is the age when the page
 * last read it: between two reads it has beaten again, and a rising figure would cry wolf.
 */
function Seen({ of: c, at, skew }: { of: Cell; at: number; skew: number }) {
  const t = parseTime(c.last_seen);
  if (t === undefined) return <span class="quiet">{counts(c) ? 'never' : '–'}</span>;
  const ill = c.state === 'unhealthy';
  return <span class={ill ? 'bad tick' : 'tick'}>{shortDuration((ill ? now.value : at) + skew - t)}</span>;
}

const day = 24 * 3600 * 1000;

/** How long the certificate still lasts. */
function Cert({ of: c, skew }: { of: Cell; skew: number }) {
  const t = parseTime(c.not_after);
  if (t === undefined) return <span class="quiet">–</span>;
  const left = t - now.value - skew;
  if (left <= 0) return <span class="bad">ended</span>;
  return <span class={left < day ? 'warn' : undefined}>{shortDuration(left)}</span>;
}
