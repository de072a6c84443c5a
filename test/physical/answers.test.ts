/** Tests of the kernel's own answers in a boot log: real logs, and each kind of line by hand. */
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { type KernelAnswers, readAnswers } from '../../dist/src/physical/dmesg/answers.js';
import { orRefused, refusalOf } from './errors.ts';
import { bootedMachines, captureOf, noCaptures } from './machines.ts';

const answers = (...lines: string[]): KernelAnswers => readAnswers(lines.join('\n'));
const nothing = { earlyRanges: [], zoneRanges: [], nodes: [], zones: [] };

describe.skipIf(noCaptures !== '')(`a real boot log ${noCaptures}`, () => {
  it.each(bootedMachines)('of %s holds the answers', (_, { capture, answers: wanted }) => {
    expect(readAnswers(captureOf(capture))).toEqual(wanted);
  });

  it('of machines that defer initialization tells pages and times', () => {
    const { deferred } = readAnswers(captureOf('deferred-init-times.txt'));
    expect(deferred).toHaveLength(40);
    expect(deferred?.[0]).toEqual({ nid: 0, pages: 15_530_251, ms: 653 });
    expect(deferred?.at(-1)).toEqual({ nid: 1, ms: 1528 });
  });
});

describe('a log', () => {
  it('without answers has none', () => {
    expect(answers()).toEqual(nothing);
    expect(answers('zebra', 'DMA zone: many pages', 'Node 0, zone   Zebra')).toEqual(nothing);
  });

  it('tells zones by their numbers, empty ones too, and those of the last block', () => {
    const block = [
      'Zone ranges:',
      '  DMA      [mem 0x0000000000001000-0x0000000000ffffff]',
      '  Normal   empty',
      '  Device   empty',
    ];
    const wanted = [
      { zone: 0, startPfn: 1, endPfn: 4096 },
      { zone: 2, startPfn: 0, endPfn: 0 },
      { zone: 4, startPfn: 0, endPfn: 0 },
    ];
    expect(answers(...block).zoneRanges).toEqual(wanted);
    expect(answers(...block, ...block).zoneRanges).toEqual(wanted);
    // what only looks like one stands elsewhere
    expect(answers(...block, 'Movable zone start for each node', 'Movable  empty').zoneRanges).toEqual(wanted);
  });

  it('tells nodes with memory and without', () => {
    expect(
      answers(
        'Initmem setup node 1 [mem 0x0000000000001000-0x00000000000fffff]',
        'On node 1 totalpages: 255',
        'Initmem setup node 0 as memoryless',
        'Initmem setup node 2 [mem 0x0000000000000000-0x0000000000000000]',
      ).nodes,
    ).toEqual([{ nid: 0 }, { nid: 1, startPfn: 1, endPfn: 256, totalPages: 255 }, { nid: 2 }]);
  });

  it('tells zones of the node before them', () => {
    expect(
      answers(
        'On node 3 totalpages: 100',
        '  DMA zone: 64 pages used for memmap',
        '  DMA zone: 21 pages reserved',
        '  DMA zone: 3992 pages, LIFO batch:0',
        'Initmem setup node 4 [mem 0x0000000000001000-0x00000000000fffff]',
        '  DMA32 zone: 7 pages, LIFO batch:63',
      ).zones,
    ).toEqual([
      { nid: 3, zone: 0, presentPages: 3992, memmapPages: 64, reservedPages: 21 },
      { nid: 4, zone: 1, presentPages: 7 },
    ]);
  });

  it('may hold a /proc/zoneinfo', () => {
    expect(
      answers(
        '        spanned  9',
        'Node 0, zone   Normal',
        '  pages free     5',
        '        spanned  4095',
        '        present  3998',
        '        managed  3840',
      ).zones,
    ).toEqual([{ nid: 0, zone: 2, spannedPages: 4095, presentPages: 3998, managedPages: 3840 }]);
  });

  it.each([
    ['Reserved but unavailable: 104 pages', 'memblock-reserved', 104],
    ['Zeroed struct page in unavailable ranges: 46490 pages', 'zeroed', 46_490],
  ])('tells unavailable pages as %j', (line, rule, totalPages) => {
    expect(answers(line).unavailable).toEqual({ rule, totalPages, lines: [] });
  });

  it('tells unavailable pages by node and zone since 5.12', () => {
    const lines = [
      'On node 0, zone DMA: 1 pages in unavailable ranges',
      'On node 1, zone Normal: 8625 pages in unavailable ranges',
    ];
    expect(answers(...lines).unavailable).toEqual({
      rule: 'per-zone',
      totalPages: 8626,
      lines: [
        { nid: 0, zone: 0, pages: 1 },
        { nid: 1, zone: 2, pages: 8625 },
      ],
    });
  });

  it('tells totals, and what memory the memmap takes', () => {
    expect(
      answers(
        'Built 8 zonelists, mobility grouping on.  Total pages: 260873685',
        'Memory: 3513124K/1060058788K available (14342K kernel code, 17278068K reserved, 0K cma-reserved)',
        'x86/mm: Memory block size: 2048MB',
        'memblock_alloc_exact_nid_raw: 2097152 bytes align=0x200000 nid=1 from=0x0 max_addr=0x0 sparse_init_nid+0x11b/0x234',
        'memblock_alloc_exact_nid_raw: 4194304 bytes align=0x200000 nid=1 from=0x0 max_addr=0x0 sparse_init_nid+0x11b/0x234',
        'memblock_alloc_exact_nid_raw: 4096 bytes align=0x1000 nid=1 from=0x0 max_addr=0x0 other+0x1/0x2',
      ),
    ).toEqual({
      ...nothing,
      nodes: [{ nid: 1, memmapBytes: 6_291_456 }],
      totalPages: 260_873_685,
      memory: { availableKib: 3_513_124, totalKib: 1_060_058_788, reservedKib: 17_278_068 },
      memoryBlockBytes: 2 ** 31,
    });
  });

  it('counts in pages of its platform', () => {
    const range = ['Zone ranges:', '  Normal   [mem 0x0000000100000000-0x00000001ffffffff]'];
    expect(readAnswers(range.join('\n'), { platform: 'arm64-64k' }).zoneRanges).toEqual([
      { zone: 2, startPfn: 0x10000, endPfn: 0x20000 },
    ]);
  });

  it('is read for the boot that the machine is read for', () => {
    const boot = (pages: number): string[] => [
      'Linux version 6.1.0 (a) (gcc)',
      'node   0: [mem 0x0000000000100000-0x000000003fffffff]',
      `Built 1 zonelists, mobility grouping on.  Total pages: ${pages}`,
    ];
    expect(
      answers(...boot(1), ...boot(2), 'Linux version 6.2.0 (a) (gcc)', 'Built 1 zonelists. Total pages: 3').totalPages,
    ).toBe(2);
  });

  it('whose memory makes no sense is refused as for the machine', () => {
    const lines = [
      'node   0: [mem 0x0000000000100000-0x000000003fffffff]',
      'node   0: [mem 0x0000000000100000-0x000000003fffffff]',
    ];
    expect(refusalOf(() => answers(...lines)).code).toBe('DMESG_SYNTAX');
  });
});

const anyNumber = fc.oneof(fc.nat(2000), fc.bigInt({ min: 0n, max: 10n ** 20n })).map(String);
const anyAnswer = fc.oneof(
  fc.tuple(anyNumber, anyNumber).map(([node, pages]) => `On node ${node} totalpages: ${pages}`),
  anyNumber.map((pages) => `DMA zone: ${pages} pages, LIFO batch:0`),
  fc
    .tuple(anyNumber, anyNumber)
    .map(([node, pages]) => `On node ${node}, zone DMA: ${pages} pages in unavailable ranges`),
  anyNumber.map((node) => `Node ${node}, zone Normal`),
  anyNumber.map((pages) => `present ${pages}`),
  anyNumber.map((node) => `Initmem setup node ${node} as memoryless`),
  fc.constantFrom('Zone ranges:', 'DMA empty', 'DMA [mem 0x0-0xffffffffffffffff]', 'Linux version 6.1.0 (a) (gcc)'),
  fc.string(),
);
prop.prop([fc.array(anyAnswer, { maxLength: 20 })])(
  'any text gives answers or is refused, never another error',
  (lines) => {
    const found = orRefused(() => answers(...lines), 'DMESG_SYNTAX', 'DETECT_FAILED');
    for (const { nid } of found?.nodes ?? []) expect(nid).toBeLessThan(1024);
  },
);
