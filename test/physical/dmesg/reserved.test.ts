/** Tests of what a boot log tells of memory that is not free: NOMAP, and reserved. */
import { describe, expect, it } from 'vitest';
import { early, hex, told } from './told.ts';

describe('NOMAP', () => {
  const block = (...ends: number[]): string[] =>
    ends.slice(1).map((end, index) => `node   0: [mem ${hex(ends[index] ?? 0)}-${hex(end - 1)}]`);
  const four = block(0x8000_0000, 0x8001_0000, 0x8800_0000, 0x8810_0000, 0x9000_0000);
  const nomapOf = (...lines: string[]): unknown => told('psci: probing', ...lines).nomap;
  const small = [
    { startPfn: 0x80000, endPfn: 0x80010 },
    { startPfn: 0x88000, endPfn: 0x88100 },
  ];
  const large = [
    { startPfn: 0x80010, endPfn: 0x88000 },
    { startPfn: 0x88100, endPfn: 0x90000 },
  ];

  it('is every other one of touching ranges, without evidence the smaller ones, with a note', () => {
    expect(nomapOf(...four)).toEqual(small);
    expect(told('psci: probing', ...four).notes.at(-1)).toMatch(/NOMAP/);
  });

  it('is what evidence leaves: what the kernel has allocated is mapped', () => {
    const evidence = ['cma: Reserved 1 MiB at 0x0000000089000000'];
    expect(nomapOf(...four, ...evidence)).toEqual(small);
    expect(told('psci: probing', ...four, ...evidence).notes.join()).not.toMatch(/NOMAP/);
    expect(nomapOf(...four, 'NUMA: NODE_DATA [mem 0x80001000-0x80002fff]')).toEqual(large);
    expect(
      nomapOf(...four, 'OF: reserved mem: 0x0000000088000000..0x00000000880fffff (1024 KiB) nomap non-reusable a'),
    ).toEqual(small);
    expect(
      nomapOf(...four, 'OF: reserved mem: 0x0000000089000000..0x00000000890fffff (1024 KiB) nomap non-reusable a'),
    ).toEqual(large);
  });

  it('of a range by itself is told by evidence only', () => {
    const one = block(0x8000_0000, 0x9000_0000);
    expect(nomapOf(...one)).toBeUndefined();
    expect(
      nomapOf(...one, 'OF: reserved mem: 0x0000000080000000..0x000000008fffffff (262144 KiB) nomap non-reusable a'),
    ).toEqual([{ startPfn: 0x80000, endPfn: 0x90000 }]);
  });

  it('does not go on over a gap, or to another node', () => {
    const apart = [...block(0x8000_0000, 0x8001_0000), ...block(0x8002_0000, 0x9000_0000)];
    expect(nomapOf(...apart)).toBeUndefined();
    expect(nomapOf(four[0] as string, (four[1] as string).replace('node   0', 'node   1'))).toBeUndefined();
  });

  it('is what memblock says where it is dumped', () => {
    const dump = 'memory[0x0]\t[0x0000000080000000-0x000000008000ffff], 0x0000000000010000 bytes on node 0 flags: 0x4';
    expect(nomapOf(...four, dump)).toEqual(small);
    expect(nomapOf(...four, dump.replace('0x4', '0x0'))).toEqual(large);
  });

  it('is none on other platforms, whose touching ranges differ by other flags', () => {
    expect(told('x86/PAT: y', ...four)).not.toHaveProperty('nomap');
  });
});

describe('what is reserved', () => {
  const reservedOf = (...lines: string[]): unknown => told('psci: probing', early, ...lines).reserved;

  it.each([
    ['Reserving 512MB of memory at 256MB for crashkernel (System RAM: 1035213MB)', 0x10000, 0x30000, 'Crash kernel'],
    [
      'Reserving 256MB of low memory at 256MB for crashkernel (System low RAM: 2000MB)',
      0x10000,
      0x20000,
      'Crash kernel',
    ],
    ['crashkernel reserved: 0x0000000002000000 - 0x0000000012000000 (256 MB)', 0x2000, 0x12000, 'Crash kernel'],
    ['crashkernel low memory reserved: 0x02000000 - 0x12000000 (256 MB)', 0x2000, 0x12000, 'Crash kernel'],
    ['RAMDISK: [mem 0x313e6800-0x349ea7ff]', 0x313e6, 0x349eb, 'Initrd'],
    ['NODE_DATA(0) allocated [mem 0x27ffd000-0x27ffffff]', 0x27ffd, 0x28000, 'NODE_DATA'],
    ['NUMA: NODE_DATA [mem 0x27fffdc00-0x27fffffff]', 0x27fffd, 0x280000, 'NODE_DATA'],
    ['  NODE_DATA [mem 0x27ffd000-0x27ffffff]', 0x27ffd, 0x28000, 'NODE_DATA'],
    ['cma: Reserved 64 MiB at 0x0000000010c00000', 0x10c00, 0x14c00, 'CMA'],
    ['cma: Reserved 64 MiB at 0x0000000010c00000 on node -1', 0x10c00, 0x14c00, 'CMA'],
    [
      'OF: reserved mem: 0x000000003a000000..0x000000003dffffff (65536 KiB) map reusable linux,cma',
      0x3a000,
      0x3e000,
      'CMA',
    ],
    [
      'OF: reserved mem: 0x000000003fd235e0..0x000000003fd23617 (0 KiB) nomap non-reusable nvram@0',
      0x3fd23,
      0x3fd24,
      'reserved-memory',
    ],
    ['memblock_reserve: [0x0000000010000000-0x0000000010000fff] setup_arch+0x1/0x2', 0x10000, 0x10001, 'memblock'],
    ['reserved[0x0]\t[0x00000010000000-0x00000010000fff], 0x1000 bytes', 0x10000, 0x10001, 'memblock'],
  ])('is read from %j', (line, startPfn, endPfn, what) => {
    expect(reservedOf(line)).toEqual([{ startPfn, endPfn, what }]);
  });

  it('is told by the line that says best what for, and not at all where it was freed', () => {
    expect(
      reservedOf(
        'memblock_reserve: [0x0000000010000000-0x0000000030000fff] a',
        'Reserving 256MB of memory at 256MB for crashkernel (System RAM: 1024MB)',
        'memblock_free: [0x0000000028000000-0x0000000028ffffff] b',
        'memblock_phys_free: [0x0000000030000000-0x0000000030000fff] b',
        'memblock_reserve: [0x0000000028000000-0x0000000028000fff] c',
      ),
    ).toEqual([
      { startPfn: 0x10000, endPfn: 0x20000, what: 'Crash kernel' },
      { startPfn: 0x20000, endPfn: 0x28001, what: 'memblock' },
      { startPfn: 0x29000, endPfn: 0x30000, what: 'memblock' },
    ]);
  });

  it('starts anew with a dump of memblock', () => {
    expect(
      reservedOf(
        'memblock_reserve: [0x0000000010000000-0x0000000010000fff] a',
        'MEMBLOCK configuration:',
        ' reserved[0x0]\t[0x0000000020000000-0x0000000020000fff], 0x1000 bytes flags: 0x0',
      ),
    ).toEqual([{ startPfn: 0x20000, endPfn: 0x20001, what: 'memblock' }]);
  });

  it('on x86 is all of the first MiB since 5.13, and before that 64 KiB and what belongs to the firmware', () => {
    const low = 'node   0: [mem 0x0000000000001000-0x0000000000098fff]';
    const bios = (...lines: string[]): unknown => told('x86/PAT: y', ...lines, low, early).reserved;
    const all = [{ startPfn: 0, endPfn: 0x100, what: 'BIOS' }];
    const parts = [
      { startPfn: 0, endPfn: 0x10, what: 'BIOS' },
      { startPfn: 0x99, endPfn: 0x100, what: 'BIOS' },
    ];
    expect(bios('Linux version 5.13.0 (a) (gcc)')).toEqual(all);
    expect(bios('Linux version 5.12.19 (a) (gcc)')).toEqual(parts);
    expect(bios()).toEqual(all);
    expect(bios('Zeroed struct page in unavailable ranges: 98 pages')).toEqual(parts);
  });
});
