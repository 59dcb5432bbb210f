import type { Resources } from './types';

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

/** A duration for a sentence or a wide column: "4 s", "6 m 10 s", "2 h 5 m", "6 d 3 h". */
export function duration(ms: number): string {
  const t = Math.max(0, ms);
  if (t < minute) return `${Math.floor(t / second)} s`;
  if (t < hour) return pair(Math.floor(t / minute), 'm', Math.floor((t % minute) / second), 's');
  if (t < day) return pair(Math.floor(t / hour), 'h', Math.floor((t % hour) / minute), 'm');
  return pair(Math.floor(t / day), 'd', Math.floor((t % day) / hour), 'h');
}

function pair(a: number, unit: string, b: number, small: string): string {
  return b === 0 ? `${a} ${unit}` : `${a} ${unit} ${b} ${small}`;
}

/** A duration for a narrow column, one unit: "47 s", "6 m", "22 h", "6 d". */
export function shortDuration(ms: number): string {
  const t = Math.max(0, ms);
  if (t < minute) return `${Math.floor(t / second)} s`;
  if (t < hour) return `${Math.floor(t / minute)} m`;
  if (t < 2 * day) return `${Math.floor(t / hour)} h`;
  return `${Math.floor(t / day)} d`;
}

/** A duration as one says it, one unit: "47 s", "2 min", "3 h", "6 days". */
export function spokenDuration(ms: number): string {
  const t = Math.max(0, ms);
  if (t < minute) return `${Math.floor(t / second)} s`;
  if (t < hour) return `${Math.floor(t / minute)} min`;
  if (t < 2 * day) return `${Math.floor(t / hour)} h`;
  return `${Math.floor(t / day)} days`;
}

/** How far behind, with tenths below ten seconds: "0.2 s", "4.2 s", "12 s". */
export function lag(ms: number): string {
  const t = Math.max(0, ms);
  return t < 10 * second ? `${(t / second).toFixed(1)} s` : duration(t);
}

/** A time that the scheduler sent, in ms; undefined for none and for the zero time. */
export function parseTime(s: string | undefined): number | undefined {
  if (!s) return undefined;
  const t = Date.parse(s);
  return Number.isNaN(t) || t <= 0 ? undefined : t;
}

const goUnits: Record<string, number> = { h: hour, m: minute, s: second };

/** A duration as Go prints it, "1m7.5s", in ms. */
export function parseGoDuration(s: string): number | undefined {
  if (!/^(\d+(\.\d+)?[hms])+$/.test(s)) return undefined;
  return [...s.matchAll(/([\d.]+)([hms])/g)].reduce((t, [, n, unit]) => t + Number(n) * (goUnits[unit ?? ''] ?? 0), 0);
}

/** The local time of day, with the date in front on another day than now's. */
export function clock(t: number, now: number): string {
  const d = new Date(t);
  const time = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  if (d.toDateString() === new Date(now).toDateString()) return time;
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${time}`;
}

const two = (n: number): string => String(n).padStart(2, '0');

/** Millicores as cores: "40", "1.5", "0.25". */
export function cores(milli: number): string {
  const c = milli / 1000;
  if (Number.isInteger(c)) return String(c);
  return String(Number(c.toFixed(c < 1 ? 2 : 1)));
}

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

function byteUnit(n: number): number {
  let unit = 0;
  for (let v = Math.abs(n); v >= 1024 && unit < byteUnits.length - 1; v /= 1024) unit++;
  return unit;
}

function inUnit(n: number, unit: number): string {
  const v = n / 1024 ** unit;
  const s = v.toFixed(v < 10 && unit > 0 ? 1 : 0);
  return s.endsWith('.0') ? s.slice(0, -2) : s;
}

/** Bytes in powers of 1024, one decimal below ten: "122 GiB", "1.1 TiB". */
export function bytes(n: number): string {
  const unit = byteUnit(n);
  return `${inUnit(n, unit)} ${byteUnits[unit]}`;
}

const bitUnits = ['b/s', 'Kb/s', 'Mb/s', 'Gb/s', 'Tb/s'];

/** Bits a second in powers of 1000: "10 Gb/s". */
export function bits(n: number): string {
  let unit = 0;
  let v = n;
  for (; Math.abs(v) >= 1000 && unit < bitUnits.length - 1; v /= 1000) unit++;
  return `${Number(v.toFixed(v < 10 ? 1 : 0))} ${bitUnits[unit]}`;
}

/** "412 / 576 free", both figures in the unit of the total. */
export function freeOf(kind: keyof Resources, free: number, total: number): string {
  switch (kind) {
    case 'cpu':
      return `${cores(free)} / ${cores(total)} free`;
    case 'mem':
    case 'block': {
      const unit = byteUnit(total);
      return `${inUnit(free, unit)} / ${inUnit(total, unit)} ${byteUnits[unit]} free`;
    }
    case 'net':
      return `${bits(free)} of ${bits(total)} free`;
    case 'gpu':
      return `${free} / ${total} free`;
  }
}

/** "1 cell", "3 cells". */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

/** The command of a hint that marks none: all of it, or what follows its colon. */
const bareCommand = /(?<=^|: )grafos [a-z]+ .*$/;

/** A hint cut into words and commands, which stand in backticks or at its end. */
export function hintParts(hint: string): { text: string; command: boolean }[] {
  return (hint.includes('`') ? hint : hint.replace(bareCommand, '`$&`'))
    .split('`')
    .map((text, i) => ({ text, command: i % 2 === 1 }))
    .filter((p) => p.text !== '');
}

/**
 * What of a hint belongs on the clipboard: its first command, else all of it, and nothing
 * where nothing is to be done.
 */
export function commandOf(hint: string): string {
  if (/^(nothing|wait)\b/i.test(hint)) return '';
  return hintParts(hint).find((p) => p.command)?.text ?? hint;
}
