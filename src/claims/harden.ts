/**
 * READY → DURABLE, where that is a step of its own: on files whose pages msync brings to the media, and for chunks that somebody
 * wrote who did not ask for durability. Any thread may do it for any chunk at any time; the order is
 *
 *     descriptors as they stand ─► media ─► SEALED ─► words ─► media ─► DURABLE
 *
 * so that what is DURABLE in sight of a user, who may change it from then on, is nothing that a crash takes back. Done in
 * batches: each step costs a write to the device and a flush of it.
 */
import { VmemmapError } from '../errors.ts';
import {
  chunkEndIndex,
  chunkStartIndex,
  descriptorSizeBytes,
  endChunk,
  findRange,
  firstChunk,
} from '../physical/geometry.ts';
import { errnoName } from '../region/backing.ts';
import type { RegionRange } from '../region/range.ts';
import type { Region } from '../region/region.ts';
import { type ChunkMap, isInitialized, stateOf } from './chunk-map.ts';
import { closedError, isClosed } from './orders.ts';

/** Bytes of descriptors that a background thread hardens together: below it the device's flushes cost more than its writes. */
export const hardenBytes: number = 64 * 2 ** 20;
/** The same for a thread that has an event loop to serve. */
export const hardenTurnBytes: number = 4 * 2 ** 20;

/**
 * Makes the chunks `[first, end)` durable that are initialized; others are passed over.
 * @returns 0, or the errno of the media. After one nothing more is hardened, by anybody: see media.ts.
 */
export function harden(region: Region, chunks: ChunkMap, first: number, end: number): number {
  let chunk = first;
  while (chunk < end) {
    const range = region.rangeOfChunk(chunk);
    const runEnd = readyRunEnd(chunks, range, chunk, end);
    if (runEnd === chunk) {
      chunk++;
      continue;
    }
    const errno = hardenRun(region, chunks, range, chunk, runEnd);
    if (errno !== 0) return errno;
    chunk = runEnd;
  }
  return 0;
}

/** Where the run of READY chunks ends that begins with `chunk`: in its range, before `end`, and of 64 MiB at most. */
function readyRunEnd(chunks: ChunkMap, range: RegionRange, chunk: number, end: number): number {
  const most = Math.max(1, Math.floor(hardenBytes / (range.chunkPages * descriptorSizeBytes)));
  const limit = Math.min(end, range.firstChunk + range.chunks, chunk + most);
  let at = chunk;
  while (at < limit && stateOf(chunks.load(at)) === 'ready') at++;
  return at;
}

function hardenRun(region: Region, chunks: ChunkMap, range: RegionRange, first: number, end: number): number {
  if (region.mediaErrno !== 0) return region.mediaErrno;
  const start = chunkStartIndex(range, first - range.firstChunk);
  const endIndex = chunkEndIndex(range, end - 1 - range.firstChunk);
  const errno = region.persistDescriptors(range, start, endIndex, 'persistAll') || sealAll(region, chunks, first, end);
  if (errno !== 0) return errno;
  // whoever sealed them, these words are on the media now
  for (let chunk = first; chunk < end; chunk++) chunks.endureReady(chunk);
  return 0;
}

function sealAll(region: Region, chunks: ChunkMap, first: number, end: number): number {
  for (let chunk = first; chunk < end; chunk++) chunks.sealReady(chunk);
  return region.persistChunkWords(first, end);
}

/**
 * Brings what somebody has changed in the descriptors of `[startPfn, endPfn)` to the media. Their chunks are made durable first:
 * else a crash would have them initialized once more, over the change. Pfns in holes are passed over, but `startPfn` must exist.
 * @throws RangeError for descriptors that are not initialized @throws VmemmapError NOT_DURABLE, CLOSED
 */
export function persistExtent(region: Region, chunks: ChunkMap, startPfn: number, endPfn: number): void {
  if (!region.persistence) throw notDurable('this memmap was opened without durability', 0);
  if (isClosed(region)) throw closedError();
  for (let index = findRange(region.ranges, startPfn); index < region.ranges.length; index++) {
    const range = region.ranges[index] as RegionRange;
    if (range.startPfn >= endPfn) break;
    const end = endChunk(range, endPfn);
    for (let chunk = firstChunk(range, startPfn); chunk < end; chunk++) {
      const number = range.firstChunk + chunk;
      const word = chunks.load(number);
      if (!isInitialized(word)) {
        const pfn = Math.max(startPfn, range.chunkStart(chunk));
        throw new RangeError(`the descriptor of pfn ${pfn} is not initialized: fault it before you change it`);
      }
      if (stateOf(word) !== 'durable') throwErrno(harden(region, chunks, number, number + 1));
    }
    const from = Math.max(startPfn, range.startPfn);
    const to = Math.min(endPfn, range.endPfn);
    throwErrno(region.persistDescriptors(range, from - range.startPfn, to - range.startPfn, 'persist'));
  }
  // closed meanwhile by another thread: what was brought to the media may have been nothing
  if (isClosed(region)) throw closedError();
}

function throwErrno(errno: number): void {
  if (errno !== 0)
    throw notDurable(`the media refused (${errnoName(errno)}); look for its errors in the kernel's log`, errno);
}

/** The error for what is not on the media. */
export function notDurable(what: string, errno: number): VmemmapError {
  return new VmemmapError(
    'NOT_DURABLE',
    `what was written may be lost by a crash: ${what}`,
    errno === 0 ? {} : { errno },
  );
}

/**
 * The first chunk at or behind `from` that is initialized and not DURABLE, or −1. SEALED is not enough: the word is on its way
 * then, and whoever brings it may be killed before it is there.
 */
export function nextToHarden(chunks: ChunkMap, from: number): number {
  for (let chunk = from; chunk < chunks.chunks; chunk++) if (stateOf(chunks.load(chunk)) === 'ready') return chunk;
  return -1;
}
