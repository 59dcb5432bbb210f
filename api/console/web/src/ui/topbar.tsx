import type { Live } from '../data/live';
import type { LiveChip } from '../model/livechip';
import { quorum, tolerance } from '../model/quorum';
import type { Scheduler } from '../model/types';

export function TopBar({ live, chip }: { live: Live; chip: LiveChip }) {
  const list = live.schedulers.value;
  const node = live.node.value;
  const known = live.link.value === 'up' && list !== null;
  const leader = live.leaderlessSince.value === undefined ? (node?.leader ?? list?.leader ?? '') : '';
  const q = quorum(list);
  return (
    <header class="top">
      <span class={`chip ${chip.tone}`} data-testid="live-chip" data-tone={chip.tone} title={chip.title}>
        <i class="dot" aria-hidden="true" />
        {chip.text}
      </span>
      {known && (
        <span class="quorum" data-testid="quorum">
          {leader === '' ? 'no leader' : `leader ${leader}`} · term {node?.term ?? list.term}
          {q.voters > 0 && (
            <>
              {' · '}
              <span class={q.tolerates < 0 ? 'bad' : q.tolerates === 0 ? 'warn' : undefined}>{tolerance(q)}</span>
            </>
          )}
        </span>
      )}
      {known && list.schedulers.length > 0 && (
        <ul class="nodes" aria-label="schedulers">
          {list.schedulers.map((s) => (
            <Node key={s.node_id} of={s} leads={s.node_id === leader} />
          ))}
        </ul>
      )}
    </header>
  );
}

function Node({ of: s, leads }: { of: Scheduler; leads: boolean }) {
  const role = !s.alive ? 'lost' : leads ? 'leader' : s.voter ? 'follower' : 'joining, does not vote';
  return (
    <li class={!s.alive ? 'lost' : leads ? 'leads' : undefined} title={`${s.node_id}: ${role}`}>
      {s.node_id}
      <span class="sr"> {role}</span>
    </li>
  );
}
