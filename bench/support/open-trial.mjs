/** One trial of the engine in a process of its own: open, the first fault, faults at a rate while it runs, ready, again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Memmap } from 'vmemmap';
import { xorshift } from './random.mjs';
import { warmUp } from './trial.mjs';

const { options, warmBytes, faultEveryMs = 0, again = 0, seed = 1 } = JSON.parse(process.argv[2] ?? '{}');

const random = xorshift(seed);

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

fault();
const firstFaultMs = performance.now() - startMs;
let readyMs = 0;
const ready = memmap.ready.then(() => {
  readyMs = performance.now() - startMs;
});
if (faultEveryMs === 0) latenciesUs.length = 0;
while (faultEveryMs > 0 && readyMs === 0) {
  // asleep in between: a loop that waits awake would take a CPU from the background
  await sleep(faultEveryMs);
  if (readyMs === 0) fault();
}
await ready;
const { storePath, totals, workers } = memmap.stats();
const { pageSize, effective, sharedTails } = memmap.backing;
const againMs = [];
const firstTouch = { latenciesUs: [...latenciesUs], outcomes: [...outcomes] };
latenciesUs.length = 0;
outcomes.length = 0;
for (let round = 0; round < again; round++) {
  memmap = await memmap.reinitialize();
  const beganMs = performance.now();
  let endedMs = 0;
  const done = memmap.ready.then(() => {
    endedMs = performance.now();
  });
  while (faultEveryMs > 0 && endedMs === 0) {
    await sleep(faultEveryMs);
    if (endedMs === 0) fault();
  }
  await done;
  againMs.push(endedMs - beganMs);
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
    ...firstTouch,
    again: { latenciesUs, outcomes },
    storePath,
    againStorePath,
    totals,
    threads: workers.threads,
    pageSize,
    effective,
    chunkPages,
    storedBytes: sharedTails?.storedBytes ?? pages * 64,
    mappings: sharedTails?.mappings ?? 0,
  }),
);
