/** The plan of a whole machine: its zones and nodes, and what every number of it counts. */
import { describe, expect, it } from 'vitest';
import { kernelRules } from '../../dist/src/physical/kernel-rules.js';
import { planMachine } from '../../dist/src/physical/machine-plan.js';
import { platforms } from '../../dist/src/physical/platforms.js';
import { simulate } from '../../dist/src/physical/simulate.js';
import type { MemoryExtent, Topology } from '../../dist/src/physical/topology.js';
import { planRanges, zoneNames, zoneSpans } from '../../dist/src/physical/zones.js';

const ram = (startPfn: number, endPfn: number, nid = 0): MemoryExtent => ({ nid, kind: 'ram', startPfn, endPfn });
const device = (startPfn: number, endPfn: number, nid = 0, pgmap = 1): MemoryExtent => ({
  nid,
  kind: 'device',
  startPfn,
  endPfn,
  pgmap,
});
const real = (memory: readonly MemoryExtent[], more: Partial<Topology> = {}): Topology => ({
  source: 'iomem-file',
  nodes: [...new Set(memory.map(({ nid }) => nid))].sort().map((nid) => ({ nid, cpus: [] })),
  memory,
  zoned: true,
  notes: [],
  ...more,
});

const section = 32_768;
const GiB = 2 ** 18;

describe('the plan of a machine', () => {
  const topology = real([ram(1, 0x9f), ram(0x100, 3 * GiB - 5), ram(4 * GiB, 8 * GiB), ram(8 * GiB, 16 * GiB, 1)]);
  const plan = planMachine(topology);

  it('has the ranges and zones that are to be had alone', () => {
    expect(plan.ranges).toEqual(planRanges(topology));
    expect(plan.zones).toEqual(zoneSpans(topology));
  });

  it('tells zones of the machine, empty ones with both ends 0', () => {
    const names = (told: typeof plan.zoneRanges): unknown =>
      told.map(({ zone, startPfn, endPfn }) => [zoneNames[zone], startPfn, endPfn]);
    expect(names(plan.zoneRanges)).toEqual([
      ['DMA', 1, 4096],
      ['DMA32', 4096, 4 * GiB],
      ['Normal', 4 * GiB, 16 * GiB],
      ['Device', 0, 0],
    ]);
    expect(names(planMachine(real([device(0, section)])).zoneRanges)).toEqual([
      ['DMA', 0, 0],
      ['DMA32', 0, 0],
      ['Normal', 0, 0],
      ['Device', 0, 0],
    ]);
  });

  it('counts for each node what its pages are', () => {
    expect(plan.nodes).toEqual([
      {
        nid: 0,
        cpus: [],
        startPfn: 1,
        endPfn: 8 * GiB,
        presentPages: 158 + 3 * GiB - 5 - 256 + 4 * GiB,
        unavailablePages: 1 + 97 + 5,
        reservedPages: 0,
        memmapBytes: 7 * GiB * 64,
        memmapVirtual: { startByte: 0, endByte: 8 * GiB * 64 },
      },
      {
        nid: 1,
        cpus: [],
        startPfn: 8 * GiB,
        endPfn: 16 * GiB,
        presentPages: 8 * GiB,
        unavailablePages: 0,
        reservedPages: 0,
        memmapBytes: 8 * GiB * 64,
        memmapVirtual: { startByte: 8 * GiB * 64, endByte: 16 * GiB * 64 },
      },
    ]);
  });

  it('lists the gaps that the log would, and adds them up', () => {
    expect(plan.unavailable).toEqual({
      rule: 'per-zone',
      totalPages: 103,
      gaps: [
        { startPfn: 0, endPfn: 1, nid: 0, zone: 0, pages: 1 },
        { startPfn: 0x9f, endPfn: 0x100, nid: 0, zone: 0, pages: 97 },
        { startPfn: 3 * GiB - 5, endPfn: 4 * GiB, nid: 0, zone: 2, pages: 5 },
      ],
    });
  });
});

describe('the kernel', () => {
  const topology = real([ram(GiB, GiB + 10)]);

  it('is the one asked for, else the one found on the machine, else that of the default profile', () => {
    const releaseOf = (...args: Parameters<typeof planMachine>): string => planMachine(...args).rules.release;
    expect(releaseOf(topology)).toBe('6.1');
    expect(releaseOf({ ...topology, kernel: '5.4' })).toBe('5.4');
    expect(releaseOf({ ...topology, kernel: '5.4' }, { release: '4.19' })).toBe('4.19');
  });

  it('that was found with a release nobody can read is refused', () => {
    expect(() => planMachine({ ...topology, kernel: 'zen' })).toThrow(/^release must begin with .* not "zen"$/);
  });

  it('decides what is counted, and not what is planned', () => {
    const plans = ['4.19', '5.5', '5.11', '6.1'].map((release) => planMachine(topology, { release }));
    expect(plans.map(({ unavailable }) => unavailable.totalPages)).toEqual([0, 0, section - 10, section - 10]);
    expect(new Set(plans.map(({ ranges }) => JSON.stringify(ranges))).size).toBe(1);
  });

  it('is one of the same platform', () => {
    expect(() => planRanges(topology, { rules: kernelRules(platforms['arm64-4k'], '6.1') })).toThrow(
      new RangeError('rules are those of arm64-4k, and the topology is one of x86-64'),
    );
  });

  it('counts of reserved pages only those that are no memory and share a section with some', () => {
    const reserved = [
      { startPfn: GiB - 5, endPfn: GiB + 3, what: 'x' },
      { startPfn: GiB + 9, endPfn: GiB + 20, what: 'y' },
      { startPfn: GiB + section - 1, endPfn: GiB + section + 7, what: 'z' },
    ];
    expect(planMachine({ ...topology, reserved }, { release: '4.19' }).unavailable).toEqual({
      rule: 'memblock-reserved',
      totalPages: 10 + 1,
      gaps: [
        { startPfn: GiB + 10, endPfn: GiB + 20, nid: 0, zone: 1, pages: 10 },
        { startPfn: GiB + section - 1, endPfn: GiB + section + 7, nid: 0, zone: 1, pages: 1 },
      ],
    });
  });

  it('had page descriptors of 56 bytes once: its memmap takes less', () => {
    const { nodes, zones } = planMachine(topology, { release: '4.0' });
    expect(nodes[0]).toMatchObject({ memmapBytes: section * 56, memmapVirtual: { startByte: GiB * 56 } });
    expect(zones[0]).toMatchObject({ presentPages: 10, memmapPages: 1 });
  });
});

describe('nodes', () => {
  it('without memory have neither start nor end, and those without CPUs are nodes all the same', () => {
    const nodes = [
      { nid: 0, cpus: [0, 1] },
      { nid: 1, cpus: [] },
      { nid: 5, cpus: [7] },
    ];
    const plan = planMachine(real([ram(GiB, 2 * GiB, 1)], { nodes }));
    const none = { startPfn: undefined, endPfn: undefined, presentPages: 0, memmapBytes: 0, memmapVirtual: undefined };
    expect(plan.nodes).toMatchObject([
      { nid: 0, cpus: [0, 1], ...none },
      { nid: 1, cpus: [], startPfn: GiB, endPfn: 2 * GiB },
      { nid: 5, cpus: [7], ...none },
    ]);
  });

  it('that have memory and are not listed are nodes without CPUs', () => {
    expect(planMachine(real([ram(GiB, 2 * GiB, 9)], { nodes: [] })).nodes).toMatchObject([{ nid: 9, cpus: [] }]);
  });

  it('of device memory have no RAM', () => {
    const [node] = planMachine(real([device(GiB, 2 * GiB, 3)])).nodes;
    expect(node).toMatchObject({ nid: 3, startPfn: undefined, presentPages: 0, memmapBytes: 0 });
  });

  it('that interleave have each the sections of its own runs, and the zones of both span both', () => {
    const runs = [0, 1, 0, 1].map((nid, index) => ram((4 + index) * GiB, (5 + index) * GiB, nid));
    const plan = planMachine(real(runs));
    expect(plan.ranges.map(({ nid, startPfn }) => [nid, startPfn / GiB])).toEqual([
      [0, 4],
      [1, 5],
      [0, 6],
      [1, 7],
    ]);
    expect(plan.nodes.map(({ presentPages, memmapBytes }) => [presentPages, memmapBytes])).toEqual([
      [2 * GiB, 2 * GiB * 64],
      [2 * GiB, 2 * GiB * 64],
    ]);
  });

  it('that meet inside a section: the first pays for it, and what lies between them is of the second', () => {
    const start = 4 * GiB;
    const plan = planMachine(real([ram(start, start + 100), ram(start + 200, start + section + 1, 1)]));
    expect(plan.nodes.map(({ memmapBytes, unavailablePages }) => [memmapBytes / 64, unavailablePages])).toEqual([
      [section, 0],
      [section, 100 + section - 1],
    ]);
  });

  it('count what is reserved of their memory', () => {
    const reserved = [{ startPfn: GiB - 1, endPfn: GiB + 7, what: 'x' }];
    expect(planMachine(real([ram(GiB, 2 * GiB)], { reserved })).nodes[0]).toMatchObject({ reservedPages: 7 });
  });

  it('count memory that was added later, and its sections', () => {
    const added = { ...ram(10 * GiB, 12 * GiB), movable: true };
    expect(planMachine(real([ram(GiB, 2 * GiB), added])).nodes[0]).toMatchObject({
      startPfn: GiB,
      endPfn: 12 * GiB,
      presentPages: 3 * GiB,
      memmapBytes: 3 * GiB * 64,
    });
  });
});

describe('a machine that is made up', () => {
  it('has no unavailable pages, and exactly those that were asked for', () => {
    const plan = planMachine(simulate('1x5MiB,1x1MiB:pmem', []));
    expect(plan.unavailable).toEqual({ rule: 'per-zone', totalPages: 0, gaps: [] });
    expect(plan.ranges.map(({ startPfn, endPfn }) => [startPfn, endPfn])).toEqual([
      [0, 1280],
      [1280, 1536],
    ]);
  });
});

describe('a wrong topology', () => {
  const memory = [ram(GiB, 2 * GiB)];
  const pmem = device(GiB, 2 * GiB);
  it.each<[string, Partial<Topology>, string]>([
    [
      'reserved pages that overlap',
      {
        reserved: [
          { startPfn: 0, endPfn: 5, what: '' },
          { startPfn: 4, endPfn: 6, what: '' },
        ],
      },
      'topology.reserved[1] begins at pfn 4, before the end of the one ahead of it, 5',
    ],
    [
      'nomap pages out of nowhere',
      { nomap: [{ startPfn: 7, endPfn: 7 }] },
      'topology.nomap[0] is empty or negative: [7, 7)',
    ],
    [
      'pages beyond the addresses of its platform',
      { platform: 'power-64k', memory: [ram(0, 2 ** 35 + 1)] },
      'topology.memory[0] ends at pfn 34359738369, beyond 2^51 bytes',
    ],
    [
      'a mode nobody knows',
      { memory: [{ ...pmem, mode: 'raw' as 'fsdax' }] },
      "topology.memory[0] has mode raw; it is 'fsdax' or 'devdax'",
    ],
    [
      'an altmap larger than the device',
      { memory: [{ ...pmem, altmap: { reservePages: 2, memmapPages: GiB - 1 } }] },
      `topology.memory[0] has an altmap of 2 and ${GiB - 1} pages, which is not inside it`,
    ],
    [
      'an altmap of no whole pages',
      { memory: [{ ...pmem, altmap: { reservePages: 0.5, memmapPages: 1 } }] },
      'topology.memory[0] has an altmap of 0.5 and 1 pages',
    ],
    [
      'compound pages of 3',
      { memory: [{ ...pmem, compoundPages: 3 }] },
      'has compoundPages 3; it is a power of two of at most 2^28',
    ],
    ['compound pages of 0', { memory: [{ ...pmem, compoundPages: 0 }] }, 'has compoundPages 0; it is a power of two'],
    ['compound pages of 2^29', { memory: [{ ...pmem, compoundPages: 2 ** 29 }] }, 'has compoundPages 536870912'],
    [
      'device memory that is movable',
      { memory: [{ ...pmem, movable: true }] },
      'topology.memory[0] is movable; only RAM can be',
    ],
  ])('with %s is refused', (_, change, message) => {
    const plan = (): unknown => planMachine(real(memory, change));
    expect(plan).toThrow(RangeError);
    expect(plan).toThrow(message);
  });

  it.each([
    [{ reserved: 5 }, 'topology.reserved must be a list of extents'],
    [{ nomap: [null] }, 'topology.nomap[0] is no extent'],
  ])('whose lists are none is refused: %j', (change, message) => {
    expect(() => planMachine(real(memory, change as unknown as Partial<Topology>))).toThrow(new TypeError(message));
  });
});
