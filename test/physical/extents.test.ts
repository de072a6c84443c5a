/** Lists of extents are sets of page frames: every operation, beside the same on sets. */
import { fc, test as prop } from '@fast-check/vitest';
import { expect, it } from 'vitest';
import { hull, merge, overlay, pagesOf, union, without } from '../../dist/src/physical/extents.js';
import type { PfnExtent } from '../../dist/src/physical/geometry.js';

type Extents = readonly PfnExtent[];

const extent = (startPfn: number, endPfn: number): PfnExtent => ({ startPfn, endPfn });

/** Sorted, without overlaps; some touch. */
const anyExtents = fc
  .array(fc.tuple(fc.nat({ max: 6 }), fc.integer({ min: 1, max: 6 })), { maxLength: 10 })
  .map((list) => {
    let at = 0;
    return list.map(([gap, pages]) => {
      const startPfn = at + gap;
      at = startPfn + pages;
      return extent(startPfn, at);
    });
  });

/** Pages, in the order in which the list tells them. */
const pfnsOf = (extents: Extents): number[] =>
  extents.flatMap(({ startPfn, endPfn }) => Array.from({ length: endPfn - startPfn }, (_, index) => startPfn + index));

prop.prop([anyExtents, anyExtents])('without: the pages of one list that the other has not', (a, b) => {
  const others = new Set(pfnsOf(b));
  expect(pfnsOf(without(a, b))).toEqual(pfnsOf(a).filter((pfn) => !others.has(pfn)));
});

prop.prop([anyExtents, anyExtents])('overlay: every page of a list once, in order, with what lies on it', (a, b) => {
  const seen: number[] = [];
  overlay(a, b, (piece, from, other) => {
    expect(pagesOf([piece])).toBeGreaterThan(0);
    for (const pfn of pfnsOf([piece])) {
      expect(pfnsOf([from])).toContain(pfn);
      expect(other).toBe(b.find(({ startPfn, endPfn }) => startPfn <= pfn && pfn < endPfn));
      seen.push(pfn);
    }
  });
  expect(seen).toEqual(pfnsOf(a));
});

prop.prop([anyExtents, anyExtents])('union: the pages of either, in extents that do not touch', (a, b) => {
  const sorted = [...a, ...b].sort((one, other) => one.startPfn - other.startPfn);
  const joined = union(sorted);
  expect(pfnsOf(joined)).toEqual([...new Set(pfnsOf(sorted))].sort((one, other) => one - other));
  for (const [index, { startPfn }] of joined.slice(1).entries()) {
    expect(startPfn).toBeGreaterThan(joined[index]?.endPfn as number);
  }
});

prop.prop([anyExtents, anyExtents])('merge: both lists as one, sorted', (a, b) => {
  const byPfn = (one: PfnExtent, other: PfnExtent): number => one.startPfn - other.startPfn;
  expect(merge(a, b)).toEqual([...a, ...b].sort(byPfn));
});

it('union moves ends as it is told, and leaves out what becomes empty', () => {
  const up = (pfn: number): number => Math.ceil(pfn / 10) * 10;
  const down = (pfn: number): number => Math.floor(pfn / 10) * 10;
  const list = [extent(1, 9), extent(12, 13), extent(30, 31), extent(45, 51)];
  expect(union(list, down, up)).toEqual([extent(0, 20), extent(30, 60)]);
  expect(union(list, up, up)).toEqual([extent(30, 40), extent(50, 60)]);
});

it('without keeps what an extent says', () => {
  const list = [{ ...extent(0, 10), nid: 3 }];
  expect(without(list, [extent(4, 5)])).toEqual([
    { ...extent(0, 4), nid: 3 },
    { ...extent(5, 10), nid: 3 },
  ]);
});

it('hull is from the first page to the last', () => {
  expect(hull([extent(3, 5)])).toEqual(extent(3, 5));
  expect(hull([extent(3, 5), extent(7, 9)])).toEqual(extent(3, 9));
});
