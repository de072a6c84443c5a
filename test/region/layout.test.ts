/** Where everything lies in a region: in order, apart from each other, and each contended word in a line of its own. */
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import {
  controlWords,
  hotEntrySizeBytes,
  ordersSizeBytes,
  orderWord,
  type RegionLayout,
  rangeLine,
  rangeWord,
  regionLayout,
  type SizedRange,
  tableCounts,
} from '../../dist/src/region/layout.js';

const MiB = 2 ** 20;

/** A range of so many pages, whose segments have so many parts each. */
function sized(pages: number, chunks = 1, parts: readonly number[] = [1]): SizedRange {
  return { pages, chunks, segments: parts.map((count) => ({ content: { parts: Array.from({ length: count }) } })) };
}

/** Byte offsets of every word that several threads write, chunk words aside: those are packed on purpose. */
function contendedBytes(layout: RegionLayout, ranges: number): number[] {
  const controls = Object.values(controlWords(layout));
  const cursors = Array.from({ length: ranges }, (_, range) =>
    (Object.keys(rangeLine) as (keyof typeof rangeLine)[]).map((name) => rangeWord(layout, range, name)),
  ).flat();
  return [...controls, ...cursors].map((word) => word * 4);
}

function roundedUp(bytes: number): number {
  return Math.ceil(bytes / 64) * 64;
}

const anySizes = fc.array(
  fc
    .tuple(
      fc.integer({ min: 1, max: 2 ** 28 }),
      fc.integer({ min: 1, max: 524_288 }),
      fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
    )
    .map(([pages, chunks, parts]) => sized(pages, chunks, parts)),
  { maxLength: 40 },
);

describe('the layout of a region', () => {
  it('of one range of one page puts each part behind the one before', () => {
    expect(regionLayout([sized(1)])).toEqual({
      session: 4416,
      processes: 4480,
      control: 12_672,
      rangeWords: 13_184,
      hotEntries: 13_504,
      owners: 13_504,
      chunkWords: 144_576,
      pageblocks: [144_640],
      controlSizeBytes: 144_704,
      data: [2 * MiB],
      totalSizeBytes: 4 * MiB,
    });
  });

  it.each([
    [16, 144_704],
    [17, 144_768],
  ])('rounds the chunk words up to whole lines (%i chunks end at byte %i)', (chunks, controlSizeBytes) => {
    expect(regionLayout([sized(1, chunks)]).controlSizeBytes).toBe(controlSizeBytes);
  });

  it.each([
    [32_767, 4],
    [32_768, 4],
    [32_769, 6],
  ])(
    'gives a section of descriptors 2 MiB, and what begins the next one 2 MiB more (%i pages: next at %i MiB)',
    (pages, next) => {
      const sizes = [sized(pages), sized(1)];
      expect(regionLayout(sizes).data).toEqual([2 * MiB, next * MiB]);
    },
  );

  it('is exact for eight ranges of 1 TiB', () => {
    const sizes = Array.from({ length: 8 }, () => sized(2 ** 28, 1024));
    const { data, totalSizeBytes } = regionLayout(sizes);
    // 512 Ki pageblocks of a range have their bits in 256 KiB: with those of eight the control part is longer than 2 MiB
    expect(data).toEqual(sizes.map((_, range) => 4 * MiB + range * 2 ** 34));
    expect(totalSizeBytes).toBe(4 * MiB + 2 ** 37);
  });

  const GiB = 2 ** 30;

  it.each([
    [1, 2],
    [2 ** 24 - 1, 2],
    [2 ** 24, 2],
    [2 ** 24 + 1, 3],
  ])(
    'on a device that maps nothing below 1 GiB puts each range at a whole one (%i pages: next at %i GiB)',
    (pages, next) => {
      const { data, totalSizeBytes, ...control } = regionLayout([sized(pages), sized(1)], GiB);
      expect(data).toEqual([GiB, next * GiB]);
      expect(totalSizeBytes).toBe((next + 1) * GiB);
      // and all before the descriptors is where it is on any other backing
      expect(regionLayout([sized(pages), sized(1)])).toMatchObject(control);
    },
  );

  const anyAlignment = fc.constantFrom(2 * MiB, GiB);

  prop.prop([anySizes, anyAlignment])('keeps its parts in order and apart, whatever the ranges', (sizes, alignment) => {
    const { data, totalSizeBytes, ...layout } = regionLayout(sizes, alignment);
    const chunks = sizes.reduce((sum, size) => sum + size.chunks, 0);
    const tables = tableCounts(sizes);
    expect(layout.session).toBe(4096 + (tables.ranges + tables.segments) * 64 + tables.parts * 192);
    expect(layout.processes).toBe(layout.session + 64);
    expect(layout.control).toBe(layout.processes + 128 * 64);
    expect(layout.rangeWords).toBeGreaterThanOrEqual(layout.control + 4 * 64);
    expect(layout.owners).toBeGreaterThanOrEqual(layout.rangeWords + sizes.length * 2 * 64);
    expect(layout.chunkWords).toBe(layout.owners + 1024 * 128);
    let flagsEnd = layout.chunkWords + chunks * 4;
    for (const [range, start] of layout.pageblocks.entries()) {
      expect(start).toBeGreaterThanOrEqual(flagsEnd);
      expect(start % 64).toBe(0);
      // a range that begins and ends inside pageblocks meets one more than its pages fill
      flagsEnd = start + (Math.floor(((sizes[range]?.pages ?? 0) + 510) / 512) + 1) / 2;
    }
    expect(layout.controlSizeBytes).toBeGreaterThanOrEqual(flagsEnd);
    let behind = layout.controlSizeBytes;
    for (const [range, start] of data.entries()) {
      expect(start).toBeGreaterThanOrEqual(behind);
      expect(start % alignment).toBe(0);
      behind = start + (sizes[range]?.pages ?? 0) * 64;
    }
    expect(totalSizeBytes).toBeGreaterThanOrEqual(behind);
    expect(totalSizeBytes - behind).toBeLessThan(alignment);
    expect(totalSizeBytes % alignment).toBe(0);
  });

  prop.prop([anySizes])('gives every contended word a line of its own, inside its part', (sizes) => {
    const layout = regionLayout(sizes);
    const bytes = contendedBytes(layout, sizes.length);
    expect(new Set(bytes.map((byte) => Math.floor(byte / 64))).size).toBe(4 + 5 * sizes.length);
    expect(bytes.every((byte) => byte >= layout.control && byte < layout.owners)).toBe(true);
    const { session, processes, control, rangeWords, owners, chunkWords } = layout;
    for (const part of [session, processes, control, rangeWords, owners, chunkWords]) expect(part % 64).toBe(0);
  });

  it('has room behind the ranges of the plan, in the control buffer alone: what is in a file stays where it was', () => {
    const sizes = [sized(1000, 2), sized(2000, 4)];
    const plain = regionLayout(sizes);
    const room = { ranges: 3, pages: 5 * 512, chunks: 6 };
    const { data, ...layout } = regionLayout(sizes, 2 * MiB, room);
    // five words for each slot, an entry, the bits of at most six pageblocks
    expect(layout.rangeWords).toBe(plain.rangeWords);
    expect(layout.hotEntries).toBe(layout.rangeWords + 5 * 5 * 64);
    expect(hotEntrySizeBytes).toBe(64 + 16 * 64 + 16 * 192);
    expect(layout.owners).toBe(layout.hotEntries + 3 * hotEntrySizeBytes);
    expect(layout.pageblocks.length).toBe(5);
    expect(layout.pageblocks[0]).toBe(roundedUp(layout.chunkWords + (2 + 4 + 3 * 6) * 4));
    expect(layout.controlSizeBytes).toBe((layout.pageblocks[4] as number) + 64);
    expect(data.length).toBe(2);
    const bytes = contendedBytes(layout as RegionLayout, 5);
    expect(new Set(bytes.map((byte) => Math.floor(byte / 64))).size).toBe(4 + 5 * 5);
    expect(bytes.every((byte) => byte >= layout.control && byte < layout.hotEntries)).toBe(true);
  });

  it("gives each word of a process's own a line in a buffer of their own", () => {
    expect(orderWord).toEqual({ orders: 0, opener: 16, media: 32 });
    expect(ordersSizeBytes).toBe(192);
  });
});
