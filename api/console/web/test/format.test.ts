import { describe, expect, test } from 'vitest';
import { bits, bytes, clock, commandOf, cores, count, duration, freeOf, hintParts, lag, parseGoDuration, parseTime, shortDuration, spokenDuration } from '../src/model/format';

const s = 1000, m = 60 * s, h = 60 * m, d = 24 * h;

test.each([
  [-5, '0 s', '0 s', '0 s'],
  [999, '0 s', '0 s', '0 s'],
  [47_200, '47 s', '47 s', '47 s'],
  [6 * m + 10 * s, '6 m 10 s', '6 m', '6 min'],
  [6 * m, '6 m', '6 m', '6 min'],
  [2 * h + 5 * m, '2 h 5 m', '2 h', '2 h'],
  [25 * h, '1 d 1 h', '25 h', '25 h'],
  [6 * d, '6 d', '6 d', '6 days'],
])('%d ms', (ms, long, short, spoken) => {
  expect([duration(ms), shortDuration(ms), spokenDuration(ms)]).toEqual([long, short, spoken]);
});

test('a lag has tenths while they matter', () => {
  expect([lag(-1), lag(200), lag(4240), lag(12_400)]).toEqual(['0.0 s', '0.2 s', '4.2 s', '12 s']);
});

test('times that say nothing are none', () => {
  expect(['', undefined, '0001-01-01T00:00:00Z', 'soon'].map(parseTime)).toEqual([undefined, undefined, undefined, undefined]);
  expect(parseTime('1970-01-01T00:00:01Z')).toBe(1000);
});

test('the date stands before the time on another day', () => {
  const at = new Date(2026, 10, 23, 8, 1, 2).getTime();
  expect(clock(at, at + h)).toBe('08:01:02');
  expect(clock(at, at + d)).toBe('2026-11-23 08:01:02');
});

test('durations as Go prints them', () => {
  expect(['3.1s', '1m7s', '1h2m3s', '0s'].map(parseGoDuration)).toEqual([3100, 67_000, 3_723_000, 0]);
  expect(['', '3', 's', '3 s', '02Z'].map(parseGoDuration)).toEqual([undefined, undefined, undefined, undefined, undefined]);
});

test('amounts', () => {
  expect([cores(48000), cores(1500), cores(250), cores(39100)]).toEqual(['48', '1.5', '0.25', '39.1']);
  expect([bytes(0), bytes(512), bytes(1024), bytes(1.5 * 1024 ** 3), bytes(122 * 1024 ** 3)]).toEqual(['0 B', '512 B', '1 KiB', '1.5 GiB', '122 GiB']);
  expect([bits(999), bits(10e9), bits(2.5e9)]).toEqual(['999 b/s', '10 Gb/s', '2.5 Gb/s']);
  expect([count(1, 'cell'), count(0, 'cell')]).toEqual(['1 cell', '0 cells']);
});

test('what is free is said in the unit of the whole', () => {
  const gib = 1024 ** 3;
  expect(freeOf('cpu', 412_000, 576_000)).toBe('412 / 576 free');
  expect(freeOf('mem', 402 * gib, 512 * gib)).toBe('402 / 512 GiB free');
  expect(freeOf('mem', 512 * gib, 2048 * gib)).toBe('0.5 / 2 TiB free');
  expect(freeOf('gpu', 6, 8)).toBe('6 / 8 free');
  expect(freeOf('net', 1e9, 10e9)).toBe('1 Gb/s of 10 Gb/s free');
});

describe('a hint', () => {
  test('is copied as its command where it has one', () => {
    expect(commandOf('on its host: `systemctl status grafos-cell-agent`, then wait')).toBe('systemctl status grafos-cell-agent');
    expect(commandOf('grafos provider enable aws')).toBe('grafos provider enable aws');
  });
  test('is copied from its colon on where a command stands there bare', () => {
    expect(commandOf('renew the certificate: grafos cloud bootstrap-cell --provider p --cell-id c')).toBe('grafos cloud bootstrap-cell --provider p --cell-id c');
    expect(commandOf('start grafos cell-agent on the host')).toBe('start grafos cell-agent on the host');
  });
  test('that asks for nothing copies nothing', () => {
    expect([commandOf('nothing, wait 12 s'), commandOf('wait 12 s'), commandOf('')]).toEqual(['', '', '']);
  });
  test('is cut at its backticks', () => {
    expect(hintParts('run `a b` now')).toEqual([
      { text: 'run ', command: false },
      { text: 'a b', command: true },
      { text: ' now', command: false },
    ]);
  });
});
