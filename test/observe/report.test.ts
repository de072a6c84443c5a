/** The report as a person reads it. */
import { describe, expect, it } from 'vitest';
import type { InitReport, RangeReport } from '../../dist/src/observe/init-report.js';
import type { DescriptorNote, Inspection } from '../../dist/src/observe/inspect.js';
import {
  formatBytes,
  formatDescriptor,
  formatInspection,
  formatMs,
  formatReport,
  formatVerified,
} from '../../dist/src/observe/report.js';

/** Pages by use: so many present, and these. */
function uses(present: number, others: Partial<RangeReport['uses']> = {}): RangeReport['uses'] {
  return { present, reserved: 0, unavailable: 0, altmap: 0, ...others };
}

const report: InitReport = {
  pages: 16_781_312,
  ranges: [
    {
      nid: 0,
      zone: 'DMA',
      kind: 'ram',
      startPfn: 1,
      endPfn: 4096,
      pages: 4095,
      uses: uses(4095),
      chunkPages: 512,
      chunks: 8,
    },
    {
      nid: 1,
      zone: 'Device',
      kind: 'device',
      startPfn: 0x10_0000,
      endPfn: 0x110_0000,
      pages: 16_777_216,
      uses: uses(16_777_216),
      chunkPages: 16_384,
      chunks: 1024,
    },
  ],
  source: 'simulated',
  notes: ['2 simulated nodes share 1 CPUs of this machine.'],
  policy: 'hotplug',
  profile: 'linux-6.1',
  platform: 'x86-64',
  threads: 4,
  storePath: 'native-u64',
  backing: { requested: 'huge', effective: 'huge', pageSize: 2 ** 21, firstTouch: 'store', durability: 'none' },
  openMs: 0.512,
  firstFaultUs: 87.34,
  totalMs: 1234.5,
  pagesPerSecond: 13_593_610.4,
  durableMs: null,
  milestones: [
    { nid: 0, share: 0.25, ms: 30.5 },
    { nid: 0, share: 0.5, ms: 30.5 },
    { nid: 0, share: 0.75, ms: 55 },
    { nid: 1, share: 0.25, ms: 309 },
    { nid: 0, share: 1, ms: 617.25 },
    { nid: 1, share: 0.5, ms: 620 },
    { nid: 1, share: 0.75, ms: 931 },
    { nid: 1, share: 1, ms: 1236 },
  ],
  faults: {
    count: 1000,
    seed: 7,
    p50Us: 0.5,
    p99Us: 812.4,
    maxUs: 5123,
    claimed: 31,
    waited: 2,
    alreadyReady: 967,
  },
  verify: { checked: 16_781_312, wrong: 0, failed: 0, ms: 456.7 },
  resumed: { chunksKept: 0, chunksRedone: 0 },
  residentBytes: 2 ** 30,
  peakResidentBytes: 2 ** 30 + 2 ** 26,
  workerFailures: 0,
};

/** The report of a run that differs in some things, as lines. */
function lines(changes: Partial<InitReport>): string[] {
  return formatReport({ ...report, ...changes }).split('\n');
}

describe('the report', () => {
  it('tells the machine, the ranges, the times, the faults and the verification', () => {
    expect(formatReport(report)).toBe(
      [
        'vmemmap of a simulated machine · linux-6.1 · policy hotplug',
        '  note: 2 simulated nodes share 1 CPUs of this machine.',
        '',
        '  node  zone    kind    first pfn   last pfn       pages    memory  descriptors  chunks  pages/chunk',
        '     0  DMA     ram           0x1      0xfff       4,095  16.0 MiB      256 KiB       8          512',
        '     1  Device  device   0x100000  0x10fffff  16,777,216  64.0 GiB     1.00 GiB   1,024       16,384',
        '',
        '16,781,312 page descriptors, 1.00 GiB',
        '  any pfn usable after    512 µs  (open returned)',
        '  first fault took        87.3 µs',
        '  everything ready after  1.23 s  13,593,610 pages/s (830 MiB/s of descriptors)',
        `  node 0   ${'█'.repeat(20)}${' '.repeat(20)}  25 % 30.5 ms · 50 % 30.5 ms · 75 % 55.0 ms · 100 % 617 ms`,
        `  node 1   ${'█'.repeat(40)}  25 % 309 ms · 50 % 620 ms · 75 % 931 ms · 100 % 1.24 s`,
        '  first touch, 4 threads, store path native-u64, 2.00 MiB pages, backing huge',
        '',
        '1,000 foreground faults at random (seed 7), while the background ran and after it',
        '  967 found their descriptors ready · 31 claimed and initialized · 2 waited for a worker',
        '  latency: median 0.50 µs · 99 % 812 µs · longest 5.12 ms',
        '',
        'verified 16,781,312 descriptors in 457 ms: 0 wrong',
        '',
      ].join('\n'),
    );
  });

  it('tells the memory without that of holes, which have none', () => {
    const [range] = report.ranges as [RangeReport];
    const holes = { ...range, nid: 1, pages: 512, uses: uses(0, { unavailable: 512 }) };
    const ranges = [{ ...range, pages: 4096, uses: uses(3072, { reserved: 512, unavailable: 512 }) }, holes];
    const told = lines({ platform: 'arm64-64k', ranges });
    expect(told.slice(3, 6)).toEqual([
      '  node  zone  kind  first pfn  last pfn  pages   memory  descriptors  chunks  pages/chunk  of these',
      '     0  DMA   ram         0x1     0xfff  4,096  224 MiB      256 KiB       8          512  512 reserved, 512 unavailable',
      '     1  DMA   ram         0x1     0xfff    512     none     32.0 KiB       8          512  512 unavailable',
    ]);
  });

  it('says why the backing is not the one that was asked for', () => {
    const backing = { ...report.backing, effective: 'shared', reason: 'huge pages are off', pageSize: 4096 } as const;
    expect(lines({ backing })).toContain(
      '  first touch, 4 threads, store path native-u64, 4.00 KiB pages, backing shared; huge was asked for, but huge pages are off',
    );
  });

  it('leaves out faults that were not asked for', () => {
    const none = { count: 0, p50Us: null, p99Us: null, maxUs: null, claimed: 0, waited: 0, alreadyReady: 0 };
    expect(lines({ faults: { ...none, seed: 7 } }).some((line) => /fault(s|ed)|latency/.test(line))).toBe(false);
  });

  it('says that nothing was verified, or how much is wrong', () => {
    expect(lines({ verify: { checked: 0, wrong: 0, failed: 0, ms: 0 } }).at(-2)).toBe(
      'not verified (--verify does it)',
    );
    expect(lines({ verify: { checked: 1000, wrong: 1, failed: 0, ms: 0.02 } }).at(-2)).toBe(
      'verified 1,000 descriptors in 20.0 µs: 1 wrong',
    );
  });

  const file = { requested: 'file', effective: 'file', pageSize: 4096, firstTouch: 'populate' } as const;

  it.each([
    [
      'dax-sync',
      1240,
      [0, 0],
      'on the media by cache lines (durability dax-sync), all of it after 1.24 s; none was there',
    ],
    [
      'msync',
      2500,
      [1000, 32],
      'on the media by msync (durability msync), all of it after 2.50 s; 1,000 chunks were kept, 32 were left to do',
    ],
    ['none', null, [1032, 0], 'not on the media (durability none); 1,032 chunks were kept, 0 were left to do'],
  ] as const)('of a file tells how it lasts, and what was found in it: %s', (durability, durableMs, chunks, told) => {
    const [chunksKept, chunksRedone] = chunks;
    const resumed = { chunksKept, chunksRedone };
    const all = lines({ backing: { ...file, durability }, durableMs, resumed });
    const at = all.indexOf('  in a file, 4 threads, store path native-u64, 4.00 KiB pages, backing file');
    expect(all[at + 1]).toBe(`  ${told}`);
  });

  it('tells of worker threads that died, and only then', () => {
    const died = (line: string): boolean => line.includes('worker threads died');
    expect(lines({ workerFailures: 2 }).filter(died)).toEqual(['  2 worker threads died; others did their work']);
    expect(lines({}).filter(died)).toEqual([]);
  });

  it('draws a bar of at least one mark, and one mark more than forty never', () => {
    const at = (ms: number) => ({ milestones: [{ nid: 0, share: 1, ms }], totalMs: 1000 });
    const marks = (ms: number): number | undefined =>
      lines(at(ms))
        .find((line) => line.startsWith('  node 0 '))
        ?.match(/█/g)?.length;
    expect([0, 499, 1000, 5000].map(marks)).toEqual([1, 20, 40, 40]);
  });

  it('tells what sharing tails saves, where that was asked for', () => {
    const sharedTails = { storedBytes: 2 ** 20, mappings: 12_345 };
    expect(lines({ backing: { ...report.backing, sharedTails } })).toContain(
      '  tails of compound pages are stored once: 1.00 MiB of memory, 99.9 % less, in 12,345 mappings',
    );
    expect(lines({}).some((line) => line.includes('tails'))).toBe(false);
  });
});

describe('what a file holds', () => {
  const inspection: Inspection = {
    path: '/mnt/pmem/memmap',
    uuid: '00112233445566778899aabbccddeeff',
    epoch: 1234,
    profile: 'linux-6.1',
    platform: 'x86-64',
    policy: 'hotplug',
    pages: 4095,
    sizeBytes: 2 ** 22,
    ranges: report.ranges.slice(0, 1),
    chunks: { free: 0, claimed: 1, ready: 2000, durable: 5, failed: 2 },
    failed: [{ startPfn: 512, endPfn: 1536, error: 'EIO' }],
    mediaError: 'EIO',
    processes: [
      { slot: 1, pid: 71 },
      { slot: 3, pid: 72 },
    ],
  };

  it('is told with its states, what failed, and who has it open', () => {
    expect(formatInspection(inspection)).toBe(
      [
        '/mnt/pmem/memmap: linux-6.1 · policy hotplug · 4.00 MiB',
        '  uuid 00112233445566778899aabbccddeeff · session 1,234',
        '',
        '  node  zone  kind  first pfn  last pfn  pages    memory  descriptors  chunks  pages/chunk',
        '     0  DMA   ram         0x1     0xfff  4,095  16.0 MiB      256 KiB       8          512',
        '',
        '4,095 page descriptors; chunks: 1 claimed · 2,000 ready · 5 durable · 2 failed',
        '  pfns 512 to 1535 could not be written: EIO',
        '  the media refused to keep something: EIO',
        'open in the processes 71, 72',
        '',
      ].join('\n'),
    );
  });

  it('tells beside a range what of it nobody can have', () => {
    const ranges = [
      ...inspection.ranges,
      { ...(report.ranges[0] as RangeReport), uses: uses(3799, { reserved: 1200, unavailable: 96 }) },
    ];
    expect(
      formatInspection({ ...inspection, ranges })
        .split('\n')
        .slice(3, 6),
    ).toEqual([
      '  node  zone  kind  first pfn  last pfn  pages    memory  descriptors  chunks  pages/chunk  of these',
      '     0  DMA   ram         0x1     0xfff  4,095  16.0 MiB      256 KiB       8          512',
      '     0  DMA   ram         0x1     0xfff  4,095  15.6 MiB      256 KiB       8          512  1,200 reserved, 96 unavailable',
    ]);
  });

  it('of another platform counts its memory in its own pages', () => {
    const told = formatInspection({ ...inspection, platform: 'power-64k' }).split('\n')[4];
    expect(told).toBe('     0  DMA   ram         0x1     0xfff  4,095  256 MiB      256 KiB       8          512');
  });

  it('of a table that nobody has open is told as that', () => {
    const told = formatInspection({ ...inspection, profile: null, failed: [], mediaError: null, processes: [] });
    expect(told).toMatch(/^\/mnt\/pmem\/memmap: a table of records · /);
    expect(told.split('\n').slice(-2)).toEqual(['nobody has it open', '']);
  });

  it('of one descriptor is eight words of 64 bits in hexadecimal, and its fields', () => {
    const words = Array.from({ length: 16 }, (_, word) => word + 0xf000_0000);
    const note: DescriptorNote = {
      pfn: 4096,
      nid: 1,
      zone: 'Normal',
      use: 'reserved',
      chunk: 8,
      state: 'ready',
      words,
      fields: null,
    };
    expect(formatDescriptor({ ...note, fields: { zone: '2', node: '1' } })).toBe(
      [
        'pfn 4096 (0x1000): node 1, zone Normal, reserved, chunk 8, which is ready',
        '  f0000001f0000000 f0000003f0000002 f0000005f0000004 f0000007f0000006',
        '  f0000009f0000008 f000000bf000000a f000000df000000c f000000ff000000e',
        '  zone             2',
        '  node             1',
        '',
      ].join('\n'),
    );
    expect(formatDescriptor(note).split('\n')).toHaveLength(4);
  });

  it.each([
    [{ checked: 4095, wrong: 0, failed: 0 }, 'verified 4,095 descriptors: 0 wrong\n'],
    [
      { checked: 3583, wrong: 1, failed: 512 },
      'verified 3,583 descriptors: 1 wrong, 512 could not be written or read\n',
    ],
  ])('is verified: %j', (result, told) => {
    expect(formatVerified({ ...result, firstWrongPfn: -1 })).toBe(told);
  });
});

describe('bytes', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.00 KiB'],
    [1536, '1.50 KiB'],
    [10_234, '9.99 KiB'],
    [10_239, '10.0 KiB'],
    [102_348, '99.9 KiB'],
    [102_399, '100 KiB'],
    [2 ** 20 - 1, '1024 KiB'],
    [2 ** 20, '1.00 MiB'],
    [2 ** 34, '16.0 GiB'],
    [2 ** 40, '1.00 TiB'],
    [2 ** 50, '1.00 PiB'],
    [2 ** 61, '2048 PiB'],
  ])('%i are %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });
});

describe('milliseconds', () => {
  it.each([
    [0, '0.00 µs'],
    [0.0005, '0.50 µs'],
    [0.09999, '100 µs'],
    [0.9994, '999 µs'],
    [1, '1.00 ms'],
    [9.996, '10.0 ms'],
    [999, '999 ms'],
    [1000, '1.00 s'],
    [90_000, '90.0 s'],
    [3_600_000, '3600 s'],
  ])('%d are %s', (ms, text) => {
    expect(formatMs(ms)).toBe(text);
  });
});
