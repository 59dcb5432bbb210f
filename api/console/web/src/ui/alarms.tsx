import type { Live } from '../data/live';

/** What must not be overlooked: a dead scheduler with the way to another, a refusal, a broken invariant. */
export function Alarms({ live }: { live: Live }) {
  const problem = live.problem.value;
  const broken = live.node.value?.broken ?? [];
  return (
    <>
      {live.downSince.value !== undefined && <Elsewhere live={live} />}
      {problem && live.downSince.value === undefined && (
        <p class="alarm warn" data-testid="problem">
          The lists could not be read: {problem.detail} <code>{problem.kind}</code>
          {problem.hint ? <> {problem.hint}</> : null}
        </p>
      )}
      {broken.length > 0 && (
        <p class="alarm bad" data-testid="broken">
          {live.node.value?.node_id} holds a state that breaks its own rules: {broken.join('; ')}. Keep its data directory and
          compare it with the other schedulers.
        </p>
      )}
    </>
  );
}

/** Every scheduler serves this console: the others' addresses are known from before. */
function Elsewhere({ live }: { live: Live }) {
  const others = (live.schedulers.value?.schedulers ?? []).filter(
    (s) => s.alive && s.url !== '' && s.node_id !== live.node.value?.node_id,
  );
  return (
    <p class="alarm bad" data-testid="elsewhere">
      This page keeps asking, and what it shows is old.
      {others.length > 0 && ' The other schedulers serve the same console: '}
      {others.map((s, i) => (
        <span key={s.node_id}>
          {i > 0 && ', '}
          <a href={`${s.url}/admin/stats#infrastructure`}>open {s.node_id}</a>
        </span>
      ))}
      {others.length > 0 && '.'}
    </p>
  );
}
