/** Tests of the nodes that a boot log tells. */
import { describe, expect, it } from 'vitest';
import { refusalOf } from '../errors.ts';
import { early, ramOf, told, usable } from './told.ts';

describe('the nodes', () => {
  const srat = (node: number, from: string, to: string, words = ''): string =>
    `ACPI: SRAT: Node ${node} PXM ${node} [mem ${from}-${to}]${words}`;

  it('of the SRAT cut memory, and those without memory are there', () => {
    const found = told(
      usable,
      srat(0, '0x00000000', '0x0009ffff'),
      srat(0, '0x00100000', '0x1fffffff'),
      srat(2, '0x20000000', '0x3fffffff'),
      'Initmem setup node 5 as memoryless',
      'Initmem setup node 7 [mem 0x0000000000000000-0x0000000000000000]',
    );
    expect(ramOf(found)).toEqual([
      [0, 0x100, 0x20000],
      [2, 0x20000, 0x40000],
    ]);
    expect(found.nodes).toEqual([
      { nid: 0, cpus: [0] },
      { nid: 2, cpus: [1] },
      { nid: 5, cpus: [] },
      { nid: 7, cpus: [] },
    ]);
    expect(found.notes).toEqual([]);
  });

  it('of the SRAT of kernels before 3.5 tell the first byte behind, and may overlap themselves', () => {
    const found = told(
      usable,
      'SRAT: Node 0 PXM 0 100000-20000000',
      'SRAT: Node 0 PXM 0 0-20000000',
      'SRAT: Node 1 PXM 1 20000000-40000000',
    );
    expect(ramOf(found)).toEqual([
      [0, 0x100, 0x20000],
      [1, 0x20000, 0x40000],
    ]);
  });

  it('may have hotplug memory up to where no memory can be', () => {
    const found = told(
      usable,
      srat(0, '0x00000000', '0x3fffffff'),
      srat(0, '0x100000000', '0xffffffffffffffff', ' hotplug'),
    );
    expect(ramOf(found)).toEqual([[0, 0x100, 0x40000]]);
  });

  it('have the memory between two of their ranges, but not that between two nodes', () => {
    const apart = [srat(0, '0x0', '0xfffffff'), srat(0, '0x20000000', '0x3fffffff')];
    expect(ramOf(told(usable, ...apart))).toEqual([[0, 0x100, 0x40000]]);
    const lost = told(usable, srat(0, '0x0', '0x1fffefff'), srat(1, '0x20000000', '0x3fffffff'));
    expect(ramOf(lost)).toEqual([
      [0, 0x100, 0x1ffff],
      [1, 0x20000, 0x40000],
    ]);
    expect(lost.notes).toEqual(['4096 bytes of RAM are in no node, and left out as Linux does.']);
  });

  it('that do not cover a MiB of memory lose nothing: Linux does not believe in them', () => {
    const found = told(usable, srat(0, '0x0', '0x1fefffff'), srat(1, '0x20000000', '0x3fffffff'));
    expect(ramOf(found)).toEqual([
      [0, 0x100, 0x20000],
      [1, 0x20000, 0x40000],
    ]);
    expect(found.notes).toEqual([
      '1048576 bytes of RAM are in no node that the log tells; they are taken as memory of the node below.',
    ]);
    // what lies below all nodes is of the lowest
    expect(ramOf(told(usable, srat(3, '0x20000000', '0x3fffffff')))).toEqual([[3, 0x100, 0x40000]]);
  });

  it('that are faked are those that memory has', () => {
    const found = told(
      usable,
      srat(0, '0x0', '0x3fffffff'),
      'Faking node 0 at [mem 0x0000000000000000-0x000000001fffffff] (512MB)',
      'Faking node 1 at [mem 0x0000000020000000-0x000000003fffffff] (512MB)',
    );
    expect(ramOf(found)).toEqual([
      [0, 0x100, 0x20000],
      [1, 0x20000, 0x40000],
    ]);
  });

  it('are one where the kernel has found none, or was told to', () => {
    for (const line of [
      'No NUMA configuration found',
      'NUMA: Faking a node at [mem 0x0-0x3fffffff]',
      'NUMA turned off',
    ]) {
      const found = told(usable, srat(1, '0x0', '0x3fffffff'), line);
      expect(ramOf(found)).toEqual([[0, 0x100, 0x40000]]);
      expect(found.notes).toEqual([]);
    }
    expect(told(usable).notes).toEqual(['The log does not tell nodes, so all memory is on node 0.']);
  });

  it('of device memory cut it, and what no node has is of the RAM below', () => {
    const persistent = 'BIOS-e820: [mem 0x0000000100000000-0x00000001ffffffff] persistent (type 7)';
    const nodes = [
      srat(0, '0x0', '0x3fffffff'),
      srat(2, '0x100000000', '0x13fffffff', ' non-volatile'),
      srat(3, '0x140000000', '0x17fffffff', ' non-volatile'),
    ];
    const found = told(usable, persistent, ...nodes);
    expect(found.memory.slice(1).map(({ nid, pgmap, startPfn, endPfn }) => [nid, pgmap, startPfn, endPfn])).toEqual([
      [2, 1, 0x100000, 0x140000],
      [3, 2, 0x140000, 0x180000],
      [0, 3, 0x180000, 0x200000],
    ]);
    expect(found.notes).toEqual([
      'The log does not tell the node of 1 runs of device memory; that of the RAM below is taken.',
    ]);
  });

  it('that claim the same memory are refused, and so are damaged lines and nodes that cannot be', () => {
    expect(
      refusalOf(() => told(usable, srat(0, '0x0', '0x2fffffff'), srat(1, '0x20000000', '0x3fffffff'))).message,
    ).toContain('line 3, column 1: expected memory that is not that of node 0 in line 2');
    for (const line of ['ACPI: SRAT: Node 0 PXM 0 [mem 0x0-', srat(1024, '0x0', '0xfff'), 'Faking node 0 at zebra']) {
      expect(refusalOf(() => told(usable, line)).code).toBe('DMESG_SYNTAX');
      expect(ramOf(told(usable, line, early))).toEqual([[0, 0x100, 0x40000]]);
    }
  });

  it('of Power have lines of their own, which tell the first byte behind', () => {
    const found = told('Node 0 Memory: 0x0-0x10000000 0x20000000-0x30000000', 'Node 1 Memory: 0x10000000-0x20000000');
    expect(found.platform).toBe('power-64k');
    expect(ramOf(found)).toEqual([
      [0, 0, 0x1000],
      [1, 0x1000, 0x2000],
      [0, 0x2000, 0x3000],
    ]);
    expect(refusalOf(() => told('Node 0 Memory: zebra')).code).toBe('DETECT_FAILED');
  });
});
