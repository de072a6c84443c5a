/** Tests of machines that are one namespace: what a kernel's sysfs showed in every mode, both sides of each bound, refusals. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import type { DeviceStat } from '../../dist/src/physical/device-file.js';
import { fromDevice, type NamespaceTopology } from '../../dist/src/physical/namespace.js';
import { planRanges, zones } from '../../dist/src/physical/zones.js';
import { orRefused, refusalOf } from './errors.ts';
import { makeTree, sysfsFiles } from './made-tree.ts';

type Files = Readonly<Record<string, string>>;

/** Device files of made trees are text files that hold `block 259:0` or `char 252:0`; links to them are followed. */
function statOf(path: string): DeviceStat {
  const [, type, major, minor] = /^(\w+) (\d+):(\d+)$/.exec(readFileSync(path, 'utf8')) ?? [];
  const low = Number(minor) % 256;
  return {
    rdev: low + Number(major) * 256 + (Number(minor) - low) * 4096,
    isBlockDevice: () => type === 'block',
    isCharacterDevice: () => type === 'char',
  };
}

const nodes = sysfsFiles({ 0: '0-1', 1: '2-3' });

/** What fromDevice says of a device file in a made tree. */
function told(files: Files, device: string, release = '6.1.0'): NamespaceTopology {
  const root = makeTree({ ...nodes, ...files });
  return fromDevice(join(root, 'devfs', device), {
    sysRoot: root,
    statOf,
    cpus: [0, 1, 2, 3],
    platform: 'x86-64',
    release,
  });
}

const gib = 2 ** 30;
const mib = 2 ** 20;
const region = 'devices/ndbus0/region0';

/** Files of a namespace without an info block, 4 GiB at 8 GiB on node 1, and of its disk. */
const bare: Files = {
  'devfs/pmem0': 'block 259:0',
  'dev/block/259:0': `-> ../../${region}/namespace0.0/block/pmem0`,
  [`${region}/namespace0.0/block/pmem0/device`]: '-> ../../../namespace0.0',
  'bus/nd/devices/namespace0.0': `-> ../../../${region}/namespace0.0`,
  [`${region}/namespace0.0/devtype`]: 'nd_namespace_io\n',
  [`${region}/namespace0.0/mode`]: 'raw\n',
  [`${region}/namespace0.0/resource`]: '0x200000000\n',
  [`${region}/namespace0.0/size`]: '4294967296\n',
  [`${region}/namespace0.0/numa_node`]: '1\n',
};

/** Files of the same as fsdax with map=mem and an alignment of 2 MiB. */
const fsdax: Files = {
  ...bare,
  'dev/block/259:0': `-> ../../${region}/pfn0.0/block/pmem0`,
  [`${region}/pfn0.0/block/pmem0/device`]: '-> ../../../pfn0.0',
  [`${region}/namespace0.0/mode`]: 'memory\n',
  [`${region}/pfn0.0/devtype`]: 'nd_pfn\n',
  [`${region}/pfn0.0/mode`]: 'ram\n',
  [`${region}/pfn0.0/align`]: '2097152\n',
  [`${region}/pfn0.0/resource`]: '0x200200000\n',
  [`${region}/pfn0.0/size`]: '4292870144\n',
  [`${region}/pfn0.0/numa_node`]: '1\n',
  [`${region}/pfn0.0/namespace`]: 'namespace0.0\n',
  [`${region}/pfn0.0/uuid`]: '2575833c-a072-4cbd-bb53-faf32637f01e\n',
};

/** Files of the same as devdax; its /dev/dax0.0 belongs to the dax0.1 of libnvdimm, as happens, and dax0.0 there is unused. */
const devdax: Files = {
  ...bare,
  'devfs/dax0.0': 'char 252:0',
  'dev/char/252:0': `-> ../../${region}/dax0.1/dax0.0`,
  [`${region}/dax0.1/dax0.0/driver`]: '-> ../../../../../bus/dax/drivers/device_dax',
  'bus/dax/drivers/device_dax/bind': '',
  'bus/dax/drivers/kmem/bind': '',
  [`${region}/dax0.1/dax0.0/numa_node`]: '1\n',
  [`${region}/dax0.1/devtype`]: 'nd_dax\n',
  [`${region}/dax0.1/mode`]: 'pmem\n',
  [`${region}/dax0.1/align`]: '2097152\n',
  [`${region}/dax0.1/resource`]: '0x204200000\n',
  [`${region}/dax0.1/size`]: '4225761280\n',
  [`${region}/dax0.1/numa_node`]: '0\n',
  [`${region}/dax0.1/namespace`]: 'namespace0.0\n',
  [`${region}/dax0.1/uuid`]: '24f201cd-cb5a-4257-8f24-8e9248b8b2d2\n',
  'bus/nd/devices/dax0.0': `-> ../../../${region}/dax0.0`,
  [`${region}/dax0.0/devtype`]: 'nd_dax\n',
  [`${region}/dax0.0/mode`]: 'none\n',
  [`${region}/dax0.0/namespace`]: '\n',
};

/** `files` with others for some, named below the region's folder; undefined takes one away. */
function changed(files: Files, changes: Readonly<Record<string, string | undefined>>): Files {
  const result: Record<string, string> = { ...files };
  for (const [name, content] of Object.entries(changes)) {
    if (content === undefined) delete result[`${region}/${name}`];
    else result[`${region}/${name}`] = content;
  }
  return result;
}

/** First page and the one behind the last. */
function pages({ memory }: NamespaceTopology): [number, number] {
  expect(memory).toHaveLength(1);
  return [memory[0]?.startPfn ?? 0, memory[0]?.endPfn ?? 0];
}

const rawNote =
  'Linux itself has no page descriptors for a raw namespace; these are the ones that all of its pages would have.';
const nodeNote = 'The kernel does not tell the node of pmem0; it is taken as memory of node 0.';

describe('a namespace of a kernel that was asked', () => {
  interface Seen {
    readonly device: string;
    readonly number: string;
    /** Pages of the kernel's own `memmap_init_zone_device initialised N pages`; null where it said nothing. */
    readonly initialised: number | null;
    readonly files: Files;
  }
  const fixture = new URL('../fixtures/namespace/linux-6.1.json', import.meta.url);
  const seen: Record<string, Seen> = JSON.parse(readFileSync(fixture, 'utf8'));

  it.each(Object.entries(seen))('%s has the pages that it initialized', (_, { device, number, initialised, files }) => {
    const machine = told({ ...files, [`devfs/${device}`]: number }, device);
    const [startPfn, endPfn] = pages(machine);
    const { reservePages, memmapPages } = machine.memory[0]?.altmap ?? { reservePages: 0, memmapPages: 0 };
    expect(endPfn - startPfn - reservePages - memmapPages).toBe(initialised ?? 3 * 2 ** 18);
    expect(machine.memory[0]?.nid).toBe(1);
    expect(machine.notes).toEqual(initialised === null ? [rawNote] : []);
    expect(machine.namespace.device).toBe(device);
  });
});

describe('fsdax', () => {
  it('with map=mem has all pages from that of the info block on', () => {
    expect(told(fsdax, 'pmem0')).toEqual({
      source: 'namespace',
      nodes: [
        { nid: 0, cpus: [0, 1] },
        { nid: 1, cpus: [2, 3] },
      ],
      memory: [{ nid: 1, kind: 'device', mode: 'fsdax', pgmap: 1, startPfn: 0x200000, endPfn: 0x300000 }],
      zoned: true,
      platform: 'x86-64',
      kernel: '6.1.0',
      notes: [],
      namespace: {
        name: 'namespace0.0',
        device: 'pmem0',
        mode: 'fsdax',
        map: 'mem',
        alignBytes: 2 * mib,
        sizeBytes: 4292870144,
        uuid: '2575833c-a072-4cbd-bb53-faf32637f01e',
      },
    });
  });

  it('with map=dev has the same pages, of which the first hold the info block and descriptors', () => {
    const machine = told(
      changed(fsdax, { 'pfn0.0/mode': 'pmem', 'pfn0.0/resource': '0x204200000', 'pfn0.0/size': '4225761280' }),
      'pmem0',
    );
    expect(pages(machine)).toEqual([0x200000, 0x300000]);
    // up to the data at 0x204200; the info block takes 8 KiB
    expect(machine.memory[0]?.altmap).toEqual({ reservePages: 2, memmapPages: 0x4200 - 2 });
    expect(machine.namespace).toMatchObject({ mode: 'fsdax', map: 'dev', sizeBytes: 4225761280 });
    expect(machine.notes).toEqual([]);
  });

  it('ends with its data where alignment cuts off the rest', () => {
    const cut = changed(fsdax, {
      'namespace0.0/size': String(4 * gib + 256 * mib),
      'pfn0.0/align': String(gib),
      'pfn0.0/resource': '0x240000000',
      'pfn0.0/size': String(3 * gib),
    });
    expect(pages(told(cut, 'pmem0'))).toEqual([0x200000, 0x300000]);
  });

  it('without an info block, which Linux maps all the same, has all pages', () => {
    const machine = told(changed(bare, { 'namespace0.0/mode': 'memory' }), 'pmem0');
    expect(pages(machine)).toEqual([0x200000, 0x300000]);
    expect(machine.namespace).toEqual({
      name: 'namespace0.0',
      device: 'pmem0',
      mode: 'fsdax',
      map: 'mem',
      sizeBytes: 4 * gib,
    });
    expect(machine.notes).toEqual([]);
  });

  it.each([
    // the data of a namespace begins at the next border behind the 8 KiB of the info block
    ['0x200000000', '2097152', 0x200200000, false],
    ['0x200000000', '2097152', 0x200400000, true],
    ['0x200000000', '4096', 0x200002000, false],
    ['0x200000000', '4096', 0x200200000, false],
    ['0x200000000', '4096', 0x200201000, true],
    ['0x204000000', '1073741824', 0x240000000, false],
    ['0x204000000', '1073741824', 0x280000000, true],
    ['0x23fffe000', '2097152', 0x240000000, false],
    ['0x23ffff000', '2097152', 0x240200000, false],
    ['0x23fffe000', '2097152', 0x240200000, true],
  ])('at %s, aligned to %s, with data from %i on: padded is %s', (start, align, dataByte, padded) => {
    const endByte = 0x300000000;
    const machine = told(
      changed(fsdax, {
        'namespace0.0/resource': start,
        'namespace0.0/size': String(endByte - Number(start)),
        'pfn0.0/align': align,
        'pfn0.0/resource': `0x${dataByte.toString(16)}`,
        'pfn0.0/size': String(endByte - dataByte),
      }),
      'pmem0',
    );
    expect(pages(machine)).toEqual([(padded ? dataByte : Number(start)) / 4096, endByte / 4096]);
    expect(machine.notes).toEqual(
      padded
        ? [
            'The data of namespace0.0 begins later than its alignment asks for, so it was made to avoid RAM beside it; its pages are taken from there on, and Linux may have some more before.',
          ]
        : [],
    );
  });
});

describe('devdax', () => {
  it('is found by what its device lies in and not by its name, and has the node of the device', () => {
    const machine = told(devdax, 'dax0.0');
    expect(machine.memory).toEqual([
      {
        nid: 1,
        kind: 'device',
        mode: 'devdax',
        pgmap: 1,
        compoundPages: 512,
        altmap: { reservePages: 2, memmapPages: 0x4200 - 2 },
        startPfn: 0x200000,
        endPfn: 0x300000,
      },
    ]);
    expect(machine.namespace).toEqual({
      name: 'namespace0.0',
      device: 'dax0.0',
      mode: 'devdax',
      map: 'dev',
      alignBytes: 2 * mib,
      sizeBytes: 4225761280,
      uuid: '24f201cd-cb5a-4257-8f24-8e9248b8b2d2',
    });
  });

  it('with map=mem has all pages from that of the info block on', () => {
    const machine = told(
      changed(devdax, { 'dax0.1/mode': 'ram', 'dax0.1/resource': '0x200200000', 'dax0.1/size': '4292870144' }),
      'dax0.0',
    );
    expect(pages(machine)).toEqual([0x200000, 0x300000]);
    expect(machine.memory[0]?.altmap).toBeUndefined();
    expect(machine.namespace).toMatchObject({ mode: 'devdax', map: 'mem' });
  });

  it.each([
    ['2097152', '5.17.0', 512],
    ['2097152', '5.16.20', undefined],
    ['2097152', '4.19.0', undefined],
    ['1073741824', '6.1.0', 2 ** 18],
    ['4096', '6.1.0', undefined],
  ])('aligned to %s has on %s compound pages of %s', (align, release, compoundPages) => {
    const machine = told(
      changed(devdax, {
        'dax0.1/mode': 'ram',
        'dax0.1/align': align,
        'dax0.1/resource': '0x240000000',
        'dax0.1/size': String(3 * gib),
      }),
      'dax0.0',
      release,
    );
    expect(machine.memory[0]?.compoundPages).toBe(compoundPages);
  });

  it('that is disabled is refused', () => {
    const error = refusalOf(() => told(changed(devdax, { 'dax0.1/dax0.0/driver': undefined }), 'dax0.0'));
    expect(error.message).toMatch(/dax0\.0 is disabled; "daxctl enable-device dax0\.0" enables it$/);
  });

  it('that is used as RAM is refused', () => {
    const link = '-> ../../../../../bus/dax/drivers/kmem';
    const error = refusalOf(() => told(changed(devdax, { 'dax0.1/dax0.0/driver': link }), 'dax0.0'));
    expect(error.message).toMatch(/belongs to the driver kmem, .*"daxctl reconfigure-device -m devdax dax0\.0"/);
  });
});

describe('a raw namespace', () => {
  it('has all pages, and a note that Linux has none', () => {
    const machine = told(bare, 'pmem0');
    expect(pages(machine)).toEqual([0x200000, 0x300000]);
    expect(machine.notes).toEqual([rawNote]);
    expect(machine.namespace).toEqual({ name: 'namespace0.0', device: 'pmem0', mode: 'raw', sizeBytes: 4 * gib });
  });

  it('with a label has a uuid', () => {
    const uuid = '98727192-bf60-4763-8ab6-d6f4eac068ef';
    const labelled = changed(bare, { 'namespace0.0/devtype': 'nd_namespace_pmem', 'namespace0.0/uuid': `${uuid}\n` });
    expect(told(labelled, 'pmem0').namespace).toMatchObject({ mode: 'raw', uuid });
  });

  it('has the whole pages inside it', () => {
    const odd = changed(bare, { 'namespace0.0/resource': '0x200000001', 'namespace0.0/size': '16383' });
    expect(pages(told(odd, 'pmem0'))).toEqual([0x200001, 0x200004]);
  });
});

describe('a namespace', () => {
  it('is planned as one range of the zone Device', () => {
    expect(planRanges(told(fsdax, 'pmem0'))).toMatchObject([
      { nid: 1, kind: 'device', pgmap: 1, zone: zones.Device, startPfn: 0x200000, endPfn: 0x300000 },
    ]);
  });

  it.each(['', '\n', '2575833c', '2575833c-a072-4cbd-bb53-faf32637f01g', undefined])(
    'with a uuid of %j has none',
    (uuid) => {
      expect(told(changed(fsdax, { 'pfn0.0/uuid': uuid }), 'pmem0').namespace).not.toHaveProperty('uuid');
    },
  );

  it.each(['-1\n', undefined, 'zebra'])('whose node is %j is of node 0, with a note', (node) => {
    const machine = told(changed(fsdax, { 'pfn0.0/numa_node': node }), 'pmem0');
    expect(machine.memory[0]?.nid).toBe(0);
    expect(machine.notes).toEqual([nodeNote]);
  });

  it('may be of a node that sysfs does not list, which is added without CPUs; nodes end at 1023', () => {
    const on = (nid: number): Files => changed(fsdax, { 'pfn0.0/numa_node': String(nid) });
    const machine = told(on(1023), 'pmem0');
    expect(machine.memory[0]?.nid).toBe(1023);
    expect(machine.nodes.at(-1)).toEqual({ nid: 1023, cpus: [] });
    expect(refusalOf(() => told(on(1024), 'pmem0')).message).toContain('numa_node is 1024; 0 to 1023 can exist');
  });

  it('may end at 2^52 bytes and not further', () => {
    const at = (startByte: number): Files =>
      changed(bare, { 'namespace0.0/resource': `0x${startByte.toString(16)}`, 'namespace0.0/size': '4096' });
    expect(pages(told(at(2 ** 52 - 4096), 'pmem0'))).toEqual([2 ** 40 - 1, 2 ** 40]);
    expect(refusalOf(() => told(at(2 ** 52 - 4095), 'pmem0')).message).toContain('lies beyond 2^52 bytes');
  });

  it.each(['4096', '1073741824'])('may be aligned to %s', (align) => {
    expect(told(changed(fsdax, { 'pfn0.0/align': align }), 'pmem0').namespace.alignBytes).toBe(Number(align));
  });
});

describe('a device', () => {
  it('may be named by links', () => {
    const files = {
      ...fsdax,
      'devfs/disk/by-id/pmem-2575833c': '-> ../../pmem0',
      'devfs/my-memory': '-> disk/by-id/pmem-2575833c',
    };
    expect(told(files, 'my-memory')).toEqual(told(fsdax, 'pmem0'));
  });

  it.each(['0:0', '259:255', '259:256', '4095:1048575'])('is found in sysfs by its number %s', (number) => {
    const files: Record<string, string> = { ...fsdax, 'devfs/pmem0': `block ${number}` };
    files[`dev/block/${number}`] = fsdax['dev/block/259:0'] as string;
    delete files['dev/block/259:0'];
    expect(told(files, 'pmem0').namespace.device).toBe('pmem0');
  });

  it('of the second namespace of a region has a point in its name', () => {
    const renamed = Object.entries(fsdax).map(([path, content]) => [
      path.replace('block/pmem0', 'block/pmem0.1'),
      content.replace('block/pmem0', 'block/pmem0.1'),
    ]);
    expect(told(Object.fromEntries(renamed), 'pmem0').namespace.device).toBe('pmem0.1');
  });

  it('is looked up as it is where nothing else is said', () => {
    const root = makeTree({ 'dev/char/x': '' });
    const error = refusalOf(() => fromDevice('/dev/null', { sysRoot: root }));
    expect(error.message).toBe(
      `/dev/null is device 1:3, which is not in sysfs: ${root}/dev/char/1:3; mount sysfs there`,
    );
    expect(refusalOf(() => fromDevice(root)).message).toContain('is no device; give the one of a namespace');
  });
});

describe('refused with what to do is', () => {
  const disk: Files = {
    'devfs/sda': 'block 8:0',
    'devfs/sda1': 'block 8:1',
    'dev/block/8:0': '-> ../../devices/pci/target/block/sda',
    'dev/block/8:1': '-> ../../devices/pci/target/block/sda/sda1',
    'devices/pci/target/block/sda/device': '-> ../../../target',
    'devices/pci/target/block/sda/sda1/partition': '1\n',
    'devices/pci/target/vendor': 'ACME',
  };
  const loop: Files = {
    'devfs/loop0': 'block 7:0',
    'dev/block/7:0': '-> ../../devices/virtual/block/loop0',
    'devices/virtual/block/loop0/size': '0',
  };
  const partition: Files = {
    ...fsdax,
    'devfs/pmem0p1': 'block 259:1',
    'dev/block/259:1': `-> ../../${region}/pfn0.0/block/pmem0/pmem0p1`,
    [`${region}/pfn0.0/block/pmem0/pmem0p1/partition`]: '1\n',
  };
  const sector = changed(fsdax, { 'pfn0.0/devtype': 'nd_btt' });
  const blk = changed(bare, { 'namespace0.0/devtype': 'nd_namespace_blk' });
  const control: Files = {
    'devfs/ndctl0': 'char 250:0',
    'dev/char/250:0': '-> ../../devices/ndbus0/nd/ndctl0',
    'devices/ndbus0/nd/ndctl0/dev': '250:0',
  };
  const other = /is not a namespace of persistent memory; give one such as \/dev\/pmem0 or .*"ndctl list"/;

  it.each<[string, Files, string, RegExp]>([
    ['a device that is not there', {}, 'pmem0', /pmem0 does not exist; "ndctl list" .*"ndctl enable-namespace"/],
    [
      'a file',
      { 'devfs/memmap': '' },
      'memmap',
      /memmap is no device; give the one of a namespace, such as \/dev\/pmem0/,
    ],
    [
      'a device that sysfs lacks',
      { 'devfs/pmem0': 'block 259:0' },
      'pmem0',
      /is device 259:0, which is not in sysfs: /,
    ],
    ['a disk', disk, 'sda', other],
    ['a partition of a disk', disk, 'sda1', other],
    ['a disk without a device', loop, 'loop0', other],
    ['another device of libnvdimm', control, 'ndctl0', other],
    ['a block window', blk, 'pmem0', other],
    ['a partition', partition, 'pmem0p1', /pmem0p1 is a partition; give the whole device, \/dev\/pmem0$/],
    ['sector mode', sector, 'pmem0', /is in sector mode, .*"ndctl create-namespace -f -e NAMESPACE -m fsdax"/],
  ])('%s', (_, files, device, message) => {
    const error = refusalOf(() => told(files, device));
    expect(error.code).toBe('DETECT_FAILED');
    expect(error.message).toMatch(message);
    expect(error.received).toMatch(new RegExp(`/devfs/${device}$`));
  });

  it('a device that may not be looked up', () => {
    const cause = Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' });
    const deny = (): never => {
      throw cause;
    };
    const error = refusalOf(() => fromDevice('/dev/pmem0', { statOf: deny }));
    expect(error.message).toMatch(/^\/dev\/pmem0 cannot be looked up: EACCES: permission denied; .*run as root$/);
    expect(error.cause).toBe(cause);
  });

  const unreadable =
    /cannot be read; run as root, and enable the namespace if it is disabled \("ndctl enable-namespace"\)$/;
  const noBytes = /is not a number of bytes to 2\^52; describe the machine with --simulate SPEC instead$/;
  const outside = /pfn0\.0 does not lie in namespace0\.0; describe/;
  const alignment = /align is not a power of two from 4096 to 2\^30; describe/;
  const nameless = /namespace names no namespace; describe/;
  const mapless = /mode is neither ram nor pmem; describe/;

  it.each<[string, string | undefined, RegExp]>([
    ['namespace0.0/resource', undefined, unreadable],
    ['namespace0.0/size', undefined, unreadable],
    ['pfn0.0/resource', undefined, unreadable],
    ['pfn0.0/size', undefined, unreadable],
    ['namespace0.0/size', '0', /size is 0: the namespace is not set up; "ndctl create-namespace" does that$/],
    ['pfn0.0/size', '0', /size is 0: the namespace is not set up/],
    ['pfn0.0/size', '-1', noBytes],
    ['pfn0.0/size', '', noBytes],
    ['pfn0.0/size', '4 GiB', noBytes],
    ['pfn0.0/size', '4503599627370497', noBytes],
    ['pfn0.0/size', '9007199254740993', noBytes],
    ['pfn0.0/size', '18446744073709551615', noBytes],
    ['pfn0.0/resource', '0xffffffffffffffff', noBytes],
    ['pfn0.0/resource', '0x10000000000001', noBytes],
    ['pfn0.0/resource', '0x10000000000000', /lies beyond 2\^52 bytes/],
    ['pfn0.0/resource', '0x1fffff000', outside],
    ['pfn0.0/size', '4292870145', outside],
    ['pfn0.0/align', undefined, alignment],
    ['pfn0.0/align', '0', alignment],
    ['pfn0.0/align', '-4096', alignment],
    ['pfn0.0/align', '2048', alignment],
    ['pfn0.0/align', '12288', alignment],
    ['pfn0.0/align', '2147483648', alignment],
    ['pfn0.0/namespace', undefined, nameless],
    ['pfn0.0/namespace', '', nameless],
    ['pfn0.0/namespace', '../../../secret', nameless],
    ['pfn0.0/namespace', 'namespace0.0/..', nameless],
    ['pfn0.0/namespace', 'namespace0.1', unreadable],
    ['pfn0.0/mode', undefined, mapless],
    ['pfn0.0/mode', 'none', mapless],
    ['pfn0.0/devtype', undefined, other],
    ['pfn0.0/devtype', 'nd_dax', other],
  ])('%s of %j', (file, content, message) => {
    const files = changed(fsdax, { [file]: content });
    const error = refusalOf(() => told(files, 'pmem0'));
    expect(error.code).toBe('DETECT_FAILED');
    expect(error.message).toMatch(message);
  });

  it('a namespace of less than a page', () => {
    const error = refusalOf(() => told(changed(bare, { 'namespace0.0/size': '4095' }), 'pmem0'));
    expect(error.message).toMatch(/namespace0\.0 holds no whole page; describe/);
  });
});

const anyText = fc.oneof(
  fc.string(),
  fc.bigInt({ min: -1n, max: 2n ** 64n }).map(String),
  fc.bigInt({ min: 0n, max: 2n ** 53n }).map((value) => `0x${value.toString(16)}`),
);
const sysfsNames = Object.keys(fsdax)
  .filter((path) => path.startsWith(region) && !path.endsWith('/device'))
  .map((path) => path.slice(region.length + 1));

prop.prop([fc.constantFrom(...sysfsNames), anyText.filter((text) => !text.startsWith('-> '))], { numRuns: 200 })(
  'whatever a file of sysfs holds, there are pages below 2^52 bytes or there is DETECT_FAILED',
  (name, text) => {
    const machine = orRefused(() => told(changed(fsdax, { [name]: text }), 'pmem0'), 'DETECT_FAILED');
    if (machine !== undefined) expect(planRanges(machine).length).toBeGreaterThan(0);
  },
);
