/** Tests of the boot-log reader: real machines, each kind of line by hand, both sides of each rule, and hostile text. */
import { join } from 'node:path';
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { fromDmesgFile, readDmesg } from '../../dist/src/physical/dmesg/dmesg.js';
import type { Topology } from '../../dist/src/physical/topology.js';
import { planRanges } from '../../dist/src/physical/zones.js';
import { orRefused, refusalOf } from './errors.ts';
import { bootedMachines, captureOf, machine, noCaptures } from './machines.ts';
import { makeTree } from './made-tree.ts';

const told = (...lines: string[]): Topology => readDmesg(lines.join('\n'), [0, 1], { file: 'boot.log' });
const hex = (byte: number): string => `0x${byte.toString(16).padStart(16, '0')}`;
/** RAM as [nid, startPfn, endPfn]. */
const ramOf = ({ memory }: Topology): number[][] =>
  memory.filter(({ kind }) => kind === 'ram').map(({ nid, startPfn, endPfn }) => [nid, startPfn, endPfn]);
const deviceOf = ({ memory }: Topology): number[][] =>
  memory.filter(({ kind }) => kind === 'device').map(({ nid, startPfn, endPfn }) => [nid, startPfn, endPfn]);

describe.skipIf(noCaptures !== '')(`a real boot log ${noCaptures}`, () => {
  it.each(bootedMachines)('of %s gives the machine', (_, { capture, topology }) => {
    const { source, notes: __, ...found } = readDmesg(captureOf(capture), [], { file: capture });
    expect(source).toBe('dmesg');
    expect(found).toEqual(topology);
  });

  const differs = 'in the log is not all that the kernel saw';
  it.each([
    ['x86-sun-x4600m2-8node-128g', false],
    ['x86-hp-dl585g7-8node-1t', false],
    ['x86-supermicro-epyc-8node-1t', false],
    ['x86-vm-2node-64g-zoneinfo', false],
    // cut by its poster: the maps begin in the middle
    ['x86-hpz8-memmap-reserve-kaslr', true],
  ])('of %s has an e820 that gives what the kernel printed, or else a note: %s', (name, isCut) => {
    const { notes } = readDmesg(captureOf(machine(name).capture), []);
    expect(notes.some((note) => note.includes(differs))).toBe(isCut);
  });

  it.each([
    'x86-sun-x4600m2-8node-128g',
    'x86-hp-dl585g7-8node-1t',
    'x86-supermicro-epyc-8node-1t',
    'x86-vm-2node-64g-zoneinfo',
  ])('of %s without what the kernel printed of its memory gives the same from the map of the firmware', (name) => {
    const { capture, topology } = machine(name);
    const log = captureOf(capture).replace(/^.*\bnode +\d+: \[mem.*\n/gm, '');
    const found = readDmesg(log, []);
    expect(found.memory).toEqual(topology.memory);
    expect(found.notes).toEqual([]);
  });

  it('of an arm64 machine tells what was garbled, and what was assumed', () => {
    const { notes } = readDmesg(captureOf(machine('arm64-hpe-apollo70-tx2-2node-6.17').capture), []);
    expect(notes).toEqual([
      'The log does not tell the size of pages; 4 KiB is assumed (--platform says otherwise).',
      'Line 35 is garbled: 0xfc840000-0xfedeffff is taken as memory of node 0.',
    ]);
  });

  it('of a server with memmap=4G!4G has device memory where the kernel was told', () => {
    const log = captureOf('x86-pmem-legacy-kaslr-iomem.txt');
    expect(deviceOf(readDmesg(log, []))).toEqual([[0, 0x100000, 0x200000]]);
  });

  it('that tells soft reserved memory and nothing else is of no use', () => {
    const error = refusalOf(() => readDmesg(captureOf('x86-cxl-intel-softreserved-iomem.txt'), []));
    expect(error.code).toBe('DETECT_FAILED');
    expect(error.message).toMatch(
      /tells no memory: neither .* nor a map of e820 or EFI; give the beginning of a boot log/,
    );
  });
});

it.each(bootedMachines)('what the kernel of %s printed of its memory is read back', (_, { topology, answers }) => {
  const lines = answers.earlyRanges.map(({ nid, startPfn, endPfn }) => {
    const pageBytes = { '4k': 4096, '16k': 16_384, '64k': 65_536 }[topology.platform?.split('-')[1] ?? ''] ?? 4096;
    return `  node ${String(nid).padStart(3)}: [mem ${hex(startPfn * pageBytes)}-${hex(endPfn * pageBytes - 1)}]`;
  });
  const found = readDmesg(['Early memory node ranges', ...lines].join('\n'), [], { platform: topology.platform });
  const ram = topology.memory.filter(({ kind }) => kind === 'ram');
  expect(found.memory).toEqual(ram);
});

const usable = 'BIOS-e820: [mem 0x0000000000100000-0x000000003fffffff] usable';
const early = 'node   0: [mem 0x0000000000100000-0x000000003fffffff]';

describe('a line', () => {
  it.each([
    ['', ''],
    ['[    0.000000] ', ''],
    ['[    0.000000][    T0] ', ''],
    ['[  +0.000003] ', ''],
    ['[Jun21 23:09] ', ''],
    ['[Tue Nov  4 21:29:37 2025] ', ''],
    ['[] ', ''],
    ['<6>[    0.000000] ', ''],
    ['kern  :info  : [    0.000000] ', ''],
    ['Sep 25 02:28:53 localhost kernel: ', ''],
    ['Sep 25 02:28:53 localhost kernel: [    0.000000] ', ''],
    ['2026-08-09T08:08:43.080727+00:00 host kernel: ', ''],
    ['2026-08-09T08:08:43,080727+00:00 ', ''],
    ['\t    ', '   \r'],
  ])('may begin with %j', (prefix, suffix) => {
    expect(ramOf(told(`${prefix}${usable}${suffix}`))).toEqual([[0, 0x100, 0x40000]]);
    expect(ramOf(told(`${prefix}  ${early}${suffix}`))).toEqual([[0, 0x100, 0x40000]]);
  });

  it('that only quotes another is none', () => {
    expect(refusalOf(() => told(`> ${usable}`)).code).toBe('DETECT_FAILED');
  });
});

describe('the e820 map', () => {
  it('gives whole pages of usable memory, without page 0 and what lies below 1 MiB', () => {
    expect(
      ramOf(
        told(
          'BIOS-e820: [mem 0x0000000000000000-0x0000000000099bff] usable',
          'BIOS-e820: [mem 0x0000000000099c00-0x000000000009ffff] reserved',
          'BIOS-e820: [mem 0x00000000000a0000-0x00000000000fffff] usable',
          'BIOS-e820: [mem 0x0000000000100001-0x0000000000200ffe] usable',
        ),
      ),
    ).toEqual([
      [0, 1, 0x99],
      [0, 0x101, 0x200],
    ]);
  });

  it('joins entries that touch before it cuts them to pages', () => {
    const halves = [
      'BIOS-e820: [mem 0x0000000000100000-0x00000000001007ff] usable',
      'BIOS-e820: [mem 0x0000000000100800-0x0000000000100fff] usable',
    ];
    expect(ramOf(told(...halves))).toEqual([[0, 0x100, 0x101]]);
  });

  it.each(['reserved', 'ACPI data', 'ACPI NVS', 'unusable', 'type 9', 'type 20', 'device reserved', 'zebra'])(
    'has no memory in what is %s, also where that overlaps usable memory',
    (type) => {
      const found = told(usable, `BIOS-e820: [mem 0x0000000020000000-0x000000002fffffff] ${type}`);
      expect(ramOf(found)).toEqual([
        [0, 0x100, 0x20000],
        [0, 0x30000, 0x40000],
      ]);
      expect(deviceOf(found)).toEqual([]);
    },
  );

  it.each(['persistent (type 7)', 'persistent (type 12)'])('has device memory in what is %s', (type) => {
    const found = told(usable, `BIOS-e820: [mem 0x0000000100000000-0x000000013fffffff] ${type}`);
    expect(found.memory.at(-1)).toEqual({ nid: 0, kind: 'device', pgmap: 1, startPfn: 0x100000, endPfn: 0x140000 });
  });

  it('tells how much is soft reserved', () => {
    const { memory, notes } = told(usable, 'BIOS-e820: [mem 0x000000c080000000-0x000000c47fffffff] soft reserved');
    expect(memory).toHaveLength(1);
    expect(notes).toContain(
      '17179869184 bytes are soft reserved: a driver may make RAM or device memory of them later; they are left out.',
    );
  });

  it('of kernels since 6.19 has other words, and gaps', () => {
    expect(
      ramOf(
        told(
          'BIOS-e820: [mem 0x0000000000100000-0x000000003fffffff]  System RAM',
          'BIOS-e820: [mem 0x0000000040000000-0x000000004fffffff]  device reserved',
          'BIOS-e820: [gap 0x0000000050000000-0x000000005fffffff]',
        ),
      ),
    ).toEqual([[0, 0x100, 0x40000]]);
  });

  it('of kernels before 3.5 tells the first byte behind', () => {
    expect(
      ramOf(
        told(
          ' BIOS-e820: 0000000000000000 - 000000000009fc00 (usable)',
          ' BIOS-e820: 0000000000100000 - 0000000040000000 (usable)',
          'e820 update range: 0000000000000000 - 0000000000002000 (usable) ==> (reserved)',
          'e820 remove range: 0000000030000000 - 0000000040000000 (usable)',
        ),
      ),
    ).toEqual([
      [0, 2, 0x9f],
      [0, 0x100, 0x30000],
    ]);
  });

  it('is replaced by that of the user, or what else the kernel prints last', () => {
    expect(
      ramOf(
        told(
          'BIOS-provided physical RAM map:',
          usable,
          'user-defined physical RAM map:',
          'user: [mem 0x0000000000100000-0x000000001fffffff] usable',
        ),
      ),
    ).toEqual([[0, 0x100, 0x20000]]);
    // the same map twice is one map: a journal of two boots
    const twice = [
      'BIOS-provided physical RAM map:',
      usable,
      'BIOS-provided physical RAM map:',
      usable.replace('3f', '2f'),
    ];
    expect(ramOf(told(...twice))).toEqual([[0, 0x100, 0x30000]]);
  });

  it('is changed as the kernel says', () => {
    expect(
      ramOf(
        told(
          usable,
          'e820: update [mem 0x10000000-0x1fffffff] usable ==> reserved',
          'e820: remove [mem 0x38000000-0xfffffffffffffffe] usable',
          // what is not usable is not what is removed
          'e820: remove [mem 0x20000000-0x2fffffff] reserved',
          // setup data stays usable
          'e820: update [mem 0x30000000-0x30000fff] usable ==> usable',
        ),
      ),
    ).toEqual([
      [0, 0x100, 0x10000],
      [0, 0x20000, 0x38000],
    ]);
  });

  it('has the image of a kernel that lies outside of usable memory', () => {
    const island = 'e820: remove [mem 0x1683600000-0x168662ffff] ';
    expect(ramOf(told(usable, '.text .data .bss are not marked as E820_TYPE_RAM!', island)).at(-1)).toEqual([
      0, 0x1683600, 0x1686630,
    ]);
    expect(ramOf(told(usable, island))).toEqual([[0, 0x100, 0x40000]]);
  });

  it.each([
    'BIOS-e820: [mem 0x0000000000100000-0x00zebra] usable',
    'BIOS-e820: [mem 0x0000000000100000-0x000000003fffffff]',
    'BIOS-e820: [mem 0x0000000000200000-0x0000000000100000] usable',
    'BIOS-e820: [mem 0x0000000000100000-0x0010000000000000] usable',
    'BIOS-e820: 0000000000100000 - 0000zebra (usable)',
    'e820: update [mem 0x10000000-0x1fff',
  ])('with the damaged line %j is refused at it, unless the kernel printed what it made of it', (line) => {
    const error = refusalOf(() => told(usable, `[    0.000000] ${line}`));
    expect(error.code).toBe('DMESG_SYNTAX');
    expect(error.message).toMatch(/^boot\.log, line 2, column 16: expected /);
    expect(error.received).toBe('boot.log');
    const { memory, notes } = told(usable, line, early);
    expect(memory).toHaveLength(1);
    expect(notes).toEqual([
      expect.stringMatching(/map in the log is of no use \(boot\.log, line 2, column 1: expected/),
    ]);
  });

  it('of an entry that is no memory may lie anywhere', () => {
    expect(ramOf(told(usable, 'BIOS-e820: [mem 0xfffffffffff00000-0xffffffffffffffff] reserved'))).toHaveLength(1);
  });
});

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

describe('the EFI map', () => {
  const x86 = (index: number, type: string, attributes: string, range: string): string =>
    `efi: mem${index}: [${type.padEnd(19)}|   |  |  |  |  |  |  |  |   |${attributes}] range=${range} (0MB)`;

  it('of x86 gives memory that is free after boot and can be written back', () => {
    const found = told(
      'x86/PAT: Configuration',
      x86(0, 'Boot Code', 'WB|WT|WC|UC', '[0x0000000000000000-0x0000000000000fff]'),
      x86(1, 'Conventional Memory', 'WB|WT|WC|UC', '[0x0000000000100000-0x0000000000ffffff]'),
      x86(2, 'Loader Data', 'WB|  |  |  ', '[0x0000000001000000-0x0000000001ffffff]'),
      x86(3, 'Conventional Memory', '  |WT|WC|UC', '[0x0000000002000000-0x0000000002ffffff]'),
      x86(4, 'Runtime Data', 'WB|WT|WC|UC', '[0x0000000003000000-0x0000000003ffffff]'),
      x86(5, 'Persistent Memory', 'WB|WT|WC|UC', '[0x0000000100000000-0x000000010fffffff]'),
      x86(6, 'MMIO', '  |  |  |UC', '[0xfffffffffff00000-0xffffffffffffffff]'),
    );
    expect(ramOf(found)).toEqual([[0, 0x100, 0x2000]]);
    expect(deviceOf(found)).toEqual([[0, 0x100000, 0x110000]]);
  });

  it('of x86 before 4.3 tells the first byte behind, and before 4.0 types as numbers', () => {
    expect(
      ramOf(
        told('x86/PAT: y', x86(0, 'Conventional Memory', 'WB|WT|WC|UC', '[0x0000000000100000-0x0000000001000000)')),
      ),
    ).toEqual([[0, 0x100, 0x1000]]);
    expect(
      ramOf(
        told(
          'x86/PAT: y',
          'efi: mem00: type=7, attr=0xf, range=[0x0000000000100000-0x0000000001000000) (15MB)',
          'efi: mem01: type=7, attr=0x1, range=[0x0000000001000000-0x0000000002000000) (16MB)',
          'efi: mem02: type=5, attr=0x800000000000000f, range=[0x0000000002000000-0x0000000003000000) (16MB)',
        ),
      ),
    ).toEqual([[0, 0x100, 0x1000]]);
  });

  it('sets special-purpose memory aside', () => {
    const line = x86(0, 'Conventional Memory', 'WB|WT|WC|UC', '[0x0000000000100000-0x0000000000ffffff]');
    const special = line
      .replace('|   |  |  |', '|   |  |SP|')
      .replace('mem0', 'mem1')
      .replaceAll('000000000', '000000004');
    expect(told('x86/PAT: y', line, special).notes).toEqual([
      expect.stringContaining('do not tell nodes'.slice(7)),
      expect.stringContaining('bytes are soft reserved'),
    ]);
  });

  it('of arm64 keeps all that is cacheable as memory, and tells what of it is not to be mapped', () => {
    const arm = (range: string, type: string, attributes: string): string =>
      `efi:   ${range} [${type.padEnd(19)}|   |  |  |  |  |  |  |   |${attributes}]`;
    const found = told(
      'Booting Linux on physical CPU 0x0000000000 [0x431f0af1]',
      'efi: Processing EFI memory map:',
      arm('0x000080000000-0x0000800fffff', 'Reserved', 'WB|WT|WC|UC'),
      arm('0x000080100000-0x0000bfffffff', 'Conventional Memory', 'WB|WT|WC|UC'),
      arm('0x0000c0000000-0x0000c00fffff', 'ACPI Reclaim Memory', 'WB|WT|WC|UC'),
      arm('0x0000c0100000-0x0000c01fffff', 'Runtime Data', 'WB|WT|WC|UC'),
      arm('0x0000c0200000-0x0000c02fffff', 'Memory Mapped I/O', '  |  |  |UC'),
      'percpu: Embedded 30 pages/cpu s84120 r8192 d30568 u122880',
    );
    expect(found.platform).toBe('arm64-4k');
    expect(ramOf(found)).toEqual([[0, 0x80000, 0xc0200]]);
    expect(found.nomap).toEqual([
      { startPfn: 0x80000, endPfn: 0x80100 },
      { startPfn: 0xc0100, endPfn: 0xc0200 },
    ]);
  });

  it('that is damaged is refused', () => {
    expect(refusalOf(() => told('x86/PAT: y', 'efi: mem00: [Conventional Memory|   | range=zebra')).message).toContain(
      'boot.log, line 2, column 1: expected [TYPE|ATTRIBUTES]',
    );
  });
});

describe('the platform', () => {
  const version = (release: string, compiler = 'gcc'): string =>
    `Linux version ${release} (root@host) (${compiler} 12.2.0) #1 SMP`;
  const dma = (last: string): string[] => ['Zone ranges:', `  DMA      [mem 0x0000000000001000-${last}]`];

  it.each<[string, string[], string]>([
    ['of an e820 map', ['BIOS-e820: [mem 0x0-0xfff] reserved'], 'x86-64'],
    ['of a zone DMA of 16 MiB', dma('0x0000000000ffffff'), 'x86-64'],
    ['of a larger zone DMA', dma('0x00000000ffffffff'), 'arm64-4k'],
    ['of its compiler', [version('6.1.0', 'aarch64-linux-gnu-gcc')], 'arm64-4k'],
    ['of the name of its kernel', [version('5.14.0-503.el9.aarch64+64k')], 'arm64-64k'],
    [
      'of a hash table of 64 KiB pages',
      ['psci: probing', 'Dentry cache hash table entries: 1048576 (order: 7, 8388608 bytes, linear)'],
      'arm64-64k',
    ],
    [
      'of a hash table of 16 KiB pages',
      ['psci: probing', 'Dentry cache hash table entries: 1048576 (order: 9, 8388608 bytes, linear)'],
      'arm64-16k',
    ],
    ['of per-cpu memory', ['psci: probing', 'percpu: Embedded 8 pages/cpu s95512 r8192 d27368 u131072'], 'arm64-16k'],
    ['of per-cpu allocations', ['psci: probing', 'pcpu-alloc: s95512 r8192 d43752 u147456 alloc=9*16384'], 'arm64-16k'],
    ['of its pages', ['psci: probing', 'On node 0 totalpages: 16368'], 'arm64-64k'],
    ['of words of Power', ['phys_mem_size     = 0x1e4600000000'], 'power-64k'],
    ['of a compiler for Power', [version('6.1.0', 'powerpc64le-linux-gnu-gcc')], 'power-64k'],
    ['that is nowhere', [], 'x86-64'],
  ])('%s is found', (_, lines, platform) => {
    expect(told(...lines, early).platform).toBe(platform);
  });

  it('that is assumed is a note; borders that only small pages have are certain', () => {
    expect(told(early).notes).toEqual([
      'The log does not tell its architecture; x86-64 is assumed (--platform says otherwise).',
    ]);
    expect(told('psci: probing', early).notes).toEqual([
      'The log does not tell the size of pages; 4 KiB is assumed (--platform says otherwise).',
    ]);
    expect(told('psci: probing', early.replace('3fffffff', '3fff0fff')).notes).toEqual([]);
    expect(told('psci: probing', early, 'On node 0 totalpages: 261888').notes).toEqual([]);
  });

  it('that the caller names holds, if memory lies in whole pages of it', () => {
    const log = `BIOS-e820: [mem 0x0-0xfff] reserved\n${early}`;
    expect(readDmesg(log, [], { platform: 'arm64-64k' })).toMatchObject({
      platform: 'arm64-64k',
      memory: [{ startPfn: 16 }],
    });
    const odd = early.replace('3fffffff', '3fff7fff');
    expect(refusalOf(() => readDmesg(odd, [], { platform: 'arm64-64k' })).message).toContain(
      'line 1, column 1: expected whole pages of arm64-64k, 64 KiB each; see --platform',
    );
  });

  it('that is none of those known is refused', () => {
    const error = refusalOf(() => told(version('6.1.0', 'riscv64-linux-gnu-gcc'), early));
    expect(error.code).toBe('DETECT_FAILED');
    expect(error.message).toMatch(
      /^boot\.log is the log of a machine that is none of x86-64, .*; --platform NAME reads it/,
    );
  });

  it('has a kernel release where the log tells one', () => {
    expect(told(version('5.11.0-rc4-00015-g45dfb8a5659a'), early).kernel).toBe('5.11.0-rc4-00015-g45dfb8a5659a');
    expect(told(version('zebra'), early)).not.toHaveProperty('kernel');
    expect(told(early)).not.toHaveProperty('kernel');
  });
});

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

describe('a log', () => {
  it('of several boots is read for the last one that tells memory', () => {
    const boot = (release: string, to: string): string[] => [
      `Linux version ${release} (root@host) (gcc) #1`,
      `node   0: [mem 0x0000000000100000-${to}]`,
    ];
    const found = told(
      ...boot('6.1.0', '0x000000003fffffff'),
      ...boot('6.2.0', '0x000000001fffffff'),
      'Linux version 6.3.0 (a) (gcc)',
    );
    expect(found.kernel).toBe('6.2.0');
    expect(ramOf(found)).toEqual([[0, 0x100, 0x20000]]);
    expect(found.notes[0]).toBe('The log holds 3 boots; the last one that tells memory is taken.');
  });

  it('may come from a file', () => {
    const path = join(makeTree({ log: `${early}\n` }), 'log');
    expect(ramOf(fromDmesgFile(path, [0]))).toEqual([[0, 0x100, 0x40000]]);
    expect(refusalOf(() => fromDmesgFile(`${path}.gone`, [0])).message).toMatch(
      /cannot be read: ENOENT.*--simulate SPEC/,
    );
  });

  it.each(['', '\n\n', 'zebra', 'BIOS-e820: [mem 0x0-0xfff] usable'])('%j that tells no memory is refused', (log) => {
    const error = refusalOf(() => told(log));
    expect(error.code).toBe('DETECT_FAILED');
    expect(error.message).toMatch(/^boot\.log tells no memory: /);
  });

  it('with more lines of a kind than any machine has is refused, and not read for ever', () => {
    const entries = Array.from(
      { length: 9000 },
      (_, index) => `BIOS-e820: [mem ${hex(index * 8192)}-${hex(index * 8192 + 4095)}] usable`,
    );
    expect(refusalOf(() => told(...entries)).message).toContain(
      'line 8193, column 1: expected at most 8192 lines of e820',
    );
    const ranges = entries.map((_, index) => `node   0: [mem ${hex(index * 8192)}-${hex(index * 8192 + 4095)}]`);
    expect(refusalOf(() => told(...ranges)).message).toContain('expected at most 8192 ranges of memory');
    expect(ramOf(told(...ranges.slice(0, 8192)))).toHaveLength(8192);
  });

  it('longer than any of one machine is refused', () => {
    expect(ramOf(told(`${'\n'.repeat(499_999)}${early}`))).toHaveLength(1);
    expect(refusalOf(() => told(`${'\n'.repeat(500_000)}${early}`)).message).toContain(
      'line 500001, column 1: expected at most 500000 lines; give the beginning of a boot',
    );
  });

  it('with more reservations than any machine has is refused', () => {
    const lines = Array.from(
      { length: 65_537 },
      (_, index) => `memblock_reserve: [${hex(index * 8192)}-${hex(index * 8192)}] a`,
    );
    expect(refusalOf(() => told(early, ...lines)).message).toContain(
      'line 65538, column 1: expected at most 65536 reservations',
    );
    expect(told('psci: probing', early, ...lines.slice(1)).reserved).toHaveLength(65_536);
  });

  it('shows the place without what would reach a terminal', () => {
    const { message } = refusalOf(() => told(`${' '.repeat(300)}node   0: [mem 0x\u001b[2J${'x'.repeat(1e6)}`));
    expect(message).toMatch(/^[\n -~]*$/);
    expect(message.length).toBeLessThan(500);
  });
});

const anyHex = fc.oneof(
  fc.integer({ min: 0, max: 2 ** 20 }).map((page) => (page * 4096).toString(16)),
  fc.integer({ min: 1, max: 2 ** 20 }).map((page) => (page * 4096 - 1).toString(16)),
  fc.bigInt({ min: 0n, max: 2n ** 65n }).map((byte) => byte.toString(16)),
);
const mem = fc.tuple(anyHex, anyHex).map(([from, to]) => `[mem 0x${from}-0x${to}]`);
const anyNode = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 2000 }));
const anyLine = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('BIOS-e820', 'user'),
      mem,
      fc.constantFrom('usable', 'reserved', 'persistent (type 7)', 'soft reserved'),
    )
    .map(([who, range, type]) => `${who}: ${range} ${type}`),
  fc
    .tuple(mem, fc.constantFrom('usable', 'reserved'))
    .map(([range, type]) => `e820: update ${range} ${type} ==> reserved`),
  mem.map((range) => `e820: remove ${range} usable`),
  fc.tuple(anyNode, mem).map(([node, range]) => `node ${node}: ${range}`),
  fc
    .tuple(anyNode, mem, fc.constantFrom('', ' hotplug', ' non-volatile'))
    .map(([node, range, words]) => `ACPI: SRAT: Node ${node} PXM 0 ${range}${words}`),
  fc.tuple(anyNode, mem).map(([node, range]) => `Faking node ${node} at ${range} (1MB)`),
  fc.tuple(anyNode, anyHex, anyHex).map(([node, from, to]) => `Node ${node} Memory: 0x${from}-0x${to}`),
  fc.tuple(anyNode, anyHex).map(([node, from]) => `Node ${node}: 0x${from}`),
  fc
    .tuple(fc.constantFrom('memory', 'reserved'), anyHex, anyHex)
    .map(([kind, from, to]) => `${kind}[0x0] [0x${from}-0x${to}], 0x1000 bytes flags: 0x4`),
  fc
    .tuple(fc.constantFrom('reserve', 'free'), anyHex, anyHex)
    .map(([kind, from, to]) => `memblock_${kind}: [0x${from}-0x${to}] a`),
  fc
    .tuple(anyHex, anyHex)
    .map(([from, to]) => `efi: mem00: [Conventional Memory|   |  |WB] range=[0x${from}-0x${to}] (0MB)`),
  fc.tuple(anyHex, anyHex).map(([from, to]) => `crashkernel reserved: 0x${from} - 0x${to} (1 MB)`),
  fc.constantFrom(
    'Linux version 6.1.0 (a) (aarch64-linux-gnu-gcc)',
    'Early memory node ranges',
    'early_node_map[1] active PFN ranges',
    'MEMBLOCK configuration:',
    'NUMA turned off',
    '.text .data .bss are not marked as E820_TYPE_RAM!',
    'e820: remove [mem 0x1000-0x1fff] ',
    'Reserving 999999999MB of memory at 9999999999MB for crashkernel (',
    'On node 0 totalpages: 0',
    'node 0: [mem 0x0000000000100000-0x0 node',
    '0: 0x00000001 -> 0xfffffffffffff',
  ),
  fc.string(),
);

prop.prop([fc.array(anyLine, { maxLength: 30 }), fc.constantFrom('x86-64' as const, 'arm64-64k' as const, undefined)], {
  numRuns: 1000,
})('any text gives a sound machine, DMESG_SYNTAX or DETECT_FAILED', (lines, platform) => {
  const found = orRefused(() => readDmesg(lines.join('\n'), [0, 1], { platform }), 'DMESG_SYNTAX', 'DETECT_FAILED');
  if (found === undefined) return;
  expect(planRanges(found).length).toBeGreaterThan(0);
  for (const extents of [found.memory, found.reserved ?? [], found.nomap ?? []]) {
    let behind = 0;
    for (const { startPfn, endPfn } of extents) {
      expect(startPfn).toBeGreaterThanOrEqual(behind);
      expect(endPfn).toBeGreaterThan(startPfn);
      behind = endPfn;
    }
  }
  const nids = found.nodes.map(({ nid }) => nid);
  expect(nids).toEqual([...new Set(nids)].sort((a, b) => a - b));
  expect(nids).toEqual(expect.arrayContaining(found.memory.map(({ nid }) => nid)));
  expect(nids.every((nid) => nid < 1024)).toBe(true);
});
