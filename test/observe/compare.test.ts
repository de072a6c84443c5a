/** What the comparison with a running kernel finds, explains and does not explain, on a machine whose kernel shows what we want. */
import { describe, expect, it } from 'vitest';
import type { Comparison } from '../../dist/src/observe/compare.js';
import { compareBlocks } from '../../dist/src/observe/compare-blocks.js';
import { agrees, pageAnswers } from '../../dist/src/observe/compare-pages.js';
import { explain } from '../../dist/src/observe/compare-reasons.js';
import { formatComparison } from '../../dist/src/observe/compare-report.js';
import { compareZones } from '../../dist/src/observe/compare-zones.js';
import type { PageRun, PageState } from '../../dist/src/physical/kernel-state/kpageflags.js';
import type { KernelZone } from '../../dist/src/physical/kernel-state/zoneinfo.js';
import { planMachine } from '../../dist/src/physical/machine-plan.js';
import { readMemoryBlocks } from '../../dist/src/physical/sysfs.js';
import type { Topology } from '../../dist/src/physical/topology.js';
import type { PlannedRange } from '../../dist/src/physical/zones.js';
import { makeTree, sysfsFiles } from '../physical/made-tree.js';
import { compareMade, type Differences, flag, type ShownZone, section } from './compare-machine.js';

/** Disagreements about page frames, as text; those of the machine itself left out. */
function rangesOf({ ranges }: Comparison): string[] {
  const own = ['1-a0 present reserved low-memory', '1200-1400 present reserved kernel-image'];
  return ranges
    .map(({ startPfn, endPfn, plan, kernel, reason }) => {
      return `${startPfn.toString(16)}-${endPfn.toString(16)} ${plan} ${kernel} ${reason ?? 'UNEXPLAINED'}`;
    })
    .filter((line) => !own.includes(line));
}

async function found(
  differences: Differences,
): Promise<{ ranges: string[]; unexplained: number; notes: readonly string[] }> {
  const comparison = await compareMade(differences);
  return { ranges: rangesOf(comparison), unexplained: comparison.unexplained, notes: comparison.notes };
}

describe('a machine whose kernel has made what the plan says', () => {
  it('differs in what the kernel kept for itself when it booted, which is explained', async () => {
    const { ranges, zones, blocks, pages, explained, unexplained, kernel, platform } = await compareMade();
    expect({ kernel, platform }).toEqual({ kernel: '6.1.0-1-amd64', platform: 'x86-64' });
    expect(ranges.map(({ explanation }) => explanation)).toEqual([
      'the first MiB, which is left to firmware',
      "the kernel's image, between Kernel code and Kernel bss in /proc/iomem",
    ]);
    expect(ranges[0]).toEqual({
      ...{ startPfn: 1, endPfn: 0xa0, plan: 'present', kernel: 'reserved', kind: 'ram', nid: 0, zone: 0 },
      ...{ reason: 'low-memory', explanation: 'the first MiB, which is left to firmware' },
    });
    expect(pages).toMatchObject({ endPfn: 0x28_000, disagreeing: 0x9f + 0x200, poisoned: 0 });
    expect(pages.agreeing + pages.disagreeing).toBe(pages.endPfn);
    expect(zones.map(({ nid, zone, differing, reservedPages }) => [nid, zone, differing, reservedPages])).toEqual([
      [0, 0, [], 0x9f],
      [0, 1, [], 0x600],
      [1, 1, [], 0],
    ]);
    expect(blocks).toEqual({ compared: 4, disagreements: [] });
    expect({ explained, unexplained }).toEqual({ explained: 2, unexplained: 0 });
  });

  it('and bad memory has descriptors as other memory has', async () => {
    const { pages, unexplained } = await compareMade({ painted: [[0x9000, 0x9003, flag.poisoned]] });
    expect({ poisoned: pages.poisoned, unexplained }).toEqual({ poisoned: 3, unexplained: 0 });
  });
});

it('a kernel whose release names no version is taken for one of the default profile, and a note says so', async () => {
  const { kernel, notes, unexplained } = await compareMade({ release: 'custom' });
  expect({ kernel, unexplained }).toEqual({ kernel: '6.1', unexplained: 0 });
  expect(notes).toEqual(["The kernel's release, custom, names no version; its rules are taken to be those of 6.1."]);
});

describe('page frames that the kernel has reserved and the plan has not', () => {
  const painted: Differences['painted'] = [[0x9000, 0x9010, flag.reserved]];

  it('are told by its log, piece by piece, and the rest as kept at boot', async () => {
    const log = [
      'NODE_DATA(0) allocated [mem 0x9004000-0x9005fff]',
      'memblock_reserve: [0x9008000-0x9008fff] setup_arch+0x1/0x2',
    ];
    const comparison = await compareMade({ painted, log });
    expect(rangesOf(comparison)).toEqual([
      '9000-9004 present reserved boot',
      '9004-9006 present reserved boot-log',
      '9006-9008 present reserved boot',
      '9008-9009 present reserved boot-log',
      '9009-9010 present reserved boot',
    ]);
    expect(comparison.ranges.map(({ explanation }) => explanation)).toEqual(
      expect.arrayContaining([
        "NODE_DATA, by the kernel's log",
        "memblock: setup_arch, by the kernel's log",
        'kept by the kernel when it booted (memblock); its log does not tell what for',
      ]),
    );
  });

  it('are kept at boot, too, where there is no log, and a note says so', async () => {
    const comparison = await compareMade({ painted, log: null });
    expect(rangesOf(comparison)).toEqual(['9000-9010 present reserved boot']);
    expect(comparison.ranges.at(-1)?.explanation).toMatch(/; its log cannot be read$/);
    expect(comparison.notes).toContainEqual(expect.stringMatching(/^The log of the kernel cannot be read/));
  });

  it.each([
    ['exactly', 1024, 'the memmap of node 1'],
    ['and more', 1025, 'the memmap of node 1, and what lies beside it'],
  ])('are the memmap of a node where they are as many as it takes, %s', async (_, pages, explanation) => {
    const { ranges } = await compareMade({ painted: [[0x24_000, 0x24_000 + pages, flag.reserved]] });
    expect(ranges.at(-1)).toMatchObject({ startPfn: 0x24_000, reason: 'memmap', explanation });
  });

  it('are no memmap where they are fewer, or on another node', async () => {
    const onOther = await found({ painted: [[0x23_000, 0x23_000 + 1023, flag.reserved]] });
    expect(onOther.ranges).toEqual(['23000-233ff present reserved boot']);
  });

  it('are more than were kept at boot where drivers have marked them, which a note tells', async () => {
    const more = await found({ painted });
    expect(more.notes).toEqual([
      'Drivers have marked 16 pages of node 0, zone DMA32 as reserved since the kernel booted.',
    ]);
    const kept = (zones: readonly ShownZone[]): ShownZone[] =>
      zones.map((zone) => ({ ...zone, managed: zone.managed - 16 }));
    expect((await found({ painted, zones: kept })).notes).toEqual([]);
  });

  it('were taken away by a driver where they are offline as well', async () => {
    const { ranges, unexplained } = await found({ painted: [[0x9000, 0x9010, flag.reserved | flag.offline]] });
    expect({ ranges, unexplained }).toEqual({ ranges: ['9000-9010 present offline taken-away'], unexplained: 0 });
  });
});

describe('page frames that the plan has reserved and the kernel has not', () => {
  it("were given back where they are the kernel's image", async () => {
    const { ranges, unexplained } = await found({ painted: [[0x1580, 0x1600, flag.free]] });
    expect({ ranges, unexplained }).toEqual({ ranges: ['1580-1600 reserved present given-back'], unexplained: 0 });
  });

  it('are explained by nothing where they are a crash kernel', async () => {
    const iomem = (text: string): string =>
      text.replace('20000000-27ffffff : System RAM\n', '$&  24000000-240fffff : Crash kernel\n');
    const { ranges, unexplained } = await found({ iomem });
    expect({ ranges, unexplained }).toEqual({ ranges: ['24000-24100 reserved present UNEXPLAINED'], unexplained: 1 });
  });

  it('are explained by nothing where they lie in a hole, but by the age of a kernel that zeroed them', async () => {
    const painted: Differences['painted'] = [[0xa0, 0x100, flag.none]];
    expect(await found({ painted })).toMatchObject({
      ranges: ['a0-100 unavailable present UNEXPLAINED'],
      unexplained: 1,
    });
    const old = await found({ painted, release: '5.4.0-1-amd64' });
    expect(old).toMatchObject({ ranges: ['a0-100 unavailable present old-kernel'], unexplained: 0 });
  });
});

describe('page frames of which only one has a descriptor', () => {
  it.each([
    ['the plan', [0x21_000, 0x21_001, flag.absent], '21000-21001 present absent UNEXPLAINED'],
    ['the plan, for a hole', [0xa0, 0x100, flag.absent], 'a0-100 unavailable absent UNEXPLAINED'],
    ['the kernel', [0x18_000, 0x18_001, flag.free], '18000-18001 absent present UNEXPLAINED'],
    [
      'the kernel, where it is reserved',
      [0x1f_fff, 0x20_000, flag.reserved],
      '1ffff-20000 absent reserved UNEXPLAINED',
    ],
  ] as const)('%s', async (_, painted, range) => {
    expect(await found({ painted: [painted] })).toMatchObject({ ranges: [range], unexplained: 1 });
  });

  it('are those behind the end of what the kernel shows, where there is RAM', async () => {
    const { ranges, unexplained } = await found({ endPfn: 0x27_fff });
    expect({ ranges, unexplained }).toEqual({ ranges: ['27fff-28000 present not shown UNEXPLAINED'], unexplained: 1 });
  });
});

describe('a section without any flag', () => {
  const hole = [...section(3), flag.none] as const;
  const memory = [...section(2), flag.none] as const;

  it('is there where the kernel shows absent ones as such', async () => {
    expect(await found({ painted: [memory] })).toMatchObject({ ranges: [], unexplained: 0 });
  });

  it('is as good as absent where it does not', async () => {
    expect(await found({ painted: [hole] })).toMatchObject({ ranges: [], unexplained: 0 });
    expect(await found({ painted: [hole, memory] })).toMatchObject({
      ranges: ['10000-18000 present blank no-flags'],
      unexplained: 0,
    });
  });

  it('is not what the plan has reserved', async () => {
    const painted = [hole, [...section(0), flag.none] as const];
    const { ranges } = await found({ painted });
    expect(ranges).toContain('0-1 unavailable blank UNEXPLAINED');
    expect(ranges).toContain('1000-1200 reserved blank given-back');
  });
});

describe('device memory', () => {
  /** A section of RAM, one of device memory with an altmap, and one more of RAM. */
  const topology: Topology = {
    source: 'iomem',
    nodes: [{ nid: 0, cpus: [0] }],
    memory: [
      { startPfn: 0x8000, endPfn: 0x10_000, nid: 0, kind: 'ram' },
      {
        ...{ startPfn: 0x10_000, endPfn: 0x18_000, nid: 0, kind: 'device', pgmap: 1 },
        altmap: { reservePages: 2, memmapPages: 510 },
      },
      { startPfn: 0x18_000, endPfn: 0x20_000, nid: 0, kind: 'ram' },
    ],
    zoned: true,
    notes: [],
  };
  const plan = planMachine(topology);
  const evidence = { plan, planned: [], image: [], bootLog: [] };
  /** What is found where the kernel shows RAM as free and the device like this, up to an end. */
  const foundWith = (state: PageState, endPfn = 0x20_000): string[] => {
    const runs: PageRun[] = [
      { startPfn: 0, endPfn: 0x8000, state: 'absent' },
      { startPfn: 0x8000, endPfn: 0x10_000, state: 'present' },
      { startPfn: 0x10_000, endPfn: 0x18_000, state },
      { startPfn: 0x18_000, endPfn: 0x20_000, state: 'present' },
    ];
    const shown = runs.flatMap((run) =>
      run.startPfn < endPfn ? [{ ...run, endPfn: Math.min(run.endPfn, endPfn) }] : [],
    );
    const answers = pageAnswers(plan.ranges, { runs: shown, endPfn, poisonedPages: 0 });
    return explain(
      answers.filter((answer) => !agrees(answer) && answer.kind !== 'ram'),
      evidence,
    ).map(({ startPfn, endPfn: end, plan: planned, kernel, reason }) => {
      return `${startPfn.toString(16)}-${end.toString(16)} ${planned} ${kernel} ${reason ?? 'UNEXPLAINED'}`;
    });
  };

  it('is not shown by the kernel, which is explained, but for what an altmap reserves: that is absent', () => {
    expect(foundWith('absent')).toEqual([
      '10002-10200 altmap absent device-hidden',
      '10200-18000 present absent device-hidden',
    ]);
  });

  it('may lie behind the end of what is shown', () => {
    expect(foundWith('absent', 0x10_000)).toEqual([
      '10002-10200 altmap not shown device-hidden',
      '10200-18000 present not shown device-hidden',
    ]);
  });

  it('is reserved where old kernels show it, and nothing else is right', () => {
    // the altmap's reserve has no descriptor by the plan
    expect(foundWith('reserved')).toEqual(['10000-10002 absent reserved UNEXPLAINED']);
    expect(foundWith('present').at(-1)).toBe('10200-18000 present present UNEXPLAINED');
  });

  it('of which the kernel has less in its zone belongs to no driver', () => {
    const zone = (spannedPages: number): KernelZone => {
      return { nid: 0, zone: 4, startPfn: undefined, spannedPages, presentPages: 0, managedPages: 0 };
    };
    const planned = plan.zones.filter((one) => one.zone === 4);
    const explanationOf = (shown: readonly KernelZone[]): unknown => {
      const [{ differing, explanation } = { differing: [] }] = compareZones(planned, shown, [], '');
      return differing.length > 0 && (explanation ?? 'UNEXPLAINED');
    };
    const less = 'of some device memory the kernel has no descriptors, as no driver has asked for them';
    expect([[], [zone(0x7fff)], [zone(0x8000)], [zone(0x8001)]].map(explanationOf)).toEqual([
      less,
      less,
      false,
      'UNEXPLAINED',
    ]);
  });
});

describe('zones', () => {
  const change =
    (name: string, changes: Partial<ShownZone>) =>
    (zones: readonly ShownZone[]): ShownZone[] =>
      zones.map((zone) => (zone.name === name && zone.nid === 0 ? { ...zone, ...changes } : zone));
  const differing = ({ zones }: Comparison): unknown[] =>
    zones.filter((zone) => zone.differing.length > 0).map(({ nid, zone, differing: figures }) => [nid, zone, figures]);

  it.each([
    ['start', { start: 2 }, ['startPfn']],
    ['spanned', { spanned: 4096 }, ['spannedPages']],
    ['present', { present: 0x9f + 0xeff, managed: 0xeff }, ['presentPages']],
    ['all of them', { start: 0, spanned: 4096, present: 4095 }, ['startPfn', 'spannedPages', 'presentPages']],
  ])('that differ are told by figure: %s', async (_, changes, figures) => {
    const comparison = await compareMade({ zones: change('DMA', changes) });
    expect(differing(comparison)).toEqual([[0, 0, figures]]);
    expect(comparison.unexplained).toBe(1);
  });

  it('that only one of both has differ', async () => {
    const added = { nid: 1, name: 'Normal', start: 0x28_000, spanned: 512, present: 512, managed: 512 };
    const more = await compareMade({ zones: (zones) => [...zones, added] });
    expect(differing(more)).toEqual([[1, 2, ['spannedPages']]]);
    const fewer = await compareMade({ zones: (zones) => zones.slice(0, 2) });
    expect(differing(fewer)).toEqual([[1, 1, ['spannedPages']]]);
  });

  it('may hold what they kept back: managed pages are told, not compared', async () => {
    expect((await compareMade({ zones: change('DMA32', { managed: 0 }) })).unexplained).toBe(0);
  });

  it('may differ where the command line moves memory to Movable', async () => {
    const zones = change('DMA32', { present: 1000 });
    expect(await compareMade({ zones, commandLine: 'quiet movablecore=1G' })).toMatchObject({ unexplained: 0 });
    expect(await compareMade({ zones, commandLine: 'quiet notmovablecore=1G' })).toMatchObject({ unexplained: 1 });
  });
});

describe('memory blocks', () => {
  it.each([
    ['online', 1],
    ['offline', 0],
  ])('that are %s and hold no memory by the plan', async (state, unexplained) => {
    const { blocks, unexplained: count } = await compareMade({ blocks: { 3: { nids: [1], state } } });
    expect(blocks.compared).toBe(5);
    expect(blocks.disagreements.length).toBe(unexplained);
    expect(count).toBe(unexplained);
  });

  const ranges: PlannedRange[] = [0, 1].map((nid) => {
    const extent = { startPfn: nid * 0x8000, endPfn: (nid + 1) * 0x8000 };
    return { ...extent, nid, zone: 1, kind: 'ram', segments: [{ ...extent, use: 'present' }] };
  });
  const compare = (blocks: Readonly<Record<number, { nids: readonly number[]; state?: string }>>): string[] => {
    const sysRoot = makeTree(sysfsFiles({ 0: '0', 1: '1' }, blocks));
    return compareBlocks(ranges, readMemoryBlocks(sysRoot).blocks, sysRoot).map(({ block, plan, kernel }) => {
      return `${block}: ${plan}, ${kernel}`;
    });
  };

  it('are on the nodes that the plan puts their memory on', () => {
    expect(compare({ 0: { nids: [0] }, 1: { nids: [1] } })).toEqual([]);
    expect(compare({ 0: { nids: [0] }, 1: { nids: [0] } })).toEqual(['1: memory of node 1, memory of node 0']);
  });

  it('may be on two nodes', () => {
    expect(compare({ 0: { nids: [0] }, 1: { nids: [0, 1] } })).toEqual([]);
  });

  it('are online where the plan has memory', () => {
    expect(compare({ 0: { nids: [0], state: 'offline' }, 1: { nids: [1] } })).toEqual(['0: memory of node 0, offline']);
  });
});

describe('what the kernel does not show', () => {
  it.each(['iomem', 'kpageflags', 'zoneinfo', 'cmdline', 'sys/kernel/osrelease'])('is refused: %s', async (name) => {
    await expect(compareMade({ missing: [name] })).rejects.toMatchObject({
      code: 'KERNEL_UNREADABLE',
      message: expect.stringMatching(new RegExp(`/${name} does not exist: .*; run as root on the machine itself`)),
    });
  });

  it('is refused where addresses are hidden', async () => {
    const iomem = (text: string): string => text.replace(/[0-9a-f]{8}(?=[- ])/g, '00000000');
    await expect(compareMade({ iomem })).rejects.toMatchObject({
      code: 'KERNEL_UNREADABLE',
      message: expect.stringMatching(/\/iomem shows its addresses only to root; run as root/),
    });
  });
});

describe('the report for people', () => {
  it('tells each disagreement with both answers and why, and each zone', async () => {
    const comparison = await compareMade({
      painted: [[0x9000, 0x9001, flag.reserved]],
      log: ['NODE_DATA(0) allocated [mem 0x9000000-0x9000fff]'],
    });
    const pages = { ...comparison.pages, readMs: 20, perSecond: 8_192_000 };
    expect(formatComparison({ ...comparison, pages }).split('\n')).toEqual([
      'Linux 6.1.0-1-amd64, x86-64: the plan of this machine against what its kernel made of it',
      '  node 0, zone DMA: spanned 4,095, present 3,999, managed 3,840 — agrees',
      '  node 0, zone DMA32: spanned 61,440, present 61,440, managed 59,904 — agrees',
      '  node 1, zone DMA32: spanned 98,304, present 65,536, managed 65,536 — agrees',
      '  memory blocks: 4 compared, 0 disagree',
      '  page frames: 163,840 compared in 20.0 ms (8 million a second), 163,168 agree',
      '  pfns 0x1-0x9f (159 pages): plan: present, kernel: reserved — the first MiB, which is left to firmware',
      "  pfns 0x1200-0x13ff (512 pages): plan: present, kernel: reserved — the kernel's image, between Kernel code and Kernel bss in /proc/iomem",
      "  pfns 0x9000-0x9000 (1 page): plan: present, kernel: reserved — NODE_DATA, by the kernel's log",
      '  Note: Drivers have marked 1 page of node 0, zone DMA32 as reserved since the kernel booted.',
      '3 disagreements, 0 without an explanation',
      '',
    ]);
  });

  it('tells what nothing explains, and makes harmless what the kernel names', async () => {
    const comparison = await compareMade({
      painted: [[0x21_000, 0x21_010, flag.absent]],
      release: '6.1.0\u001b[2J',
      zones: (zones) => zones.map((zone) => ({ ...zone, spanned: zone.spanned + 1 })),
    });
    const text = formatComparison(comparison);
    expect(text).toContain('Linux 6.1.0?[2J, x86-64');
    expect(text).toContain('node 0, zone DMA: spanned: plan: 4095, kernel: 4096 — NOT EXPLAINED\n');
    expect(text).toContain('pfns 0x21000-0x2100f (16 pages): plan: present, kernel: absent — NOT EXPLAINED\n');
    expect(text).toMatch(/6 disagreements, 4 without an explanation\n$/);
  });
});
