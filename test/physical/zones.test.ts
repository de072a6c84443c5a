/** The plan's ranges: every page in exactly one, none across a zone border, none longer than 2^28 pages; and what zones span. */
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { simulate } from '../../dist/src/physical/simulate.js';
import type { MemoryExtent, Topology } from '../../dist/src/physical/topology.js';
import { type PlannedRange, planRanges, zoneNames, zoneSpans, zones } from '../../dist/src/physical/zones.js';

/** A machine that is made up, and so has the pages of its extents and no others. */
const topologyOf = (memory: readonly MemoryExtent[], zoned = true): Topology => ({
  source: 'simulated',
  nodes: [{ nid: 0, cpus: [0] }],
  memory,
  zoned,
  notes: [],
});
const ram = (startPfn: number, endPfn: number, nid = 0): MemoryExtent => ({ nid, kind: 'ram', startPfn, endPfn });
const device = (startPfn: number, endPfn: number, pgmap = 1): MemoryExtent => ({
  nid: 0,
  kind: 'device',
  startPfn,
  endPfn,
  pgmap,
});
const planOf = (...memory: MemoryExtent[]): unknown[] =>
  planRanges(topologyOf(memory)).map(({ zone, startPfn, endPfn }) => [zoneNames[zone], startPfn, endPfn]);

/** One segment that is all of the range, and present. */
const present = (startPfn: number, endPfn: number): Pick<PlannedRange, 'startPfn' | 'endPfn' | 'segments'> => ({
  startPfn,
  endPfn,
  segments: [{ startPfn, endPfn, use: 'present' }],
});

const dmaEnd = 4096;
const dma32End = 2 ** 20;
const TiB = 2 ** 28;

it('zones are numbered as in Linux', () => {
  expect(zones).toEqual({ DMA: 0, DMA32: 1, Normal: 2, Movable: 3, Device: 4 });
  expect(zoneNames).toEqual(['DMA', 'DMA32', 'Normal', 'Movable', 'Device']);
});

describe('RAM', () => {
  it('is DMA below 16 MiB, DMA32 below 4 GiB and Normal above', () => {
    expect(planOf(ram(1, 2 * dma32End))).toEqual([
      ['DMA', 1, dmaEnd],
      ['DMA32', dmaEnd, dma32End],
      ['Normal', dma32End, 2 * dma32End],
    ]);
  });

  it('that ends or begins at a border is in one zone', () => {
    expect(planOf(ram(0, dmaEnd))).toEqual([['DMA', 0, dmaEnd]]);
    expect(planOf(ram(dmaEnd, dma32End))).toEqual([['DMA32', dmaEnd, dma32End]]);
    expect(planOf(ram(dma32End, dma32End + 1))).toEqual([['Normal', dma32End, dma32End + 1]]);
  });

  it('one page across a border is in two', () => {
    expect(planOf(ram(dmaEnd - 1, dmaEnd + 1))).toEqual([
      ['DMA', dmaEnd - 1, dmaEnd],
      ['DMA32', dmaEnd, dmaEnd + 1],
    ]);
    expect(planOf(ram(dma32End - 1, dma32End + 1))).toEqual([
      ['DMA32', dma32End - 1, dma32End],
      ['Normal', dma32End, dma32End + 1],
    ]);
  });

  it('of a topology without zones is all Normal', () => {
    expect(planRanges(topologyOf([ram(0, 2 * dma32End)], false))).toEqual([
      { nid: 0, zone: 2, kind: 'ram', ...present(0, 2 * dma32End) },
    ]);
  });

  it('up to the last page there can be is planned', () => {
    expect(planOf(ram(2 ** 40 - 1, 2 ** 40))).toEqual([['Normal', 2 ** 40 - 1, 2 ** 40]]);
  });
});

describe('device memory', () => {
  it('is always zone Device, with or without zones, and keeps its pgmap', () => {
    const expected = [{ nid: 0, zone: 4, kind: 'device', pgmap: 9, ...present(1, 2 * dma32End) }];
    expect(planRanges(topologyOf([device(1, 2 * dma32End, 9)]))).toEqual(expected);
    expect(planRanges(topologyOf([device(1, 2 * dma32End, 9)], false))).toEqual(expected);
  });

  it('of 1 TiB is one range, one page more makes two', () => {
    expect(planOf(device(0, TiB))).toEqual([['Device', 0, TiB]]);
    expect(planOf(device(0, TiB + 1))).toEqual([
      ['Device', 0, TiB],
      ['Device', TiB, TiB + 1],
    ]);
  });

  it('of 8 nodes with 3 TiB is 24 ranges of 1 TiB, three with each pgmap', () => {
    const ranges = planRanges(simulate('8x3TiB:pmem', []));
    expect(ranges.map(({ nid, zone, pgmap, startPfn, endPfn }) => [nid, zone, pgmap, startPfn, endPfn])).toEqual(
      Array.from({ length: 24 }, (_, index) => {
        const nid = Math.floor(index / 3);
        return [nid, 4, nid + 1, index * TiB, (index + 1) * TiB];
      }),
    );
  });
});

describe('a wrong topology is misuse: a RangeError that names the extent', () => {
  it.each([
    [
      'overlaps',
      [ram(0, 10), ram(9, 20)],
      'topology.memory[1] begins at pfn 9, before the end of the one ahead of it, 10',
    ],
    ['is not sorted', [ram(10, 20), ram(0, 10)], 'topology.memory[1] begins at pfn 0, before the end'],
    ['is empty', [ram(5, 5)], 'topology.memory[0] is empty or negative: [5, 5)'],
    ['is negative', [ram(-1, 5)], 'topology.memory[0] is empty or negative'],
    ['is not whole', [ram(0.5, 5)], 'topology.memory[0] has a pfn that is not an integer'],
    ['is not a number', [ram(0, Number.NaN)], 'topology.memory[0] has a pfn that is not an integer'],
    ['is beyond 2^52', [ram(0, 2 ** 40 + 1)], 'topology.memory[0] ends at pfn 1099511627777, beyond 2^52 bytes'],
    ['has node 1024', [ram(0, 1, 1024)], 'topology.memory[0] has nid 1024; 0 to 1023 exist'],
    ['has node -1', [ram(0, 1, -1)], 'topology.memory[0] has nid -1'],
    ['has pgmap 0', [device(0, 1, 0)], 'topology.memory[0] has pgmap 0'],
    ['lacks a pgmap', [{ ...ram(0, 1), kind: 'device' as const }], 'topology.memory[0] has pgmap undefined'],
    ['has a pgmap on RAM', [{ ...ram(0, 1), pgmap: 1 }], 'topology.memory[0] has pgmap 1'],
  ])('when memory %s', (_, memory, message) => {
    const plan = (): unknown => planRanges(topologyOf(memory));
    expect(plan).toThrow(RangeError);
    expect(plan).toThrow(message);
  });
});

describe('zone spans', () => {
  const spansOf = (memory: readonly MemoryExtent[], zoned = true): unknown[] =>
    zoneSpans(topologyOf(memory, zoned)).map(({ nid, zone, startPfn, spannedPages, presentPages }) => [
      nid,
      zoneNames[zone],
      startPfn,
      spannedPages,
      presentPages,
    ]);

  it('of a VM with two nodes and 64 GiB are spanned and present of its /proc/zoneinfo', () => {
    // a public bug report of November 2025; "Early memory node ranges" in, /proc/zoneinfo out
    const memory = [ram(0x1, 0x9f), ram(0x100, 0xbff80), ram(0x100000, 0x840000), ram(0x840000, 0x1040000, 1)];
    expect(spansOf(memory)).toEqual([
      [0, 'DMA', 1, 4095, 3998],
      [0, 'DMA32', 4096, 1044480, 782208],
      [0, 'Normal', 0x100000, 7602176, 7602176],
      [1, 'Normal', 0x840000, 8388608, 8388608],
    ]);
  });

  it('end with the node when nothing lies above', () => {
    expect(spansOf([ram(1, 10), ram(20, 30)])).toEqual([[0, 'DMA', 1, 29, 19]]);
  });

  it('of a zone in a hole of its node are told, though nothing is present', () => {
    expect(spansOf([ram(1, 10), ram(0x200000, 0x200001)])).toEqual([
      [0, 'DMA', 1, 4095, 9],
      [0, 'DMA32', 4096, dma32End - dmaEnd, 0],
      [0, 'Normal', dma32End, 0x100001, 1],
    ]);
  });

  it('of device memory are its own, whatever RAM the node has', () => {
    const memory = [ram(1, 10), device(0x100000, 0x100010), device(0x100020, 0x100030, 2), ram(0x200000, 0x200001)];
    expect(spansOf(memory).at(-1)).toEqual([0, 'Device', 0x100000, 48, 32]);
  });

  it('of device memory hold what its altmap reserves: "spanned" is the whole namespace', () => {
    const altmap = { reservePages: 2, memmapPages: 1534 };
    expect(spansOf([{ ...device(0x100000, 0x110000), altmap }])).toEqual([[0, 'Device', 0x100000, 0x10000, 0x10000]]);
  });

  it('of memory that was added reach over it, and leave the zones of the boot alone', () => {
    const added = { ...ram(0x300000, 0x308000), movable: true };
    expect(spansOf([ram(1, 10), added, { ...added, startPfn: 0x400000, endPfn: 0x408000 }])).toEqual([
      [0, 'DMA', 1, 9, 9],
      [0, 'Movable', 0x300000, 0x108000, 0x10000],
    ]);
  });

  it('of interleaved nodes overlap, each with its own pages present', () => {
    const MiB16 = dmaEnd;
    const memory = [0, 1, 0, 1].map((nid, index) => ram(dma32End + index * MiB16, dma32End + (index + 1) * MiB16, nid));
    expect(spansOf(memory)).toEqual([
      [0, 'Normal', dma32End, 3 * MiB16, 2 * MiB16],
      [1, 'Normal', dma32End + MiB16, 3 * MiB16, 2 * MiB16],
    ]);
  });

  it('without zones are one Normal per node, wherever it lies', () => {
    expect(spansOf([ram(0, 10), ram(20, 2 * dma32End)], false)).toEqual([
      [0, 'Normal', 0, 2 * dma32End, 2 * dma32End - 10],
    ]);
  });

  it('of nothing are none', () => {
    expect(spansOf([])).toEqual([]);
  });

  it.each([
    // 64 bytes a page; "pages used for memmap" of the DMA32 zones of two real machines, in which holes are more than a 16th
    ['all it spans, where holes are few', [ram(4096, 4096 + 64), ram(4096 + 65, 8192)], 64],
    ['its pages, where holes are more than a 16th', [ram(4096, 4096 + 880_544), ram(0xffffe, 0xfffff)], 13_759],
  ])('tell the pages that the memmap of a zone takes: of %s', (_, memory, pages) => {
    expect(zoneSpans(topologyOf(memory))[0]).toMatchObject({ zone: 1, memmapPages: pages });
  });

  it('take memory for the memmap of a sixteenth of holes as for pages, and not of one more', () => {
    const holes = (pages: number): unknown => zoneSpans(topologyOf([ram(4096, 5000), ram(5000 + pages, 5696 + pages)]));
    expect(holes(100)).toMatchObject([{ presentPages: 1600, spannedPages: 1700, memmapPages: 27 }]);
    expect(holes(101)).toMatchObject([{ presentPages: 1600, spannedPages: 1701, memmapPages: 25 }]);
  });
});

/** Memory of any nodes and kinds, sorted, with and without gaps, from around the zone borders to beyond 2^46 bytes. */
const memories = fc
  .array(
    fc.record({
      gap: fc.oneof(fc.constantFrom(0, 1, dmaEnd - 1, dmaEnd, dma32End), fc.integer({ min: 0, max: 2 ** 34 })),
      pages: fc.oneof(fc.constantFrom(1, dmaEnd, dma32End, TiB, TiB + 1), fc.integer({ min: 1, max: 2 ** 31 })),
      nid: fc.integer({ min: 0, max: 7 }),
      kind: fc.constantFrom('ram' as const, 'device' as const),
    }),
    { maxLength: 12 },
  )
  .map((list) => {
    let at = 0;
    return list.map(({ gap, pages, nid, kind }, index): MemoryExtent => {
      const startPfn = at + gap;
      at = startPfn + pages;
      const extent = { nid, kind, startPfn, endPfn: at };
      return kind === 'device' ? { ...extent, pgmap: index + 1 } : extent;
    });
  });

prop.prop([memories, fc.boolean()])(
  'every page is in exactly one range, of its own node, kind and zone',
  (memory, zoned) => {
    const ranges = planRanges(topologyOf(memory, zoned));
    const borders = zoned ? [0, dmaEnd, dma32End, 2 ** 40] : [0, 0, 0, 2 ** 40];
    for (const { kind, zone, startPfn, endPfn } of ranges) {
      expect(endPfn - startPfn).toBeGreaterThan(0);
      expect(endPfn - startPfn).toBeLessThanOrEqual(TiB);
      if (kind === 'device') expect(zone).toBe(4);
      else {
        expect(startPfn).toBeGreaterThanOrEqual(borders[zone] as number);
        expect(endPfn).toBeLessThanOrEqual(borders[zone + 1] as number);
      }
    }
    // joined again where they touch and are alike, the ranges are the memory: no page lost, doubled or moved
    const joined: MemoryExtent[] = [];
    let extent = 0;
    for (const { zone: _, segments, ...range } of ranges) {
      expect(segments).toEqual([{ startPfn: range.startPfn, endPfn: range.endPfn, use: 'present' }]);
      const last = joined.at(-1);
      const whole = last && last.endPfn === (memory[extent] as MemoryExtent).endPfn;
      if (last && !whole && last.endPfn === range.startPfn)
        joined[joined.length - 1] = { ...last, endPfn: range.endPfn };
      else {
        if (whole) extent++;
        joined.push(range);
      }
    }
    expect(joined).toEqual(memory);
  },
);

prop.prop([memories])('zone spans hold the present pages, and all of them', (memory) => {
  const spans = zoneSpans(topologyOf(memory));
  const pages = memory.reduce((sum, { startPfn, endPfn }) => sum + endPfn - startPfn, 0);
  expect(spans.reduce((sum, { presentPages }) => sum + presentPages, 0)).toBe(pages);
  for (const { presentPages, spannedPages } of spans) expect(spannedPages).toBeGreaterThanOrEqual(presentPages);
});
