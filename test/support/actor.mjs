/** A real thread of the stress: attaches to a region, counts what it writes, and drains, faults or grows as it is told. */
import { parentPort, workerData } from 'node:worker_threads';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { drain } from '../../dist/src/claims/drain.js';
import { Faults } from '../../dist/src/claims/fault.js';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import { seededRandom } from '../../dist/src/observe/random.js';
import { policies } from '../../dist/src/policy/policies.js';
import { Region } from '../../dist/src/region/region.js';

const { handle, counts, gate, role, seed } = workerData;
const region = Region.attach(handle);
let written = 0;

const kernel = {
  ...jsKernel,
  fill(words, at, count, pattern, index) {
    const range = region.ranges.find(({ segments }) => segments[0].content.parts[0].pattern === pattern);
    const chunkOf = (page) => Math.floor((range.startPfn + page - range.basePfn) / range.chunkPages);
    const before = written;
    for (let chunk = chunkOf(index); chunk <= chunkOf(index + count - 1); chunk++) {
      Atomics.add(counts, range.firstChunk + chunk, 1);
      written++;
    }
    if (role.kind === 'stop-in-chunk' && before < role.afterChunks && written >= role.afterChunks) {
      // half of the batch is written, then the thread stands still until it is terminated
      jsKernel.fill(words, at, count >> 1, pattern, index);
      Atomics.store(gate, 1, 1);
      Atomics.notify(gate, 1);
      if (role.exit) process.exit(1);
      Atomics.wait(gate, 2, 0);
    }
    return jsKernel.fill(words, at, count, pattern, index);
  },
};

const claimant = new Claimant(region, { kernel });
const faults = new Faults(claimant);
const random = seededRandom(seed);
const below = (limit) => Math.floor(random() * limit);
const handedOut = [];

function faultAtRandom() {
  const range = region.ranges[below(region.ranges.length)];
  const order = [0, 0, 0, 9, 9, 18][below(6)];
  const pfn = range.startPfn + below(range.pages);
  faults.fault(pfn, order);
  if (!faults.isInitialized(pfn, pfn + 2 ** order)) throw new Error(`pfn ${pfn} order ${order} is not initialized`);
  const words = range.words;
  const at = range.offsetOf(pfn) / 4;
  // the flags word of an initialized descriptor is never 0: the last cpupid is all ones
  if (words[at] === 0 && words[at + 1] === 0) throw new Error(`pfn ${pfn} was published before it was written`);
}

function growUntilEmpty() {
  for (const nid of new Set(region.ranges.map((range) => range.nid))) {
    for (;;) {
      const run = policies.boot.grow(faults, region, nid, 1 + below(3000));
      if (!run) break;
      if (!faults.isInitialized(run.startPfn, run.endPfn)) throw new Error(`run at ${run.startPfn} is not initialized`);
      handedOut.push([run.startPfn, run.endPfn]);
    }
  }
}

// all threads begin at once
Atomics.wait(gate, 0, 0);
if (role.kind === 'fault') for (let i = 0; i < role.count; i++) faultAtRandom();
else if (role.kind === 'grow') growUntilEmpty();
else drain(claimant, role.nid ?? 0);
claimant.leave();
parentPort.postMessage({ handedOut, written });
