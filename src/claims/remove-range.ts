/**
 * Removing a range from a memmap that is in use: first nobody begins anything in it any more, then those who are at it are waited
 * for, then its memory goes. As Linux takes device memory away (memunmap_pages of mm/memremap.c: kill the reference that users
 * take, wait until it is gone, only then free), with claims for references.
 */
import { VmemmapError } from '../errors.ts';
import type { DataBuffer } from '../region/backing.ts';
import type { RegionRange } from '../region/range.ts';
import { liveWordOf, rangeStateOf } from '../region/range-states.ts';
import type { Region } from '../region/region.ts';
import { clearing } from '../region/slot-memory.ts';
import type { TakenSlot } from '../region/slots.ts';
import { isInitialized, stateOf } from './chunk-map.ts';
import { type Claimant, whileAwake } from './claimant.ts';
import { closedError, isClosed } from './orders.ts';

/** How often one who waits for others looks whether they live, and whether the memmap was closed. */
const livenessIntervalMs = 20;
/** How long a turn of clearing memory may take, between which the event loop runs. */
const turnMsMax = 5;

/**
 * Removes the range that begins at `startPfn`. Where another thread is at that already, it is waited for; where one has died over
 * it, or has given up, this one goes on.
 * @throws VmemmapError PFN_ABSENT when no range begins there; CLOSED; FAULT_TIMEOUT when a thread does not finish the chunk it is
 * at, or the removal: the range is gone for everybody then, and its memory and its slot are kept until it is removed once more
 */
export async function removeRange(claimant: Claimant, startPfn: number): Promise<void> {
  if (isClosed(claimant.region)) throw closedError();
  const taken = claimant.region.slots.taken().find(({ range }) => range.startPfn === startPfn);
  if (!taken) {
    throw new VmemmapError('PFN_ABSENT', `no range begins at pfn ${startPfn}; see memmap.ranges`, {
      received: startPfn,
    });
  }
  if (!(await becomeKeeper(claimant, taken))) return;
  const { slots } = claimant.region;
  try {
    await remove(claimant, taken.range);
  } finally {
    claimant.keepers.release(slots.keeperOf(taken.slot));
  }
}

/** Whether a range has not gone yet; another one may be in its slot. */
function isThere({ slots }: Region, { slot, liveWord }: RegionRange): boolean {
  const word = slots.states.load(slot);
  const state = rangeStateOf(word);
  return liveWordOf(word) === liveWord && (state === 'live' || state === 'removing');
}

/** @returns false when the range has gone: somebody else has removed it */
async function becomeKeeper(claimant: Claimant, { slot, range }: TakenSlot): Promise<boolean> {
  const { region, keepers } = claimant;
  const at = region.slots.keeperOf(slot);
  const sinceMs = performance.now();
  for (;;) {
    if (!isThere(region, range)) return false;
    if (keepers.take(at)) {
      // behind the keeper: the range may have gone just before, and whoever closes waits from now on
      if (isThere(region, range)) return true;
      keepers.release(at);
      return false;
    }
    if (isClosed(region)) throw closedError();
    const waitedMs = performance.now() - sinceMs;
    if (waitedMs >= 2 * claimant.waitMsOf(range.chunkPages)) {
      throw stuck(range, `another thread removes it, lives, but did not finish in ${Math.round(waitedMs)} ms`);
    }
    await whileAwake(keepers.untilReleased(at, livenessIntervalMs), livenessIntervalMs);
  }
}

/** The caller is the keeper. */
async function remove(claimant: Claimant, range: RegionRange): Promise<void> {
  const { region } = claimant;
  const refuseWhenClosed = (): void => {
    if (isClosed(region)) throw closedError();
  };
  refuseWhenClosed();
  retire(claimant, range);
  const [first, end] = [range.firstChunk, range.firstChunk + range.chunks];
  const untilMs = performance.now() + claimant.waitMsOf(range.chunkPages);
  const held = await claimant.claimsEndedIn(first, end, untilMs, () => isClosed(region));
  refuseWhenClosed();
  if (held >= 0) throw stuck(range, `the thread that claimed chunk ${held - first} of it lives but does not finish`);
  let turnEndsMs = performance.now() + turnMsMax;
  for (const _ of clear(claimant, range)) {
    if (performance.now() < turnEndsMs) continue;
    await new Promise(setImmediate);
    // behind close its memory belongs to others
    refuseWhenClosed();
    turnEndsMs = performance.now() + turnMsMax;
  }
  vacate(claimant, range);
}

/** First nobody begins anything any more. */
export function retire({ region, chunks }: Claimant, range: RegionRange): void {
  const { states } = region.slots;
  if (rangeStateOf(states.load(range.slot)) === 'live') states.retire(range.slot);
  // even if it was so before: whoever did it may have died in between
  states.changed();
  // those who wait for a chunk hear of it at once, and not when its owner is done
  for (let chunk = range.firstChunk; chunk < range.firstChunk + range.chunks; chunk++) {
    if (!isInitialized(chunks.load(chunk))) chunks.wakeAll(chunk);
  }
}

/**
 * Behind the last claim, step by step: the memory goes. Before the chunk words, which tell what of it was written, should another
 * thread have to go on.
 */
export function clear({ region, chunks }: Claimant, range: RegionRange): Generator<void, void, undefined> {
  const { data, backing } = region.handle;
  const isDirty = (chunk: number): boolean => stateOf(chunks.load(range.firstChunk + chunk)) !== 'free';
  return clearing(range, data[range.slot] as DataBuffer, backing, isDirty);
}

/** Then the chunk words, and the slot is free. What else is written down by slot begins anew when a range comes: see add-ranges.ts. */
export function vacate({ region, chunks }: Claimant, range: RegionRange): void {
  for (let chunk = range.firstChunk; chunk < range.firstChunk + range.chunks; chunk++) chunks.evict(chunk);
  region.slots.states.vacate(range.slot);
}

function stuck({ startPfn, endPfn }: RegionRange, what: string): VmemmapError {
  return new VmemmapError(
    'FAULT_TIMEOUT',
    `the range of pfns ${startPfn} to ${endPfn - 1} could not be removed: ${what}; is it stopped or in a debugger? ` +
      'Remove the range again when it has gone on',
  );
}
