import { describe, expect, test } from 'vitest';
import { byId, chips, holdOrder, matches, noFilter, notesOf, notReadyCells, reasonsOf, since, stateTone, takesWork, unmet } from '../src/model/cells';
import { formatHash, parseHash } from '../src/model/hash';
import { quorum, tolerance } from '../src/model/quorum';
import { cell, reason, schedulers, secondsAgo, silent, t0 } from './make';
import type { CellState } from '../src/model/types';

const ids = (cells: { cell_id: string }[]) => cells.map((c) => c.cell_id);

describe('the not-ready cells', () => {
  test('come most leases first, then longest out, then by id', () => {
    const cells = [silent('a-10', 20), silent('a-9', 20), silent('old', 90), silent('full', 5, { leases: 4 }), cell('fine')];
    expect(ids(notReadyCells(cells, t0))).toEqual(['full', 'old', 'a-9', 'a-10']);
  });

  test('leave out what is gone for ever, and what rests while it meets all six', () => {
    const cells = [silent('gone', 9, { state: 'revoked' }), cell('resting', { state: 'maintenance' }), silent('resting and silent', 9, { state: 'drained' })];
    expect(ids(notReadyCells(cells, t0))).toEqual(['resting and silent']);
  });

  test('keep every reason, and say so where one is missing', () => {
    const c = silent('x', 10);
    c.readiness.identity_bound = false;
    expect(reasonsOf(c).map((r) => [r.requirement, r.code])).toEqual([
      ['identity_bound', 'no_reason_given'],
      ['healthy_cell', 'heartbeat_overdue'],
      ['outbound_registered', 'session_lost'],
    ]);
    expect(unmet(c)).toHaveLength(3);
  });

  test('are out since their oldest reason', () => {
    const c = cell('x', { reasons: [reason('healthy_cell', 'a', 5), reason('identity_bound', 'b', 50)] });
    expect(since(c, t0)).toBe(Date.parse(secondsAgo(50)));
    expect(since(cell('y'), t0)).toBe(t0);
  });
});

test('what was said of a cell is beside its name', () => {
  const words = (over: Parameters<typeof cell>[1]) => notesOf(cell('x', over)).map((n) => `${n.word} ${n.tone}`);
  expect(words({ conformance: 'none' })).toEqual([]);
  expect(words({ conformance: 'passed', production: true })).toEqual(['production ok']);
  expect(words({ conformance: 'none', production: true })).toEqual(['production warn']);
  expect(words({ conformance: 'failed', production: true })).toEqual(['production warn', 'not conformant bad']);
  expect(words({ conformance: 'passed', inventory: { overcommit: ['cpu', 'mem'] } })).toEqual(['overcommitted warn']);
  const failed = notesOf(cell('x', { conformance: 'failed', suite: { failed: ['mem/flipped', 'mem/expired'] } }));
  expect(failed[0]?.title).toBe('the conformance suite found: mem/flipped, mem/expired');
  expect(notesOf(cell('x', { inventory: { overcommit: ['cpu', 'gpu'] } }))[0]?.title).toBe('it offers more cpu and gpu than its hardware has');
});

test('only a ready cell takes work, whatever it meets', () => {
  const states: CellState[] = ['registered', 'warming', 'ready', 'unhealthy', 'draining', 'drained', 'maintenance', 'revoked'];
  expect(states.filter((state) => takesWork(cell('x', { state })))).toEqual(['ready']);
  expect(states.map(stateTone)).toEqual(['warn', 'warn', 'ok', 'bad', 'off', 'off', 'off', 'off']);
});

test('numbers in ids count as numbers', () => {
  expect(ids([cell('a-10'), cell('a-2'), cell('z', { provider: 'aws' })].sort(byId))).toEqual(['z', 'a-2', 'a-10']);
});

test('chips count, and a rare state has one only where it occurs', () => {
  expect(chips([cell('a'), silent('b', 4), cell('c', { state: 'draining' })])).toEqual([
    { show: 'all', label: 'all', count: 3 },
    { show: 'work', label: 'take work', count: 1 },
    { show: 'notready', label: 'not ready', count: 1 },
    { show: 'draining', label: 'draining', count: 1 },
  ]);
});

test('a filter joins state, provider and words', () => {
  const c = silent('aws-1', 9, { provider: 'aws', inventory: { zone: 'use1-a', rack: 'r7' } });
  expect(matches(c, noFilter)).toBe(true);
  expect(matches(c, { show: 'notready', provider: 'aws', find: 'USE1' })).toBe(true);
  expect(matches(c, { ...noFilter, find: 'heartbeat_overdue' })).toBe(true);
  expect(matches(c, { ...noFilter, show: 'work' })).toBe(false);
  expect(matches(c, { ...noFilter, provider: 'gcp' })).toBe(false);
  expect(matches(c, { ...noFilter, find: 'use2' })).toBe(false);
});

test('a held table keeps its places, drops what left and adds at the end', () => {
  expect(holdOrder(['b', 'a', 'gone'], ['new', 'a', 'b'])).toEqual(['b', 'a', 'new']);
  expect(holdOrder([], ['x'])).toEqual(['x']);
});

describe('the address', () => {
  test('keeps the filter', () => {
    const f = { show: 'warming', provider: 'aws', find: 'a&b' } as const;
    expect(parseHash(formatHash('infrastructure', f)).filter).toEqual(f);
    expect(formatHash('infrastructure', noFilter)).toBe('#infrastructure');
  });
  test('is not believed blindly', () => {
    expect(parseHash('#infrastructure?show=everything').filter).toEqual(noFilter);
    expect(parseHash('').filter).toEqual(noFilter);
  });
});

test.each([
  [[true, true, true], 'tolerates 1 more failure'],
  [[true, true, false], 'tolerates no further failure'],
  [[true, false, false], '2 of 3 schedulers lost'],
  [[true, true, true, true, true], 'tolerates 2 more failures'],
  [[true], 'tolerates no further failure'],
])('schedulers alive: %j', (alive, said) => {
  expect(tolerance(quorum(schedulers(...alive)))).toBe(said);
});

test('no list says nothing of tolerance', () => {
  expect(tolerance(quorum(null))).toBe('');
});
