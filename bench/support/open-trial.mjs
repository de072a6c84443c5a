/** One trial of the engine in a process of its own: open, the first fault, faults at a rate while it runs, ready, again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Memmap } from 'vmemmap';
import { warmUp } from './trial.mjs';

const {
  options,
  warmBytes,
  faultEveryMs = 0,
  again = 0,
  againFaultEveryMs = 0,
  seed = 1,
} = JSON.parse(process.argv[2] ?? '{}');

let state = seed;
/** A number of 0 or more and below `below`, each equally likely: xorshift32. */
function random(below) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return Math.floor(((state >>> 0) / 2 ** 32) * below);
}

warmUp(warmBytes, options.backing === 'hugetlb' ? 'hugetlb' : 'huge');
const startMs = performance.now();
let memmap = await Memmap.open(options);
const openMs = performance.now() - startMs;
const { startPfn } = memmap.ranges[0];
const { pages } = memmap;

/** @type {number[]} */
const latenciesUs = [];
/** @type {string[]} */
const outcomes = [];
function fault() {
  const pfn = startPfn + random(pages);
  const before = performance.now();
  const outcome = memmap.fault(pfn);
  latenciesUs.push((performance.now() - before) * 1000);
  outcomes.push(outcome);
}

let readyMs = 0;
const ready = memmap.ready.then(() => {
  readyMs = performance.now() - startMs;
});
fault();
const firstFaultMs = performance.now() - startMs;
if (faultEveryMs === 0) latenciesUs.length = 0;
while (faultEveryMs > 0 && readyMs === 0) {
  // asleep in between: a loop that waits awake would take a CPU from the background
  await sleep(faultEveryMs);
  if (readyMs === 0) fault();
}
await ready;
const { storePath, totals, workers } = memmap.stats();
const { pageSize, effective } = memmap.backing;
const againMs = [];
const againFaultedMs = [];
const firstTouch = { latenciesUs: [...latenciesUs], outcomes: [...outcomes] };
latenciesUs.length = 0;
outcomes.length = 0;
for (let round = 0; round < again; round++) {
  memmap = await memmap.reinitialize();
  // every second round with faults, so that both kinds share whatever mood the machine is in
  const isFaulted = againFaultEveryMs > 0 && round % 2 === 1;
  const beganMs = performance.now();
  let endedMs = 0;
  const done = memmap.ready.then(() => {
    endedMs = performance.now();
  });
  while (isFaulted && endedMs === 0) {
    await sleep(againFaultEveryMs);
    if (endedMs === 0) fault();
  }
  await done;
  (isFaulted ? againFaultedMs : againMs).push(endedMs - beganMs);
}
const againStorePath = memmap.stats().storePath;
const { chunkPages } = memmap.ranges[0];
await memmap.close();
process.stdout.write(
  JSON.stringify({
    openMs,
    firstFaultMs,
    readyMs,
    againMs,
    againFaultedMs,
    ...firstTouch,
    again: { latenciesUs, outcomes },
    storePath,
    againStorePath,
    totals,
    threads: workers.threads,
    pageSize,
    effective,
    chunkPages,
  }),
);
