/** Rounds on demand, with threads that are up: first touches of fresh memory, or re-initializations of the same. */
import { createInterface } from 'node:readline';
import { Memmap } from 'vmemmap';
import { xorshift } from './random.mjs';

const { options, touch, wakeEveryMs = 0, faults = false, seed = 1 } = JSON.parse(process.argv[2] ?? '{}');
const random = xorshift(seed);

/**
 * Waits until everything is initialized, and wakes up from time to time meanwhile if that was asked for, to fault at a random
 * pfn or for nothing: waking the event loop costs something, too.
 * @returns {Promise<number>} when everything was initialized
 */
async function untilReady(memmap) {
  const { startPfn } = memmap.ranges[0];
  const wake = () => {
    const pfn = startPfn + random(memmap.pages);
    if (faults) memmap.fault(pfn);
  };
  const timer = wakeEveryMs > 0 ? setInterval(wake, wakeEveryMs) : undefined;
  await memmap.ready;
  const readyAtMs = performance.now();
  clearInterval(timer);
  return readyAtMs;
}

/** @type {Memmap | undefined} */
let memmap;

async function round() {
  if (touch === 'again' && memmap) memmap = await memmap.reinitialize();
  const startMs = performance.now();
  const isFirst = memmap === undefined;
  if (touch === 'first' || isFirst) memmap = await Memmap.open(options);
  const ms = (await untilReady(memmap)) - startMs;
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
