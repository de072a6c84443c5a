/**
 * What a larger machine would do: predicts how long a node's memmap takes, and what a fault costs meanwhile, from the cost of
 * one thread and the bandwidth of the node. `node bench/model.mjs [--json]` checks it against published figures and predicts the
 * machine of the claim of 2018.
 *
 *     nsPerPage(n) = ((threadNs / n)^k + nodeNs^k)^(1/k)
 *
 * One thread writes a descriptor in threadNs; n of them in threadNs / n, as long as the node's memory keeps up; the node never
 * takes less than nodeNs. k tells how sharp the bend between the two is.
 */
import { fileURLToPath } from 'node:url';

/** @typedef {{ threadNs: number, nodeNs: number, sharpness: number }} NodeModel */

/** The 2020 series that made Linux's deferred initialization parallel: one node of 384 GiB, milliseconds by threads. */
export const published = {
  pages: (384 * 2 ** 30) / 4096,
  times: [
    { threads: 1, ms: 1786 },
    { threads: 6, ms: 359 },
    { threads: 13, ms: 157 },
    { threads: 52, ms: 138 },
  ],
};

/**
 * Nanoseconds a page on a node.
 * @param {NodeModel} model @param {number} threads 1 or more
 */
export function nsPerPage({ threadNs, nodeNs, sharpness }, threads) {
  return ((threadNs / threads) ** sharpness + nodeNs ** sharpness) ** (1 / sharpness);
}

/**
 * Milliseconds until all nodes are initialized; they work side by side.
 * @param {NodeModel} model @param {{ pagesPerNode: number, threadsPerNode: number, startMs?: number }} machine
 */
export function completionMs(model, { pagesPerNode, threadsPerNode, startMs = 0 }) {
  return startMs + (pagesPerNode * nsPerPage(model, threadsPerNode)) / 1e6;
}

/**
 * Microseconds of a fault while all threads are at work: clearing the huge page, writing the chunk, both at this thread's share
 * of the node, and the rest of a chunk that a thread is just at, by the chance to meet one.
 * @param {NodeModel} model @param {{ pagesPerNode: number, threadsPerNode: number, chunkPages: number }} machine
 */
export function faultUs(model, { pagesPerNode, threadsPerNode, chunkPages }) {
  // the faulting thread is one more
  const threads = threadsPerNode + 1;
  const chunkUs = (chunkPages * nsPerPage(model, threads) * threads) / 1000;
  const claimed = Math.min(1, (threadsPerNode * chunkPages) / pagesPerNode);
  return { claimUs: chunkUs, waitChance: claimed, meanUs: (1 - claimed) * chunkUs + claimed * (chunkUs / 2) };
}

/**
 * Fits the model to times of one node: the cost of a thread from the fewest threads, that of the node from the most, and the
 * bend by trying which makes the largest error smallest.
 * @param {number} pages @param {readonly { threads: number, ms: number }[]} times at least two
 * @returns {NodeModel}
 */
export function fitModel(pages, times) {
  const ascending = [...times].sort((a, b) => a.threads - b.threads);
  const perPage = ({ ms }) => (ms * 1e6) / pages;
  const [fewest, most] = [ascending[0], ascending.at(-1)];
  let best;
  for (let sharpness = 1; sharpness <= 12; sharpness += 0.01) {
    // so that both ends are met: each holds a little of the other
    let [threadNs, nodeNs] = [perPage(fewest) * fewest.threads, perPage(most)];
    for (let round = 0; round < 50; round++) {
      const power = (value) => Math.max(1e-9, value) ** (1 / sharpness);
      threadNs = fewest.threads * power(perPage(fewest) ** sharpness - nodeNs ** sharpness);
      nodeNs = power(perPage(most) ** sharpness - (threadNs / most.threads) ** sharpness);
    }
    const model = { threadNs, nodeNs, sharpness };
    const worst = Math.max(...ascending.map((time) => Math.abs(errorOf(model, pages, time))));
    if (best === undefined || worst < best.worst) best = { model, worst };
  }
  return best.model;
}

/** By how much a prediction is off: −0.1 is 10 % too short. @param {NodeModel} model @param {number} pages */
export function errorOf(model, pages, { threads, ms }) {
  return completionMs(model, { pagesPerNode: pages, threadsPerNode: threads }) / ms - 1;
}

/** The model of the published node, with its error at each point, and with each point between the ends left out of the fit. */
export function checkPublished() {
  const { pages, times } = published;
  const model = fitModel(pages, times);
  return {
    model,
    points: times.map((time, index) => ({
      ...time,
      predictedMs: completionMs(model, { pagesPerNode: pages, threadsPerNode: time.threads }),
      error: errorOf(model, pages, time),
      leftOutError:
        index === 0 || index === times.length - 1
          ? null
          : errorOf(
              fitModel(
                pages,
                times.filter((other) => other !== time),
              ),
              pages,
              time,
            ),
    })),
  };
}

/**
 * The machine of 2018: eight sockets with 3 TiB of persistent memory each, which makes four minutes at the 37 ns a page that one
 * thread took from one namespace to the next; 28 cores a socket. Threads as fast as one here on first touch, nodes as fast as
 * the published one, but twice as slow where the kernel clears each page before it is written.
 * @param {{ firstTouchNs: number, againNs: number }} measured one thread of this machine, nanoseconds a page
 */
export function predictEightSockets({ firstTouchNs, againNs }) {
  const { model } = checkPublished();
  const machine = { pagesPerNode: (3 * 2 ** 40) / 4096, threadsPerNode: 28 };
  const first = { ...model, threadNs: firstTouchNs, nodeNs: 2 * model.nodeNs };
  const again = { ...model, threadNs: againNs };
  return {
    nodes: 8,
    ...machine,
    serialMinutes: (8 * machine.pagesPerNode * 37) / 60e9,
    firstTouchMs: completionMs(first, machine),
    againMs: completionMs(again, machine),
    fault: faultUs(first, { ...machine, chunkPages: 32_768 }),
  };
}

/** One thread of the machine that README tells of: 10.0 GB/s on first touch, 27.4 GB/s again (bench/suites/store-paths.mjs). */
export const measuredHere = { firstTouchNs: 64 / 10, againNs: 64 / 27.4 };

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const check = checkPublished();
  const prediction = predictEightSockets(measuredHere);
  if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify({ check, prediction }, null, 1)}\n`);
  else {
    const percent = (share) => (share === null ? '–' : `${(share * 100).toFixed(1)} %`);
    const { threadNs, nodeNs, sharpness } = check.model;
    process.stdout.write(
      [
        'One node of 384 GiB, published in 2020',
        '  threads  published  predicted    error  error when left out of the fit',
        ...check.points.map(
          ({ threads, ms, predictedMs, error, leftOutError }) =>
            `  ${String(threads).padStart(7)}  ${String(ms).padStart(6)} ms  ${predictedMs.toFixed(0).padStart(6)} ms  ${percent(error).padStart(7)}  ${percent(leftOutError)}`,
        ),
        `  threadNs ${threadNs.toFixed(2)}, nodeNs ${nodeNs.toFixed(2)}, k ${sharpness.toFixed(2)}`,
        '',
        `A prediction: ${prediction.nodes} nodes of 3 TiB, ${prediction.threadsPerNode} threads each, as fast as one thread here`,
        `  one thread, one namespace after the other   ${prediction.serialMinutes.toFixed(1)} min`,
        `  everything, first touch                     ${(prediction.firstTouchMs / 1000).toFixed(1)} s`,
        `  everything, memory touched before           ${(prediction.againMs / 1000).toFixed(1)} s`,
        `  a fault meanwhile                           ${(prediction.fault.claimUs / 1000).toFixed(1)} ms`,
        '',
      ].join('\n'),
    );
  }
}
