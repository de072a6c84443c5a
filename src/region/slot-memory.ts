/** The memory of one slot: got when a range comes, where touching it is not enough, and given back when it goes. */
import { descriptorWords } from '../descriptor/layout.ts';
import { addon } from '../native.ts';
import { chunkEndIndex, chunkStartIndex, pageSizeBytes, roundUp } from '../physical/geometry.ts';
import { type BackingReport, type DataBuffer, errnoName, wordsOf } from './backing.ts';
import { readHugetlbPools, refuseHugetlb } from './hugetlb.ts';
import { dataAlignmentBytes } from './layout.ts';
import type { RegionRange } from './range.ts';

/** Bytes that are given back, or overwritten, in one step: some milliseconds at most, in small pages. */
const discardBytes: number = 64 * 2 ** 20;
const fillBytes: number = 4 * 2 ** 20;

/**
 * Gives the memory of a slot back to the kernel at once, where the addon can: it reads as zeros from then on. What is smaller
 * than a huge page, and all without the addon, goes when the buffers are collected.
 */
export function giveBack(part: DataBuffer, sizeBytes: number, backing: BackingReport): void {
  if (part.tailBlockBytes !== undefined) addon?.unmapHugePages(wordsOf(part, sizeBytes), pageSizeBytes);
  else if (backing.effective === 'hugetlb') {
    addon?.unmapHugePages(wordsOf(part, roundUp(sizeBytes, backing.pageSize)), backing.pageSize);
  } else if (sizeBytes >= dataAlignmentBytes) addon?.discard(wordsOf(part, sizeBytes));
}

/**
 * Gets the memory of a slot ready for a range of so many bytes: maps reserved huge pages, where the backing is that, and lets its
 * pages come from a node of this machine, if possible.
 * @throws VmemmapError BACKING_UNAVAILABLE when too few huge pages are free
 */
export function takeMemory(
  part: DataBuffer,
  sizeBytes: number,
  backing: BackingReport,
  hostNid: number | undefined,
): void {
  if (backing.effective === 'hugetlb') {
    const mappedBytes = roundUp(sizeBytes, backing.pageSize);
    const errno = addon?.mapHugePages(wordsOf(part, mappedBytes), backing.pageSize) ?? 0;
    if (errno !== 0) throw noHugePages(mappedBytes, backing.pageSize, errno);
  }
  // what the range before had was discarded
  addon?.reuse(wordsOf(part, sizeBytes));
  // only a preference; what it was for the range before is overwritten
  if (hostNid !== undefined) addon?.preferNode(wordsOf(part, sizeBytes), hostNid);
}

function noHugePages(mappedBytes: number, pageSizeBytes: number, errno: number): Error {
  const pool = readHugetlbPools().find((candidate) => candidate.pageSizeBytes === pageSizeBytes);
  const none = { pageSizeBytes, freePages: 0, surplusPages: 0, pages: 0 };
  return refuseHugetlb(pool ?? none, mappedBytes / pageSizeBytes, errnoName(errno));
}

/**
 * Makes the memory of a range that nobody writes to any more read as zeros, and gives it back to the kernel where the addon can.
 * Step by step, so that an event loop runs between: a terabyte of pages takes a second to give back.
 * @param isDirty whether a chunk has been written. Without the addon only those are overwritten, and such as a thread has begun
 * that died over it: memory that nobody has touched would come for the others.
 */
export function* clearing(
  range: RegionRange,
  part: DataBuffer,
  backing: BackingReport,
  isDirty: (chunk: number) => boolean,
): Generator<void, void, undefined> {
  const { words } = range;
  // what is mapped over the buffer goes in one step
  if (part.tailBlockBytes !== undefined || backing.effective === 'hugetlb') giveBack(part, words.byteLength, backing);
  else if (addon && words.byteLength >= dataAlignmentBytes) yield* discarding(words);
  else yield* overwriting(range, addon === undefined ? isDirty : () => true);
}

function* discarding(words: Uint32Array): Generator<void, void, undefined> {
  const wordBytes = Uint32Array.BYTES_PER_ELEMENT;
  // whole pages are given back; the rest of the first and the last one is not all ours
  const head =
    (addon?.bytesToBoundary(new Uint8Array(words.buffer, words.byteOffset, 1), pageSizeBytes) ?? 0) / wordBytes;
  const pageWords = pageSizeBytes / wordBytes;
  const tail = words.length - ((words.length - head) % pageWords);
  words.fill(0, 0, head);
  words.fill(0, tail);
  for (let at = head; at < tail; ) {
    const end = Math.min(tail, at + discardBytes / wordBytes);
    // refused for locked memory, which is there anyway
    if (addon?.discard(words.subarray(at, end)) !== 0) yield* filling(words, at, end);
    at = end;
    yield;
  }
}

/** Whether the first descriptors of a chunk are not zeros: init kernels go upwards. Two, as record 0 of a table may be all zeros. */
function isBegun(range: RegionRange, chunk: number): boolean {
  const start = chunkStartIndex(range, chunk) * descriptorWords;
  for (let at = start; at < start + 2 * descriptorWords; at++) if ((range.words[at] ?? 0) !== 0) return true;
  return false;
}

function* overwriting(range: RegionRange, isDirty: (chunk: number) => boolean): Generator<void, void, undefined> {
  for (let chunk = 0; chunk < range.chunks; chunk++) {
    if (!isDirty(chunk) && !isBegun(range, chunk)) continue;
    const [start, end] = [chunkStartIndex(range, chunk), chunkEndIndex(range, chunk)];
    yield* filling(range.words, start * descriptorWords, end * descriptorWords);
  }
}

function* filling(words: Uint32Array, start: number, end: number): Generator<void, void, undefined> {
  for (let at = start; at < end; ) {
    const next = Math.min(end, at + fillBytes / Uint32Array.BYTES_PER_ELEMENT);
    words.fill(0, at, next);
    at = next;
    yield;
  }
}
