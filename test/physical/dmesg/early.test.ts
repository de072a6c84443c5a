/** Tests of what the kernel printed of its memory, in its own lines and in those of memblock. */
import { describe, expect, it } from 'vitest';
import { refusalOf } from '../errors.ts';
import { early, ramOf, told, usable } from './told.ts';

describe('what the kernel printed of its memory', () => {
  it('counts, and not the map of the firmware', () => {
    const found = told(usable, 'node   1: [mem 0x0000000000100000-0x000000001fffffff]');
    expect(ramOf(found)).toEqual([[1, 0x100, 0x20000]]);
    expect(found.notes).toEqual([
      'The e820 map in the log is not all that the kernel saw; its "Early memory node ranges" are taken.',
    ]);
  });

  it('counts as it stands in the last block', () => {
    const block = (to: string): string[] => ['Early memory node ranges', `node   0: [mem 0x0000000000100000-${to}]`];
    expect(ramOf(told(...block('0x000000003fffffff'), ...block('0x000000001fffffff')))).toEqual([[0, 0x100, 0x20000]]);
  });

  it('of kernels before 3.5 is in pfns', () => {
    const found = told(
      'BIOS-e820: 0 - 0',
      'early_node_map[2] active PFN ranges',
      '    0: 0x00000001 -> 0x0000009f',
      '    1: 0x00000100 -> 0x00040000',
    );
    expect(ramOf(found)).toEqual([
      [0, 1, 0x9f],
      [1, 0x100, 0x40000],
    ]);
    const beyond = ['early_node_map[1] active PFN ranges', '0: 0x0 -> 0x10000000001'];
    expect(refusalOf(() => told(...beyond)).message).toContain('line 2, column 1: expected memory below 2^52');
  });

  it('that is garbled reaches up to the next line of its node, and else is refused', () => {
    const garbled = [
      'node   0: [mem 0x0000000000100000-0x00000 node',
      'zebra',
      'node   0: [mem 0x0000000020000000-0x000000003fffffff]',
    ];
    const found = told(...garbled);
    expect(ramOf(found)).toEqual([[0, 0x100, 0x40000]]);
    expect(found.notes).toContain('Line 1 is garbled: 0x100000-0x1fffffff is taken as memory of node 0.');
    const elsewhere = [garbled[0] as string, 'node   1: [mem 0x0000000020000000-0x000000003fffffff]'];
    expect(refusalOf(() => told(...elsewhere)).message).toContain('line 1, column 1: expected [mem FIRST-LAST]');
    expect(refusalOf(() => told(garbled[0] as string)).code).toBe('DETECT_FAILED');
    expect(refusalOf(() => told('node   0: [mem zebra', garbled[2] as string)).code).toBe('DMESG_SYNTAX');
  });

  it('must ascend, without overlaps, on nodes and at addresses that can be', () => {
    const second = (text: string): string => refusalOf(() => told(early, text)).message;
    expect(second('node   0: [mem 0x000000003ffff000-0x000000004fffffff]')).toContain(
      'expected memory behind that of line 1',
    );
    expect(second('node   0: [mem 0x0000000050000000-0x000000004fffffff]')).toContain(
      'expected a last address that is not',
    );
    expect(second('node   0: [mem 0x0000000050000000-0x0010000000000fff]')).toContain('expected an address below 2^52');
    expect(second('node 1024: [mem 0x0000000050000000-0x000000005fffffff]')).toContain('expected a node below 1024');
    expect(ramOf(told('node 1023: [mem 0x000ffffffffff000-0x000fffffffffffff]'))).toEqual([
      [1023, 2 ** 40 - 1, 2 ** 40],
    ]);
  });

  it('may say from where on memory of a node is movable', () => {
    const found = told(
      'Movable zone start for each node',
      '  Node 0: 0x0000000020000000',
      '  Node 1: 0x0000000010000000',
      early,
      'node   1: [mem 0x0000000040000000-0x000000007fffffff]',
    );
    expect(found.memory).toEqual([
      { nid: 0, kind: 'ram', startPfn: 0x100, endPfn: 0x20000 },
      { nid: 0, kind: 'ram', startPfn: 0x20000, endPfn: 0x40000, movable: true },
      { nid: 1, kind: 'ram', startPfn: 0x40000, endPfn: 0x80000, movable: true },
    ]);
  });
});

describe('memory of memblock', () => {
  it('counts where the log has nothing better, with its nodes where it has them', () => {
    const line = (from: string, to: string, rest: string): string =>
      ` memory[0x0]\t[${from}-${to}], 0x1000 bytes${rest}`;
    const found = told(
      'psci: probing',
      'MEMBLOCK configuration:',
      line('0x0000000080000000', '0x000000008fffffff', ' on node 0 flags: 0x0'),
      line('0x0000000090000000', '0x000000009fffffff', ' on node 1 flags: 0x0'),
    );
    expect(ramOf(found)).toEqual([
      [0, 0x80000, 0x90000],
      [1, 0x90000, 0xa0000],
    ]);
    expect(ramOf(told('psci: probing', line('0x0000000080000000', '0x000000008fffffff', ' flags: 0x0')))).toEqual([
      [0, 0x80000, 0x90000],
    ]);
    expect(
      refusalOf(() => told('psci: probing', line('0x80000000', '0x8fffffff', ''), 'memory[0x1]\t[zebra')).code,
    ).toBe('DMESG_SYNTAX');
  });
});
