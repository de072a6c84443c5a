/** Rounds on demand, with threads that are up: first touches of fresh memory, or re-initializations of the same. */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Memmap } from 'vmemmap';
import { xorshift } from './random.mjs';

const { options, touch, faultEveryMs = 0, seed = 1 } = JSON.parse(process.argv[2] ?? '{}');
const random = xorshift(seed);

/** Waits until everything is initialized, with a fault at a random pfn from time to time if that was asked for. */
async function untilReady(memmap) {
  let isReady = false;
  const ready = memmap.ready.then(() => {
    isReady = true;
  });
  while (faultEveryMs > 0 && !isReady) {
    // asleep in between: a loop that waits awake would take a CPU from the background
    await sleep(faultEveryMs);
    if (!isReady) memmap.fault(memmap.ranges[0].startPfn + random(memmap.pages));
  }
  await ready;
}

/** @type {Memmap | undefined} */
let memmap;

async function round() {
  if (touch === 'again' && memmap) memmap = await memmap.reinitialize();
  const startMs = performance.now();
  const isFirst = memmap === undefined;
  if (touch === 'first' || isFirst) memmap = await Memmap.open(options);
  await untilReady(memmap);
  const ms = performance.now() - startMs;
  // a verification waits for every thread, so that the next round finds them all
  if (isFirst) await memmap.verify();
  const { storePath } = memmap.stats();
  const { pageSize } = memmap.backing;
  if (touch === 'first') await memmap.close();
  return { ms, storePath, pageSize };
}

for await (const _ of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await round())}\n`);
}
await memmap?.close();
