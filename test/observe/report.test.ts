/** The report as a person reads it. */
import { describe, expect, it } from 'vitest';
import type { InitReport } from '../../dist/src/observe/init-report.js';
import { formatBytes, formatMs, formatReport } from '../../dist/src/observe/report.js';

const report: InitReport = {
  pages: 16_781_312,
  ranges: [
    { nid: 0, zone: 'DMA', kind: 'ram', startPfn: 1, endPfn: 4096, pages: 4095, chunkPages: 512, chunks: 8 },
    {
      nid: 1,
      zone: 'Device',
      kind: 'device',
      startPfn: 0x10_0000,
      endPfn: 0x110_0000,
      pages: 16_777_216,
      chunkPages: 16_384,
      chunks: 1024,
    },
  ],
  source: 'simulated',
  notes: ['2 simulated nodes share 1 CPUs of this machine.'],
  policy: 'hotplug',
  profile: 'linux-6.1',
  threads: 4,
  storePath: 'native-u64',
  backing: { requested: 'huge', effective: 'huge', pageSize: 2 ** 21, firstTouch: 'store', durability: 'none' },
  openMs: 0.512,
  firstFaultUs: 87.34,
  totalMs: 1234.5,
  pagesPerSecond: 13_593_610.4,
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
  verify: { checked: 16_781_312, wrong: 0, ms: 456.7 },
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
    expect(lines({ verify: { checked: 0, wrong: 0, ms: 0 } }).at(-2)).toBe('not verified (--verify does it)');
    expect(lines({ verify: { checked: 1000, wrong: 1, ms: 0.02 } }).at(-2)).toBe(
      'verified 1,000 descriptors in 20.0 µs: 1 wrong',
    );
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
