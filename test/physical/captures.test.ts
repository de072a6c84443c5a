/**
 * Real machines: what their kernels said when they booted, number by number, beside what is planned for the same memory. Every
 * number of a capture is either compared or listed with the reason why the capture cannot tell it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type MachinePlan, planMachine } from '../../dist/src/physical/machine-plan.js';
import type { Topology } from '../../dist/src/physical/topology.js';
import { zoneNames } from '../../dist/src/physical/zones.js';

/** A number in the answers of a capture, or a word, by where it stands. */
type Leaf = readonly [path: string, value: unknown];
type Answers = Readonly<Record<string, unknown>>;

interface Capture {
  readonly capture: string;
  readonly release?: string;
  readonly topology: Omit<Topology, 'source' | 'notes'>;
  readonly answers: Answers;
}

interface Extent {
  readonly nid: number;
  readonly startPfn: number;
  readonly endPfn: number;
}

const directory = new URL('../fixtures/machines/', import.meta.url);
const captures = readdirSync(directory)
  .filter((name) => name.endsWith('.json'))
  .map((name) => JSON.parse(readFileSync(new URL(name, directory), 'utf8')) as Capture);

/** Why a number is not compared; the first pattern that matches tells it. */
const reasons: readonly (readonly [capture: RegExp, path: RegExp, reason: string])[] = [
  [/./, /^zones\.\d+\.\d\.reservedPages$/, 'how much memblock had given out below 16 MiB; the log does not tell what'],
  [/./, /^zones\.\d+\.\d\.managedPages$/, 'what was free once the kernel had booted'],
  [/./, /^memory\.(availableKib|reservedKib)$/, 'what was free once the kernel had booted'],
  [/./, /^memoryBlockBytes$/, 'the size of memory blocks in sysfs: no page frame depends on it'],
  [/./, /^deferred\./, 'times; and the pages were those that were still free'],
  [
    /x86-hp-dl585g7/,
    /^totalPages$/,
    'without what memblock had given out below 16 MiB, which this kernel does not print',
  ],
  [/x86-optane-ndctl-list/, /^mapDev\./, 'namespaces of two machines that the topology is not of'],
];

/** Words that say which kind of answer follows, and names of things: no answers. */
const labels = /\.(nid|zone)$/;

function leavesOf(value: unknown, path = ''): Leaf[] {
  if (typeof value !== 'object' || value === null) return [[path, value]];
  return Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, path === '' ? key : `${path}.${key}`));
}

/** Keyed by what they are of, so that a path names the node and zone instead of a place in a list. */
function byName({ nodes, zones, zoneRanges, ...rest }: Answers): Answers {
  const listOf = (list: unknown): Record<string, number>[] => (list ?? []) as Record<string, number>[];
  const key = (list: unknown, keyOf: (item: Record<string, number>) => string): Answers =>
    Object.fromEntries(listOf(list).map((item) => [keyOf(item), item]));
  return {
    ...rest,
    nodes: key(nodes, ({ nid }) => `${nid}`),
    zones: key(zones, ({ nid, zone }) => `${nid}.${zone}`),
    zoneRanges: key(zoneRanges, ({ zone }) => `${zone}`),
  };
}

/** Touching extents of one node, which a kernel keeps apart when they differ in flags, joined. */
function joined(extents: readonly Extent[]): Extent[] {
  const list: Extent[] = [];
  for (const { nid, startPfn, endPfn } of extents) {
    const last = list.at(-1);
    if (last && last.nid === nid && last.endPfn === startPfn) list[list.length - 1] = { ...last, endPfn };
    else list.push({ nid, startPfn, endPfn });
  }
  return list;
}

/** Pages of the plan that are memory, without those in holes, as runs of one node. */
function memoryOf(plan: MachinePlan): Extent[] {
  const runs = plan.ranges
    .filter(({ kind }) => kind === 'ram')
    .flatMap(({ nid, segments }) =>
      segments.filter(({ use }) => use !== 'unavailable').map((run) => ({ ...run, nid })),
    );
  return joined(runs);
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

function reservedInDma(plan: MachinePlan): number {
  const runs = plan.ranges.filter(({ zone }) => zone === 0).flatMap(({ segments }) => segments);
  return sum(runs.filter(({ use }) => use === 'reserved').map(({ startPfn, endPfn }) => endPfn - startPfn));
}

/** What the plan says of the answers, under the same names. */
function plannedAnswers(plan: MachinePlan, { topology, answers }: Capture): Answers {
  const pageBytes = plan.platform.pageSizeBytes;
  const devices = topology.memory.filter(({ kind }) => kind === 'device');
  // a namespace of more than 1 TiB is several ranges
  const bytesOf = (use: string): number[] =>
    devices.map(({ pgmap }) =>
      sum(
        plan.ranges
          .filter((range) => range.pgmap === pgmap)
          .flatMap(({ segments }) => segments.filter((run) => run.use === use))
          .map(({ startPfn, endPfn }) => (endPfn - startPfn) * pageBytes),
      ),
    );
  const reserveBytes = devices.map(({ altmap }) => (altmap?.reservePages ?? 0) * pageBytes);
  const isMapMem = devices.every(({ altmap }) => altmap === undefined);
  const presentPages = sum(plan.nodes.map((node) => node.presentPages));
  // until 6.10 the memmap did not count, nor what was reserved below 16 MiB: some logs print that, and of the others all is known
  const printed = ((answers['zones'] ?? []) as { reservedPages?: number }[]).map(
    ({ reservedPages = 0 }) => reservedPages,
  );
  const memmapPages = sum(plan.zones.map((span) => span.memmapPages ?? 0));
  const lowReserved = printed.length > 0 ? sum(printed) : reservedInDma(plan);
  const isRecent = Number.parseInt(plan.rules.release, 10) >= 6;
  const zoneOf = (nid: number, zone: number): Record<string, unknown> => {
    const span = plan.zones.find((candidate) => candidate.nid === nid && candidate.zone === zone);
    return { nid, zone, ...(span ?? { spannedPages: 0, presentPages: 0 }) };
  };
  return {
    nodes: plan.nodes.map(({ presentPages: totalPages, ...node }) => ({ ...node, totalPages })),
    zones: plan.nodes.flatMap(({ nid }) => zoneNames.map((_, zone) => zoneOf(nid, zone))),
    zoneRanges: plan.zoneRanges,
    unavailable: {
      rule: plan.rules.unavailable.replace('-with-tail', ''),
      totalPages: plan.unavailable.totalPages,
      lines: plan.unavailable.gaps.map(({ nid, zone, pages }) => ({ nid, zone, pages })),
    },
    totalPages: isRecent ? presentPages : presentPages - memmapPages - lowReserved,
    memory: { totalKib: (presentPages * pageBytes) / 1024 },
    vmemmapBytes: bytesOf('altmap').map((bytes, index) => bytes + (reserveBytes[index] as number)),
    // with map=mem the first 2 MiB of a namespace are its info block, and have descriptors like the rest
    dataBytes: bytesOf('present').map((bytes) => (isMapMem ? bytes - 2 * 2 ** 20 : bytes)),
    namespaceBytes: bytesOf('present'),
  };
}

describe.each(captures)('$capture', (capture) => {
  const { topology, release } = capture;
  const plan = planMachine({ source: 'iomem-file', notes: [], ...topology }, { release });
  const planned = new Map(leavesOf(byName(plannedAnswers(plan, capture))));
  const answers = leavesOf(byName(capture.answers)).filter(([path]) => !labels.test(path));
  const reasonOf = (path: string): string | undefined =>
    reasons.find(([name, pattern]) => name.test(capture.capture) && pattern.test(path))?.[2];
  // early ranges are compared below, joined: the plan keeps nothing apart for its flags
  const compared = answers.filter(([path]) => reasonOf(path) === undefined && !path.startsWith('earlyRanges.'));

  it('is planned as its kernel did it, number by number', () => {
    expect(compared.map(([path]) => [path, planned.get(path)])).toEqual(compared);
  });

  it('has no memory on the nodes that the log calls memoryless', () => {
    const nodes = (capture.answers['nodes'] ?? []) as { nid: number; startPfn?: number }[];
    const without = nodes.filter(
      ({ startPfn }) => startPfn === undefined && nodes.some((node) => node.startPfn !== undefined),
    );
    const memoryless = new Set(plan.nodes.filter(({ startPfn }) => startPfn === undefined).map(({ nid }) => nid));
    expect(without.map(({ nid }) => memoryless.has(nid))).toEqual(without.map(() => true));
  });

  it('has the memory that the log lists', () => {
    const boot = topology.memory.filter(({ kind, movable }) => kind === 'ram' && !movable);
    const listed = (capture.answers['earlyRanges'] as Extent[] | undefined) ?? boot;
    expect(joined(boot)).toEqual(joined(listed));
    if (plan.rules.nomapIsHole && topology.nomap) return;
    const added = topology.memory.filter(({ movable }) => movable);
    const inOrder = [...listed, ...added].sort((a, b) => a.startPfn - b.startPfn);
    expect(memoryOf(plan)).toEqual(joined(inOrder));
  });

  it('has as many lines on unavailable pages as the plan has gaps, where the log has lines', () => {
    const { unavailable } = capture.answers as { unavailable?: { rule: string; lines: unknown[] } };
    if (unavailable?.rule !== 'per-zone') return;
    expect(plan.unavailable.gaps).toHaveLength(unavailable.lines.length);
  });
});

it('each reason is needed by some capture', () => {
  const needed = reasons.filter(([name, pattern]) =>
    captures.some(
      ({ capture, answers }) => name.test(capture) && leavesOf(byName(answers)).some(([path]) => pattern.test(path)),
    ),
  );
  expect(needed).toEqual(reasons);
});

describe('numbers of boot logs', () => {
  const planOf = (name: string, release?: string, change: Partial<Topology> = {}): MachinePlan => {
    const { topology, ...capture } = captures.find((candidate) => candidate.capture.startsWith(name)) as Capture;
    return planMachine(
      { source: 'iomem-file', notes: [], ...topology, ...change },
      { release: release ?? capture.release },
    );
  };
  const pagesOf = (plan: MachinePlan): number[] => plan.unavailable.gaps.map(({ pages }) => pages);

  it.each([
    ['x86-sun-x4600m2', 200],
    ['x86-supermicro', 104],
    ['x86-amd-memoryless', 46_490],
    ['arm64-tx2', 440],
    ['arm64-huawei-d06', 0],
    ['ppc64', 0],
  ])('%s: %i pages in all are unavailable', (name, pages) => {
    expect(planOf(name).unavailable.totalPages).toBe(pages);
  });

  it.each([
    ['x86-hp-dl585g7', [1, 100, 64, 8625, 4097]],
    ['x86-optane-2s', [1, 1, 96, 21_466, 2048]],
    ['x86-hpz8', [1, 2, 96, 9261, 2048, 13_824, 6608]],
    ['arm64-hpe-apollo70', [752, 4096, 12_288]],
    ['arm64-rpi5', [256]],
  ])('%s: gap by gap %j pages are unavailable', (name, pages) => {
    expect(pagesOf(planOf(name))).toEqual(pages);
  });

  it('a hole that a zone ends in is charged to the zone above: 8625 pages below 4 GiB to Normal', () => {
    const gap = planOf('x86-hp-dl585g7').unavailable.gaps[3];
    expect(gap).toEqual({ startPfn: 0xbde4f, endPfn: 0x100000, nid: 0, zone: 2, pages: 8625 });
  });

  it('from 5.6 on the pages behind the last memory are counted, too: 46490 become 50586', () => {
    expect(planOf('x86-amd-memoryless', '5.5').unavailable.totalPages).toBe(46_490);
    expect(planOf('x86-amd-memoryless', '5.6').unavailable.totalPages).toBe(50_586);
  });

  it('before 5.12 memory that is not mapped is a hole: which of two ranges that touch it is decides between 440 and 7988', () => {
    const { answers } = captures.find(({ capture }) => capture.startsWith('arm64-tx2')) as Capture;
    // they alternate while they touch, for nothing else keeps them apart
    const isOdd: boolean[] = [];
    const ranges = answers['earlyRanges'] as Extent[];
    for (const [index, { nid, startPfn }] of ranges.entries()) {
      const ahead = ranges[index - 1];
      const touches = ahead?.nid === nid && ahead.endPfn === startPfn;
      isOdd.push(index === 0 || (touches && !isOdd.at(-1)));
    }
    const low = ranges.filter(({ endPfn }) => endPfn <= 0x10000);
    const even = low.filter((_, index) => !isOdd[index]);
    expect(
      planOf('arm64-tx2', undefined, { nomap: low.filter((_, index) => isOdd[index]) }).unavailable.totalPages,
    ).toBe(440);
    expect(planOf('arm64-tx2', undefined, { nomap: even }).unavailable.totalPages).toBe(7988);
  });

  it('the memmap of a node with 32 GiB takes whole sections: 536870912 bytes', () => {
    expect(planOf('x86-vm-2node').nodes.map(({ memmapBytes }) => memmapBytes)).toEqual([536_870_912, 536_870_912]);
  });

  it('a section of two nodes is paid by the first: the border of the ThunderX2 lies inside one', () => {
    const sections = planOf('arm64-hpe-apollo70').nodes.map(({ memmapBytes }) => memmapBytes / (64 * 32_768));
    // node 0: below 4 GiB, and up to the border, whose section it pays; node 1: the rest of that one is paid
    expect(sections).toEqual([16 + 240, 0 + 256]);
  });

  it('Power: the memmap of each of 16 nodes takes so many pages of 64 KiB', () => {
    const pages = planOf('ppc64').zones.map(({ memmapPages }) => memmapPages);
    const most = 31_220;
    expect(pages).toEqual([32_468, 32_720, 32_712, 23_464, ...new Array(9).fill(most), 31_216, most, most]);
  });

  it('the same machine is told in other words by other kernels', () => {
    expect(planOf('x86-hp-dl585g7', '4.19').unavailable.totalPages).toBe(1 + 100);
    expect(planOf('x86-hp-dl585g7', '5.4').unavailable.totalPages).toBe(1 + 100 + 64 + 8625);
    expect(planOf('x86-hp-dl585g7', '5.11.0-rc4').unavailable.totalPages).toBe(1 + 100 + 64 + 8625 + 4097);
    expect(pagesOf(planOf('x86-hp-dl585g7', '5.11.7'))).toEqual([1, 100, 64, 8625, 4097]);
  });
});

describe('persistent memory of real machines', () => {
  const planOf = (name: string): MachinePlan => {
    const { topology } = captures.find(({ capture }) => capture.startsWith(name)) as Capture;
    return planMachine({ source: 'iomem-file', notes: [], ...topology });
  };
  const shapesOf = (plan: MachinePlan): unknown[] =>
    plan.ranges.map(({ kind, zone, startPfn, endPfn, segments }) => [
      kind,
      zoneNames[zone],
      startPfn,
      endPfn,
      segments.map(({ use, startPfn: at }) => `${use} ${at.toString(16)}`).join(' '),
    ]);

  it('that shares a section with RAM has the pages of the hole that the boot log counts', () => {
    const plan = planOf('x86-pmem-section-collision');
    expect(plan.unavailable.gaps).toEqual([{ startPfn: 0x200000, endPfn: 0x304000, nid: 0, zone: 2, pages: 0x4000 }]);
    expect(shapesOf(plan).slice(0, 3)).toEqual([
      ['ram', 'Normal', 0x100000, 0x200000, 'present 100000'],
      ['device', 'Device', 0x200000, 0x304000, 'present 200000'],
      ['ram', 'Normal', 0x304000, 0x440000, 'present 304000'],
    ]);
  });

  it('around the kernel image takes what is left of its sections', () => {
    const shapes = planOf('x86-pmem-legacy-kaslr').ranges.map(({ kind, startPfn, endPfn }) => [kind, startPfn, endPfn]);
    expect(shapes.slice(-4)).toEqual([
      ['device', 0x100000, 0x155e00],
      ['ram', 0x155e00, 0x15982c],
      ['device', 0x15982c, 0x200000],
      ['ram', 0x200000, 0x880000],
    ]);
  });

  it('with map=dev has its memmap in front of its data, and nothing in front of that', () => {
    expect(shapesOf(planOf('x86-pmem-altmap'))).toEqual([
      ['device', 'Device', 0x100002, 0x110000, 'altmap 100002 present 100600'],
      ['device', 'Device', 0xa80002, 0xac0000, 'altmap a80002 present a81200'],
    ]);
  });

  it('that is used as RAM is Movable, all of it', () => {
    const plan = planOf('x86-cxl-intel-softreserved');
    expect(plan.zones.map(({ zone, presentPages }) => [zoneNames[zone], presentPages])).toEqual([
      ['Movable', (2 ** 34 + 2 ** 39) / 4096],
    ]);
    expect(plan.unavailable.totalPages).toBe(0);
  });
});
