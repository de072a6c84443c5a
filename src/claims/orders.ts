/**
 * Orders to the drains and claimants of a region: one word of bits that all threads of the process see; where several
 * processes share a file, each gives orders to its own threads alone. The only file with Atomics on it. Drains look at it
 * between two batches of chunks, claimants behind each claim.
 *
 *     bit     given by                 taken back by        who obeys
 *     PAUSE   pause, from any thread   resume, and by the   drains give their threads back
 *                                      two below
 *     CANCEL  cancel, any thread       retry, the opener    drains return for good
 *     CLOSE   close, the opener        never                drains return, and nobody claims any more
 */
import { VmemmapError } from '../errors.ts';
import { ordersSizeBytes, orderWord } from '../region/layout.ts';
import type { Region, RegionHandle } from '../region/region.ts';

/** Bits of the word. */
export const order = { pause: 1, cancel: 2, close: 4 } as const;
/** Orders that end a drain for good. */
const stop: number = order.cancel | order.close;

/** Lets the drains of all threads return until they are resumed. It does not count: one resume ends any number of pauses. */
export function pauseDrains(region: Region): void {
  give(region, order.pause);
}

/** Lets them go on. */
export function resumeDrains(region: Region): void {
  takeBack(region, order.pause);
}

/** Lets them return for good. */
export function cancelDrains(region: Region): void {
  give(region, order.cancel);
  takeBack(region, order.pause);
}

/** Takes a cancel back, before drains are started again. */
export function allowDrains(region: Region): void {
  takeBack(region, order.cancel);
}

/** Lets them return, and lets nobody claim a chunk any more. Cannot be taken back. */
export function closeClaims(region: Region): void {
  give(region, order.close);
  takeBack(region, order.pause);
}

function give(region: Region, bit: number): void {
  // Sequentially consistent, and that is needed: whoever closes stores CLOSE and then looks whether a worker has begun and
  // who holds a claim; a worker stores that it has begun (see Drain in background.ts), a claimant its claim, and then looks
  // for CLOSE. With anything weaker both may miss the other, and close would not wait for one that goes on.
  Atomics.or(region.orders, orderWord.orders, bit);
  // pairs with the wait in untilResumed
  Atomics.notify(region.orders, orderWord.orders);
}

function takeBack(region: Region, bit: number): void {
  // relaxed would do: who sees it late only goes on later
  Atomics.and(region.orders, orderWord.orders, ~bit);
  // pairs with the wait in untilResumed
  Atomics.notify(region.orders, orderWord.orders);
}

/** All orders that stand: bits of {@link order}; 0 when there are none, which is the only thing that is asked often. */
export function ordersOf(region: Region): number {
  // sequentially consistent, as said in give
  return Atomics.load(region.orders, orderWord.orders);
}

/** Whether drains have been told to return for good, by cancel or close. */
export function isStopped(region: Region): boolean {
  return (ordersOf(region) & stop) !== 0;
}

/** Whether the opener has closed the memmap: no chunk is claimed any more. */
export function isClosed(region: Region): boolean {
  return (ordersOf(region) & order.close) !== 0;
}

/** The error for whoever comes after close. */
export function closedError(): VmemmapError {
  return new VmemmapError('CLOSED', 'the memmap was closed; open it again');
}

/**
 * Whether the memmap of a handle was closed, without looking at anything but the orders: its file may be unmapped by now. The
 * handle may be anything.
 */
export function isClosedHandle(handle: Partial<RegionHandle> | null | undefined): boolean {
  const orders = handle?.orders;
  if (!(orders instanceof SharedArrayBuffer) || orders.byteLength < ordersSizeBytes) return false;
  // sequentially consistent, as said in give
  return (Atomics.load(new Int32Array(orders), orderWord.orders) & order.close) !== 0;
}

/** Whether drains have been told to wait. */
function isPaused(region: Region): boolean {
  return (ordersOf(region) & order.pause) !== 0;
}

/** How often one who waits for a resume looks around, should the wake-up be lost with a thread that died giving it. */
const lookAroundMs = 1000;

/** Resolves when drains may go on or are stopped. Does not keep the event loop alive: a forgotten pause holds no process. */
export async function untilResumed(region: Region): Promise<void> {
  while (isPaused(region) && !isStopped(region)) {
    // pairs with the notify in give and takeBack; with the word as it was seen, so that no change of it is slept through
    const result = Atomics.waitAsync(region.orders, orderWord.orders, order.pause, lookAroundMs);
    if (result.async) await result.value;
  }
}

/** Writes down who opened the memmap, so that those who wait for it can find out that it has died. */
export function setOpener(region: Region, tag: number): void {
  // plain order would do: stored before the handle is given to anyone
  Atomics.store(region.orders, orderWord.opener, tag);
}

/** Tag of the owner slot of whoever opened the memmap. */
export function openerOf(region: Region): number {
  return Atomics.load(region.orders, orderWord.opener);
}
