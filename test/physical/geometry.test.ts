/** Geometry: how a range is cut into chunks, what rounds outward, and that no pfn is lost or doubled on the way. */
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import {
  type ChunkGeometry,
  chunkEnd,
  chunkGeometry,
  chunkOf,
  chunkStart,
  cut,
  descriptorOffset,
  endChunk,
  findRange,
  firstChunk,
  intersect,
  isPowerOfTwo,
  type PfnExtent,
  pageblockOf,
  pageblockStart,
  pageblocksMax,
  pagesInside,
  pfnLimit,
  pfnLimitOf,
  pfnOfByte,
  pfnOfDescriptor,
  placeInPeriod,
  roundDown,
  roundUp,
} from '../../dist/src/physical/geometry.js';
import { platforms } from '../../dist/src/physical/platforms.js';

const TiB = 2 ** 28;
const extent = (startPfn: number, endPfn: number): PfnExtent => ({ startPfn, endPfn });

/** A range anywhere below 2^52 bytes: small and large, aligned and not. */
const anyExtent = fc
  .tuple(
    fc.oneof(fc.integer({ min: 1, max: 2000 }), fc.integer({ min: 1, max: TiB })),
    fc.oneof(fc.nat({ max: 2000 }), fc.integer({ min: 0, max: pfnLimit - TiB })),
  )
  .map(([pages, startPfn]) => extent(startPfn, startPfn + pages));
const anyChunkPages = fc.option(fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 5000, max: TiB })), {
  nil: undefined,
});
const anyGeometry = fc
  .tuple(anyExtent, anyChunkPages)
  .map(([range, chunkPages]) => chunkGeometry(range, chunkPages))
  .filter(({ chunks }) => chunks <= 4096);

/** Chunks as `[start, end)` pairs. */
function chunksOf(range: ChunkGeometry): number[][] {
  return Array.from({ length: range.chunks }, (_, chunk) => [chunkStart(range, chunk), chunkEnd(range, chunk)]);
}

describe('the chunks of a range', () => {
  it.each([
    ['one page', extent(5, 6), { basePfn: 0, chunkPages: 512, chunks: 1 }],
    ['pfns 1 to 159', extent(1, 160), { basePfn: 0, chunkPages: 512, chunks: 1 }],
    ['a pageblock', extent(512, 1024), { basePfn: 512, chunkPages: 512, chunks: 1 }],
    ['a pageblock and a page', extent(512, 1025), { basePfn: 512, chunkPages: 512, chunks: 2 }],
    ['two pages on both sides of a border', extent(511, 513), { basePfn: 0, chunkPages: 512, chunks: 2 }],
    ['1024 pageblocks', extent(0, 2 ** 19), { basePfn: 0, chunkPages: 512, chunks: 1024 }],
    ['1024 pageblocks and a page', extent(0, 2 ** 19 + 1), { basePfn: 0, chunkPages: 1024, chunks: 513 }],
    ['3 GiB and a pageblock', extent(0, 786_944), { basePfn: 0, chunkPages: 1024, chunks: 769 }],
    ['exactly 1 TiB', extent(0, TiB), { basePfn: 0, chunkPages: TiB / 1024, chunks: 1024 }],
    ['1 TiB from pfn 1 on', extent(1, TiB + 1), { basePfn: 0, chunkPages: TiB / 1024 + 512, chunks: 1023 }],
    [
      'the last page there can be',
      extent(pfnLimit - 1, pfnLimit),
      { basePfn: pfnLimit - 512, chunkPages: 512, chunks: 1 },
    ],
  ])('are by default 1/1024, rounded up to pageblocks: %s', (_, range, wanted) => {
    const pages = range.endPfn - range.startPfn;
    const leadPages = range.startPfn - wanted.basePfn;
    expect(chunkGeometry(range)).toEqual({ ...range, ...wanted, pages, leadPages });
  });

  it.each([
    [1, 512, 8],
    [512, 512, 8],
    [513, 1024, 4],
    [1024, 1024, 4],
    [4095, 4096, 1],
    [4097, 4608, 1],
    [TiB, TiB, 1],
  ])('have at least the pages that are asked for, in whole pageblocks (%i: %i)', (asked, chunkPages, chunks) => {
    expect(chunkGeometry(extent(0, 4096), asked)).toEqual({
      startPfn: 0,
      endPfn: 4096,
      pages: 4096,
      basePfn: 0,
      leadPages: 0,
      chunkPages,
      chunks,
    });
  });

  it.each([
    ['x86-64', 1, 512],
    ['arm64-4k', 1, 512],
    ['arm64-16k', 1, 2048],
    ['arm64-16k', 2049, 4096],
    ['arm64-64k', 4096, 8192],
    ['power-64k', 1, 512],
    ['power-64k', 513, 1024],
  ] as const)(
    'have the pages of whole pageblocks of their platform, at least 512: on %s %i become %i',
    (name, asked, chunkPages) => {
      const chunked = chunkGeometry(extent(0, 2 ** 20), asked, platforms[name]);
      expect(chunked).toMatchObject({ chunkPages, chunks: 2 ** 20 / chunkPages });
      // what a superblock tells is enough to have the same chunks again
      expect(chunkGeometry(extent(0, 2 ** 20), chunkPages)).toEqual(chunked);
    },
  );

  it('are 1/1024 in whole pageblocks of their platform', () => {
    expect(chunkGeometry(extent(0, 2 ** 20), undefined, platforms['arm64-64k']).chunkPages).toBe(8192);
    expect(chunkGeometry(extent(0, 2 ** 24), undefined, platforms['arm64-64k']).chunkPages).toBe(16_384);
  });

  it('are short at both ends of an unaligned range', () => {
    expect(chunksOf(chunkGeometry(extent(700, 2100), 512))).toEqual([
      [700, 1024],
      [1024, 1536],
      [1536, 2048],
      [2048, 2100],
    ]);
  });

  it.each([
    ['is empty', 5, 5],
    ['ends before it starts', 6, 5],
    ['starts below 0', -1, 5],
    ['ends beyond 2^52 bytes', pfnLimit - 1, pfnLimit + 1],
    ['has a page more than 1 TiB', 0, TiB + 1],
    ['starts between two pages', 0.5, 5],
    ['has no end', 0, Number.POSITIVE_INFINITY],
  ])('are not to be had of a range that %s', (_, startPfn, endPfn) => {
    expect(() => chunkGeometry({ startPfn, endPfn })).toThrow(/^vmemmap: broken invariant: (pfns are|a range )/);
  });

  prop.prop([anyGeometry])('tile the range: without gap, without overlap, none empty', (range) => {
    const chunks = chunksOf(range);
    expect(chunks.at(0)?.[0]).toBe(range.startPfn);
    expect(chunks.at(-1)?.[1]).toBe(range.endPfn);
    expect(chunks.every(([start = 0, end = 0]) => start < end && end - start <= range.chunkPages)).toBe(true);
    expect(chunks.slice(1).every(([start], index) => start === chunks[index]?.[1])).toBe(true);
  });

  prop.prop([anyGeometry])('meet at pageblock borders only, and all but the ends are whole', (range) => {
    const inner = chunksOf(range).slice(1, -1);
    expect(range.chunkPages % 512).toBe(0);
    expect(
      chunksOf(range)
        .slice(1)
        .every(([start = 1]) => start % 512 === 0),
    ).toBe(true);
    expect(inner.every(([start = 0, end = 0]) => end - start === range.chunkPages)).toBe(true);
  });

  prop.prop([anyExtent])('are at most 1024 by default, in the smallest chunks that do', (asked) => {
    const range = chunkGeometry(asked);
    expect(range.chunks).toBeLessThanOrEqual(1024);
    if (range.chunkPages > 512) {
      const span = range.endPfn - range.basePfn;
      expect(Math.ceil(span / (range.chunkPages - 512))).toBeGreaterThan(1024);
    }
  });

  prop.prop([anyGeometry, fc.nat()])('hold each pfn in the chunk that chunkOf tells', (range, place) => {
    const pfn = range.startPfn + (place % (range.endPfn - range.startPfn));
    const chunk = chunkOf(range, pfn);
    expect(chunk).toBeGreaterThanOrEqual(0);
    expect(chunk).toBeLessThan(range.chunks);
    expect(chunkStart(range, chunk)).toBeLessThanOrEqual(pfn);
    expect(chunkEnd(range, chunk)).toBeGreaterThan(pfn);
  });

  prop.prop([anyGeometry, fc.nat()])('never cut an aligned 2 MiB', (range, place) => {
    const pfn = range.startPfn + (place % (range.endPfn - range.startPfn));
    const block = roundDown(pfn, 512);
    expect(endChunk(range, block + 512) - firstChunk(range, block)).toBe(1);
  });
});

describe('firstChunk and endChunk', () => {
  const range = chunkGeometry(extent(700, 2100), 512);

  it.each([
    ['all before the range', 0, 700, 0, 0],
    ['one page into it', 0, 701, 0, 1],
    ['its first page', 700, 701, 0, 1],
    ['up to a border', 700, 1024, 0, 1],
    ['one page over a border', 1023, 1025, 0, 2],
    ['from a border on', 1024, 1025, 1, 2],
    ['its last page', 2099, 2100, 3, 4],
    ['all and more', 0, 10_000, 0, 4],
    ['all behind it', 2100, 3000, 4, 4],
  ])('round outward to whole chunks: %s', (_, pfn, endPfn, first, end) => {
    expect([firstChunk(range, pfn), endChunk(range, endPfn)]).toEqual([first, end]);
  });

  prop.prop([anyGeometry, fc.nat(), fc.nat()])(
    'take exactly the chunks that the extent meets',
    (geometry, from, length) => {
      // from a little before the range to a little behind it
      const span = geometry.endPfn - geometry.startPfn + 2000;
      const startPfn = Math.max(0, geometry.startPfn - 1000 + (from % span));
      const wanted = extent(startPfn, startPfn + 1 + (length % span));
      const met = chunksOf(geometry).flatMap(([start = 0, end = 0], chunk) =>
        start < wanted.endPfn && wanted.startPfn < end ? [chunk] : [],
      );
      const taken: number[] = [];
      for (let chunk = firstChunk(geometry, startPfn); chunk < endChunk(geometry, wanted.endPfn); chunk++)
        taken.push(chunk);
      expect(taken).toEqual(met);
    },
  );
});

describe('pfn arithmetic', () => {
  it('rounds pfns beyond 2^32 exactly', () => {
    expect([roundDown(2 ** 40 - 1, 512), roundUp(2 ** 39 + 1, 512)]).toEqual([2 ** 40 - 512, 2 ** 39 + 512]);
    expect([roundDown(512, 512), roundUp(512, 512), roundUp(0, 512)]).toEqual([512, 512, 0]);
  });

  it('finds the page of a byte', () => {
    expect([pfnOfByte(0), pfnOfByte(4095), pfnOfByte(4096), pfnOfByte(2 ** 52 - 1)]).toEqual([0, 0, 1, pfnLimit - 1]);
  });

  it.each([
    [0x1000, 0x9fbff, extent(1, 159)],
    [0x1000, 0x1fff, extent(1, 2)],
    [0x1000, 0x1ffe, extent(1, 1)],
    [0x1001, 0x2fff, extent(2, 3)],
    [0x1001, 0x1fff, extent(2, 2)],
    [0x1001, 0x1002, extent(2, 2)],
  ])('takes only the whole pages inside bytes %i to %i', (first, last, wanted) => {
    expect(pagesInside(first, last)).toEqual(wanted);
  });

  it('counts in pages of the platform', () => {
    expect([
      pfnOfByte(0x1ffff, platforms['arm64-64k'].pageSizeBytes),
      pfnOfByte(0x7fff, platforms['arm64-16k'].pageSizeBytes),
    ]).toEqual([1, 1]);
    expect(pagesInside(0x1_0001, 0x4_0000, platforms['power-64k'].pageSizeBytes)).toEqual(extent(2, 4));
    expect(pagesInside(0x4001, 0x7fff, platforms['arm64-16k'].pageSizeBytes)).toEqual(extent(2, 2));
    expect(Object.values(platforms).map(pfnLimitOf)).toEqual([2 ** 40, 2 ** 40, 2 ** 38, 2 ** 36, 2 ** 35]);
  });

  it('intersects extents; those that only touch have nothing in common', () => {
    expect(intersect(extent(0, 10), extent(5, 20))).toEqual(extent(5, 10));
    expect(intersect(extent(0, 10), extent(9, 20))).toEqual(extent(9, 10));
    expect(intersect(extent(0, 10), extent(10, 20))).toEqual(extent(10, 10));
    expect(intersect(extent(30, 40), extent(10, 20))).toEqual(extent(30, 30));
  });

  it('cuts at 1 TiB, counted from the pageblock in which the extent begins', () => {
    expect(cut(extent(512, 512 + TiB))).toEqual([extent(512, 512 + TiB)]);
    expect(cut(extent(512, 513 + TiB))).toEqual([extent(512, 512 + TiB), extent(512 + TiB, 513 + TiB)]);
    expect(cut(extent(519, 519 + TiB))).toEqual([extent(519, 512 + TiB), extent(512 + TiB, 519 + TiB)]);
    expect(cut(extent(7, 7))).toEqual([]);
  });

  it('cuts at larger units where it is told to', () => {
    expect(cut(extent(519, 519 + TiB), 8192)).toEqual([extent(519, TiB), extent(TiB, 519 + TiB)]);
    expect(cut(extent(TiB - 1, 2 * TiB + 1), TiB)).toEqual([
      extent(TiB - 1, TiB),
      extent(TiB, 2 * TiB),
      extent(2 * TiB, 2 * TiB + 1),
    ]);
  });

  it('cuts at units that are counted from an anchor, below and above it', () => {
    expect(cut(extent(100, TiB + 5000), 1024, 1000)).toEqual([extent(100, TiB - 24), extent(TiB - 24, TiB + 5000)]);
    expect(cut(extent(1000, TiB + 2024), 1024, 1000)).toEqual([
      extent(1000, TiB + 1000),
      extent(TiB + 1000, TiB + 2024),
    ]);
  });

  it('places a descriptor every 64 bytes', () => {
    expect(descriptorOffset(extent(700, 2 ** 40), 700)).toBe(0);
    expect(descriptorOffset(extent(700, 2 ** 40), 700 + TiB - 1)).toBe(2 ** 34 - 64);
    expect([0, 63, 64, 2 ** 34 - 64].map((offset) => pfnOfDescriptor({ startPfn: 700 }, offset))).toEqual([
      700,
      700,
      701,
      700 + TiB - 1,
    ]);
  });

  it('finds the range of a pfn, and none in a hole or at either end', () => {
    const ranges = [extent(1, 160), extent(256, 512), extent(512, 1024)];
    const found = [0, 1, 159, 160, 255, 256, 511, 512, 1023, 1024].map((pfn) => findRange(ranges, pfn));
    expect(found).toEqual([-1, 0, 0, -1, -1, 1, 1, 2, 2, -1]);
    expect(findRange([], 0)).toBe(-1);
  });

  it('counts pages in their period from the start of an extent', () => {
    const high = extent(2 ** 39 + 5, 2 ** 40);
    expect([0, 1, 511, 512, 513].map((page) => placeInPeriod(high, high.startPfn + page, 512))).toEqual([
      0, 1, 511, 0, 1,
    ]);
    expect(placeInPeriod(high, high.startPfn + 12_345, 1)).toBe(0);
  });

  it.each([0, 2 ** 39])('numbers pageblocks from the one that a range begins in (%i and on)', (base) => {
    const range = chunkGeometry(extent(base + 700, base + 5000));
    const pages = [700, 1023, 1024, 1535, 1536, 4999];
    expect(pages.map((page) => pageblockOf(range, base + page))).toEqual([0, 0, 1, 1, 2, 8]);
    expect(pages.map((page) => pageblockStart(base + page))).toEqual(
      [512, 512, 1024, 1024, 1536, 4608].map((page) => base + page),
    );
  });

  it.each([1, 2, 511, 512, 513, 1024, TiB])(
    '%i pages meet no more pageblocks than it says, wherever they lie',
    (pages) => {
      for (const lead of [0, 1, 510, 511]) {
        const range = chunkGeometry(extent(lead, lead + pages));
        expect(pageblockOf(range, range.endPfn - 1)).toBeLessThan(pageblocksMax(pages));
      }
    },
  );
});

describe('a power of two', () => {
  it.each([1, 2, 512, 2 ** 31, 2 ** 32, 2 ** 40, 2 ** 52])('%d is one', (value) => {
    expect(isPowerOfTwo(value)).toBe(true);
  });

  it.each([0, -2, 0.5, 3, 511, 2 ** 31 - 1, 2 ** 32 + 1, 2 ** 52 - 1, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY])(
    '%d is none',
    (value) => {
      expect(isPowerOfTwo(value)).toBe(false);
    },
  );
});
