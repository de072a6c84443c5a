/**
 * Orders to the drains and claimants of a region, as words that all its threads see: pause, cancel, close. The only file with
 * Atomics on these words. An order is obeyed between two chunks.
 */
import type { Region } from '../region/region.ts';

/** Lets the drains of all threads return until they are resumed. It does not count: one resume ends any number of pauses. */
export function pauseDrains(region: Region): void {
  setWord(region, 'pause', 1);
}

/** Lets them go on. */
export function resumeDrains(region: Region): void {
  setWord(region, 'pause', 0);
}

/** Lets them return for good. */
export function cancelDrains(region: Region): void {
  setWord(region, 'cancel', 1);
  setWord(region, 'pause', 0);
}

/** Takes a cancel back, before drains are started again. */
export function allowDrains(region: Region): void {
  setWord(region, 'cancel', 0);
}

/** Lets them return, and lets nobody claim a chunk any more. Cannot be taken back. */
export function closeClaims(region: Region): void {
  setWord(region, 'closed', 1);
  setWord(region, 'pause', 0);
}

function setWord(region: Region, name: 'pause' | 'cancel' | 'closed', value: 0 | 1): void {
  // Sequentially consistent, and that is needed: whoever closes stores `closed` and then looks whether a worker has begun,
  // a worker stores that it has begun and then looks for `closed` (see Drain in background.ts). With anything weaker both
  // may miss the other, and close would not wait for a drain that goes on.
  Atomics.store(region.control, region.word[name], value);
  // pairs with the wait in untilResumed
  Atomics.notify(region.control, region.word[name]);
}

/** Whether drains have been told to return for good, by cancel or close. */
export function isStopped(region: Region): boolean {
  // sequentially consistent, as said in setWord
  return Atomics.load(region.control, region.word.cancel) === 1 || isClosed(region);
}

/** Whether the opener has closed the memmap: no chunk is claimed any more. */
export function isClosed(region: Region): boolean {
  // sequentially consistent, as said in setWord
  return Atomics.load(region.control, region.word.closed) === 1;
}

/** Whether drains have been told to wait. */
export function isPaused(region: Region): boolean {
  // relaxed would do: seen one chunk late it does no harm
  return Atomics.load(region.control, region.word.pause) === 1;
}

/** How often one who waits for a resume looks around, should the wake-up be lost with a thread that died giving it. */
const lookAroundMs = 1000;

/** Resolves when drains may go on or are stopped. Does not keep the event loop alive: a forgotten pause holds no process. */
export async function untilResumed(region: Region): Promise<void> {
  while (isPaused(region) && !isStopped(region)) {
    // pairs with the notify in setWord
    const result = Atomics.waitAsync(region.control, region.word.pause, 1, lookAroundMs);
    if (result.async) await result.value;
  }
}

/** Writes down who opened the memmap, so that those who wait for it can find out that it has died. */
export function setOpener(region: Region, tag: number): void {
  // plain order would do: stored before the handle is given to anyone
  Atomics.store(region.control, region.word.opener, tag);
}

/** Tag of the owner slot of whoever opened the memmap. */
export function openerOf(region: Region): number {
  return Atomics.load(region.control, region.word.opener);
}
