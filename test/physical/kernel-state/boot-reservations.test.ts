/** What a kernel's log tells of memory that it kept: lines as Linux prints them, of several releases, and others. */
import { describe, expect, it } from 'vitest';
import { bootReservations } from '../../../dist/src/physical/kernel-state/boot-reservations.js';
import { readKernelLog } from '../../../dist/src/physical/kernel-state/kernel-log.js';
import { platforms } from '../../../dist/src/physical/platforms.js';
import { makeTree } from '../made-tree.js';

/** Reservations as text, pfns in hexadecimal. */
function told(lines: readonly string[], platform: keyof typeof platforms = 'x86-64'): string[] {
  return bootReservations(lines, platforms[platform]).map(({ startPfn, endPfn, what }) => {
    return `${startPfn.toString(16)}-${endPfn.toString(16)} ${what}`;
  });
}

describe('lines that name what they are about', () => {
  it.each([
    ['RAMDISK: [mem 0x7f572000-0x7ffd7fff]', '7f572-7ffd8 the initial RAM disk'],
    ['NODE_DATA(1) allocated [mem 0x1fb7d3000-0x1fb7fdfff]', '1fb7d3-1fb7fe NODE_DATA'],
    ['NUMA: NODE_DATA [mem 0x2087fffeb00-0x2087fffffff]', '2087fffe-20880000 NODE_DATA'],
    ['NODE_DATA [mem 0x2087fffeb00-0x2087fffffff]', '2087fffe-20880000 NODE_DATA'],
    // its last address is the one behind
    ['software IO TLB: mapped [mem 0x0000000077000000-0x000000007b000000] (64MB)', '77000-7b000 software IO TLB'],
    ['ACPI: Reserving FACP table memory at [mem 0xa0c97-0xa0daa]', 'a0-a1 an ACPI table'],
    ['crashkernel reserved: 0x000000007b000000 - 0x000000007f000000 (64 MB)', '7b000-7f000 Crash kernel'],
    ['crashkernel low memory reserved: 0x6d000000 - 0x7d000000 (256 MB)', '6d000-7d000 Crash kernel'],
    ['Reserving 64MB of memory at 1968MB for crashkernel (System RAM: 6143MB)', '7b000-7f000 Crash kernel'],
    ['Reserving 256MB of low memory at 2816MB for crashkernel (low RAM limit: 4096MB)', 'b0000-c0000 Crash kernel'],
    ['esrt: Reserving ESRT space from 0x00000000bd2c3a18 to 0x00000000bd2c3a50.', 'bd2c3-bd2c4 the ESRT'],
    ['BRK [0x33a01000, 0x33a01fff] PGTABLE', '33a01-33a02 early page tables'],
  ])('%s', (line, reservation) => {
    expect(told([line])).toEqual([reservation]);
  });

  it.each([
    ['is only like one', 'RAMDISK: [mem 0x7f572000-'],
    ['says it elsewhere in the line', 'systemd: RAMDISK: [mem 0x7f572000-0x7ffd7fff]'],
    ['ends before it begins', 'RAMDISK: [mem 0x7f572000-0x7f571fff]'],
    ['ends beyond 2^52 bytes', 'RAMDISK: [mem 0x7f572000-0x10000000000000]'],
    ['has more digits than an address', 'RAMDISK: [mem 0x7f572000-0x123456789abcdef01]'],
    ['holds nothing', ''],
  ])('a line that %s tells nothing', (_, line) => {
    expect(told([line])).toEqual([]);
  });

  it('a page of which one byte is kept is kept, and two that share a page do not overlap', () => {
    const [first, second] = ['0xa0c97-0xa1daa', '0xa1dab-0xa2df2'];
    expect(told([first, second].map((run) => `ACPI: Reserving DSDT table memory at [mem ${run}]`))).toEqual([
      'a0-a3 an ACPI table',
    ]);
    expect(told(['NODE_DATA(0) allocated [mem 0x1000-0x17ff]', 'RAMDISK: [mem 0x1800-0x2fff]'])).toEqual([
      '1-2 NODE_DATA',
      '2-3 the initial RAM disk',
    ]);
  });

  it('pages are those of the platform', () => {
    expect(told(['RAMDISK: [mem 0x20000-0x4ffff]'], 'arm64-64k')).toEqual(['2-5 the initial RAM disk']);
  });
});

describe('what memblock=debug prints', () => {
  const alloc = (caller: string): string =>
    `memblock_alloc_try_nid: 4096 bytes align=0x1000 nid=-1 from=0x0000000000000000 max_addr=0x0000000000000000 ${caller}+0x4e/0x97`;
  const reserve = (run: string, caller = 'memblock_alloc_range_nid'): string =>
    `memblock_reserve: [${run}] ${caller}+0xb0/0x13d`;

  it('is told by the function that asked for memory, not by the one that found it', () => {
    expect(told([alloc('spp_getpage'), reserve('0x1fb7c8000-0x1fb7c8fff')])).toEqual([
      '1fb7c8-1fb7c9 memblock: spp_getpage',
    ]);
    expect(told([alloc('spp_getpage'), reserve('0x98000-0x9efff', 'setup_arch')])).toEqual([
      '98-9f memblock: setup_arch',
    ]);
  });

  it('is told by the function that found it where nobody is known', () => {
    expect(told([reserve('0x1000-0x1fff')])).toEqual(['1-2 memblock: memblock_alloc_range_nid']);
  });

  it.each([
    ['__memblock_reserve: [0x0000000000098000-0x000000000009efff] nid=-1 flags=20 setup_arch+0x848/0xc10'],
    ['   memblock_reserve: [0x00000000098000-0x0000000009efff] flags 0x0 setup_arch.constprop.0+0x848/0xc10'.trim()],
  ])('is read in the words of other releases: %s', (line) => {
    expect(told([line])).toEqual(['98-9f memblock: setup_arch']);
  });

  it.each(['memblock_phys_free', 'memblock_free'])('is forgotten when it is given back, by %s', (free) => {
    const lines = [
      reserve('0x1000-0x4fff', 'setup_arch'),
      `${free}: [0x0000000000002000-0x0000000000002fff] init_mem_mapping+0x22e/0x31f`,
    ];
    expect(told(lines)).toEqual(['1-2 memblock: setup_arch', '3-5 memblock: setup_arch']);
    expect(told([...lines, reserve('0x2000-0x2fff', 'e820')])).toEqual([
      '1-2 memblock: setup_arch',
      '2-3 memblock: e820',
      '3-5 memblock: setup_arch',
    ]);
  });

  it('gives way to a line that names what it is about', () => {
    const lines = ['NODE_DATA(0) allocated [mem 0x2000-0x2fff]', reserve('0x1000-0x3fff', 'memblock_alloc')];
    expect(told(lines)).toEqual(['1-2 memblock: memblock_alloc', '2-3 NODE_DATA', '3-4 memblock: memblock_alloc']);
  });

  it('is read up to a bound, however long it goes on', () => {
    const lines = Array.from({ length: 65_537 }, (_, page) => {
      const at = (2 * page * 4096).toString(16);
      return reserve(`0x${at}-0x${at.slice(0, -3) || '0'}fff`, `caller${page % 7}`);
    });
    expect(bootReservations(lines, platforms['x86-64']).length).toBe(65_536);
  });
});

describe("the kernel's log", () => {
  const record = (priority: number, text: string): string => `${priority},160,424069,-;${text}\n`;

  it('is what the kernel itself said, without what others wrote into it', () => {
    const kmsg = [
      record(6, 'RAMDISK: [mem 0x7f572000-0x7ffd7fff]'),
      ' SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00\n',
      record(7, 'a debug message; with a semicolon'),
      // facility 3, a daemon's; nobody but the kernel has 0
      record(30, 'RAMDISK: [mem 0x1000-0x1fff]'),
      record(12, 'NODE_DATA(0) allocated [mem 0x1000-0x1fff]'),
      '6,161,424070,-,caller=T1;with a caller\n',
      'no record at all\n',
    ].join('');
    const root = makeTree({ kmsg });
    expect(readKernelLog(`${root}/kmsg`)).toEqual([
      'RAMDISK: [mem 0x7f572000-0x7ffd7fff]',
      'a debug message; with a semicolon',
      'with a caller',
    ]);
  });

  it('is whole, though it comes in parts', () => {
    const lines = Array.from({ length: 5000 }, (_, index) => `message ${index} ${'x'.repeat(index % 97)}`);
    const root = makeTree({ kmsg: lines.map((line) => record(4, line)).join('') });
    expect(readKernelLog(`${root}/kmsg`)).toEqual(lines);
  });

  it('is nothing where it cannot be read', () => {
    const root = makeTree({ 'kmsg/entry': '' });
    expect(readKernelLog(`${root}/none`)).toBeUndefined();
    expect(readKernelLog(`${root}/kmsg`)).toBeUndefined();
  });
});
