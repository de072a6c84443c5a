/** What descriptors should be, computed slowly and plainly in BigInt: the reference of the init kernels. */
import fc from 'fast-check';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import type { Content, ContentPart, Pattern } from '../../dist/src/descriptor/pattern.js';

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

/**
 * The lanes of descriptor `index` of a content: of the last part that has begun, stepped by the periods since `startIndex`, or
 * where there are no periods by the index itself.
 */
export function contentLanes({ periodPages, parts }: Content, startIndex: number, index: number): bigint[] {
  const page = index - startIndex;
  const part = parts.findLast(({ at }) => at <= page % periodPages) as ContentPart;
  return referenceLanes(part.pattern, periodPages === 1 ? index : Math.floor(page / periodPages));
}

const anyPattern = fc
  .array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { minLength: 32, maxLength: 32 })
  // steps of up to 2^24 in a word are what the JavaScript kernel is exact for
  .map((words): Pattern => new Uint32Array(words.map((word, place) => (place < 16 ? word : word % 2 ** 24))));

/** Contents of up to three parts, with short periods and long ones. */
export const anyContent: fc.Arbitrary<Content> = fc
  .tuple(
    fc.constantFrom(2, 3, 7, 64, 512, 2 ** 18),
    fc.array(anyPattern, { minLength: 3, maxLength: 3 }),
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 100 }),
  )
  .map(([periodPages, patterns, count, second]) => {
    const places = [0, 1 + (second % (periodPages - 1)), periodPages - 1];
    const parts = patterns.slice(0, count).map((pattern, part) => ({ at: places[part] as number, pattern }));
    return { periodPages, parts: parts.filter(({ at }, i) => i === 0 || at > (parts[i - 1]?.at ?? 0)) };
  });

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
