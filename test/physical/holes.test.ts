/** Holes of memory: which of their pages have descriptors, whose they are, and what kernels of different age count of them. */
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { roundDown } from '../../dist/src/physical/geometry.js';
import { kernelRules } from '../../dist/src/physical/kernel-rules.js';
import { planMachine } from '../../dist/src/physical/machine-plan.js';
import { type PlatformName, platforms } from '../../dist/src/physical/platforms.js';
import type { MemoryExtent, Topology } from '../../dist/src/physical/topology.js';
import { planRanges, zoneNames } from '../../dist/src/physical/zones.js';
import { segmentRuns, slowCount, slowLines, slowPlan } from './slow-plan.js';

const ram = (startPfn: number, endPfn: number, nid = 0): MemoryExtent => ({ nid, kind: 'ram', startPfn, endPfn });
const device = (startPfn: number, endPfn: number, pgmap = 1): MemoryExtent => ({
  nid: 0,
  kind: 'device',
  startPfn,
  endPfn,
  pgmap,
});
const real = (memory: readonly MemoryExtent[], more: Partial<Topology> = {}): Topology => ({
  source: 'iomem-file',
  nodes: [],
  memory,
  zoned: true,
  notes: [],
  ...more,
});

/** Runs of one use, with node and zone, of a real machine. */
function runsOf(memory: readonly MemoryExtent[], more: Partial<Topology> = {}): unknown[] {
  return segmentRuns(planRanges(real(memory, more))).map(({ startPfn, endPfn, nid, zone, use }) => [
    startPfn,
    endPfn,
    nid,
    zoneNames[zone],
    use,
  ]);
}

const section = 32_768;
const dmaEnd = 4096;
const dma32End = 2 ** 20;

describe('a hole', () => {
  it('at page 0 is charged to the first memory', () => {
    expect(runsOf([ram(1, dmaEnd)]).slice(0, 2)).toEqual([
      [0, 1, 0, 'DMA', 'unavailable'],
      [1, dmaEnd, 0, 'DMA', 'present'],
    ]);
  });

  it('at the end of a section is charged to the range that follows, in another section, node and zone', () => {
    expect(runsOf([ram(0, 3 * section - 5), ram(dma32End, dma32End + section, 1)]).slice(-2)).toEqual([
      [3 * section - 5, 3 * section, 1, 'Normal', 'unavailable'],
      [dma32End, dma32End + section, 1, 'Normal', 'present'],
    ]);
  });

  it('is two, at both ends, where whole sections are missing between, and one range with what it touches', () => {
    const ranges = planRanges(
      real([ram(dma32End, dma32End + 10), ram(dma32End + 3 * section - 7, dma32End + 3 * section)]),
    );
    expect(ranges.map(({ startPfn, endPfn, segments }) => [startPfn, endPfn, segments.map(({ use }) => use)])).toEqual([
      [dma32End, dma32End + section, ['present', 'unavailable']],
      [dma32End + 2 * section, dma32End + 3 * section, ['unavailable', 'present']],
    ]);
  });

  it('between two nodes in one section is of the node that follows', () => {
    const [start, middle] = [dma32End, dma32End + 100];
    expect(runsOf([ram(start, middle), ram(middle + 50, start + section, 1)])).toEqual([
      [start, middle, 0, 'Normal', 'present'],
      [middle, middle + 50, 1, 'Normal', 'unavailable'],
      [middle + 50, start + section, 1, 'Normal', 'present'],
    ]);
  });

  it('of a section that holds no memory is none, and memory that fills its sections has none', () => {
    expect(
      runsOf([ram(dma32End, dma32End + section), ram(dma32End + 2 * section, dma32End + 3 * section)]),
    ).toHaveLength(2);
  });

  it('behind the last memory goes to the highest zone of the node that has it, and ends with the section', () => {
    // the last range is one of node 0, whose zone DMA32 lies below
    expect(
      runsOf([
        ram(section, 2 * section),
        ram(dma32End, dma32End + section, 1),
        ram(dma32End + section, dma32End + section + 1),
      ]).at(-1),
    ).toEqual([dma32End + section + 1, dma32End + 2 * section, 0, 'Normal', 'unavailable']);
  });

  it('behind memory below 16 MiB, when nothing lies above it, is DMA beyond the end of DMA', () => {
    expect(runsOf([ram(0, 100)])).toEqual([
      [0, 100, 0, 'DMA', 'present'],
      [100, section, 0, 'DMA', 'unavailable'],
    ]);
  });

  it('has no pages in a simulated machine, nor in a table', () => {
    expect(runsOf([ram(1, 10)], { source: 'simulated' })).toEqual([[1, 10, 0, 'DMA', 'present']]);
    expect(runsOf([ram(1, 10)], { source: 'table', zoned: false })).toEqual([[1, 10, 0, 'Normal', 'present']]);
  });
});

describe('device memory', () => {
  const start = dma32End;

  it('makes no holes of its own, at whatever 2 MiB it begins and ends', () => {
    expect(runsOf([device(start + 512, start + 1024)])).toEqual([[start + 512, start + 1024, 0, 'Device', 'present']]);
  });

  it('that shares a section with RAM takes its pages of the hole, and leaves the others', () => {
    expect(runsOf([device(start + 512, start + 1024), ram(start + 2048, start + section)])).toEqual([
      [start, start + 512, 0, 'Normal', 'unavailable'],
      [start + 512, start + 1024, 0, 'Device', 'present'],
      [start + 1024, start + 2048, 0, 'Normal', 'unavailable'],
      [start + 2048, start + section, 0, 'Normal', 'present'],
    ]);
  });

  it('with an altmap has no descriptors in front of its memmap', () => {
    const altmap = { reservePages: 2, memmapPages: 1534 };
    expect(runsOf([{ ...device(start, start + section), altmap }])).toEqual([
      [start + 2, start + 1536, 0, 'Device', 'altmap'],
      [start + 1536, start + section, 0, 'Device', 'present'],
    ]);
  });

  it.each([
    ['reserves nothing', { reservePages: 0, memmapPages: 512 }, ['altmap', 'present']],
    ['has no memmap', { reservePages: 512, memmapPages: 0 }, ['present']],
    ['leaves no data', { reservePages: 2, memmapPages: section - 2 }, ['altmap']],
  ])('with an altmap that %s has no empty segments', (_, altmap, uses) => {
    const ranges = planRanges(real([{ ...device(start, start + section), altmap }]));
    expect(ranges.map(({ segments }) => segments.map(({ use }) => use))).toEqual([uses]);
  });

  it('whose reserve lies in a section with RAM leaves it to the hole that the boot made of it', () => {
    const altmap = { reservePages: 2, memmapPages: 510 };
    expect(runsOf([ram(start, start + 512), { ...device(start + 512, start + section), altmap }]).slice(0, 3)).toEqual([
      [start, start + 512, 0, 'Normal', 'present'],
      [start + 512, start + 514, 0, 'Normal', 'unavailable'],
      [start + 514, start + 1024, 0, 'Device', 'altmap'],
    ]);
  });
});

describe('memory', () => {
  const start = dma32End;
  const whole = ram(start, start + section);

  it('that is reserved is so in as far as it is memory', () => {
    const reserved = [{ startPfn: start - 10, endPfn: start + 10, what: 'Crash kernel' }];
    expect(runsOf([whole], { reserved })).toEqual([
      [start, start + 10, 0, 'Normal', 'reserved'],
      [start + 10, start + section, 0, 'Normal', 'present'],
    ]);
  });

  it('that is reserved in a hole or on a device changes nothing there', () => {
    const reserved = [{ startPfn: start, endPfn: start + section, what: 'BIOS' }];
    expect(runsOf([device(start, start + 512), ram(start + 1024, start + section)], { reserved })).toEqual([
      [start, start + 512, 0, 'Device', 'present'],
      [start + 512, start + 1024, 0, 'Normal', 'unavailable'],
      [start + 1024, start + section, 0, 'Normal', 'reserved'],
    ]);
  });

  it('that is not mapped is reserved, and was a hole before 5.12', () => {
    const more = { nomap: [{ startPfn: start + 5, endPfn: start + 9 }], platform: 'arm64-4k' as const };
    const useAt = (release: string): unknown =>
      planMachine(real([whole], more), { release }).ranges[0]?.segments.map(({ use }) => use);
    expect(useAt('6.1')).toEqual(['present', 'reserved', 'present']);
    expect(useAt('5.12')).toEqual(['present', 'reserved', 'present']);
    expect(useAt('5.11')).toEqual(['present', 'unavailable', 'present']);
  });

  it('that is not mapped and reserved is not mapped', () => {
    const nomap = [{ startPfn: start + 5, endPfn: start + 9 }];
    const reserved = [
      { startPfn: start + 4, endPfn: start + 6, what: 'x' },
      { startPfn: start + 8, endPfn: start + 10, what: 'y' },
    ];
    const { ranges } = planMachine(real([whole], { nomap, reserved }), { release: '5.11' });
    expect(ranges[0]?.segments.map(({ startPfn, use }) => [startPfn - start, use])).toEqual([
      [0, 'present'],
      [4, 'reserved'],
      [5, 'unavailable'],
      [9, 'reserved'],
      [10, 'present'],
    ]);
  });

  it('of one node that touches is one range, however the machine tells it', () => {
    const ranges = planRanges(real([ram(start, start + 100), ram(start + 100, start + section)]));
    expect(ranges).toEqual([
      {
        nid: 0,
        zone: 2,
        kind: 'ram',
        startPfn: start,
        endPfn: start + section,
        segments: [{ startPfn: start, endPfn: start + section, use: 'present' }],
      },
    ]);
  });

  it('that was added is Movable wherever it lies, owns no hole, and takes its pages of one', () => {
    const added = { ...ram(start + 512, start + section), movable: true };
    expect(runsOf([ram(start, start + 10), added])).toEqual([
      [start, start + 10, 0, 'Normal', 'present'],
      [start + 10, start + 512, 0, 'Normal', 'unavailable'],
      [start + 512, start + section, 0, 'Movable', 'present'],
    ]);
    expect(runsOf([{ ...ram(10, 20), movable: true }])).toEqual([[10, 20, 0, 'Movable', 'present']]);
  });
});

describe('ranges of more than 2^28 pages', () => {
  it('are cut with their segments', () => {
    const TiB = 2 ** 28;
    const reserved = [{ startPfn: 2 * TiB - 3, endPfn: 2 * TiB + 3, what: 'x' }];
    const ranges = planRanges(real([ram(TiB, 2 * TiB + section)], { reserved }));
    expect(ranges.map(({ segments }) => segments.map(({ startPfn, endPfn, use }) => [startPfn, endPfn, use]))).toEqual([
      [
        [TiB, 2 * TiB - 3, 'present'],
        [2 * TiB - 3, 2 * TiB, 'reserved'],
      ],
      [
        [2 * TiB, 2 * TiB + 3, 'reserved'],
        [2 * TiB + 3, 2 * TiB + section, 'present'],
      ],
    ]);
  });

  it.each([
    ['with its data at a multiple of them', 5 * 2 ** 18 - 512],
    ['with its data anywhere', 5 * 2 ** 18],
  ])('of compound pages are cut between two of them, behind an altmap as well, %s', (_, start) => {
    const GiB = 2 ** 18;
    const data = start + 512;
    const memory = [
      { ...device(start, data + 1025 * GiB), compoundPages: GiB, altmap: { reservePages: 2, memmapPages: 510 } },
    ];
    const ranges = planRanges(real(memory));
    expect(ranges.map(({ startPfn, endPfn, compoundPages }) => [startPfn, endPfn, compoundPages])).toEqual([
      [start + 2, data + 1023 * GiB, GiB],
      [data + 1023 * GiB, data + 1025 * GiB, GiB],
    ]);
  });
});

type ZoneEnds = (startPfn: number) => readonly number[];

const GiB64k = 2 ** 14;

/** Platforms with sections and pageblocks of many sizes, under kernels of many ages; where DMA and DMA32 end. */
const kernels: readonly (readonly [platform: PlatformName, release: string, zoneEnds: ZoneEnds])[] = [
  ['power-64k', '6.1', () => []],
  ['power-64k', '5.4', () => []],
  ['power-64k', '5.9', () => []],
  ['power-64k', '4.19', () => [Number.POSITIVE_INFINITY]],
  ['x86-64', '6.1', () => [dmaEnd, dma32End]],
  ['arm64-16k', '6.18', () => [2 ** 18]],
  ['arm64-16k', '5.13', () => [2 ** 18]],
  ['arm64-16k', '5.14', () => [2 ** 18]],
  ['arm64-64k', '5.13', (startPfn) => (startPfn < 4 * GiB64k ? [4 * GiB64k] : [Number.POSITIVE_INFINITY])],
  ['arm64-64k', '5.4', (startPfn) => [0, roundDown(startPfn, 4 * GiB64k) + 4 * GiB64k]],
  [
    'arm64-64k',
    '5.10',
    (startPfn) => [roundDown(startPfn, GiB64k) + GiB64k, roundDown(startPfn, 4 * GiB64k) + 4 * GiB64k],
  ],
];

/** Memory around borders of sections and pageblocks, of up to three nodes and all kinds, and pages of it that are marked. */
function anyMachine(platform: PlatformName, sectionPages: number): fc.Arbitrary<Topology> {
  const { pageblockPages } = platforms[platform];
  const size = fc.oneof(
    fc.constantFrom(1, pageblockPages - 1, pageblockPages, sectionPages - 1, sectionPages, sectionPages + 1),
    fc.integer({ min: 1, max: sectionPages }),
  );
  const extents = fc.array(
    fc.record({
      gap: fc.oneof(fc.constant(0), size),
      pages: size,
      nid: fc.integer({ min: 0, max: 2 }),
      what: fc.constantFrom('ram', 'ram', 'ram', 'device', 'altmap', 'movable'),
    }),
    { maxLength: 8 },
  );
  const marks = fc.array(fc.tuple(size, size), { maxLength: 4 });
  return fc.tuple(extents, marks, marks).map(([list, reserved, nomap]) => {
    let at = 0;
    const memory = list.map(({ gap, pages, nid, what }, index): MemoryExtent => {
      const startPfn = at + gap;
      at = startPfn + pages;
      const extent = { nid, startPfn, endPfn: at };
      if (what === 'ram') return { ...extent, kind: 'ram' };
      if (what === 'movable') return { ...extent, kind: 'ram', movable: true };
      const altmap = { reservePages: Math.min(2, pages), memmapPages: Math.floor(Math.max(0, pages - 2) / 4) };
      return { ...extent, kind: 'device', pgmap: index + 1, ...(what === 'altmap' && { altmap }) };
    });
    const markList = (gaps: [number, number][]): { startPfn: number; endPfn: number }[] => {
      let behind = 0;
      return gaps.map(([gap, pages]) => {
        const startPfn = behind + gap;
        behind = startPfn + pages;
        return { startPfn, endPfn: behind };
      });
    };
    return real(memory, {
      platform,
      reserved: markList(reserved).map((extent) => ({ ...extent, what: 'x' })),
      nomap: markList(nomap),
    });
  });
}

describe.each(kernels)('on %s with Linux %s', (platform, release, zoneEnds) => {
  const rules = kernelRules(platforms[platform], release);
  const zonesOf = ({ memory }: Topology): ((pfn: number) => number) => {
    const ends = zoneEnds(memory.find(({ kind, movable }) => kind === 'ram' && !movable)?.startPfn ?? 0);
    return (pfn) => {
      const zone = ends.findIndex((end) => pfn < end);
      return zone === -1 ? 2 : zone;
    };
  };
  // the slow plan looks at every page
  const numRuns = rules.sectionPages > 1000 ? 10 : 100;

  prop.prop([anyMachine(platform, rules.sectionPages)], { numRuns })(
    'every page frame has the node, zone and use that a plan page by page finds',
    (topology) => {
      expect(segmentRuns(planRanges(topology, { rules }))).toEqual(slowPlan(topology, rules, zonesOf(topology)));
    },
  );

  prop.prop([anyMachine(platform, rules.sectionPages)], { numRuns })(
    'the log counts the pages that a count page by page finds',
    (topology) => {
      const { gaps, totalPages } = planMachine(topology, { release }).unavailable;
      if (rules.unavailable === 'per-zone') {
        expect(gaps.map(({ nid, zone, pages }) => [nid, zone, pages])).toEqual(
          slowLines(topology, rules, zonesOf(topology)),
        );
      } else expect(totalPages).toBe(slowCount(topology, rules));
    },
  );

  prop.prop([anyMachine(platform, rules.sectionPages)], { numRuns })(
    'ranges are sorted and as long as can be, and their segments tile them',
    (topology) => {
      const ranges = planRanges(topology, { rules });
      for (const [index, { startPfn, endPfn, segments, nid, zone, pgmap }] of ranges.entries()) {
        expect(segments.map((segment) => segment.startPfn)).toEqual([
          startPfn,
          ...segments.slice(0, -1).map((segment) => segment.endPfn),
        ]);
        expect(segments.at(-1)?.endPfn).toBe(endPfn);
        expect(
          segments.every((segment, at) => segment.startPfn < segment.endPfn && segment.use !== segments[at - 1]?.use),
        ).toBe(true);
        const ahead = ranges[index - 1];
        expect(startPfn).toBeGreaterThanOrEqual(ahead?.endPfn ?? 0);
        const isAlike = ahead?.nid === nid && ahead.zone === zone && ahead.pgmap === pgmap;
        expect(isAlike && ahead.endPfn === startPfn).toBe(false);
      }
    },
  );
});
