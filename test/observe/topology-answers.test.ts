/** The kernel's own answers beside the plan. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type AnswerNote, answerNotes } from '../../dist/src/observe/topology-answers.js';
import { topologyReport } from '../../dist/src/observe/topology-making.js';
import { formatTopology } from '../../dist/src/observe/topology-text.js';
import type { KernelAnswers } from '../../dist/src/physical/dmesg/answers.js';
import { planMachine } from '../../dist/src/physical/machine-plan.js';
import type { Topology } from '../../dist/src/physical/topology.js';
import { smallMachine } from './topology-machines.js';

/** What a kernel 6.1 says of the small machine. */
const sound: KernelAnswers = {
  earlyRanges: [
    { nid: 0, startPfn: 1, endPfn: 0x9f },
    { nid: 0, startPfn: 0x100, endPfn: 0x6000 },
    { nid: 1, startPfn: 0x8000, endPfn: 0x1_0000 },
  ],
  zoneRanges: [
    { zone: 0, startPfn: 1, endPfn: 0x1000 },
    { zone: 1, startPfn: 0x1000, endPfn: 0x1_0000 },
    { zone: 2, startPfn: 0, endPfn: 0 },
    { zone: 4, startPfn: 0, endPfn: 0 },
  ],
  nodes: [
    { nid: 0, startPfn: 1, endPfn: 0x6000, totalPages: 24_478, memmapBytes: 2 ** 21 },
    { nid: 1, startPfn: 0x8000, endPfn: 0x1_0000 },
    { nid: 2 },
  ],
  zones: [
    { nid: 0, zone: 0, presentPages: 3998, memmapPages: 64, reservedPages: 21 },
    { nid: 1, zone: 1, presentPages: 32_768, spannedPages: 32_768, managedPages: 30_000 },
  ],
  unavailable: {
    rule: 'per-zone',
    totalPages: 8290,
    lines: [
      { nid: 0, zone: 0, pages: 1 },
      { nid: 0, zone: 0, pages: 97 },
      { nid: 1, zone: 1, pages: 8192 },
    ],
  },
  memory: { availableKib: 200_000, totalKib: 57_246 * 4, reservedKib: 28_984 },
};

function compare(answers: KernelAnswers, topology: Topology = smallMachine): AnswerNote[] {
  return answerNotes(answers, topology, planMachine(topology));
}

function differing(answers: KernelAnswers, topology?: Topology): AnswerNote[] {
  return compare(answers, topology).filter(({ agrees }) => !agrees);
}

describe('the answers of a kernel', () => {
  it('that are those of the plan agree, line by line', () => {
    expect(compare(sound).map(({ about, kernel }) => `${about}: ${kernel}`)).toEqual([
      'Zone ranges: DMA: [mem 0x0000000000001000-0x0000000000ffffff]',
      'Zone ranges: DMA32: [mem 0x0000000001000000-0x000000000fffffff]',
      'Zone ranges: Normal: empty',
      'Zone ranges: Device: empty',
      'node 0: [mem 0x0000000000001000-0x000000000009efff]: 158 pages',
      'node 0: [mem 0x0000000000100000-0x0000000005ffffff]: 24320 pages',
      'node 1: [mem 0x0000000008000000-0x000000000fffffff]: 32768 pages',
      'Early memory node ranges, all of them: 57246 pages',
      'Initmem setup node 0: [mem 0x0000000000001000-0x0000000005ffffff]',
      'On node 0 totalpages: 24478',
      'memmap of node 0, bytes: 2097152',
      'Initmem setup node 1: [mem 0x0000000008000000-0x000000000fffffff]',
      'Initmem setup node 2: as memoryless',
      'unavailable pages: On node 0, zone DMA: 1 pages in unavailable ranges',
      'unavailable pages: On node 0, zone DMA: 97 pages in unavailable ranges',
      'unavailable pages: On node 1, zone DMA32: 8192 pages in unavailable ranges',
      'node 0, DMA zone, present: 3998',
      'node 0, DMA zone, pages used for memmap: 64',
      'node 1, DMA32 zone, spanned: 32768',
      'node 1, DMA32 zone, present: 32768',
      'Memory, in all: 228984K',
    ]);
    expect(differing(sound)).toEqual([]);
    expect(compare(sound).every(({ why, kernel, planned }) => why === null && kernel === planned)).toBe(true);
  });

  it.each<[string, Partial<KernelAnswers>, Partial<AnswerNote>]>([
    [
      'where a zone ends',
      { zoneRanges: [{ zone: 1, startPfn: 0x1000, endPfn: 0xfff8 }] },
      {
        about: 'Zone ranges: DMA32',
        kernel: '[mem 0x0000000001000000-0x000000000fff7fff]',
        planned: '[mem 0x0000000001000000-0x000000000fffffff]',
      },
    ],
    ['where a node lies', { nodes: [{ nid: 2, startPfn: 0x2_0000, endPfn: 0x2_0001 }] }, { planned: 'as memoryless' }],
    ['a node that the plan does not know', { nodes: [{ nid: 9, totalPages: 5 }] }, { kernel: '5', planned: '0' }],
    [
      'a zone that the plan does not know',
      { zones: [{ nid: 1, zone: 2, presentPages: 7 }] },
      { kernel: '7', planned: '0' },
    ],
    ['the pages of a zone', { zones: [{ nid: 0, zone: 0, presentPages: 3997 }] }, { kernel: '3997', planned: '3998' }],
    [
      'all of its memory',
      { memory: { availableKib: 1, totalKib: 4, reservedKib: 3 } },
      { about: 'Memory, in all', kernel: '4K', planned: '228984K' },
    ],
  ])('differ by %s, for a reason that is not known', (_, answers, told) => {
    expect(differing({ ...sound, ...answers })).toMatchObject([{ agrees: false, why: null, ...told }]);
  });

  it('differ by the line where one more or one less was printed', () => {
    const { unavailable } = sound;
    const lines = unavailable?.lines ?? [];
    const less = { rule: 'per-zone', totalPages: 98, lines: lines.slice(0, 2) } as const;
    expect(differing({ ...sound, unavailable: less })).toEqual([
      {
        about: 'unavailable pages',
        kernel: null,
        planned: 'On node 1, zone DMA32: 8192 pages in unavailable ranges',
        agrees: false,
        why: null,
      },
    ]);
    const more = { rule: 'per-zone', totalPages: 8300, lines: [...lines, { nid: 1, zone: 1, pages: 10 }] } as const;
    expect(differing({ ...sound, unavailable: more })).toMatchObject([
      { kernel: 'On node 1, zone DMA32: 10 pages in unavailable ranges', planned: null },
    ]);
  });

  it('by the rule of other releases differ for that reason', () => {
    const unavailable = { rule: 'zeroed', totalPages: 8290, lines: [] } as const;
    const [first] = differing({ ...sound, unavailable });
    expect(first).toMatchObject({
      kernel: 'Zeroed struct page in unavailable ranges: 8290 pages',
      planned: 'On node 0, zone DMA: 1 pages in unavailable ranges',
      why: 'it counts as kernels 4.20 to 5.11 do; see --release',
    });
  });

  it.each(['5.5', '5.11'])('of a kernel %s are one sum, whether it counts the tail or not', (kernel) => {
    const unavailable = { rule: 'zeroed', totalPages: 8290, lines: [] } as const;
    expect(differing({ ...sound, unavailable }, { ...smallMachine, kernel })).toEqual([]);
  });

  it('are in doubt where the log does not tell its kernel, see --release', () => {
    const { kernel: _, ...unknown } = smallMachine;
    expect(differing(sound, unknown)).toEqual([]);
    const zones = [{ nid: 0, zone: 0, presentPages: 1 }];
    expect(differing({ ...sound, zones }, unknown)).toMatchObject([
      { why: 'by the rules of 6.1; the log does not tell its kernel, see --release' },
    ]);
  });

  it('of a kernel that has no line where there are no unavailable pages agree', () => {
    const memory: Topology['memory'] = [{ nid: 1, kind: 'ram', startPfn: 0x8000, endPfn: 0x1_0000 }];
    const { unavailable: _, ...rest } = sound;
    const answers = {
      ...rest,
      earlyRanges: [],
      zoneRanges: [],
      zones: [],
      nodes: [{ nid: 1, startPfn: 0x8000, endPfn: 0x1_0000 }],
    };
    const { memory: __, ...bare } = answers;
    expect(compare(bare, { ...smallMachine, memory })).toEqual([
      {
        about: 'Initmem setup node 1',
        kernel: '[mem 0x0000000008000000-0x000000000fffffff]',
        planned: '[mem 0x0000000008000000-0x000000000fffffff]',
        agrees: true,
        why: null,
      },
      { about: 'unavailable pages', kernel: 'no line', planned: 'no line', agrees: true, why: null },
    ]);
  });

  it('of an excerpt without the lines before them tell nothing about unavailable pages', () => {
    const excerpt: KernelAnswers = { earlyRanges: [], zoneRanges: [], nodes: [], zones: [] };
    expect(compare(excerpt)).toEqual([]);
  });
});

describe('the boot logs of real machines', () => {
  interface Fixture {
    readonly release: string;
    readonly topology: Topology;
    readonly answers: Partial<KernelAnswers>;
  }
  const folder = new URL('../fixtures/machines/', import.meta.url);
  const fixtures = readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => ({ name, ...(JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as Fixture) }))
    .filter(({ answers }) => answers.zones !== undefined);

  it.each(fixtures)('agree with the plan in every line: $name', ({ name, release, topology, answers }) => {
    const machine: Topology = { ...topology, source: 'iomem-file', notes: [] };
    const notes = answerNotes(answers as KernelAnswers, machine, planMachine(machine, { release }));
    expect(notes.length).toBeGreaterThan(15);
    // of this one there is an excerpt without the lines on unavailable pages
    const missing = name === 'x86-vm-2node-64g-zoneinfo.json' ? 3 : 0;
    const differing = notes.filter(({ agrees }) => !agrees);
    expect(differing.filter(({ kernel }) => kernel !== null)).toEqual([]);
    expect(differing).toHaveLength(missing);
  });

  it('are at least a dozen', () => {
    expect(fixtures.length).toBeGreaterThanOrEqual(12);
  });
});

it('the text says so where a log has no answers', () => {
  const nothing: KernelAnswers = { earlyRanges: [], zoneRanges: [], nodes: [], zones: [] };
  const text = formatTopology(topologyReport(smallMachine, planMachine(smallMachine), nothing));
  expect(text).toContain("\nthe log tells none of the kernel's own answers\n");
});

it('the text has a line for each answer, with what was planned and why where they differ', () => {
  const { kernel: _, ...unknown } = smallMachine;
  const zones = [{ nid: 0, zone: 0, presentPages: 1, memmapPages: 64 }];
  const report = topologyReport(unknown, planMachine(unknown), { ...sound, zones });
  const text = formatTopology(report).split('\n');
  const at = text.indexOf("the kernel's own answers: 18 of 19 as planned");
  expect(text[at + 1]).toBe('  = Zone ranges: DMA: [mem 0x0000000000001000-0x0000000000ffffff]');
  expect(text.slice(at + 1).filter((line) => line.startsWith('  ≠'))).toEqual([
    '  ≠ node 0, DMA zone, present: 1; planned: 3998 (by the rules of 6.1; the log does not tell its kernel, see --release)',
  ]);
  expect(text.slice(at + 1).filter((line) => line.startsWith('  = '))).toHaveLength(18);
});
