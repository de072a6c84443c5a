/** Pageblock bits in the control part of a region: where they are, and that nobody's bits are anybody else's. */
import { describe, expect, it } from 'vitest';
import { regionLayout } from '../../dist/src/region/layout.js';
import { migrateTypeOf, migrateTypes, resetPageblocks, setMigrateTypeOf } from '../../dist/src/region/pageblocks.js';
import type { RegionRange } from '../../dist/src/region/range.js';
import { ram, smallRegion } from '../support/regions.js';

const plain = [{ content: { parts: [1] } }];

describe('the bits of pageblocks', () => {
  it('lie behind the chunk words, each range at a line of its own, and end with the control part', () => {
    const sizes = [
      { pages: 1, chunks: 1, segments: plain },
      { pages: 127 * 512, chunks: 20, segments: plain },
      { pages: 127 * 512 + 1, chunks: 1, segments: plain },
      { pages: 2 ** 28, chunks: 1024, segments: plain },
    ];
    const { chunkWords, pageblocks, controlSizeBytes } = regionLayout(sizes);
    const first = Math.ceil((chunkWords + 1046 * 4) / 64) * 64;
    // 128 pageblocks fill a line; a range of 1 TiB has 2^19 pageblocks, and maybe one more
    expect(pageblocks).toEqual([first, first + 64, first + 128, first + 256]);
    expect(controlSizeBytes).toBe(first + 256 + 2 ** 18 + 64);
  });

  it('are zeros while all is movable, in a region that was just made', () => {
    const region = smallRegion([ram(0, 40 * 512)]);
    const range = region.ranges[0] as RegionRange;
    const word = (region.layout.pageblocks[0] as number) / 4;
    setMigrateTypeOf(region, range, 512, 'movable');
    expect([...region.control.subarray(word, word + 8)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    expect(migrateTypeOf(region, range, 39 * 512)).toBe('movable');
  });

  it('are four for each, in Linux’s numbers beside the difference from movable', () => {
    const region = smallRegion([ram(0, 40 * 512)]);
    const range = region.ranges[0] as RegionRange;
    const word = (region.layout.pageblocks[0] as number) / 4;
    migrateTypes.forEach((type, number) => {
      setMigrateTypeOf(region, range, (8 + number) * 512, type);
    });
    // nibbles from the lowest: 0 ^ 1, 1 ^ 1, 2 ^ 1, 3 ^ 1, 4 ^ 1, 5 ^ 1
    expect((region.control[word + 1] as number).toString(16)).toBe('452301');
    expect([region.control[word], region.control[word + 2]]).toEqual([0, 0]);
  });

  it.each([0, 1, 7])('leave the bit of compaction alone when the type of pageblock %i is set', (block) => {
    const region = smallRegion([ram(0, 8 * 512)]);
    const range = region.ranges[0] as RegionRange;
    const word = (region.layout.pageblocks[0] as number) / 4;
    region.control[word] = 0x8888_8888 | 0;
    for (const type of migrateTypes) {
      setMigrateTypeOf(region, range, block * 512, type);
      expect(migrateTypeOf(region, range, block * 512 + 511)).toBe(type);
      expect((region.control[word] as number) & 0x8888_8888).toBe(0x8888_8888 | 0);
    }
  });

  it('of a range are reset from pageblock to pageblock, and no others', () => {
    const region = smallRegion([ram(700, 40 * 512), ram(100_000, 512)]);
    const range = region.ranges[0] as RegionRange;
    const blocks = Array.from({ length: 40 }, (_, block) => Math.max(700, 512 + block * 512));
    for (const pfn of blocks) setMigrateTypeOf(region, range, pfn, 'cma');
    setMigrateTypeOf(region, region.ranges[1] as RegionRange, 100_000, 'cma');
    resetPageblocks(region, range, 700, 1024);
    resetPageblocks(region, range, 512 + 5 * 512, 512 + 21 * 512);
    const movable = blocks.flatMap((pfn, block) => (migrateTypeOf(region, range, pfn) === 'movable' ? [block] : []));
    expect(movable).toEqual([0, ...Array.from({ length: 16 }, (_, i) => 5 + i)]);
    expect(migrateTypeOf(region, region.ranges[1] as RegionRange, 100_000)).toBe('cma');
  });
});
