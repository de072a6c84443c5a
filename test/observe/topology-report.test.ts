/** The plan of a machine as text and as the object of --json. */
import { describe, expect, it } from 'vitest';
import { exactBytes, formatCpulist, formatTopology } from '../../dist/src/observe/topology-text.js';
import { reportOf, simulated, smallMachine, striped } from './topology-machines.js';

/** The lines of one section, below its title. */
function section(text: string, title: string): string[] {
  const lines = text.split('\n');
  const start = lines.findIndex((line) => line.startsWith(title));
  if (start < 0) return [];
  return lines.slice(start + 1, lines.indexOf('', start));
}

describe('the text', () => {
  it('tells the machine, its nodes, zones, ranges and reserved pages, and what the log of its kernel says', () => {
    expect(formatTopology(reportOf(smallMachine))).toBe(
      [
        'a machine read from a file · x86-64, pages of 4 KiB · Linux 6.1.0',
        '  rules of Linux 6.1.0 (since 5.12: its log counts unavailable pages hole by hole, for the zone of the memory behind each)',
        '  4 nodes · 57,246 pages of RAM (224 MiB) · 32,766 of devices (128 MiB) · 8,290 in unavailable ranges',
        '  memmap: 98,302 page descriptors, 6.00 MiB; for RAM Linux spends 4.00 MiB, on whole sections',
        '',
        'nodes',
        '  node       RAM  first pfn  last pfn  spanned  present  unavailable  reserved   device    memmap  CPUs',
        '     0  95.6 MiB        0x1    0x5fff   24,575   24,478           98        16     none  2.00 MiB  0-2,8',
        '     1   128 MiB     0x8000    0xffff   32,768   32,768        8,192         0     none  2.00 MiB  none',
        '     2      none          -         -        0        0            0         0  128 MiB  2.00 MiB  4',
        '     3      none          -         -        0        0            0         0     none      none  5',
        '',
        'zones',
        '  node  zone    first pfn  last pfn  spanned  present  holes  unavailable  reserved',
        '     0  DMA           0x1     0xfff    4,095    3,998     97           98        16',
        '        DMA32      0x1000    0x5fff   20,480   20,480      0            0         0',
        '     1  DMA32      0x8000    0xffff   32,768   32,768      0        8,192         0',
        '     2  Device    0x20000   0x27fff   32,768   32,768      0            0         0',
        '',
        'ranges, in chunks of 4,096 pages, 256 KiB of descriptors',
        '  node  zone    kind                   first pfn  last pfn   pages  unavailable  reserved  altmap    memory  descriptors  chunks',
        '     0  DMA     ram                          0x0     0xfff   4,096           98        16       0  15.6 MiB      256 KiB       1',
        '        DMA32   ram                       0x1000    0x5fff  20,480            0         0       0  80.0 MiB     1.25 MiB       5',
        '     1  DMA32   ram                       0x6000    0xffff  40,960        8,192         0       0   128 MiB     2.50 MiB      10',
        '     2  Device  devdax map=dev, 2 MiB    0x20002   0x27fff  32,766            0         0     510   128 MiB     2.00 MiB       8',
        '',
        'reserved before anybody could use it',
        '  first pfn  last pfn  pages    memory  for',
        '       0x10      0x1f     16  64.0 KiB  kernel',
        '',
        'as the log of that kernel says it',
        '  Zone ranges:',
        '    DMA      [mem 0x0000000000001000-0x0000000000ffffff]',
        '    DMA32    [mem 0x0000000001000000-0x000000000fffffff]',
        '    Normal   empty',
        '    Device   empty',
        '  On node 0, zone DMA: 1 pages in unavailable ranges',
        '  On node 0, zone DMA: 97 pages in unavailable ranges',
        '  On node 1, zone DMA32: 8192 pages in unavailable ranges',
        '',
        'note: Made by hand.',
        '',
      ].join('\n'),
    );
  });

  it('leaves out columns and sections that would be empty', () => {
    const text = formatTopology(simulated('2x64MiB'));
    expect(section(text, 'nodes')).toEqual([
      '  node       RAM  first pfn  last pfn  spanned  present    memmap  CPUs',
      '     0  64.0 MiB        0x0    0x3fff   16,384   16,384  2.00 MiB  0-3',
      '     1  64.0 MiB     0x4000    0x7fff   16,384   16,384      none  4-7',
    ]);
    expect(section(text, 'ranges')).toEqual([
      '  node  zone   kind  first pfn  last pfn   pages    memory  descriptors  chunks',
      '     0  DMA    ram         0x0     0xfff   4,096  16.0 MiB      256 KiB       1',
      '        DMA32  ram      0x1000    0x3fff  12,288  48.0 MiB      768 KiB       3',
      '     1  DMA32  ram      0x4000    0x7fff  16,384  64.0 MiB     1.00 MiB       4',
    ]);
    expect(text).not.toMatch(/reserved|unavailable ranges|device|note:/);
  });

  it.each([
    ['4.19.19', 'Reserved but unavailable: 97 pages'],
    ['5.5', 'Zeroed struct page in unavailable ranges: 8290 pages'],
    ['5.11.0-rc4', 'Zeroed struct page in unavailable ranges: 8290 pages'],
  ])('tells unavailable pages as the kernel of its time did: %s', (kernel, line) => {
    const reserved = [{ startPfn: 0x9f, endPfn: 0x100, what: 'BIOS' }];
    const log = section(formatTopology(reportOf({ ...smallMachine, kernel, reserved })), 'as the log');
    expect(log.filter((told) => /unavailable/.test(told))).toEqual([`  ${line}`]);
  });

  it('adds up the unavailable pages that have descriptors, and says so where the log of that kernel counts others', () => {
    const summary = (kernel: string): string | undefined =>
      formatTopology(reportOf({ ...smallMachine, kernel })).split('\n')[2];
    expect(summary('6.1')).toMatch(/ · 8,290 in unavailable ranges$/);
    expect(summary('4.19')).toMatch(/ · 8,290 in unavailable ranges \(its log counts 0\)$/);
  });

  it('has no line on unavailable pages where there are none, as the log has none', () => {
    expect(section(formatTopology(simulated('1x8GiB')), 'as the log')).toEqual([
      '  Zone ranges:',
      '    DMA      [mem 0x0000000000000000-0x0000000000ffffff]',
      '    DMA32    [mem 0x0000000001000000-0x00000000ffffffff]',
      '    Normal   [mem 0x0000000100000000-0x00000001ffffffff]',
      '    Device   empty',
    ]);
  });

  it('names each node once in a table, also the last of sixteen', () => {
    const rows = section(formatTopology(simulated('16x2TiB:pmem')), 'ranges').slice(1);
    expect(rows).toHaveLength(32);
    expect(rows.filter((row) => /^ +\d+ {2}Device/.test(row))).toHaveLength(16);
    expect(rows.at(-2)).toBe(
      '    15  Device  fsdax map=mem  0x1e0000000  0x1efffffff  268,435,456  1.00 TiB     16.0 GiB  65,536',
    );
    expect(rows.at(-1)).toMatch(/^ {8}Device {2}fsdax/);
  });

  it('is no wider than 140 columns for a machine of many terabytes', () => {
    const wide = formatTopology(simulated('16x2TiB,16x6TiB:pmem')).split('\n');
    expect(Math.max(...wide.map(({ length }) => length))).toBeLessThanOrEqual(140);
  });

  it('has a row for each of many ranges', () => {
    expect(section(formatTopology(reportOf(striped(2, 150_000, 1))), 'ranges')).toHaveLength(150_001);
  });

  it('tells the sixteen largest of many reserved extents, by address', () => {
    const reserved = Array.from({ length: 20 }, (_, index) => ({
      startPfn: 0x200 + index * 0x20,
      endPfn: 0x200 + index * 0x20 + index + 1,
      what: `number ${index}`,
    }));
    const text = formatTopology(reportOf({ ...smallMachine, reserved }));
    expect(text).toContain('\nreserved before anybody could use it: the 16 largest of 20\n');
    const named = section(text, 'reserved before').slice(1);
    expect(named.map((row) => Number(/number (\d+)$/.exec(row)?.[1]))).toEqual(
      Array.from({ length: 16 }, (_, i) => i + 4),
    );
  });

  it('is one line for each line, whatever a file calls things', () => {
    const what = 'a\nb\u001b[2J\r\u0085c';
    const reserved = [{ startPfn: 0x10, endPfn: 0x20, what }];
    const text = formatTopology(reportOf({ ...smallMachine, kernel: '6.1\u001b[31m', reserved, notes: ['x\ny'] }));
    expect(text).toContain('  64.0 KiB  a?b?[2J??c\n');
    expect(text).toContain('· Linux 6.1?[31m\n');
    expect(text).toContain('\nnote: x?y\n');
    expect(text.replace(/\n/g, '')).not.toMatch(/\p{Cc}/u);
  });

  it('tells the sizes of chunks in each row where they are not all the same', () => {
    const { ranges, ...report } = reportOf(smallMachine);
    const mixed = ranges.map((range, index) =>
      index === 0 ? { ...range, chunkPages: 512, chunkBytes: 32_768 } : range,
    );
    const rows = section(formatTopology({ ...report, ranges: mixed }), 'ranges');
    expect(rows[0]).toMatch(/ chunks {2}pages\/chunk {5}chunk$/);
    expect(rows[1]).toMatch(/ 1 {10}512 {2}32\.0 KiB$/);
  });
});

describe('the object', () => {
  it('has the keys that scripts rely on, pfns as numbers and null for what is not there', () => {
    const report = reportOf(smallMachine);
    expect(Object.keys(report)).toEqual([
      'source',
      'platform',
      'kernel',
      'rulesRelease',
      'pages',
      'descriptorBytes',
      'presentPages',
      'unavailablePages',
      'memoryBytes',
      'memmapBytes',
      'devicePages',
      'deviceBytes',
      'nodes',
      'zones',
      'ranges',
      'zoneRanges',
      'unavailable',
      'reserved',
      'log',
      'answers',
      'notes',
    ]);
    expect(report.nodes[0]).toEqual({
      nid: 0,
      cpus: [0, 1, 2, 8],
      startPfn: 1,
      endPfn: 0x6000,
      spannedPages: 0x5fff,
      presentPages: 24_478,
      unavailablePages: 98,
      reservedPages: 16,
      memoryBytes: 24_478 * 4096,
      memmapBytes: 2 ** 21,
      memmapVirtual: { startByte: 0, endByte: 2 ** 21 },
      devicePages: 0,
      deviceBytes: 0,
      deviceMemmapBytes: 0,
    });
    expect(report.nodes[2]).toMatchObject({
      startPfn: null,
      endPfn: null,
      memmapVirtual: null,
      memmapBytes: 0,
      devicePages: 32_766,
      deviceMemmapBytes: 32_766 * 64,
    });
    expect(report.zones[0]).toEqual({
      nid: 0,
      zone: 'DMA',
      startPfn: 1,
      endPfn: 4096,
      spannedPages: 4095,
      presentPages: 3998,
      holePages: 97,
      unavailablePages: 98,
      reservedPages: 16,
      memmapPages: 64,
    });
    expect(report.ranges[3]).toEqual({
      nid: 2,
      zone: 'Device',
      kind: 'device',
      pgmap: 1,
      mode: 'devdax',
      map: 'dev',
      compoundPages: 512,
      startPfn: 0x2_0002,
      endPfn: 0x2_8000,
      pages: 32_766,
      uses: { present: 32_256, reserved: 0, unavailable: 0, altmap: 510 },
      memoryBytes: 32_766 * 4096,
      descriptorBytes: 32_766 * 64,
      chunks: 8,
      chunkPages: 4096,
      chunkBytes: 2 ** 18,
      segments: [
        { startPfn: 0x2_0002, endPfn: 0x2_0200, use: 'altmap' },
        { startPfn: 0x2_0200, endPfn: 0x2_8000, use: 'present' },
      ],
    });
    expect(report.unavailablePages).toBe(8290);
    expect(report.unavailable).toEqual({
      rule: 'per-zone',
      totalPages: 8290,
      gaps: [
        { nid: 0, zone: 'DMA', startPfn: 0, endPfn: 1, pages: 1 },
        { nid: 0, zone: 'DMA', startPfn: 0x9f, endPfn: 0x100, pages: 97 },
        { nid: 1, zone: 'DMA32', startPfn: 0x6000, endPfn: 0x8000, pages: 8192 },
      ],
    });
    expect(report).toMatchObject({ kernel: '6.1.0', answers: null, pages: 98_302, devicePages: 32_766 });
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });

  it('tells device memory without more to say as fsdax with its memmap in RAM', () => {
    expect(simulated('1x64MiB:pmem').ranges[0]).toMatchObject({
      pgmap: 1,
      mode: 'fsdax',
      map: 'mem',
      compoundPages: 1,
    });
  });

  it('has the memory of a range without its unavailable pages', () => {
    const [, , range] = reportOf(smallMachine).ranges;
    expect(range).toMatchObject({ pages: 40_960, uses: { unavailable: 8192 }, memoryBytes: 32_768 * 4096 });
  });

  it('counts in pages of its platform', () => {
    const memory = [{ nid: 0, kind: 'ram', startPfn: 0, endPfn: 0x4000 }] as const;
    const report = reportOf({ ...smallMachine, kernel: '5.10', platform: 'arm64-64k', memory, reserved: [] });
    expect(report).toMatchObject({ memoryBytes: 2 ** 30, platform: { pageSizeBytes: 65_536, sectionPages: 2 ** 14 } });
    expect(formatTopology(report)).toMatch(/^a machine read from a file · arm64-64k, pages of 64 KiB · Linux 5\.10\n/);
  });

  it('adds up: zones, ranges and nodes have the same pages', () => {
    const report = reportOf(striped(3, 300, 700));
    const total = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);
    expect(total(report.zones.map(({ presentPages }) => presentPages))).toBe(210_000);
    expect(report.presentPages).toBe(210_000);
    const unavailable = total(report.nodes.map(({ unavailablePages }) => unavailablePages));
    expect(total(report.zones.map(({ unavailablePages }) => unavailablePages))).toBe(unavailable);
    expect(report.pages).toBe(210_000 + unavailable);
  });
});

describe('a list of CPUs', () => {
  it.each([
    [[], ''],
    [[3], '3'],
    [[0, 1, 2, 8], '0-2,8'],
    [[9, 1, 0], '0-1,9'],
    [[1, 3, 5, 6], '1,3,5-6'],
  ])('%j is told as the kernel does: %j', (cpus, text) => {
    expect(formatCpulist(cpus)).toBe(text);
  });
});

it.each([
  [4096, '4 KiB'],
  [16_384, '16 KiB'],
  [2 ** 21, '2 MiB'],
  [2 ** 30, '1 GiB'],
  [1536, '1.50 KiB'],
])('%i bytes are exactly %s', (bytes, text) => {
  expect(exactBytes(bytes)).toBe(text);
});
