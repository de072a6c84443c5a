/** Trials: each in a process of its own, interleaved with those of the peers, medians of several. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = new URL('..', import.meta.url);
const roofline = fileURLToPath(new URL('../build/Release/roofline', here));

/**
 * Runs a script of bench/ in a fresh process and gives back the JSON that it prints.
 * @param {string} script relative to bench/
 * @param {Record<string, unknown>} settings handed over as one argument
 * @param {Record<string, string>} [env]
 */
export function trial(script, settings, env = {}) {
  const file = fileURLToPath(new URL(script, here));
  const output = execFileSync(process.execPath, ['--expose-gc', file, JSON.stringify(settings)], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    maxBuffer: 2 ** 28,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(output);
}

/**
 * Runs the C++ peer.
 * @param {{ bytes: number, threads: number, pages?: 'huge' | 'hugetlb' | 'small', pattern?: 'device' | 'ram', stores?: 'plain' | 'both', again?: number, warm?: 0 | 1 }} settings
 * @returns {{ firstMs: number, againMs: number }}
 */
export function rooflineTrial(settings) {
  if (!existsSync(roofline)) throw new Error('the roofline is not built: node .setup/ensure.mjs roofline');
  const options = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  return JSON.parse(execFileSync(roofline, options, { encoding: 'utf8' }));
}

/**
 * Touches so much memory and gives it back, by the trial's own process right before its clock starts, as the roofline does with
 * `warm`: a hypervisor that has taken free memory away, which it does within seconds, brings it back at a tenth of the speed,
 * and one that has seen a processor idle may give it half a core.
 * @param {number} bytes
 * @param {'huge' | 'hugetlb'} [pages]
 */
export function warmUp(bytes, pages = 'huge') {
  rooflineTrial({ bytes, threads: 2, stores: 'plain', pages, again: 0 });
}

/**
 * Interleaves subjects: one trial of each, then the next one of each.
 * @template T
 * @param {number} trials
 * @param {Record<string, () => T>} subjects
 * @returns {Record<string, T[]>}
 */
export function interleave(trials, subjects) {
  /** @type {Record<string, T[]>} */
  const results = Object.fromEntries(Object.keys(subjects).map((name) => [name, []]));
  for (let round = 0; round < trials; round++) {
    for (const [name, subject] of Object.entries(subjects)) results[name]?.push(subject());
  }
  return results;
}

/** @param {readonly number[]} numbers */
export function sorted(numbers) {
  return [...numbers].sort((a, b) => a - b);
}

/** @param {readonly number[]} numbers */
export function median(numbers) {
  const all = sorted(numbers);
  const middle = Math.floor(all.length / 2);
  return all.length % 2 === 1 ? all[middle] : (all[middle - 1] + all[middle]) / 2;
}

/**
 * The smallest number that so large a share of them does not exceed.
 * @param {readonly number[]} ascending @param {number} share 0 to 1
 */
export function percentile(ascending, share) {
  return ascending[Math.max(0, Math.ceil(share * ascending.length) - 1)];
}

/** @param {readonly number[]} numbers */
export function spread(numbers) {
  const all = sorted(numbers);
  return { min: all[0], max: all.at(-1), trials: all.length };
}
