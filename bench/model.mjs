/**
 * `node bench/model.mjs [--json]`: predicts when everything is ready, and what a fault costs, from what one thread pays for a
 * descriptor and what a node's memory takes; and says how far off it is on published figures.
 *
 * Time of a node = fixed + pages × ns per descriptor of n threads, which is a soft maximum of two limits: (c / n) where threads
 * are short, s where memory is; one exponent k says how soft the knee is. s ≤ c, and n = 1 gives c exactly:
 *
 *     unit(n) = ((c^k − s^k) / n^k + s^k) ^ (1 / k)
 */
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const descriptorBytes = 64;
const hugePageBytes = 2 ** 21;
const pagesPerGib = 2 ** 18;

/**
 * @typedef {object} Machine one node of it; times are per descriptor
 * @property {number} costNs one thread, everything that initialization takes
 * @property {number} saturatedNs any number of threads: 64 bytes at the node's bandwidth, at most costNs
 * @property {number} exponent of the knee, above 0
 * @property {number} [storeNs] one thread on memory that is there; the rest of costNs is clearing. Left out: costNs
 * @property {number} [fixedNs] before the first descriptor, once; left out: 0
 */

/** @typedef {{ threads: number, ms: number }} Point */

/** @param {Machine} machine @param {number} threads @returns {number} ns per descriptor, all threads together */
export function unitNs({ costNs, saturatedNs, exponent }, threads) {
  // relative to costNs, so that no power of a large exponent leaves the range of a double
  const floor = (saturatedNs / costNs) ** exponent;
  return costNs * ((1 - floor) * threads ** -exponent + floor) ** (1 / exponent);
}

/** @param {Machine} machine @param {{ pages: number, threads: number }} node @returns {number} */
export function nodeNs(machine, { pages, threads }) {
  return (machine.fixedNs ?? 0) + pages * unitNs(machine, threads);
}

/** Nodes share nothing, so the slowest one decides. @param {Machine} machine @param {readonly { pages: number, threads: number }[]} nodes */
export function completionNs(machine, nodes) {
  return Math.max(...nodes.map((node) => nodeNs(machine, node)));
}

/**
 * A fault that finds nothing ready while n threads work, itself a thread beside them: it clears the huge pages that its chunk
 * begins, fills the chunk at its share of the bandwidth, and with some probability finds its chunk claimed: then the owner has
 * half of its work still to do, on average. The sum is a little too long, for who waits does not fill.
 * @param {Machine} machine
 * @param {{ pages: number, threads: number }} node
 * @param {number} chunkPages
 */
export function faultNs(machine, { pages, threads }, chunkPages) {
  const { costNs, storeNs = costNs } = machine;
  const slowdown = ((threads + 1) * unitNs(machine, threads + 1)) / costNs;
  const chunk = Math.min(chunkPages, pages);
  const hugePages = Math.max(1, (chunk * descriptorBytes) / hugePageBytes);
  const clearNs = hugePages * (hugePageBytes / descriptorBytes) * (costNs - storeNs) * slowdown;
  const fillNs = chunk * storeNs * slowdown;
  const waitShare = Math.min(1, threads / Math.ceil(pages / chunk));
  const waitNs = (clearNs + fillNs) / 2;
  return { clearNs, fillNs, waitNs, waitShare, totalNs: clearNs + fillNs + waitShare * waitNs };
}

/** @param {Machine} machine @param {number} pages @param {Point} point @returns {number} predicted / measured − 1 */
export function errorAt(machine, pages, { threads, ms }) {
  return nodeNs(machine, { pages, threads }) / 1e6 / ms - 1;
}

/**
 * The machine whose relative errors at the points are least, in squares of logarithms. What is known is not fitted, and a point
 * with one thread makes costNs known. Without a point beyond the knee, saturatedNs is a guess.
 * @param {number} pages
 * @param {readonly Point[]} points
 * @param {Partial<Machine>} [known]
 * @returns {Machine}
 */
export function fitMachine(pages, points, known = {}) {
  const times = points.map(({ threads, ms }) => ({ threads, ns: (ms * 1e6) / pages }));
  const alone = times.find(({ threads }) => threads === 1)?.ns;
  /** @param {number[]} logs of costNs, saturatedNs / costNs and exponent */
  const machineOf = ([cost = 0, ratio = 0, exponent = 0]) => {
    const costNs = known.costNs ?? alone ?? Math.exp(cost);
    const saturatedNs = known.saturatedNs ?? costNs * Math.exp(Math.min(0, ratio));
    // past 32 the knee is a corner, and more changes nothing
    return { costNs, saturatedNs, exponent: known.exponent ?? Math.min(32, Math.max(0.5, Math.exp(exponent))) };
  };
  const loss = (/** @type {number[]} */ logs) => {
    const machine = machineOf(logs);
    return times.reduce((sum, { threads, ns }) => sum + Math.log(unitNs(machine, threads) / ns) ** 2, 0);
  };
  const least = Math.min(...times.map(({ ns }) => ns));
  const slowest = Math.max(...times.map(({ ns, threads }) => ns * threads));
  let best = [Math.log(slowest), Math.log(least / slowest), Math.log(3)];
  // a pattern search: a step along each axis while that helps, else half the step
  for (let step = 0.5; step > 1e-7; ) {
    const near = best.flatMap((_, axis) => [1, -1].map((sign) => best.with(axis, (best[axis] ?? 0) + sign * step)));
    const [next = best] = near.sort((a, b) => loss(a) - loss(b));
    if (loss(next) < loss(best)) best = next;
    else step /= 2;
  }
  return machineOf(best);
}

/** Each point predicted by a machine that is fitted on the others. @param {number} pages @param {readonly Point[]} points */
export function leaveOneOut(pages, points) {
  return points.map((point) => {
    const others = points.filter((other) => other !== point);
    return { threads: point.threads, error: errorAt(fitMachine(pages, others), pages, point) };
  });
}

const pointsOf = (/** @type {Record<number, number>} */ msByThreads) =>
  Object.entries(msByThreads).map(([threads, ms]) => ({ threads: Number(threads), ms }));

/** "mm: parallelize deferred_init_memmap()" as Linux took it in 2020: 26 cores, 52 threads and 384 GiB a node. */
export const published = Object.freeze({
  pages: 384 * pagesPerGib,
  points: pointsOf({ 1: 1786, 6: 359, 13: 157, 52: 138 }),
});

/** Other machines of that work, as posted to linux-mm in May 2020, and the same machine measured for that posting. */
export const alsoPublished = Object.freeze([
  {
    name: 'Skylake, again',
    gib: 384,
    points: pointsOf({ 1: 1779, 6: 341, 13: 193.3, 19: 175.3, 26: 193.7, 52: 143.3 }),
  },
  { name: 'Broadwell', gib: 192, points: pointsOf({ 1: 1104.3, 4: 305.3, 8: 174, 12: 145.3, 16: 133, 32: 126.3 }) },
  { name: 'Haswell', gib: 128, points: pointsOf({ 1: 630, 4: 200.3, 9: 128, 13: 117.7, 18: 117, 36: 90 }) },
  { name: 'EPYC, guest', gib: 64, points: pointsOf({ 1: 243.3, 2: 135, 4: 83.3, 6: 72, 8: 71.3, 16: 57.3 }) },
]);

/** The exponent of one machine tried on others: costs from their first point, saturation from their last, errors between. */
export function transfer(/** @type {number} */ exponent) {
  return alsoPublished.map(({ name, gib, points }) => {
    const pages = gib * pagesPerGib;
    const machine = fitMachine(
      pages,
      [points.at(0), points.at(-1)].filter((point) => point !== undefined),
      { exponent },
    );
    const errors = points
      .slice(1, -1)
      .map((point) => ({ threads: point.threads, error: errorAt(machine, pages, point) }));
    return { name, errors };
  });
}

/**
 * The machine of 2018: 8 sockets, ~4 minutes one namespace after another, 8 workers each. How much memory it had was not
 * said, so it follows from the cost that is assumed.
 * @param {Machine} machine
 */
export function predict2018(machine) {
  const [nodes, threads, serialNs] = [8, 8, 240e9];
  const pages = Math.round(serialNs / nodes / machine.costNs);
  const all = Array.from({ length: nodes }, () => ({ pages, threads }));
  const latencyMs = (/** @type {number} */ chunk) => faultNs(machine, { pages, threads }, chunk).totalNs / 1e6;
  return {
    impliedTib: (nodes * pages) / pagesPerGib / 1024,
    everythingS: completionNs(machine, all) / 1e9,
    faultMs: { 4096: latencyMs(4096), '1/1024': latencyMs(Math.ceil(pages / 1024)) },
  };
}

/** All that the program prints. */
export function study() {
  const { pages, points } = published;
  const machine = fitMachine(pages, points);
  // 2026, 100 GB in a guest: 48.5 ns at first touch, 3.7 ns on memory that is there; the bandwidth of 2020 is lent to it
  const firstTouch = { ...machine, costNs: 48.5, storeNs: 3.7 };
  return {
    machine,
    bandwidthGBps: descriptorBytes / machine.saturatedNs,
    fitted: points.map((point) => ({ ...point, error: errorAt(machine, pages, point) })),
    leftOut: leaveOneOut(pages, points),
    transferred: transfer(machine.exponent),
    predictions: [
      { from: 'costs and bandwidth of the 2020 table', ...predict2018(machine) },
      {
        from: 'first touch of 2026 (48.5 ns, 3.7 of them stores) and the bandwidth of 2020',
        ...predict2018(firstTouch),
      },
    ],
  };
}

/** @param {ReturnType<typeof study>} told */
function format({ machine, bandwidthGBps, fitted, leftOut, transferred, predictions }) {
  const percent = (/** @type {number} */ error) => `${error < 0 ? '−' : '+'}${Math.abs(error * 100).toFixed(1)} %`;
  const list = (/** @type {{ threads: number, error: number }[]} */ errors) =>
    errors.map(({ threads, error }) => `${threads} threads ${percent(error)}`).join(', ');
  return [
    'Fitted on 384 GiB per node, 1, 6, 13 and 52 threads, 2020 (1 thread gives the cost; fixed is 0, one size cannot show it):',
    `  cost ${machine.costNs.toFixed(2)} ns, saturation ${machine.saturatedNs.toFixed(2)} ns (${bandwidthGBps.toFixed(1)} GB/s), exponent ${machine.exponent.toFixed(2)}`,
    `  errors of the fit: ${list(fitted)}`,
    `  each left out: ${list(leftOut)}`,
    'That exponent on machines that it was not fitted on (first and last point of each give cost and saturation), too quick on all:',
    ...transferred.map(({ name, errors }) => `  ${name}: ${list(errors)}`),
    'Prediction, not measured: 8 sockets, 4 minutes in all by one thread after another (2018), with 8 workers a socket;',
    'its memory was not published, and follows from the cost; the sockets are taken as working at once and sharing nothing:',
    ...predictions.map(
      ({ from, impliedTib, everythingS, faultMs }) =>
        `  ${from}: ${impliedTib.toFixed(1)} TiB, everything after ${everythingS.toFixed(1)} s, a fault ${faultMs[4096].toFixed(2)} ms with chunks of 4096, ${faultMs['1/1024'].toFixed(0)} ms with 1/1024`,
    ),
    '  The ~4 s of 2018 were time until usable, not until everything; that they agree confirms nothing. Threads alone gained',
    '  1.5 to 2 there: where memory saturates so early, everything takes 120 to 160 s, and only faults are quick.',
  ].join('\n');
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
  process.stdout.write(`${values.json ? JSON.stringify(study(), null, 1) : format(study())}\n`);
}
