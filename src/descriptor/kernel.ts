/**
 * The init kernel in JavaScript, beside the native one: both write the same bytes. It works through 32-bit words because
 * BigInt64 and DataView were four times slower. Called with windows of at most 2^28 words, so that every index is a small
 * integer; allocates nothing.
 */
import { descriptorLanes, descriptorWords, patternWords } from './layout.ts';
import { isPacked, type Pattern, pieceAt } from './pattern.ts';

/**
 * Writes and checks runs of descriptors. `words[at]` is the first word of the first descriptor, `index` its number in the
 * range, `pattern` a pattern or a packed content; see pattern.ts.
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

const two32 = 2 ** 32;
const two53 = 2 ** 53;

/** Descriptors that are copied again and again: 4 KiB, which stay in the L1 cache. 16 KiB were a third slower, 1 KiB a quarter. */
const copyDescriptors = 64;

/**
 * Writes the template once, lets copyWithin double it up to a block, and copies that on and on: V8's own memmove is twice as
 * fast as a loop of stores when the loop is compiled, and twenty times before that, which is when the first fault comes.
 * Doubling to the end reads as much as it writes, and took half as long again.
 */
function fillConstant(words: Uint32Array, at: number, count: number, pattern: Uint32Array): void {
  if (count === 0) return;
  for (let word = 0; word < descriptorWords; word++) words[at + word] = pattern[word] as number;
  const total = count * descriptorWords;
  const block = Math.min(total, copyDescriptors * descriptorWords);
  for (let done = descriptorWords; done < block; done *= 2) {
    words.copyWithin(at + done, at, at + Math.min(done, block - done));
  }
  for (let done = block; done < total; done += block) {
    words.copyWithin(at + done, at, at + Math.min(block, total - done));
  }
}

/**
 * Where lanes step, descriptors are made in a scratch of this thread and copied from there: 8 KiB, which stay in the L1 cache;
 * 4 KiB were a tenth slower, 16 KiB a third.
 */
const scratchDescriptors = 128;
const scratch: Uint32Array<ArrayBuffer> = new Uint32Array(scratchDescriptors * descriptorWords);
/** The same bytes, a number for each lane; see {@link stepDouble}. */
const scratchLanes: Float64Array<ArrayBuffer> = new Float64Array(scratch.buffer);

/**
 * Steps one lane of the scratch with one store instead of two, and no carry: below 2^53 the bits of the double n × 2^−1074 are
 * the integer n itself (denormal below 2^52, and the first binade above, whose numbers are as far apart), so adding such
 * doubles adds their bits. It never sees a NaN, whose bits would not be kept. Four at a time, so that no sum waits for the one
 * before it; the last four may reach behind `count`, into what is not copied.
 */
function stepDouble(count: number, lane: number, value: number, step: number): void {
  let double = value * Number.MIN_VALUE;
  const add = step * Number.MIN_VALUE;
  const add2 = add + add;
  const add3 = add2 + add;
  const add4 = add2 + add2;
  for (let o = lane, end = lane + count * descriptorLanes; o < end; o += 4 * descriptorLanes) {
    scratchLanes[o] = double;
    scratchLanes[o + descriptorLanes] = double + add;
    scratchLanes[o + 2 * descriptorLanes] = double + add2;
    scratchLanes[o + 3 * descriptorLanes] = double + add3;
    double += add4;
  }
}

/**
 * Whether the processor computes with denormals in this thread. A native library that was linked with -ffast-math tells it not
 * to in the thread that loads it, and threads inherit that; so it is asked each time, by a sum that no compiler knows.
 */
function keepsDenormals(): boolean {
  scratch[0] = 3;
  scratch[1] = 0;
  scratchLanes[1] = (scratchLanes[0] as number) + (scratchLanes[0] as number);
  return scratch[2] === 6;
}

/** Steps one lane of the scratch, whose descriptors have the numbers from `index` on. */
function stepLane(count: number, p: Uint32Array, lane: number, index: number, byDouble: boolean): void {
  const value = (p[lane * 2 + 1] as number) * two32 + (p[lane * 2] as number);
  const stepHigh = p[descriptorWords + lane * 2 + 1] as number;
  const step = stepHigh * two32 + (p[descriptorWords + lane * 2] as number);
  // sums of products that are exact themselves when they are that small
  const isExact = byDouble && value < two53 && step < two53 && value + step * (index + count) < two53;
  if (isExact) stepDouble(count, lane, value + step * index, step);
  else fillLane(scratch, 0, count, p, lane, index);
}

/** Writes descriptors whose lanes step, block by block through the scratch. */
function fillStepping(words: Uint32Array, at: number, count: number, p: Uint32Array, index: number): void {
  const byDouble = keepsDenormals();
  fillConstant(scratch, 0, Math.min(count, scratchDescriptors), p);
  for (let done = 0; done < count; done += scratchDescriptors) {
    const block = Math.min(scratchDescriptors, count - done);
    for (let lane = 0; lane < descriptorLanes; lane++)
      if (steps(p, lane)) stepLane(block, p, lane, index + done, byDouble);
    const start = at + done * descriptorWords;
    if (block === scratchDescriptors) words.set(scratch, start);
    // a part of the scratch would have to be an array of its own
    else for (let word = 0; word < block * descriptorWords; word++) words[start + word] = scratch[word] as number;
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

/** Writes one lane that steps, by adding: cheaper than multiplying, and the same modulo 2^64. */
function fillLane(words: Uint32Array, at: number, count: number, p: Uint32Array, lane: number, index: number): void {
  const firstLow = p[lane * 2] as number;
  const stepLow = p[descriptorWords + lane * 2] as number;
  const stepHigh = p[descriptorWords + lane * 2 + 1] as number;
  let low = laneLow(firstLow, stepLow, index);
  let high = laneHigh(p[lane * 2 + 1] as number, firstLow, stepHigh, stepLow, index);
  for (let o = at + lane * 2, end = at + count * descriptorWords; o < end; o += descriptorWords) {
    words[o] = low;
    words[o + 1] = high;
    const next = (low + stepLow) | 0;
    // the low word has wrapped when it is less than what was added to it, both as unsigned numbers
    high = (high + stepHigh + (next >>> 0 < stepLow ? 1 : 0)) | 0;
    low = next;
  }
}

function steps(p: Uint32Array, lane: number): boolean {
  return p[descriptorWords + lane * 2] !== 0 || p[descriptorWords + lane * 2 + 1] !== 0;
}

function isConstant(p: Uint32Array): boolean {
  for (let lane = 0; lane < descriptorLanes; lane++) if (steps(p, lane)) return false;
  return true;
}

/** What {@link pieceAt} makes. */
const piece: Pattern = new Uint32Array(patternWords);

/** Writes descriptors of a content with a period, piece by piece. */
function fillPacked(words: Uint32Array, at: number, count: number, packed: Uint32Array, index: number): void {
  for (let done = 0; done < count; ) {
    const same = Math.min(count - done, pieceAt(packed, index + done, piece));
    fillConstant(words, at + done * descriptorWords, same, piece);
    done += same;
  }
}

/** Number of descriptors that differ from a content with a period. */
function checkPacked(words: Uint32Array, at: number, count: number, packed: Uint32Array, index: number): number {
  let wrong = 0;
  for (let done = 0; done < count; ) {
    const end = done + Math.min(count - done, pieceAt(packed, index + done, piece));
    for (; done < end; done++) if (differs(words, at + done * descriptorWords, piece, 0)) wrong++;
  }
  return wrong;
}

/** Offset of the first descriptor that differs from a content with a period, or −1. */
function firstPackedDifference(
  words: Uint32Array,
  at: number,
  count: number,
  packed: Uint32Array,
  index: number,
): number {
  for (let done = 0; done < count; ) {
    const end = done + Math.min(count - done, pieceAt(packed, index + done, piece));
    for (; done < end; done++) if (differs(words, at + done * descriptorWords, piece, 0)) return done;
  }
  return -1;
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
    if (isPacked(pattern)) fillPacked(words, at, count, pattern, index);
    else if (isConstant(pattern)) fillConstant(words, at, count, pattern);
    else fillStepping(words, at, count, pattern, index);
    return 0;
  },

  check(words, at, count, pattern, index) {
    if (isPacked(pattern)) return checkPacked(words, at, count, pattern, index);
    let wrong = 0;
    for (let i = 0; i < count; i++) {
      if (differs(words, at + i * descriptorWords, pattern, index + i)) wrong++;
    }
    return wrong;
  },

  firstDifference(words, at, count, pattern, index) {
    if (isPacked(pattern)) return firstPackedDifference(words, at, count, pattern, index);
    for (let i = 0; i < count; i++) {
      if (differs(words, at + i * descriptorWords, pattern, index + i)) return i;
    }
    return -1;
  },
};
