/** The JavaScript init kernel against a plain BigInt reference: what it writes, what it leaves alone, what it finds. */
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { pagePattern } from '../../dist/src/descriptor/content.js';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import { type Content, type Pattern, packContent, tablePattern } from '../../dist/src/descriptor/pattern.js';
import { profiles } from '../../dist/src/descriptor/profiles.js';
import { anyContent, contentLanes, lanesIn, referenceLanes } from '../support/reference.js';

const untouched = 0xdead_beef;
/** Blocks of 64 and 128 descriptors are the kernel's own units: lengths on both sides of one and two of them. */
const lengths = [0, 1, 63, 64, 65, 127, 128, 129, 257];

const node1 = { startPfn: 0, endPfn: 512, nid: 1 };
const ram = pagePattern(profiles['linux-6.1'], { ...node1, zone: 2, kind: 'ram' });
const pmem = pagePattern(profiles['linux-6.1'], { ...node1, zone: 4, kind: 'device', pgmap: 3 });
const template = Uint8Array.from({ length: 64 }, (_, byte) => 255 - byte);

/** A pattern of these 64-bit lanes and steps. */
function patternOf(lanes: readonly bigint[], steps: readonly bigint[]): Pattern {
  return new Uint32Array(BigUint64Array.from([...lanes, ...steps]).buffer);
}

/** Fills `count` descriptors into memory with 32 words of margin on both sides. */
function fill(pattern: Uint32Array, count: number, index: number): { words: Uint32Array; errno: number } {
  const words = new Uint32Array(32 + count * 16 + 32).fill(untouched);
  return { words, errno: jsKernel.fill(words, 32, count, pattern, index) };
}

function expectFilled(pattern: Uint32Array, count: number, index: number): void {
  const { words, errno } = fill(pattern, count, index);
  expect(errno).toBe(0);
  const wanted = Array.from({ length: count }, (_, i) => referenceLanes(pattern, index + i)).flat();
  expect(lanesIn(words, 32, count)).toEqual(wanted);
  const margins = [...words.subarray(0, 32), ...words.subarray(32 + count * 16)];
  expect(margins).toEqual(Array.from({ length: 64 }, () => untouched));
}

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
/** Steps that the kernel promises to be exact for: at most 2^24 in each 32-bit word. */
const step = fc
  .tuple(fc.integer({ min: 0, max: 2 ** 24 }), fc.integer({ min: 0, max: 2 ** 24 }))
  .map(([low, high]) => (BigInt(high) << 32n) | BigInt(low));
/** Lanes about which a double and a 64-bit integer part: the denormal border, and where doubles stop being exact. */
const nearBorder = fc
  .tuple(fc.constantFrom(2n ** 32n, 2n ** 52n, 2n ** 53n, 2n ** 63n), fc.bigInt({ min: -20_000n, max: 20_000n }))
  .map(([border, distance]) => border + distance);
const lanesOf8 = (lane: fc.Arbitrary<bigint>): fc.Arbitrary<bigint[]> => fc.array(lane, { minLength: 8, maxLength: 8 });
const anyPattern = fc
  .tuple(lanesOf8(fc.oneof(u64, nearBorder)), lanesOf8(fc.oneof({ arbitrary: fc.constant(0n), weight: 3 }, step)))
  .map(([lanes, steps]) => patternOf(lanes, steps));
const anyIndex = fc.integer({ min: 0, max: 2 ** 28 - 200 });

describe('the JavaScript kernel', () => {
  it('is called js-u32 in reports', () => {
    expect(jsKernel.storePath).toBe('js-u32');
  });

  it.each(lengths)('writes %i equal descriptors and nothing beside them', (count) => expectFilled(pmem, count, 7));

  it.each(lengths)('writes %i descriptors with lists of their own and nothing beside them', (count) =>
    expectFilled(ram, count, 1000),
  );

  it.each(Array.from({ length: 16 }, (_, word) => word))('writes the number into word %i alone', (word) =>
    expectFilled(tablePattern(template, word, 5_000_000), 65, 3),
  );

  it.each([2 ** 26 - 1, 2 ** 26, 2 ** 26 - 64])('carries a self-pointer over 2^32 (from descriptor %i on)', (index) => {
    expectFilled(ram, 65, index);
  });

  it('writes the self-pointers on both sides of 2^32', () => {
    const { words } = fill(ram, 2, 2 ** 26 - 1);
    expect(lanesIn(words, 32, 2).filter((_, lane) => lane % 8 === 1)).toEqual([0xffff_ffc8n, 0x1_0000_0008n]);
  });

  it('wraps a lane at 2^64, and a high word alone at 2^32', () => {
    const all = 2n ** 64n - 1n;
    const pattern = patternOf([all, all, 0n, 0n, 0n, 0n, 0n, 0n], [1n, 1n << 32n, 0n, 0n, 0n, 0n, 0n, 0n]);
    const { words } = fill(pattern, 2, 0);
    expect(lanesIn(words, 32 + 16).slice(0, 2)).toEqual([0n, 0x0000_0000_ffff_ffffn]);
  });

  it.each([2n ** 52n, 2n ** 53n])('steps a lane over %i exactly', (border) => {
    const lanes = Array.from({ length: 8 }, (_, lane) => border - 64n * 100n - BigInt(lane));
    expectFilled(
      patternOf(
        lanes,
        lanes.map((_, lane) => 64n + BigInt(lane)),
      ),
      200,
      0,
    );
  });

  it('is exact for the largest step at the last descriptor of a range', () => {
    const largest = ((2n ** 24n) << 32n) | (2n ** 24n);
    const full = Array.from({ length: 8 }, () => 2n ** 64n - 1n);
    expectFilled(
      patternOf(
        full,
        full.map(() => largest),
      ),
      3,
      2 ** 28 - 3,
    );
  });

  prop.prop([anyPattern, anyIndex, fc.integer({ min: 0, max: 300 })])(
    'writes what the reference says, for any pattern, index and length',
    (pattern, index, count) => expectFilled(pattern, count, index),
  );
});

describe('a content with a period', () => {
  const content: Content = {
    periodPages: 100,
    parts: [
      { at: 0, pattern: pmem },
      { at: 1, pattern: patternOf([1n, 0n, 0n, 0n, 0n, 0n, 0n, 0n], [64n, 0n, 0n, 0n, 0n, 0n, 0n, 1n]) },
      { at: 2, pattern: ram },
    ],
  };

  /** Fills, and compares with the reference; then checks, over what was written and over one wrong word. */
  function expectWritten(made: Content, startIndex: number, first: number, count: number): void {
    const packed = packContent(made, startIndex);
    const { words, errno } = fill(packed, count, startIndex + first);
    expect(errno).toBe(0);
    const wanted = Array.from({ length: count }, (_, i) => contentLanes(made, startIndex, startIndex + first + i));
    expect(lanesIn(words, 32, count)).toEqual(wanted.flat());
    const margins = [...words.subarray(0, 32), ...words.subarray(32 + count * 16)];
    expect(margins).toEqual(Array.from({ length: 64 }, () => untouched));
    expect(jsKernel.check(words, 32, count, packed, startIndex + first)).toBe(0);
    expect(jsKernel.firstDifference(words, 32, count, packed, startIndex + first)).toBe(-1);
    for (const place of new Set([0, Math.floor(count / 2), count - 1])) {
      if (count === 0) continue;
      const at = 32 + place * 16 + 5;
      words[at] = (words[at] as number) ^ 1;
      expect(jsKernel.check(words, 32, count, packed, startIndex + first)).toBe(1);
      expect(jsKernel.firstDifference(words, 32, count, packed, startIndex + first)).toBe(place);
      words[at] = (words[at] as number) ^ 1;
    }
  }

  it.each([
    [0, 0],
    [0, 1],
    [0, 100],
    [0, 301],
    [1, 1],
    [99, 1],
    [99, 2],
    [100, 1],
    [150, 300],
  ])('is written from page %i on, %i descriptors, whole periods or not', (first, count) => {
    expectWritten(content, 0, first, count);
    expectWritten(content, 12_345, first, count);
  });

  prop.prop([
    anyContent,
    fc.integer({ min: 0, max: 2 ** 27 }),
    fc.integer({ min: 0, max: 2 ** 20 }),
    fc.integer({ min: 0, max: 200 }),
  ])('is what the reference says, for any periods and parts', expectWritten);
});

describe('checking', () => {
  it.each(lengths)('finds nothing wrong in %i descriptors that were written', (count) => {
    for (const pattern of [ram, pmem]) {
      const { words } = fill(pattern, count, 40);
      expect(jsKernel.check(words, 32, count, pattern, 40)).toBe(0);
      expect(jsKernel.firstDifference(words, 32, count, pattern, 40)).toBe(-1);
    }
  });

  it('finds every descriptor wrong that was written for another index', () => {
    const { words } = fill(ram, 65, 0);
    expect(jsKernel.check(words, 32, 65, ram, 1)).toBe(65);
    expect(jsKernel.firstDifference(words, 32, 65, ram, 1)).toBe(0);
  });

  it('counts descriptors, not words', () => {
    const { words } = fill(pmem, 10, 0);
    words.fill(0, 32 + 3 * 16, 32 + 5 * 16);
    expect(jsKernel.check(words, 32, 10, pmem, 0)).toBe(2);
    expect(jsKernel.firstDifference(words, 32, 10, pmem, 0)).toBe(3);
  });

  it('looks at no descriptor before or behind those that it is told', () => {
    const { words } = fill(ram, 4, 0);
    words[32] = untouched;
    words[32 + 3 * 16 + 15] = untouched;
    expect(jsKernel.check(words, 32 + 16, 2, ram, 1)).toBe(0);
    expect(jsKernel.firstDifference(words, 32 + 16, 2, ram, 1)).toBe(-1);
  });

  prop.prop([
    anyPattern,
    anyIndex,
    fc.integer({ min: 1, max: 130 }),
    fc.nat(),
    fc.integer({ min: 0, max: 15 }),
    fc.integer({ min: 0, max: 31 }),
  ])('finds the one word that was flipped, wherever it is', (pattern, index, count, place, word, bit) => {
    const { words } = fill(pattern, count, index);
    const descriptor = place % count;
    const at = 32 + descriptor * 16 + word;
    words[at] = (words[at] ?? 0) ^ (2 ** bit);
    expect(jsKernel.check(words, 32, count, pattern, index)).toBe(1);
    expect(jsKernel.firstDifference(words, 32, count, pattern, index)).toBe(descriptor);
  });
});
