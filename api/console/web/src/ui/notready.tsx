import { useSignal } from '@preact/signals';
import { Fragment } from 'preact';
import { notReadyCells, reasonsOf, reasonTone } from '../model/cells';
import { evidence } from '../model/evidence';
import { clock, commandOf, duration, hintParts, parseTime } from '../model/format';
import type { Cell, Reason } from '../model/types';
import { now } from './clock';
import { Copy } from './copy';
import { useHeld } from './held';
import { Pieces } from './pieces';

/** Cells drawn at first: when a whole provider falls silent, the worst are enough to begin with. */
const page = 50;

/** Every cell that should take work and does not, with every reason. */
export function NotReady({ cells, skew, several }: { cells: Cell[]; skew: number; several: boolean }) {
  const wanted = notReadyCells(cells, Date.now() + skew);
  const limit = useSignal(page);
  const byCell = new Map(wanted.map((c) => [c.cell_id, c]));
  const { order, hold } = useHeld(wanted.map((c) => c.cell_id));
  return (
    <section aria-labelledby="notready-title">
      <h2 id="notready-title">
        Not ready <small>{wanted.length > 0 ? `${wanted.length} · most leases at risk first` : ''}</small>
      </h2>
      {wanted.length === 0 ? (
        <p class="empty" data-testid="notready-empty">
          {cells.length === 0 ? 'There is no cell yet.' : 'Every cell meets all six requirements.'}
        </p>
      ) : (
        <>
          <table class="notready" role="table" data-testid="notready" {...hold}>
            <thead role="rowgroup">
              <tr role="row">
                {['cell', 'unmet', 'code', 'evidence', 'since', 'do this', 'leases'].map((h) => (
                  <th key={h} role="columnheader" scope="col" class={h === 'leases' ? 'num' : undefined}>
                    {h}
                  </th>
                ))}
              </tr>
            </thead>
            {order.slice(0, limit.value).map((id) => {
              const c = byCell.get(id);
              return c && <Reasons key={id} of={c} skew={skew} several={several} />;
            })}
          </table>
          {order.length > limit.value && (
            <button type="button" class="more" onClick={() => (limit.value = Infinity)}>
              show the other {order.length - limit.value}
            </button>
          )}
        </>
      )}
    </section>
  );
}

function Reasons({ of: c, skew, several }: { of: Cell; skew: number; several: boolean }) {
  const reasons = reasonsOf(c);
  return (
    <tbody role="rowgroup">
      {reasons.map((r, i) => (
        <tr key={`${r.requirement} ${r.code}`} role="row" data-testid={`reason-${c.cell_id}-${r.requirement}`}>
          {i === 0 && (
            <td role="cell" class="cell mono" rowSpan={reasons.length}>
              {several && <span class="of">{c.provider}/</span>}
              {c.cell_id}
            </td>
          )}
          <td role="cell" class="unmet">
            <Breakable name={r.requirement} />
          </td>
          <td role="cell" class="code">
            <code class={reasonTone(r)}>
              <Breakable name={r.code} />
            </code>
          </td>
          <td role="cell" class="evidence">
            <Evidence cell={c} reason={r} skew={skew} />
          </td>
          <td role="cell" class="since">
            <Since reason={r} skew={skew} />
          </td>
          <td role="cell" class="hint">
            <Hint text={r.hint} />
          </td>
          {i === 0 && (
            <td role="cell" class="leases num" rowSpan={reasons.length}>
              {c.leases}
              <span class="unit"> {c.leases === 1 ? 'lease' : 'leases'}</span>
            </td>
          )}
        </tr>
      ))}
    </tbody>
  );
}

/** A name that may be broken after its underscores, and nowhere else. */
function Breakable({ name }: { name: string }) {
  const parts = name.split(/(?<=_)/);
  return (
    <>
      {parts.map((p, i) => (
        <Fragment key={i}>
          {i > 0 && <wbr />}
          {p}
        </Fragment>
      ))}
    </>
  );
}

function Evidence({ cell, reason, skew }: { cell: Cell; reason: Reason; skew: number }) {
  return <Pieces of={evidence(cell, reason, now.value + skew)} />;
}

function Since({ reason, skew }: { reason: Reason; skew: number }) {
  const t = parseTime(reason.since);
  if (t === undefined) return <span class="quiet">not known</span>;
  return (
    <>
      <time dateTime={reason.since}>{clock(t - skew, now.value)}</time>
      <span class="ago tick">{duration(now.value + skew - t)}</span>
    </>
  );
}

function Hint({ text }: { text: string }) {
  if (text === '') return <span class="quiet">–</span>;
  const command = commandOf(text);
  return (
    <>
      <span class="what">{hintParts(text).map((p, i) => (p.command ? <code key={i}>{p.text}</code> : p.text))}</span>
      {command !== '' && <Copy text={command} what={command} />}
    </>
  );
}
