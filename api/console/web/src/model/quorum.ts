import type { SchedulerList } from './types';

export interface Quorum {
  voters: number;
  alive: number;
  /** How many more schedulers may fail before nothing is decided; negative: too few are left. */
  tolerates: number;
}

export function quorum(list: SchedulerList | null): Quorum {
  const voters = (list?.schedulers ?? []).filter((s) => s.voter);
  const alive = voters.filter((s) => s.alive).length;
  return { voters: voters.length, alive, tolerates: alive - (Math.floor(voters.length / 2) + 1) };
}

/** "tolerates 1 more failure", said for every number. */
export function tolerance(q: Quorum): string {
  if (q.voters === 0) return '';
  if (q.tolerates < 0) return `${q.voters - q.alive} of ${q.voters} schedulers lost`;
  if (q.tolerates === 0) return 'tolerates no further failure';
  return `tolerates ${q.tolerates} more failure${q.tolerates === 1 ? '' : 's'}`;
}
