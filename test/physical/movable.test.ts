/** The zone Movable: how what is asked for is spread over nodes, and what zones span with it. */
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { movableStarts, type NodeMemory } from '../../dist/src/physical/movable.js';
import { simulate } from '../../dist/src/physical/simulate.js';
import type { MemoryExtent, Topology } from '../../dist/src/physical/topology.js';
import { planRanges, zoneNames, zoneSpans } from '../../dist/src/physical/zones.js';

const MiB = 256;
const GiB = 1024 * MiB;
const block = 4 * MiB;

const ram = (startPfn: number, endPfn: number, nid = 0): MemoryExtent => ({ nid, kind: 'ram', startPfn, endPfn });
const real = (...memory: MemoryExtent[]): Topology => ({
  source: 'iomem-file',
  nodes: [],
  memory,
  zoned: true,
  notes: [],
});

/** What is Movable, as [nid, first pfn, pages]. */
function movableOf(topology: Topology, movablePages: number): number[][] {
  return planRanges(topology, { movablePages })
    .filter(({ zone }) => zoneNames[zone] === 'Movable')
    .map(({ nid, startPfn, endPfn }) => [nid, startPfn, endPfn - startPfn]);
}

describe('what is asked for is taken', () => {
  it('from the top of a node', () => {
    expect(movableOf(simulate('1x16GiB', []), 4 * GiB)).toEqual([[0, 12 * GiB, 4 * GiB]]);
  });

  it('evenly from nodes of one size, the first of which has its low zones', () => {
    expect(movableOf(simulate('2x16GiB', []), 8 * GiB)).toEqual([
      [0, 12 * GiB, 4 * GiB],
      [1, 28 * GiB, 4 * GiB],
    ]);
  });

  it('from larger nodes alone where a small one would have no memory for the kernel left', () => {
    // 30 GiB are the kernel's, 10 from each node; node 1 has but 2
    expect(movableOf(simulate('1x20GiB,1x2GiB,1x20GiB', []), 12 * GiB)).toEqual([
      [0, 14 * GiB, 6 * GiB],
      [2, 36 * GiB, 6 * GiB],
    ]);
  });

  it('never below 4 GiB, when the machine has memory above', () => {
    expect(movableOf(simulate('1x4GiB,1x4GiB', []), 7 * GiB)).toEqual([[1, 4 * GiB, 4 * GiB]]);
    expect(movableOf(simulate('1x6GiB', []), 5 * GiB)).toEqual([[0, 4 * GiB, 2 * GiB]]);
  });

  it('in DMA32, when that is the highest zone', () => {
    expect(movableOf(simulate('1x2GiB', []), GiB)).toEqual([[0, GiB, GiB]]);
  });

  it('in whole blocks of 4 MiB: rounded up as a sum, and again where the zone begins', () => {
    expect(movableOf(simulate('1x16GiB', []), 1)).toEqual([[0, 16 * GiB - block, block]]);
    expect(movableOf(simulate('1x16GiB', []), block)).toEqual([[0, 16 * GiB - block, block]]);
    expect(movableOf(simulate('1x16GiB', []), block + 1)).toEqual([[0, 16 * GiB - 2 * block, 2 * block]]);
    // half a block of each node would be left
    expect(movableOf(simulate('2x16GiB', []), block)).toEqual([]);
  });

  it('in blocks of the platform', () => {
    const topology: Topology = { ...real(ram(2 ** 20, 2 ** 20 + 2 ** 20)), platform: 'arm64-64k' };
    expect(movableOf(topology, 1)).toEqual([[0, 2 ** 21 - 8192, 8192]]);
  });

  it('across the holes of a node', () => {
    expect(movableOf(real(ram(0, 8 * GiB), ram(10 * GiB, 11 * GiB)), 3 * GiB)).toEqual([
      [0, 6 * GiB, 2 * GiB],
      [0, 10 * GiB, GiB],
    ]);
  });

  it('and what is left of the last section is Movable then', () => {
    const ranges = planRanges(real(ram(0, 8 * GiB - 100)), { movablePages: GiB });
    expect(ranges.at(-1)).toMatchObject({ zone: 3, startPfn: 7 * GiB, endPfn: 8 * GiB });
  });

  it.each([
    ['nothing', 0],
    ['all', 32 * GiB],
    ['more than all', 33 * GiB],
    ['all but less than a block', 32 * GiB - 1],
  ])('nowhere, as Linux has it, when %s is to be movable', (_, movablePages) => {
    expect(movableOf(simulate('2x16GiB', []), movablePages)).toEqual([]);
  });

  it('of RAM only: device memory stays Device', () => {
    expect(movableOf(simulate('1x16GiB:pmem', []), GiB)).toEqual([]);
    expect(movableOf(simulate('1x16GiB,1x16GiB:pmem', []), 4 * GiB)).toEqual([[0, 12 * GiB, 4 * GiB]]);
  });

  it.each([-1, 0.5, Number.NaN])('and %s is refused', (movablePages) => {
    expect(() => planRanges(simulate('1x16GiB', []), { movablePages })).toThrow(
      new RangeError(`movablePages must be a whole number from 0 on, not ${movablePages}`),
    );
  });
});

describe('zones of a node with Movable', () => {
  it('end where it begins, and it ends with the node', () => {
    const spans = zoneSpans(real(ram(1, 3 * GiB), ram(4 * GiB, 9 * GiB)), { movablePages: 2 * GiB });
    expect(
      spans.map(({ zone, startPfn, spannedPages, presentPages }) => [
        zoneNames[zone],
        startPfn,
        spannedPages,
        presentPages,
      ]),
    ).toEqual([
      ['DMA', 1, 4095, 4095],
      ['DMA32', 4096, 4 * GiB - 4096, 3 * GiB - 4096],
      // 6 GiB − 1 are the kernel's, and rounding up takes one more
      ['Normal', 4 * GiB, 3 * GiB, 3 * GiB],
      ['Movable', 7 * GiB, 2 * GiB, 2 * GiB],
    ]);
  });

  it('are all Movable above it: the zone that it begins with has nothing', () => {
    const spans = zoneSpans(simulate('1x4GiB,1x4GiB', []), { movablePages: 7 * GiB });
    expect(spans.map(({ nid, zone }) => [nid, zoneNames[zone]])).toEqual([
      [0, 'DMA'],
      [0, 'DMA32'],
      [1, 'Movable'],
    ]);
  });

  it('that memory was added to span both', () => {
    const added = { ...ram(100 * GiB, 101 * GiB), movable: true };
    const movable = zoneSpans(real(ram(0, 8 * GiB), added), { movablePages: GiB }).at(-1);
    expect(movable).toMatchObject({ zone: 3, startPfn: 7 * GiB, spannedPages: 94 * GiB, presentPages: 2 * GiB });
  });

  it('is not asked to give way to memory that was added later', () => {
    const added = { ...ram(100 * GiB, 200 * GiB), movable: true };
    expect(movableOf(real(ram(0, 8 * GiB), added), GiB)).toEqual([
      [0, 7 * GiB, GiB],
      [0, 100 * GiB, 100 * GiB],
    ]);
  });
});

/** The same by counting pages one at a time: how many of each node, from its low end, are the kernel's. */
function slowStarts(nodes: readonly NodeMemory[], movable: number, usable: number): Map<number, number> {
  const pages = nodes.map(({ extents }) =>
    extents.flatMap(({ startPfn, endPfn }) =>
      Array.from({ length: endPfn - startPfn }, (_, index) => startPfn + index),
    ),
  );
  const total = pages.flat().length;
  let required = total - Math.min(total, Math.ceil(movable / 8) * 8);
  const starts = new Map<number, number>();
  if (required === 0 || required === total) return starts;
  const taken = nodes.map(() => 0);
  for (let left = nodes.length; left > 0 && (left === nodes.length || required > left); left--) {
    let share = Math.floor(required / left);
    for (const [index, own] of pages.entries()) {
      if (required < share) share = Math.floor(required / left);
      let rest = share;
      const take = (): void => {
        taken[index] = (taken[index] as number) + 1;
        required = Math.max(0, required - 1);
        rest = Math.max(0, rest - 1);
      };
      while ((own[taken[index] as number] ?? usable) < usable) take();
      const stopped = rest === 0 && own[taken[index] as number];
      while (rest > 0 && (taken[index] as number) < own.length) take();
      const at = taken[index] as number;
      starts.set((nodes[index] as NodeMemory).nid, stopped || (own[at - 1] as number) + 1);
    }
  }
  for (const { nid, endPfn } of nodes) {
    const start = Math.ceil((starts.get(nid) ?? 0) / 8) * 8;
    if (start === 0 || start >= endPfn) starts.delete(nid);
    else starts.set(nid, start);
  }
  return starts;
}

const anyNodes = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 4 })), {
    minLength: 1,
    maxLength: 10,
  })
  .map((list): NodeMemory[] => {
    let at = 0;
    const byNid = new Map<number, { startPfn: number; endPfn: number }[]>();
    for (const [gap, count, nid] of list) {
      const extent = { startPfn: at + gap, endPfn: at + gap + count };
      at = extent.endPfn;
      byNid.set(nid, [...(byNid.get(nid) ?? []), extent]);
    }
    return [...byNid]
      .sort(([a], [b]) => a - b)
      .map(([nid, extents]) => ({
        nid,
        extents,
        startPfn: extents[0]?.startPfn as number,
        endPfn: extents.at(-1)?.endPfn as number,
      }));
  });

prop.prop([anyNodes, fc.integer({ min: 0, max: 400 }), fc.integer({ min: 0, max: 40 })], { numRuns: 1000 })(
  'Movable begins where counting page by page has it begin',
  (nodes, movablePages, usableBlocks) => {
    const usableStartPfn = usableBlocks * 8;
    expect(movableStarts(nodes, { movablePages, blockPages: 8, usableStartPfn })).toEqual(
      slowStarts(nodes, movablePages, usableStartPfn),
    );
  },
);

prop.prop([anyNodes, fc.integer({ min: 0, max: 2 ** 23 })], { numRuns: 300 })(
  'every page is in the span of its zone, and zones have present what the ranges do',
  (nodes, movablePages) => {
    // from 1 MiB to some 60 GiB, in extents of 32 MiB and more that end anywhere
    const memory = nodes
      .flatMap(({ nid, extents }) =>
        extents.map(({ startPfn, endPfn }) => ram(startPfn * 8200 + 256, endPfn * 8200 + 255 - (startPfn % 7), nid)),
      )
      .sort((a, b) => a.startPfn - b.startPfn);
    const topology = real(...memory);
    const spans = zoneSpans(topology, { movablePages });
    const present = new Map<string, number>();
    for (const { nid, zone, segments } of planRanges(topology, { movablePages })) {
      const span = spans.find((candidate) => candidate.nid === nid && candidate.zone === zone);
      for (const { startPfn, endPfn, use } of segments) {
        if (use === 'unavailable') continue;
        expect(startPfn).toBeGreaterThanOrEqual(span?.startPfn ?? Number.POSITIVE_INFINITY);
        expect(endPfn).toBeLessThanOrEqual((span?.startPfn ?? 0) + (span?.spannedPages ?? 0));
        present.set(`${nid} ${zone}`, (present.get(`${nid} ${zone}`) ?? 0) + endPfn - startPfn);
      }
    }
    const told = spans.filter(({ presentPages }) => presentPages > 0);
    expect(Object.fromEntries(told.map(({ nid, zone, presentPages }) => [`${nid} ${zone}`, presentPages]))).toEqual(
      Object.fromEntries(present),
    );
  },
);
