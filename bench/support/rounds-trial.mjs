/** Rounds on demand, with threads that are up: first touches of fresh memory, or re-initializations of the same. */
import { createInterface } from 'node:readline';
import { Memmap } from 'vmemmap';

const { options, touch } = JSON.parse(process.argv[2] ?? '{}');

/** From the call of open until everything is initialized. */
async function first() {
  const startMs = performance.now();
  const memmap = await Memmap.open(options);
  await memmap.ready;
  const ms = performance.now() - startMs;
  const { storePath } = memmap.stats();
  const { pageSize } = memmap.backing;
  // every thread has begun, so the next round finds them all
  if (isFirst) await memmap.verify();
  isFirst = false;
  await memmap.close();
  return { ms, storePath, pageSize };
}
let isFirst = true;

/** @type {Memmap | undefined} */
let memmap;
async function again() {
  if (!memmap) {
    memmap = await Memmap.open(options);
    await memmap.ready;
    await memmap.verify();
  }
  memmap = await memmap.reinitialize();
  const startMs = performance.now();
  await memmap.ready;
  const ms = performance.now() - startMs;
  return { ms, storePath: memmap.stats().storePath, pageSize: memmap.backing.pageSize };
}

const round = touch === 'first' ? first : again;
for await (const _ of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await round())}\n`);
}
await memmap?.close();
