import { describe, expect, test } from 'vitest';
import { evidence } from '../src/model/evidence';
import { sayVerdict, verdict, type VerdictInput } from '../src/model/verdict';
import type { Cell, Provider } from '../src/model/types';
import { cell, provider, reason, schedulers, silent, snapshot, t0 } from './make';

const degraded = provider('local', { runtime_readiness: 'degraded' });
const input = (cells: Cell[], providers: Provider[] = [degraded], over: Partial<VerdictInput> = {}): VerdictInput => ({
  snapshot: snapshot(cells, providers), schedulers: schedulers(true, true, true), node: 's1', now: t0, ...over,
});
const say = (...args: Parameters<typeof input>) => sayVerdict(input(...args));
const three = [cell('local-1'), cell('local-2'), cell('local-3')];

describe('the verdict', () => {
  test('of a fleet that is well', () => {
    expect(say(three)).toBe('All 3 cells take work.');
    expect(say([cell('local-1')])).toBe('The only cell takes work.');
  });

  test('names the cell and its silence', () => {
    expect(say([cell('local-1'), silent('local-2', 4), cell('local-3')])).toBe(
      '2 of 3 cells take work. local is degraded: local-2 has sent no heartbeat for 4 s.',
    );
  });

  test('ticks with the time and with nothing else', () => {
    const v = input([cell('local-1'), silent('local-2', 4)]);
    const later = { ...v, now: t0 + 90_000 };
    expect(sayVerdict(later)).toContain('no heartbeat for 1 min.');
    const still = (x: VerdictInput) => verdict(x).filter((p) => !p.tick).map((p) => p.text);
    expect(still(later)).toEqual(still(v));
  });

  test('speaks of one cell and counts the others', () => {
    expect(say([cell('a'), silent('b', 20), silent('c', 9), cell('d', { state: 'warming', reasons: [reason('healthy_cell', 'warming_up')], leases: 9 })])).toBe(
      '1 of 4 cells takes work. local is degraded: b has sent no heartbeat for 20 s, and 2 other cells are not ready.',
    );
  });

  test('of several providers puts the one that refuses first', () => {
    const cells = [cell('a1', { provider: 'aws' }), silent('a2', 47, { provider: 'aws' }), silent('z1', 61, { provider: 'azure' })];
    expect(say(cells, [provider('aws', { runtime_readiness: 'degraded' }), provider('azure', { runtime_readiness: 'not_ready' })])).toBe(
      '1 of 3 cells takes work. azure is not ready: z1 has sent no heartbeat for 1 min. aws is degraded: 1 cell is not ready.',
    );
  });

  test('does not call rest an illness', () => {
    expect(say([cell('a'), cell('b', { state: 'maintenance' }), cell('c', { state: 'draining' }), silent('d', 9, { state: 'revoked' })], [provider('local')])).toBe(
      '1 of 3 cells takes work. 1 draining, 1 in maintenance.',
    );
  });

  test('of a disabled provider blames no cell', () => {
    const off = cell('a', { state: 'registered', reasons: [reason('code_enabled', 'provider_disabled')] });
    expect(say([off], [provider('local', { enabled: false, runtime_readiness: 'disabled' })])).toBe('The only cell takes no work. local is disabled.');
  });

  test('of nothing at all', () => {
    expect(say([], [])).toBe('No provider is configured, so no work can be taken.');
    expect(say([])).toBe('No cell has joined, so no work can be taken.');
    expect(sayVerdict({ ...input([]), snapshot: null })).toBe('Asking the scheduler…');
  });

  test.each([
    [reason('outbound_registered', 'session_lost', 30), 'has held no session to a scheduler for 30 s'],
    [reason('identity_bound', 'certificate_expired'), 'has no valid certificate'],
    [reason('inventory_reported', 'not_reported'), 'has not said what it can host'],
    [reason('durable_provider_cell_record', 'no_record'), 'has never registered'],
    [reason('healthy_cell', 'stuck', 30), 'is stuck for 30 s'],
    [reason('healthy_cell', 'no_heartbeat'), 'has never sent a heartbeat'],
    [reason('healthy_cell', 'new_code', 30), 'is unhealthy (new_code) for 30 s'],
  ])('says %o', (r, said) => {
    expect(say([cell('a'), cell('b', { reasons: [r] })])).toBe(`1 of 2 cells takes work. local is degraded: b ${said}.`);
  });

  test('without a leader says what goes on and what does not', () => {
    expect(say(three, [degraded], { schedulers: schedulers(true, false, false), leaderlessSince: t0 - 9000 })).toBe(
      'No leader for 9 s: 2 of 3 schedulers are lost. Nothing new is admitted; running work goes on until its leases end.',
    );
    expect(say(three, [degraded], { leaderlessSince: t0 - 9000 })).toMatch(/^No leader for 9 s\. Nothing/);
  });

  test('of a dead scheduler speaks of the past', () => {
    expect(say(three, [degraded], { downSince: t0, now: t0 + 12_000 })).toBe('Scheduler s1 does not answer. When last heard, 12 s ago, all 3 cells took work.');
    expect(say([cell('a'), silent('b', 4)], [degraded], { downSince: t0, now: t0 + 12_000 })).toContain('1 of 2 cells took work.');
    expect(sayVerdict({ ...input([]), snapshot: null, downSince: t0, node: '' })).toBe('The scheduler that serves this page does not answer.');
  });
});

describe('evidence', () => {
  const c = silent('x', 47);
  const [r] = c.reasons;
  test('counts the silence on, and changes no other word', () => {
    expect(evidence(c, r!, t0)).toEqual([
      { text: 'last heartbeat ' },
      { text: '47 s', tone: 'bad', tick: true },
      { text: ' ago, limit 3s' },
    ]);
  });
  test('is the message itself where there is nothing to count', () => {
    expect(evidence(c, c.reasons[1]!, t0)).toEqual([{ text: 'session_lost' }]);
    expect(evidence({ ...c, last_seen: undefined }, { ...r!, since: '' }, t0)).toEqual([{ text: r!.message }]);
    const ended = reason('identity_bound', 'certificate_expired', 9, 'the certificate ended at 2026-11-23T08:41:02Z');
    expect(evidence(c, ended, t0)).toEqual([{ text: ended.message }]);
  });
  test.each([
    ['session_lost', 'last session ended 3.2s ago, limit 3s', 'last session ended 13 s ago, limit 3s'],
    ['heartbeat_overdue', 'no heartbeat for 15s, limit 15s', 'no heartbeat for 25 s, limit 15s'],
    ['no_session', 'no scheduler holds a session of it for 1m0s, limit 15s', 'no scheduler holds a session of it for 1 m 10 s, limit 15s'],
    ['warming_up', '1.2s of 30s of steady heartbeats', '11 s of 30s of steady heartbeats'],
    ['stuck', 'run r1 has not moved for 12s', 'run r1 has not moved for 12s'],
  ])('of %s counts on from when it was committed', (code, message, said) => {
    const blind = { ...c, last_seen: undefined };
    expect(evidence(blind, reason('healthy_cell', code, 10, message), t0).map((p) => p.text).join('')).toBe(said);
  });
});
