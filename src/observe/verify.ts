/** Verification: every initialized descriptor is compared with what its range's pattern says it should be. */
import { ChunkMap, isInitialized, stateOf } from '../claims/chunk-map.ts';
import { jsKernel } from '../descriptor/kernel.ts';
import { nativeKernel } from '../native.ts';
import type { RegionRange } from '../region/range.ts';
import type { Region } from '../region/region.ts';

/** Result of a verification. */
export interface VerifyResult {
  /** Descriptors compared: all of the chunks that were initialized by then. */
  readonly checked: number;
  /** Descriptors that differ. A descriptor that its user has changed differs, too. */
  readonly wrong: number;
  /** Lowest pfn whose descriptor differs, or −1. */
  readonly firstWrongPfn: number;
  /** Descriptors that could not be written, or cannot be read. */
  readonly failed: number;
}

/** Nothing compared yet. */
export const nothingVerified: VerifyResult = { checked: 0, wrong: 0, firstWrongPfn: -1, failed: 0 };

/** Adds up the results of two shares. */
export function mergeVerified(a: VerifyResult, b: VerifyResult): VerifyResult {
  const firsts = [a.firstWrongPfn, b.firstWrongPfn].filter((pfn) => pfn >= 0);
  return {
    checked: a.checked + b.checked,
    wrong: a.wrong + b.wrong,
    firstWrongPfn: firsts.length === 0 ? -1 : Math.min(...firsts),
    failed: a.failed + b.failed,
  };
}

/** Verifies one chunk of a range, if it is initialized, and the range is not removed meanwhile. */
export function verifyChunk(region: Region, chunks: ChunkMap, range: RegionRange, chunk: number): VerifyResult {
  const result = compareChunk(region, chunks, range, chunk);
  // looked at behind it: what was compared may be memory that was given back, or what another range has there
  return region.slots.states.isLive(range) ? result : nothingVerified;
}

function compareChunk(region: Region, chunks: ChunkMap, range: RegionRange, chunk: number): VerifyResult {
  const word = chunks.load(range.firstChunk + chunk);
  const pages = range.chunkEnd(chunk) - range.chunkStart(chunk);
  if (stateOf(word) === 'failed') return { ...nothingVerified, failed: pages };
  if (!isInitialized(word)) return nothingVerified;
  // looked at before it is read: bad media would end the process
  if (region.look(range, chunk, chunk + 1) !== 0) return { ...nothingVerified, failed: pages };
  const kernel = nativeKernel ?? jsKernel;
  const wrong = range.sumOverChunkContent(chunk, chunk + 1, kernel.check);
  return { checked: pages, wrong, firstWrongPfn: wrong === 0 ? -1 : firstWrong(range, chunk), failed: 0 };
}

function firstWrong(range: RegionRange, chunk: number): number {
  const kernel = nativeKernel ?? jsKernel;
  let found = -1;
  range.sumOverChunkContent(chunk, chunk + 1, (words, at, count, pattern, index) => {
    if (found < 0) {
      const offset = kernel.firstDifference(words, at, count, pattern, index);
      if (offset >= 0) found = range.startPfn + index + offset;
    }
    return 0;
  });
  return found;
}

/** A range that several threads verify; each finds it for itself, or finds that it has gone. */
export interface VerifyShare {
  readonly slot: number;
  readonly liveWord: number;
  readonly chunks: number;
}

/** The ranges of a region to be verified. */
export function sharesOf({ ranges }: Region): VerifyShare[] {
  return ranges.map(({ slot, liveWord, chunks }) => ({ slot, liveWord, chunks }));
}

/** Verifies chunks of these ranges in turn with others that share `cursor`, until none is left. */
export function verifyShare(
  region: Region,
  shares: readonly VerifyShare[],
  cursor: Int32Array<SharedArrayBuffer>,
): VerifyResult {
  const chunks = ChunkMap.of(region);
  const { ranges } = region;
  let result = nothingVerified;
  let firstOfShare = 0;
  // relaxed would do: reading needs no claim, the cursor only shares out the work
  let number = Atomics.add(cursor, 0, 1);
  for (const share of shares) {
    const range = ranges.find(({ slot, liveWord }) => slot === share.slot && liveWord === share.liveWord);
    while (number < firstOfShare + share.chunks) {
      if (range) result = mergeVerified(result, verifyChunk(region, chunks, range, number - firstOfShare));
      number = Atomics.add(cursor, 0, 1);
    }
    firstOfShare += share.chunks;
  }
  return result;
}
