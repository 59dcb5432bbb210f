/** The part of EventSource that is used; the tests bring their own. */
export interface Source {
  addEventListener(type: string, listener: () => void): void;
  close(): void;
}

/**
 * The event types that change what the page shows. EventSource hands out named events
 * only to who asks for the name; a type that is not here is found by the next poll.
 * `gap` says that the stream lost something: the lists are read again all the same.
 */
export const eventTypes: readonly string[] = [
  'gap',
  'cell_registered', 'cell_ready', 'cell_unready', 'cell_draining', 'cell_drained', 'cell_maintenance', 'cell_revoking', 'cell_revoked',
  'inventory_reported',
  'provider_created', 'provider_enabled', 'provider_disabled',
  'lease_granted', 'lease_bound', 'lease_renewed', 'lease_revoked', 'lease_expired', 'lease_released', 'lease_forced_teardown',
  'lease_torndown', 'lease_fenced', 'lease_unfenced', 'lease_failed_closed',
];

export interface StreamEvents {
  opened(): void;
  changed(type: string): void;
  broke(): void;
}

/** Opens the stream at now. It never reconnects by itself: who listens decides when. */
export function openStream(make: (url: string) => Source, on: StreamEvents): () => void {
  const source = make('/api/v1/events?from=now');
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
  for (const type of eventTypes) source.addEventListener(type, () => live && on.changed(type));
  source.addEventListener('message', () => live && on.changed('message'));
  return end;
}
