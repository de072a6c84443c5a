/** Trials: each in a process of its own, interleaved with those of the peers, medians of several. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = new URL('..', import.meta.url);
const roofline = fileURLToPath(new URL('../build/Release/roofline', here));

/**
 * Runs a script of bench/ in a fresh process and gives back the JSON that it prints.
 * @param {string} script relative to bench/
 * @param {Record<string, unknown>} settings handed over as one argument
 * @param {Record<string, string>} [env]
 * @param {readonly string[]} [flags] of Node
 */
export function trial(script, settings, env = {}, flags = ['--expose-gc']) {
  const file = fileURLToPath(new URL(script, here));
  const output = execFileSync(process.execPath, [...flags, file, JSON.stringify(settings)], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    maxBuffer: 2 ** 28,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(output);
}

/**
 * Runs the C++ peer.
 * @param {{ bytes: number, threads: number, pages?: 'huge' | 'hugetlb' | 'small', pattern?: 'device' | 'ram' }} settings
 * @returns {number} milliseconds of a first touch
 */
function rooflineTrial(settings) {
  return JSON.parse(execFileSync(rooflineProgram(), optionsOf(settings), { encoding: 'utf8' })).ms;
}

function rooflineProgram() {
  if (!existsSync(roofline)) throw new Error('the roofline is not built: node .setup/ensure.mjs roofline');
  return roofline;
}

/** @param {Record<string, unknown>} settings */
function optionsOf(settings) {
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
}

/**
 * Touches so much memory and gives it back, right before a trial's clock starts: a hypervisor that has taken free memory away,
 * which it does within seconds, brings it back at a tenth of the speed, and one that has seen a processor idle may give it half
 * a core.
 * @param {number} bytes
 * @param {'huge' | 'hugetlb'} [pages]
 */
export function warmUp(bytes, pages = 'huge') {
  if (bytes > 0) rooflineTrial({ bytes, threads: 2, pages });
}

/**
 * First touch by the C++ peer, in a process that begins as ours do: behind a warm-up by another one.
 * @param {Parameters<typeof rooflineTrial>[0]} settings
 * @returns {number} milliseconds
 */
export function rooflineFirstMs(settings) {
  warmUp(settings.bytes, settings.pages === 'hugetlb' ? 'hugetlb' : 'huge');
  return rooflineTrial(settings);
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

/**
 * A process that does a round for every line that it reads, and prints `{"ms": …}`. Two processors of a virtual machine may be
 * two cores for some seconds and two threads of one core for the next ones, so rounds that are compared must be neighbours.
 */
export class Subject {
  #process;
  #lines;

  /** @param {string} program @param {readonly string[]} words @param {Record<string, string>} [env] */
  constructor(program, words, env = {}) {
    this.#process = spawn(program, words, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  /** @param {string} script relative to bench/ @param {Record<string, unknown>} settings @param {Record<string, string>} [env] */
  static script(script, settings, env) {
    return new Subject(process.execPath, [fileURLToPath(new URL(script, here)), JSON.stringify(settings)], env);
  }

  /** @param {Parameters<typeof rooflineTrial>[0] & { 'on-demand': 'first' | 'again' }} settings */
  static roofline(settings) {
    return new Subject(rooflineProgram(), optionsOf(settings));
  }

  /** @returns {Promise<Record<string, any>>} */
  async round() {
    this.#process.stdin.write('\n');
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.#process.spawnargs.join(' ')} ended early`);
    return JSON.parse(value);
  }

  /** Resolves when the process has ended, and its memory is free. */
  async end() {
    this.#process.stdin.end();
    if (this.#process.exitCode === null) await once(this.#process, 'exit');
  }
}

/**
 * Rounds of several subjects in turns, in fresh processes for every trial; the first two of each are not counted.
 * @param {number} trials
 * @param {number} rounds of each trial
 * @param {() => Record<string, Subject>} start
 * @returns {Promise<Record<string, Record<string, any>[]>>}
 */
export async function alternate(trials, rounds, start) {
  /** @type {Record<string, Record<string, any>[]>} */
  const results = {};
  for (let trial = 0; trial < trials; trial++) {
    const subjects = start();
    for (let round = -2; round < rounds; round++) {
      for (const [name, subject] of Object.entries(subjects)) {
        const result = await subject.round();
        results[name] ??= [];
        if (round >= 0) results[name].push(result);
      }
    }
    await Promise.all(Object.values(subjects).map((subject) => subject.end()));
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
