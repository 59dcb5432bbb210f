/** The part of EventSource that is used; the tests bring their own. */
export interface Source {
  addEventListener(type: string, listener: () => void): void;
  close(): void;
}

/** What changes the page, as prefixes of event types: the scheduler sends no other events. */
const prefixes = ['cell_', 'inventory_', 'provider_', 'lease_', 'mass_silence', 'gap'];

/**
 * The names under which an event may come; a browser hands out only what is asked for by
 * name. A change comes without one, which is called `message`, or under its type. `gap`
 * says that the stream lost something, `problem` that it ends. All mean that the lists
 * are to be read.
 */
export const eventNames: readonly string[] = [
  'message', 'gap', 'problem',
  'cell_registered', 'cell_ready', 'cell_unready', 'cell_revoking', 'cell_revoked',
  'cell_identity_renewed', 'cell_conformance', 'cell_marked', 'provider_marked', 'cell_draining', 'cell_drained', 'cell_maintenance', 'cell_returning', 'cell_accepting', 'mass_silence',
  'inventory_reported',
  'provider_created', 'provider_enabled', 'provider_disabled',
  'lease_granted', 'lease_bound', 'lease_renewed', 'lease_revoked', 'lease_expired', 'lease_released', 'lease_forced_teardown',
  'lease_torndown', 'lease_fenced', 'lease_failed_closed', 'lease_unfenced', 'lease_grace_running', 'lease_checkpoint_reported',
];

export interface StreamEvents {
  opened(): void;
  changed(): void;
  broke(): void;
}

/** Opens the stream at now. It never reconnects by itself: who listens decides when. */
export function openStream(make: (url: string) => Source, on: StreamEvents): () => void {
  const source = make(`/api/v1/events?from=now&types=${prefixes.join(',')}`);
  let live = true;
  const end = (): void => {
    live = false;
    source.close();
  };
  source.addEventListener('open', () => live && on.opened());
  source.addEventListener('error', () => {
    if (!live) return;
    end();
    on.broke();
  });
  for (const name of eventNames) source.addEventListener(name, () => live && on.changed());
  return end;
}
