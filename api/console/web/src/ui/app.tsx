import { computed, useComputed, useSignalEffect } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import type { Live } from '../data/live';
import { counts, notReady, takesWork } from '../model/cells';
import { liveChip } from '../model/livechip';
import { verdict } from '../model/verdict';
import { now } from './clock';
import { Infrastructure } from './infrastructure';
import { LoggedOut, NotAllowed } from './session';
import { Pieces } from './pieces';
import { Rail } from './rail';
import { TopBar } from './topbar';
import { Alarms } from './alarms';

export function App({ live }: { live: Live }) {
  const chip = useMemo(
    () =>
      computed(() =>
        liveChip({
          link: live.link.value,
          stream: live.stream.value,
          snapshot: live.snapshot.value,
          node: live.node.value,
          downSince: live.downSince.value,
          leaderlessSince: live.leaderlessSince.value,
          roundTrip: live.roundTrip.value,
          now: Math.max(now.value, live.snapshot.value?.at ?? 0),
        }),
      ),
    [live],
  );
  useTitle(live);
  const link = live.link.value;
  return (
    <>
      <a class="skip" href="#content" onClick={toContent}>
        skip to the content
      </a>
      <Rail live={live} />
      <main id="content" tabIndex={-1}>
        <TopBar live={live} chip={chip.value} />
        {link === 'logged_out' && <LoggedOut />}
        {link === 'forbidden' && <NotAllowed problem={live.problem.value} />}
        {link !== 'logged_out' && link !== 'forbidden' && (
          <>
            <Verdict live={live} />
            <Alarms live={live} />
            <div class={chip.value.old ? 'old' : undefined}>
              <Infrastructure live={live} />
            </div>
          </>
        )}
      </main>
    </>
  );
}

/** Moves the focus without touching the address, which says what is shown. */
function toContent(e: Event): void {
  e.preventDefault();
  document.getElementById('content')?.focus();
}

function Verdict({ live }: { live: Live }) {
  const pieces = useComputed(() =>
    verdict({
      snapshot: live.snapshot.value,
      schedulers: live.schedulers.value,
      node: live.node.value?.node_id ?? '',
      downSince: live.downSince.value,
      leaderlessSince: live.leaderlessSince.value,
      now: now.value + live.skew.value,
    }),
  );
  return (
    <h1 class="verdict" data-testid="verdict" aria-live="polite">
      <Pieces of={pieces.value} />
    </h1>
  );
}

/** The tab says how the fleet is without being opened. */
function useTitle(live: Live): void {
  useSignalEffect(() => {
    const s = live.snapshot.value;
    const trouble = live.downSince.value !== undefined || live.leaderlessSince.value !== undefined;
    const fleet = s?.cells.filter(counts) ?? [];
    const mark = trouble || fleet.some(notReady) ? '! ' : '';
    document.title = s ? `${mark}${fleet.filter(takesWork).length}/${fleet.length} · grafOS` : 'grafOS';
  });
}
