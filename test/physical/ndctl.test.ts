/** Tests of listings of ndctl and daxctl: real ones, those of every shape, and what is refused. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fromNdctlFile, readNdctl } from '../../dist/src/physical/ndctl.js';
import { refusalOf } from './errors.ts';
import { mib, namespace, told } from './listed.ts';
import { captureOf, machine, noCaptures } from './machines.ts';
import { makeTree } from './made-tree.ts';

/** Where memory is laid out that has no address. */
const base = 2 ** 38 / 4096;

describe('a namespace', () => {
  it('of fsdax with map=mem has all pages from that of its info block on', () => {
    expect(told([namespace()])).toEqual({
      source: 'ndctl',
      nodes: [{ nid: 1, cpus: [0, 1] }],
      memory: [{ nid: 1, kind: 'device', mode: 'fsdax', pgmap: 1, startPfn: base, endPfn: base + 2 ** 18 }],
      zoned: true,
      notes: [
        'The listing does not tell addresses; its memory is laid out from 0x4000000000 on (--iomem FILE tells them).',
      ],
    });
  });

  it('of devdax with map=dev has an altmap and compound pages', () => {
    const { memory } = told(namespace({ mode: 'devdax', map: 'dev', size: 1006 * mib, chardev: 'dax0.0' }));
    expect(memory).toEqual([
      {
        nid: 1,
        kind: 'device',
        mode: 'devdax',
        pgmap: 1,
        compoundPages: 512,
        altmap: { reservePages: 2, memmapPages: 4606 },
        startPfn: base,
        endPfn: base + 2 ** 18,
      },
    ]);
  });

  it('without an info block is all data', () => {
    const { memory } = told([namespace({ align: undefined })]);
    expect(memory).toMatchObject([{ startPfn: base, endPfn: base + 1022 * 256 }]);
    expect(memory[0]).not.toHaveProperty('altmap');
  });

  it('has the names of modes before version 60 of ndctl', () => {
    expect(told([namespace({ mode: 'memory' })]).memory[0]?.mode).toBe('fsdax');
    expect(told([namespace({ mode: 'dax' })]).memory[0]?.mode).toBe('devdax');
  });

  it('that says where it is lies there', () => {
    const at = (resource: unknown): unknown => told([namespace({ resource })]).memory[0]?.startPfn;
    expect(at(0x1_0000_0000)).toBe(0x100000);
    expect(at('0x100000000')).toBe(0x100000);
    expect(told([namespace({ resource: 0x1_0000_0000 })]).notes).toEqual([]);
  });

  it('may have its node from its region, or none, which is a note', () => {
    const bare = namespace({ numa_node: undefined });
    const regions = { regions: [{ dev: 'region0', numa_node: 3, size: 1, namespaces: [bare] }] };
    expect(told(regions).memory[0]?.nid).toBe(3);
    const { memory, notes } = told([bare]);
    expect(memory[0]?.nid).toBe(0);
    expect(notes).toContain('The node of 1 devices is not listed (list with -v for it); they are on node 0.');
    expect(told([namespace({ numa_node: -1 })]).memory[0]?.nid).toBe(0);
  });
});

describe('a listing', () => {
  it.each([
    ['a namespace', namespace()],
    ['an array', [namespace()]],
    ['ndctl list -R -N', { regions: [{ dev: 'region0', size: 2 ** 31, iset_id: 2 ** 62, namespaces: [namespace()] }] }],
    [
      'ndctl list -B -R -N',
      [{ provider: 'ACPI.NFIT', dev: 'ndbus0', regions: [{ dev: 'region0', namespaces: [namespace()] }] }],
    ],
    [
      'ndctl list -vNRDX, where the devices of a namespace count once',
      {
        dimms: [{ dev: 'nmem0', id: '8089-a2', handle: 1 }],
        regions: [
          {
            dev: 'region0',
            namespaces: [
              namespace({ daxregion: { id: 0, devices: [{ chardev: 'dax0.0', size: 1, mode: 'devdax' }] } }),
            ],
          },
        ],
      },
    ],
  ])('may be %s', (_, value) => {
    expect(told(value).memory).toMatchObject([{ nid: 1, startPfn: base, endPfn: base + 2 ** 18 }]);
  });

  it('of several namespaces lays them out by region and number, without overlaps', () => {
    const { memory } = told([
      namespace({ dev: 'namespace10.0' }),
      namespace({ dev: 'namespace2.1', size: 2 * mib, map: 'mem' }),
      namespace({ dev: 'namespace2.0', numa_node: 7 }),
    ]);
    expect(memory.map(({ nid, pgmap, startPfn, endPfn }) => [nid, pgmap, startPfn - base, endPfn - base])).toEqual([
      [7, 1, 0, 2 ** 18],
      [1, 2, 2 ** 18, 2 ** 18 + 1024],
      [1, 3, 2 ** 18 + 1024, 2 ** 19 + 1024],
    ]);
  });

  it('aligns what it lays out as its data is', () => {
    const { memory } = told([
      namespace({ dev: 'namespace0.0', size: 2 * mib }),
      namespace({ dev: 'namespace0.1', mode: 'devdax', align: 2 ** 30, size: 2 ** 30 }),
    ]);
    expect(memory[1]).toMatchObject({ startPfn: base + 2 ** 18, endPfn: base + 3 * 2 ** 18, compoundPages: 2 ** 18 });
  });

  it('leaves out what has no page descriptors, with notes', () => {
    const { memory, notes } = told([
      namespace(),
      namespace({ dev: 'namespace1.0', mode: 'raw' }),
      namespace({ dev: 'namespace2.0', mode: 'sector' }),
      namespace({ dev: 'namespace3.0', mode: 'sector' }),
      namespace({ dev: 'namespace4.0', state: 'disabled' }),
      namespace({ dev: 'namespace5.0', mode: '\u001b[2J' }),
    ]);
    expect(memory).toHaveLength(1);
    expect(notes.slice(0, 4)).toEqual([
      '1 devices of the listing are in the mode raw and have no page descriptors; they are left out.',
      '2 devices of the listing are in the mode sector and have no page descriptors; they are left out.',
      '1 devices of the listing are disabled and have no page descriptors; they are left out.',
      '1 devices of the listing are in an unknown mode and have no page descriptors; they are left out.',
    ]);
  });

  it('of daxctl has device-dax of its own, and RAM that is movable unless it says otherwise', () => {
    const dax = (changes: object): object => ({
      chardev: 'dax0.0',
      size: 2 ** 30,
      target_node: 2,
      align: 2 * mib,
      ...changes,
    });
    const { memory } = told([
      dax({ mode: 'devdax', numa_node: 0 }),
      dax({ chardev: 'dax1.0', mode: 'system-ram' }),
      dax({ chardev: 'dax2.0', mode: 'system-ram', movable: false }),
    ]);
    expect(memory).toEqual([
      { nid: 0, kind: 'device', mode: 'devdax', compoundPages: 512, pgmap: 1, startPfn: base, endPfn: base + 2 ** 18 },
      { nid: 2, kind: 'ram', movable: true, startPfn: base + 2 ** 18, endPfn: base + 2 ** 19 },
      { nid: 2, kind: 'ram', startPfn: base + 2 ** 19, endPfn: base + 3 * 2 ** 18 },
    ]);
  });

  it('of a platform with larger pages is counted in those', () => {
    const text = JSON.stringify(namespace({ map: 'dev', size: 1020 * mib }));
    const { memory, platform } = readNdctl(text, [0], { platform: 'arm64-64k' });
    expect(platform).toBe('arm64-64k');
    // 8 KiB, and 64 bytes for each of 16384 pages: one unit of 2 MiB
    expect(memory).toMatchObject([{ altmap: { reservePages: 1, memmapPages: 31 } }]);
  });
});

describe('a listing beside a memory map', () => {
  const iomem = [
    '00001000-3fffffff : System RAM',
    '100000000-17fffffff : Persistent Memory',
    '  100000000-1001fffff : namespace0.0',
    '  100200000-13fffffff : dax0.0',
    '  140000000-14fffffff : namespace0.1',
    '200000000-2ffffffff : CXL Window 0',
    '  200000000-23fffffff : dax1.0',
    '    200000000-23fffffff : System RAM (kmem)',
  ].join('\n');

  it('has its RAM, and its devices where the map has them', () => {
    const { memory, notes } = told(
      [
        namespace({ mode: 'devdax', chardev: 'dax0.0' }),
        namespace({ dev: 'namespace0.1', map: 'dev', size: 250 * mib, numa_node: 0 }),
        { chardev: 'dax1.0', size: 2 ** 30, target_node: 2, mode: 'system-ram' },
      ],
      iomem,
    );
    expect(memory).toEqual([
      { nid: 0, kind: 'ram', startPfn: 1, endPfn: 0x40000 },
      { nid: 1, kind: 'device', mode: 'devdax', compoundPages: 512, pgmap: 1, startPfn: 0x100000, endPfn: 0x140000 },
      {
        nid: 0,
        kind: 'device',
        mode: 'fsdax',
        pgmap: 2,
        altmap: { reservePages: 2, memmapPages: 1534 },
        startPfn: 0x140000,
        endPfn: 0x150000,
      },
      { nid: 2, kind: 'ram', movable: true, startPfn: 0x200000, endPfn: 0x240000 },
    ]);
    expect(notes).toEqual(['A memory map does not tell nodes, so its RAM is on node 0.']);
  });

  it('finds the data of devdax where the listing names no device, and where a verbose one does', () => {
    const devdax = namespace({ mode: 'devdax', map: 'dev', size: 1006 * mib });
    const dev = iomem.replace('1001fffff', '1011fffff').replace('100200000', '101200000');
    const region = { daxregion: { id: 0, devices: [{ chardev: 'dax0.0', size: 1, mode: 'devdax' }] } };
    const wanted = { startPfn: 0x100000, endPfn: 0x140000, altmap: { reservePages: 2, memmapPages: 4606 } };
    expect(told([devdax], dev).memory[1]).toMatchObject(wanted);
    expect(told([{ ...devdax, ...region }], dev).memory[1]).toMatchObject(wanted);
  });

  const kmem = [
    '00001000-3fffffff : System RAM',
    '100000000-13fffffff : Persistent Memory',
    '  100000000-1011fffff : namespace0.0',
    '  108000000-13fffffff : dax0.0',
    '    108000000-13fffffff : System RAM (kmem)',
  ].join('\n');

  it('takes a namespace that kmem has made RAM of as RAM, on the node that a verbose listing tells', () => {
    const devdax = namespace({ mode: 'devdax', map: 'dev', size: 1006 * mib });
    const device = { chardev: 'dax0.0', size: 1006 * mib, target_node: 3, mode: 'system-ram', movable: false };
    expect(told([{ ...devdax, daxregion: { devices: [device] } }], kmem).memory).toEqual([
      { nid: 0, kind: 'ram', startPfn: 1, endPfn: 0x40000 },
      { nid: 3, kind: 'ram', startPfn: 0x108000, endPfn: 0x140000 },
    ]);
    expect(told([{ ...devdax, chardev: 'dax0.0' }], kmem).memory).toEqual([
      { nid: 0, kind: 'ram', startPfn: 1, endPfn: 0x40000 },
      { nid: 0, kind: 'ram', startPfn: 0x108000, endPfn: 0x140000, movable: true },
    ]);
    expect(told([{ ...devdax, daxregion: { devices: [device] } }]).memory).toEqual([
      { nid: 3, kind: 'ram', startPfn: base, endPfn: base + 1006 * 256 },
    ]);
  });

  it('is refused where the map lacks a device, or has RAM there', () => {
    const absent = refusalOf(() => told([namespace({ dev: 'namespace7.0' })], iomem));
    expect(absent.code).toBe('NDCTL_SYNTAX');
    expect(absent.message).toContain(
      'list.json, line 1, column 2: expected namespace7.0 to be in the memory map; are both',
    );
    const onRam = '100000000-17fffffff : System RAM\n  100000000-13fffffff : namespace0.0';
    expect(refusalOf(() => told([namespace()], onRam)).message).toContain(
      'expected namespace0.0 to overlap neither RAM nor another device',
    );
  });
});

describe.skipIf(noCaptures !== '')(`real listings ${noCaptures}`, () => {
  const optane =
    noCaptures === ''
      ? captureOf('x86-optane-ndctl-list.txt')
          .split(/^# .*$/m)
          .slice(1)
      : [];
  const [mem, cut, stray] = optane as [string, string, string];

  it('of four namespaces of CXL beside their memory map give the machine', () => {
    const [listing = '', iomem = ''] = captureOf('x86-cxl-pmem-ndctl-iomem.txt')
      .replace(/^.*\n/, '')
      .split(/^.*# cat \/proc\/iomem\n/m);
    const root = makeTree({ list: listing, iomem });
    const found = fromNdctlFile(join(root, 'list'), [], { iomemPath: join(root, 'iomem'), platform: 'x86-64' });
    const { source: _, notes: __, ...topology } = found;
    expect(topology).toEqual(machine('x86-cxl-pmem-ndctl-iomem').topology);
  });

  it('of Optane with map=mem give the machine', () => {
    const { source: _, notes: __, ...topology } = readNdctl(mem, [], { platform: 'x86-64' });
    expect(topology).toEqual(machine('x86-optane-ndctl-list').topology);
  });

  it('that are cut or have a stray comma are refused where that is', () => {
    expect(refusalOf(() => readNdctl(cut, [], { file: 'x' })).message).toMatch(
      /^x, line 11, column 23: .*\n.*<<<<<<<<<<< Good\n/,
    );
    expect(refusalOf(() => readNdctl(stray, [], { file: 'x' })).message).toMatch(
      /^x, line 12, column 3: expected the name of a member in quotes; none follows a comma before a }\n/,
    );
  });

  it('of which the stray comma is taken out have 3012 GiB with map=dev each', () => {
    const { memory } = readNdctl(stray.replace('"pmem1",', '"pmem1"'), []);
    expect(memory.map(({ startPfn, endPfn }) => endPfn - startPfn)).toEqual([3012 * 2 ** 18, 3012 * 2 ** 18]);
  });
});
