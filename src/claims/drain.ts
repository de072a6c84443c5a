/** The drain: what a background worker does until nothing is left. */

import type { Region, RegionRange } from '../region/region.ts';
import { isInitialized, payloadOf, stateOf } from './chunk-map.ts';
import type { Claimant } from './claimant.ts';

/** `complete`: every chunk of the region is initialized or failed. `cancelled`: the region was cancelled or closed first. */
export type DrainOutcome = 'complete' | 'cancelled';

/** How long a paused or waiting drain sleeps before it looks around again, when nobody wakes it. */
const lookAroundMs = 100;

/**
 * Claims and initializes chunk after chunk, first those of node `nid`, then those of the others, then waits for chunks that
 * others hold: when it returns `complete`, nothing is left. Between two chunks it obeys pause, cancel and close.
 */
export function drain(claimant: Claimant, nid: number): DrainOutcome {
  const { ranges } = claimant.region;
  const own = ranges.filter((range) => range.nid === nid);
  const others = ranges.filter((range) => range.nid !== nid);
  for (const range of [...own, ...others]) {
    if (drainRange(claimant, range) === 'cancelled') return 'cancelled';
  }
  // What is left was claimed by a fault, by another drain, or by a thread that died after the cursor had passed.
  for (const range of ranges) {
    if (finishRange(claimant, range) === 'cancelled') return 'cancelled';
  }
  return 'complete';
}

function drainRange(claimant: Claimant, range: RegionRange): DrainOutcome {
  const { control } = claimant.region;
  while (mayGoOn(claimant)) {
    // relaxed would do: the cursor only tells where to look, the chunk word decides who may write
    const chunk = Atomics.add(control, range.drainCursor, 1);
    if (chunk >= range.chunks) return 'complete';
    claimant.tryInitialize(range, chunk, 'chunksByDrain');
  }
  return 'cancelled';
}

function finishRange(claimant: Claimant, range: RegionRange): DrainOutcome {
  for (let chunk = 0; chunk < range.chunks; chunk++) {
    const number = range.firstChunk + chunk;
    for (;;) {
      const word = claimant.chunks.load(number);
      if (isInitialized(word) || stateOf(word) === 'failed') break;
      if (!mayGoOn(claimant)) return 'cancelled';
      if (stateOf(word) === 'free') claimant.tryInitialize(range, chunk, 'chunksByDrain');
      else if (claimant.owners.isDead(payloadOf(word))) claimant.chunks.release(number, word);
      else claimant.chunks.wait(number, word, lookAroundMs);
    }
  }
  return 'complete';
}

/** Waits while paused; false when cancelled or closed. */
function mayGoOn({ region }: Claimant): boolean {
  const { control } = region;
  const pause = region.word('pause');
  for (;;) {
    if (isStopped(region)) return false;
    if (Atomics.load(control, pause) === 0) return true;
    // pairs with the notify in setWord; bounded, in case the one who paused has died
    Atomics.wait(control, pause, 1, lookAroundMs);
  }
}

/** Whether drains have been told to return, by cancel or close. */
export function isStopped(region: Region): boolean {
  // acquire: pairs with the stores in setWord; a word that is seen one chunk late does no harm
  return Atomics.load(region.control, region.word('cancel')) === 1 || isClosed(region);
}

/** Whether the opener has closed the memmap: no chunk is claimed any more. */
export function isClosed(region: Region): boolean {
  // acquire: pairs with the store in setWord. Close takes no memory away from a thread that sees it late.
  return Atomics.load(region.control, region.word('closed')) === 1;
}

/** Lets the drains of all threads and processes wait between chunks. */
export function pauseDrains(region: Region): void {
  setWord(region, 'pause', 1);
}

/** Lets them go on. */
export function resumeDrains(region: Region): void {
  setWord(region, 'pause', 0);
}

/** Lets them return. Cannot be taken back. */
export function cancelDrains(region: Region): void {
  setWord(region, 'cancel', 1);
  setWord(region, 'pause', 0);
}

/** Lets them return, and faults claim no chunk any more. Cannot be taken back. */
export function closeClaims(region: Region): void {
  setWord(region, 'closed', 1);
  setWord(region, 'pause', 0);
}

function setWord(region: Region, name: 'pause' | 'cancel' | 'closed', value: 0 | 1): void {
  // release: pairs with the loads in mayGoOn, isStopped and isClosed, and in Claimant for `closed`
  Atomics.store(region.control, region.word(name), value);
  // wakes drains that are paused
  Atomics.notify(region.control, region.word(name));
}
