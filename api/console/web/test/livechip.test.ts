import { expect, test } from 'vitest';
import { liveChip, type ChipInput } from '../src/model/livechip';
import type { NodeState } from '../src/model/types';
import { cell, snapshot, t0 } from './make';

const node: NodeState = { node_id: 's1', cluster_id: 'g-x', role: 'follower', leader: 's2', term: 7, applied_index: 1873, last_contact_ms: 150, version: '1' };
const live: ChipInput = { link: 'up', stream: 'open', snapshot: snapshot([cell('a')]), node, roundTrip: 50, now: t0 };

test.each<[string, Partial<ChipInput>, string, string, boolean]>([
  ['all is well', {}, 'ok', 'live · index 1873 · 0.2 s', false],
  ['the stream is being opened', { stream: 'opening' }, 'ok', 'live · index 1873 · 0.2 s', false],
  ['the stream broke', { stream: 'lost' }, 'warn', 'polling · index 1873', false],
  ['a follower answered alone', { snapshot: { ...snapshot([]), stale: true }, now: t0 + 4080 }, 'warn', 'stale 4.2 s · index 1873', false],
  ['no answer for long', { now: t0 + 13_000 }, 'warn', 'stale 13 s · index 1873', true],
  ['no leader', { leaderlessSince: t0 - 9000 }, 'bad', 'no leader · 9 s', true],
  ['no leader, and the scheduler died too', { leaderlessSince: t0, downSince: t0 - 3000 }, 'bad', 's1 does not answer · 3 s', true],
  ['dead before it ever answered', { snapshot: null, node: null, downSince: t0, link: 'down' }, 'bad', 'the scheduler does not answer · 0 s', true],
  ['nothing yet', { snapshot: null, node: null, link: 'connecting' }, 'off', 'connecting…', false],
  ['no session', { link: 'logged_out' }, 'off', 'logged out', true],
  ['not allowed', { link: 'forbidden' }, 'bad', 'not allowed', true],
  ['the node said nothing of itself', { node: null }, 'ok', 'live · index 1873 · 0.1 s', false],
])('%s', (_, over, tone, text, old) => {
  const chip = liveChip({ ...live, ...over });
  expect([chip.tone, chip.text, chip.old]).toEqual([tone, text, old]);
});
