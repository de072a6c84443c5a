/** Patterns: what a user's own table gets, and how contents are packed for the init kernels. */
import { describe, expect, it } from 'vitest';
import {
  type Content,
  isPacked,
  type Pattern,
  packContent,
  partsMax,
  pieceAt,
  plainContent,
  sameContent,
  tablePattern,
} from '../../dist/src/descriptor/pattern.js';
import { referenceLanes } from '../support/reference.js';

/** A pattern of these 64-bit lanes and steps; zeros where there are none. */
function patternOf(lanes: readonly bigint[], steps: readonly bigint[] = []): Pattern {
  const pattern = new BigUint64Array(16);
  pattern.set(lanes);
  pattern.set(steps, 8);
  return new Uint32Array(pattern.buffer);
}

const threeParts: Content = {
  periodPages: 10,
  parts: [
    { at: 0, pattern: patternOf([1n]) },
    { at: 1, pattern: patternOf([2n], [0x1_0000_0001n]) },
    { at: 4, pattern: patternOf([3n, 0xffff_ffffn], [0n, 0xffff_ffffn]) },
  ],
};

/** What descriptor `index` is said to hold, and for how many. */
function piece(packed: Uint32Array, index: number): { lanes: bigint[]; same: number } {
  const into: Pattern = new Uint32Array(32);
  const same = pieceAt(packed, index, into);
  return { lanes: [...new BigUint64Array(into.buffer, 0, 2)], same };
}

describe('the pattern of a table', () => {
  const template = Uint8Array.from({ length: 64 }, (_, byte) => byte + 1);

  it('is the template alone when no word receives the number', () => {
    const pattern = tablePattern(template, undefined, 99);
    expect([...new Uint8Array(pattern.buffer, 0, 64)]).toEqual([...template]);
    expect([...pattern.subarray(16)]).toEqual(Array.from({ length: 16 }, () => 0));
  });

  it.each(Array.from({ length: 16 }, (_, word) => word))(
    'puts the number into word %i and leaves the others',
    (word) => {
      const pattern = tablePattern(template, word, 2 ** 28);
      const wanted = new Uint32Array(template.slice().buffer);
      wanted[word] = 2 ** 28 + 12_345;
      expect(referenceLanes(pattern, 12_345)).toEqual([...new BigUint64Array(wanted.buffer)]);
    },
  );
});

describe('a packed content', () => {
  it('without a period is its pattern, whatever it starts at', () => {
    const pattern = patternOf([7n], [64n]);
    expect(packContent(plainContent(pattern), 300)).toBe(pattern);
    expect(isPacked(pattern)).toBe(false);
  });

  it('with a period is its length, its start, and each part with its place', () => {
    const packed = packContent(threeParts, 300);
    expect(isPacked(packed)).toBe(true);
    expect(packed).toHaveLength(2 + 3 * 33);
    expect([...packed.subarray(0, 4)]).toEqual([10, 300, 0, 1]);
    expect([packed[2 + 33], packed[2 + 66]]).toEqual([1, 4]);
    expect([...packed.subarray(2 + 66 + 1)]).toEqual([...(threeParts.parts[2] as { pattern: Pattern }).pattern]);
  });

  it('is never as long as a pattern, however many parts there are', () => {
    const lengths = Array.from({ length: partsMax }, (_, more) => 2 + (more + 1) * 33);
    expect(lengths).not.toContain(32);
  });

  it.each([
    [300, 1n, 0xffff_ffffn, 1],
    [301, 2n, 0n, 3],
    [303, 2n, 0n, 1],
    [304, 3n, 0xffff_ffffn, 6],
    [309, 3n, 0xffff_ffffn, 1],
    [310, 1n, 0n, 1],
    [311, 0x1_0000_0003n, 0n, 3],
    [314, 3n, 2n * 0xffff_ffffn, 6],
    [300 + 10 * 999_999 + 4, 3n, 1_000_000n * 0xffff_ffffn, 6],
  ])('tells the part of descriptor %i, stepped by its period, and how far it reaches', (index, first, second, same) => {
    const { lanes, same: found } = piece(packContent(threeParts, 300), index);
    expect(lanes[0]).toBe(first);
    if (first === 3n) expect(lanes[1]).toBe(second);
    expect(found).toBe(same);
  });
});

describe('two contents', () => {
  it('are the same when every part is', () => {
    expect(sameContent(threeParts, structuredClone(threeParts))).toBe(true);
  });

  it.each<[string, (content: { periodPages: number; parts: { at: number; pattern: Pattern }[] }) => void]>([
    ['period', (content) => content.periodPages++],
    ['number of parts', (content) => content.parts.pop()],
    ['place of a part', (content) => (content.parts[1] as { at: number }).at++],
    ['word of a template', (content) => (content.parts[2] as { pattern: Pattern }).pattern.fill(9, 3, 4)],
    ['word of a step', (content) => (content.parts[2] as { pattern: Pattern }).pattern.fill(9, 31, 32)],
  ])('differ when one %s does', (_, change) => {
    const other = structuredClone(threeParts);
    change(other as Parameters<typeof change>[0]);
    expect(sameContent(threeParts, other)).toBe(false);
  });
});
