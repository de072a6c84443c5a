/** What descriptors should be, computed slowly and plainly in BigInt: the reference of the init kernels. */
import { jsKernel } from '../../dist/src/descriptor/kernel.js';

const two64 = 2n ** 64n;

/** The eight u64 lanes of descriptor `index`: `template + step × index` in every lane, modulo 2^64. */
export function referenceLanes(pattern: Uint32Array, index: number): bigint[] {
  const lane = (at: number): bigint => {
    const low = pattern[at * 2];
    const high = pattern[at * 2 + 1];
    if (low === undefined || high === undefined) throw new Error('a pattern has 32 words');
    return BigInt(high) * 2n ** 32n + BigInt(low);
  };
  return Array.from({ length: 8 }, (_, at) => (lane(at) + lane(8 + at) * BigInt(index)) % two64);
}

/** The lanes of `count` descriptors that stand in memory from word `at` on. */
export function lanesIn(words: Uint32Array, at = 0, count = 1): bigint[] {
  const view = new DataView(words.buffer, words.byteOffset + at * 4, count * 64);
  return Array.from({ length: count * 8 }, (_, lane) => view.getBigUint64(lane * 8, true));
}

/** Descriptor `index` of a pattern as the JavaScript kernel writes it, in the kernel's own spelling: eight hexadecimal u64. */
export function writtenLine(pattern: Uint32Array, index: number): string {
  const words = new Uint32Array(16);
  jsKernel.fill(words, 0, 1, pattern, index);
  return lanesIn(words)
    .map((lane) => lane.toString(16).padStart(16, '0'))
    .join(' ');
}
