import { noFilter, type Filter, type Show } from './cells';

/** The page that the address names; the first one where it names none. */
export type Page = 'infrastructure';

const shows: readonly string[] = [
  'all', 'work', 'notready', 'registered', 'warming', 'ready', 'unhealthy', 'draining', 'drained', 'maintenance', 'revoked',
];

/** Reads "#infrastructure?show=notready&provider=aws&find=use1". */
export function parseHash(hash: string): { page: Page; filter: Filter } {
  const query = new URLSearchParams(hash.split('?')[1] ?? '');
  const show = query.get('show') ?? 'all';
  return {
    page: 'infrastructure',
    filter: {
      show: shows.includes(show) ? (show as Show) : 'all',
      provider: query.get('provider') ?? '',
      find: query.get('find') ?? '',
    },
  };
}

/** Prints what parseHash reads; what is at its default is left out. */
export function formatHash(page: Page, f: Filter): string {
  const query = new URLSearchParams();
  for (const key of ['show', 'provider', 'find'] as const) {
    if (f[key] !== noFilter[key]) query.set(key, f[key]);
  }
  const q = query.toString();
  return `#${page}${q === '' ? '' : `?${q}`}`;
}
