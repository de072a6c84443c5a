/**
 * The init kernel in JavaScript, beside the native one: both write the same bytes. It works through 32-bit words because
 * BigInt64 and DataView were four times slower. Called with windows of at most 2^28 words, so that every index is a small
 * integer; allocates nothing.
 */
import { descriptorLanes, descriptorWords } from './layout.ts';

/**
 * Writes and checks runs of descriptors. `words[at]` is the first word of the first descriptor, `index` its number in the
 * range, `pattern` as in pattern.ts.
 */
export interface InitKernel {
  /** How stores are made, as reports name it. */
  readonly storePath: string;
  /** Writes `count` descriptors. Returns 0, or the positive errno of what failed. */
  fill(words: Uint32Array, at: number, count: number, pattern: Uint32Array, index: number): number;
  /** Number of descriptors that differ from the pattern. */
  check(words: Uint32Array, at: number, count: number, pattern: Uint32Array, index: number): number;
  /** Offset from `index` of the first descriptor that differs, or −1. */
  firstDifference(words: Uint32Array, at: number, count: number, pattern: Uint32Array, index: number): number;
}

/** Descriptors per block when lanes step: 4 KiB, so that the second pass finds the first one's lines in the L1 cache. */
const blockDescriptors = 64;
const two32 = 2 ** 32;

function fillConstant(words: Uint32Array, at: number, count: number, p: Uint32Array): void {
  const w0 = p[0] as number,
    w1 = p[1] as number,
    w2 = p[2] as number,
    w3 = p[3] as number;
  const w4 = p[4] as number,
    w5 = p[5] as number,
    w6 = p[6] as number,
    w7 = p[7] as number;
  const w8 = p[8] as number,
    w9 = p[9] as number,
    w10 = p[10] as number,
    w11 = p[11] as number;
  const w12 = p[12] as number,
    w13 = p[13] as number,
    w14 = p[14] as number,
    w15 = p[15] as number;
  const end = at + count * descriptorWords;
  for (let o = at; o < end; o += descriptorWords) {
    words[o] = w0;
    words[o + 1] = w1;
    words[o + 2] = w2;
    words[o + 3] = w3;
    words[o + 4] = w4;
    words[o + 5] = w5;
    words[o + 6] = w6;
    words[o + 7] = w7;
    words[o + 8] = w8;
    words[o + 9] = w9;
    words[o + 10] = w10;
    words[o + 11] = w11;
    words[o + 12] = w12;
    words[o + 13] = w13;
    words[o + 14] = w14;
    words[o + 15] = w15;
  }
}

/** Low word of lane `(high:low) + (stepHigh:stepLow) × index`, modulo 2^32, as a signed integer: what V8 computes fastest. */
function laneLow(low: number, stepLow: number, index: number): number {
  return (low + Math.imul(stepLow, index)) | 0;
}

/** High word of the same, with what the low word carries: exact as long as `stepLow × index` stays below 2^53. */
function laneHigh(high: number, low: number, stepHigh: number, stepLow: number, index: number): number {
  return (high + Math.imul(stepHigh, index) + Math.floor((low + stepLow * index) / two32)) | 0;
}

function fillLane(words: Uint32Array, at: number, count: number, p: Uint32Array, lane: number, index: number): void {
  const low = p[lane * 2] as number;
  const high = p[lane * 2 + 1] as number;
  const stepLow = p[descriptorWords + lane * 2] as number;
  const stepHigh = p[descriptorWords + lane * 2 + 1] as number;
  for (let i = 0, o = at + lane * 2; i < count; i++, o += descriptorWords) {
    words[o] = laneLow(low, stepLow, index + i);
    words[o + 1] = laneHigh(high, low, stepHigh, stepLow, index + i);
  }
}

function steps(p: Uint32Array, lane: number): boolean {
  return p[descriptorWords + lane * 2] !== 0 || p[descriptorWords + lane * 2 + 1] !== 0;
}

function isConstant(p: Uint32Array): boolean {
  for (let lane = 0; lane < descriptorLanes; lane++) if (steps(p, lane)) return false;
  return true;
}

function differs(words: Uint32Array, at: number, p: Uint32Array, index: number): boolean {
  for (let word = 0; word < descriptorWords; word += 2) {
    const low = p[word] as number;
    const high = p[word + 1] as number;
    const stepLow = p[descriptorWords + word] as number;
    const stepHigh = p[descriptorWords + word + 1] as number;
    const foundLow = words[at + word] as number;
    const foundHigh = words[at + word + 1] as number;
    if (stepLow === 0 && stepHigh === 0) {
      if (foundLow !== low || foundHigh !== high) return true;
    } else {
      if ((foundLow | 0) !== laneLow(low, stepLow, index)) return true;
      if ((foundHigh | 0) !== laneHigh(high, low, stepHigh, stepLow, index)) return true;
    }
  }
  return false;
}

/** The kernel that needs no addon. Steps of up to 2^24 a lane word are exact for every index of a range (2^28). */
export const jsKernel: InitKernel = {
  storePath: 'js-u32',

  fill(words, at, count, pattern, index) {
    if (isConstant(pattern)) {
      fillConstant(words, at, count, pattern);
      return 0;
    }
    for (let done = 0; done < count; done += blockDescriptors) {
      const block = Math.min(blockDescriptors, count - done);
      const start = at + done * descriptorWords;
      fillConstant(words, start, block, pattern);
      for (let lane = 0; lane < descriptorLanes; lane++) {
        if (steps(pattern, lane)) fillLane(words, start, block, pattern, lane, index + done);
      }
    }
    return 0;
  },

  check(words, at, count, pattern, index) {
    let wrong = 0;
    for (let i = 0; i < count; i++) {
      if (differs(words, at + i * descriptorWords, pattern, index + i)) wrong++;
    }
    return wrong;
  },

  firstDifference(words, at, count, pattern, index) {
    for (let i = 0; i < count; i++) {
      if (differs(words, at + i * descriptorWords, pattern, index + i)) return i;
    }
    return -1;
  },
};
