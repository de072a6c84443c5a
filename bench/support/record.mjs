/** Records of results: ours beside a peer's, with the conditions under which both were measured. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { median, spread } from './trial.mjs';

/**
 * @typedef {object} Result
 * @property {string} suite
 * @property {string} name what was measured
 * @property {string} unit
 * @property {number} ours median of the trials
 * @property {string} peer with what it is compared
 * @property {number | null} peerValue
 * @property {number | null} ratio how many times better ours is, the median over the rounds: ours / peer for throughputs (a unit that ends with /s), peer / ours for everything else
 * @property {string} conditions
 * @property {{ min: number, max: number, trials: number }} [spread] of ours
 * @property {{ min: number, max: number, trials: number }} [peerSpread]
 */

/** GB/s of so many bytes in so many milliseconds. */
export const gbPerSecond = (bytes, ms) => bytes / ms / 1e6;

function commit() {
  try {
    const hash = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return hash.trim();
  } catch {
    return 'no commit';
  }
}

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
const machine = [
  `vmemmap ${version} ${commit()}`,
  `Node ${process.version}`,
  `Linux ${release()}`,
  `${cpus().length} × ${cpus()[0]?.model}`,
  new Date().toISOString().slice(0, 10),
].join(', ');

/** @param {string} suite @param {string} what is particular to this measurement */
export function conditions(suite, what) {
  return `${what}; ${machine}; npm run bench -- ${suite}`;
}

/**
 * @param {{ suite: string, name: string, unit: string, ours: readonly number[], peer: string, peerValues?: readonly number[], what: string, [extra: string]: unknown }} measured
 * @returns {Result}
 */
export function record({ suite, name, unit, ours, peer, peerValues, what, ...extra }) {
  const mine = median(ours);
  const theirs = peerValues?.length ? median(peerValues) : null;
  // By rounds where there are pairs: what disturbs a machine disturbs neighbours alike, and medians of each apart may come
  // from different moods of it.
  const pairs =
    peerValues?.length === ours.length ? ours.map((value, index) => [value, peerValues[index]]) : [[mine, theirs]];
  const better = ([value, other]) => (unit.endsWith('/s') ? value / other : other / value);
  const ratio = theirs === null ? null : median(pairs.map(better));
  return {
    suite,
    name,
    unit,
    ours: mine,
    peer,
    peerValue: theirs,
    ratio: ratio !== null && Number.isFinite(ratio) ? ratio : null,
    conditions: conditions(suite, what),
    spread: spread(ours),
    ...(peerValues?.length ? { peerSpread: spread(peerValues) } : {}),
    ...extra,
  };
}

/** @param {number | null} value */
function number(value) {
  if (value === null) return '–';
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** A table for people, from records. @param {readonly Result[]} results */
export function formatTable(results) {
  const rows = results.map(({ name, unit, ours, peer, peerValue, ratio }) => [
    name,
    `${number(ours)} ${unit}`,
    peerValue === null ? '' : `${number(peerValue)} ${unit}`,
    ratio === null ? '' : ratio.toFixed(2),
    peer,
  ]);
  const head = ['', 'vmemmap', 'peer', 'ratio', ''];
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column].length)));
  const line = (row) =>
    row
      .map((cell, column) =>
        column === 0 || column === 4 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
      )
      .join('  ')
      .trimEnd();
  const told = [...new Set(results.map((result) => result.conditions))];
  return [`  ${line(head)}`, ...rows.map((row) => `  ${line(row)}`), ...told.map((text) => `  ${text}`)].join('\n');
}
