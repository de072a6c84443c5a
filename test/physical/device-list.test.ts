/** Tests of detection with persistent memory: namespaces in use, device-dax, memory of kmem, and what sysfs does not tell. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { detect } from '../../dist/src/physical/detect.js';
import { readDevices } from '../../dist/src/physical/device-list.js';
import { movableSpans } from '../../dist/src/physical/sysfs.js';
import type { Topology } from '../../dist/src/physical/topology.js';
import { makeTree, sysfsFiles } from './made-tree.ts';

type Files = Readonly<Record<string, string>>;

const kernel = { pageBytes: 4096, release: '6.1.0' };
const region = 'devices/ndbus0/region0';
const driver = (depth: number, name: string): string => `-> ${'../'.repeat(depth)}bus/${name}`;
const nd = (name: string): Files => ({ [`bus/nd/devices/${name}`]: `-> ../../../${region}/${name}` });
const folder = (name: string, files: Files): Files =>
  Object.fromEntries(Object.entries(files).map(([file, content]) => [`${region}/${name}/${file}`, content]));

/** A namespace of 1 GiB at `start` that `holder` has. */
const namespace = (name: string, start: number, holder: string, mode = 'memory'): Files => ({
  ...nd(name),
  ...folder(name, {
    devtype: 'nd_namespace_pmem',
    mode,
    resource: `0x${start.toString(16)}`,
    size: String(2 ** 30),
    numa_node: '1',
    holder,
  }),
});

const drivers: Files = {
  'bus/nd/drivers/nd_pmem/bind': '',
  'bus/dax/drivers/device_dax/bind': '',
  'bus/dax/drivers/kmem/bind': '',
};

/** namespace0.0 at 4 GiB as fsdax with map=dev; a seed without namespace beside it. */
const fsdax: Files = {
  ...drivers,
  ...namespace('namespace0.0', 2 ** 32, 'pfn0.1'),
  ...nd('pfn0.1'),
  ...folder('pfn0.1', {
    devtype: 'nd_pfn',
    driver: driver(4, 'nd/drivers/nd_pmem'),
    mode: 'pmem',
    align: '2097152',
    resource: `0x${(2 ** 32 + 18 * 2 ** 20).toString(16)}`,
    size: String(1006 * 2 ** 20),
    numa_node: '1',
    namespace: 'namespace0.0',
  }),
  ...nd('pfn0.0'),
  ...folder('pfn0.0', { devtype: 'nd_pfn', mode: 'none', namespace: '' }),
};

/** namespace0.1 at 8 GiB as devdax with map=mem, whose device has a driver. */
const devdax = (whose: string): Files => ({
  ...drivers,
  ...namespace('namespace0.1', 2 ** 33, 'dax0.1', 'dax'),
  ...nd('dax0.1'),
  ...folder('dax0.1', {
    devtype: 'nd_dax',
    driver: driver(4, 'nd/drivers/nd_pmem'),
    mode: 'ram',
    align: '2097152',
    resource: `0x${(2 ** 33 + 2 ** 21).toString(16)}`,
    size: String(2 ** 30 - 2 ** 21),
    numa_node: '1',
    namespace: 'namespace0.1',
    'dax7.0/driver': driver(5, `dax/drivers/${whose}`),
    'dax7.0/numa_node': '1',
    'dax7.0/resource': '0',
  }),
  'bus/dax/devices/dax7.0': `-> ../../../${region}/dax0.1/dax7.0`,
});

/** Soft reserved memory at 16 GiB, as device-dax or as RAM. */
const soft = (whose: string): Files => ({
  ...drivers,
  'bus/dax/devices/dax1.0': '-> ../../../devices/platform/hmem.0/dax1.0',
  'devices/platform/hmem.0/dax1.0/driver': driver(4, `dax/drivers/${whose}`),
  'devices/platform/hmem.0/dax1.0/resource': `0x${(2 ** 34).toString(16)}`,
  'devices/platform/hmem.0/dax1.0/size': String(2 ** 30),
  'devices/platform/hmem.0/dax1.0/align': String(2 ** 30),
  'devices/platform/hmem.0/dax1.0/numa_node': '1',
});

const fsdaxExtent = {
  nid: 1,
  kind: 'device',
  mode: 'fsdax',
  altmap: { reservePages: 2, memmapPages: 4606 },
  startPfn: 0x100000,
  endPfn: 0x140000,
};
const devdaxExtent = {
  nid: 1,
  kind: 'device',
  mode: 'devdax',
  compoundPages: 512,
  startPfn: 0x200000,
  endPfn: 0x240000,
};

describe('the devices of sysfs', () => {
  it('are namespaces with their memmaps, device-dax with its compound pages, and no seeds', () => {
    expect(readDevices(makeTree({ ...fsdax, ...devdax('device_dax') }), kernel)).toEqual({
      devices: [fsdaxExtent, devdaxExtent],
      notes: [],
    });
  });

  it('are none where there are none', () => {
    expect(readDevices(makeTree({}), kernel)).toBeUndefined();
    expect(
      readDevices(makeTree({ 'bus/nd/devices/region0/size': '0', 'bus/dax/devices/x': '' }), kernel),
    ).toBeUndefined();
  });

  it('that kmem has, that are disabled, in sector mode or raw, have no descriptors of device memory', () => {
    expect(readDevices(makeTree(devdax('kmem')), kernel)).toEqual({ devices: [], notes: [] });
    const { [`${region}/pfn0.1/driver`]: _, ...disabled } = fsdax;
    expect(readDevices(makeTree(disabled), kernel)).toEqual({ devices: [], notes: [] });
    const bare = (mode: string, holder: string, more: Files): unknown =>
      readDevices(makeTree({ ...drivers, ...namespace('namespace0.0', 2 ** 32, holder, mode), ...more }), kernel)
        ?.devices;
    const bound = folder('namespace0.0', { driver: driver(4, 'nd/drivers/nd_pmem') });
    expect(bare('raw', '', bound)).toEqual([]);
    expect(bare('memory', 'btt0.0', bound)).toEqual([]);
    expect(bare('memory', '', {})).toEqual([]);
    // without an info block, but mapped all the same
    expect(bare('memory', '', bound)).toEqual([
      { nid: 1, kind: 'device', mode: 'fsdax', startPfn: 0x100000, endPfn: 0x140000 },
    ]);
  });

  it('may be device-dax of other memory', () => {
    expect(readDevices(makeTree(soft('device_dax')), kernel)?.devices).toEqual([
      { nid: 1, kind: 'device', mode: 'devdax', compoundPages: 2 ** 18, startPfn: 0x400000, endPfn: 0x440000 },
    ]);
    expect(readDevices(makeTree(soft('kmem')), kernel)?.devices).toEqual([]);
  });

  it('that make no sense are left out, each with a note', () => {
    const wrong = { ...fsdax, [`${region}/pfn0.1/mode`]: 'zebra', ...devdax('device_dax') };
    const { devices, notes } = readDevices(makeTree(wrong), kernel) ?? {};
    expect(devices).toEqual([devdaxExtent]);
    expect(notes).toEqual([expect.stringMatching(/^pfn0\.1 is left out: .*mode is neither ram nor pmem/)]);
  });

  it('whose addresses are hidden are not told at all', () => {
    const { [`${region}/pfn0.1/resource`]: _, ...hidden } = fsdax;
    expect(readDevices(makeTree(hidden), kernel)).toBeUndefined();
  });
});

describe('detection', () => {
  const ram = '08000000-0fffffff : System RAM';
  const on = (iomem: readonly string[], files: Files): Topology => {
    const root = makeTree({
      ...sysfsFiles({ 0: '0', 1: '1' }, { 1: { nids: [0] } }),
      ...files,
      iomem: iomem.join('\n'),
    });
    return detect({
      iomemPath: join(root, 'iomem'),
      zoneinfoPath: join(root, 'zoneinfo'),
      sysRoot: root,
      cpus: [0, 1],
      platform: 'x86-64',
      release: '6.1.0',
    });
  };
  const pmem = ['100000000-2ffffffff : Persistent Memory'];

  it('has the namespaces of persistent memory, and tells what belongs to none', () => {
    const { memory, notes } = on([ram, ...pmem], { ...fsdax, ...devdax('device_dax') });
    expect(memory.slice(1)).toEqual([
      { ...fsdaxExtent, pgmap: 1 },
      { ...devdaxExtent, pgmap: 2 },
    ]);
    expect(notes).toEqual([
      '1572864 pages of persistent memory belong to no namespace that has page descriptors; they are left out.',
    ]);
  });

  it('has persistent memory as the memory map tells it where sysfs hides addresses', () => {
    const { [`${region}/pfn0.1/resource`]: _, ...hidden } = fsdax;
    expect(on([ram, ...pmem], hidden).memory.slice(1)).toEqual([
      { nid: 0, kind: 'device', pgmap: 1, startPfn: 0x100000, endPfn: 0x300000 },
    ]);
  });

  it('leaves out devices that overlap RAM or each other, with a note', () => {
    const { memory, notes } = on([ram, '120000000-12fffffff : System RAM'], fsdax);
    expect(memory.map(({ kind }) => kind)).toEqual(['ram', 'ram']);
    expect(notes).toContain('1 devices overlap RAM or each other; they are left out.');
    const twice = { ...fsdax, ...soft('device_dax'), 'devices/platform/hmem.0/dax1.0/resource': '0x110000000' };
    expect(on([ram], { ...twice, 'devices/platform/hmem.0/dax1.0/align': '2097152' }).memory).toHaveLength(2);
  });

  const kmem = [ram, '18000000-27ffffff : CXL Window 0', '  18000000-27ffffff : System RAM (kmem)'];
  const blocks = (zones: readonly (string | undefined)[]): Files => ({
    ...sysfsFiles({ 0: '0', 1: '' }, { 1: { nids: [0] }, 3: { nids: [1] }, 4: { nids: [1] } }),
    ...Object.fromEntries(
      zones.flatMap((zone, index) =>
        zone === undefined ? [] : [[`devices/system/memory/memory${index + 3}/valid_zones`, `${zone}\n`]],
      ),
    ),
  });

  it('has memory of kmem as movable where its blocks are in the zone Movable and in no other', () => {
    const movableOf = (...zones: (string | undefined)[]): unknown =>
      on(kmem, blocks(zones))
        .memory.slice(1)
        .map(({ startPfn, endPfn, movable }) => [startPfn, endPfn, movable]);
    expect(movableOf('Movable', 'Movable')).toEqual([[0x18000, 0x28000, true]]);
    expect(movableOf('Movable', 'Normal')).toEqual([
      [0x18000, 0x20000, true],
      [0x20000, 0x28000, undefined],
    ]);
    // of offline memory: the zones that it may be in
    expect(movableOf('Normal Movable', undefined)).toEqual([[0x18000, 0x28000, undefined]]);
  });

  it('has other memory as movable where /proc/zoneinfo has such a zone', () => {
    const plain = [ram, '18000000-27ffffff : System RAM'];
    const zoneinfo = 'Node 1, zone  Movable\n        spanned  65536\n  start_pfn:           98304\n';
    expect(on(plain, { ...blocks(['Movable', 'Movable']), zoneinfo }).memory.at(-1)).toMatchObject({ movable: true });
    expect(on(plain, blocks(['Movable', 'Movable'])).memory.at(-1)).not.toHaveProperty('movable');
  });

  it('tells what is reserved, and the kernel', () => {
    const found = on([ram, '  09000000-09ffffff : Kernel code'], {});
    expect(found.reserved).toEqual([{ startPfn: 0x9000, endPfn: 0xa000, what: 'Kernel code' }]);
    expect(found).toMatchObject({ platform: 'x86-64', kernel: '6.1.0' });
  });

  it('of a machine with larger pages counts in those', () => {
    const root = makeTree({
      ...sysfsFiles({ 0: '0' }, { 0: { nids: [0] } }, '20000000'),
      iomem: '00000000-1fffffff : System RAM',
    });
    const found = detect({
      iomemPath: join(root, 'iomem'),
      sysRoot: root,
      cpus: [0],
      platform: 'arm64-64k',
      release: '6.1',
    });
    expect(found.memory).toEqual([{ nid: 0, kind: 'ram', startPfn: 0, endPfn: 0x2000 }]);
  });
});

describe('the zone Movable', () => {
  it('is where /proc/zoneinfo has pages of it', () => {
    const zone = (name: string, spanned: number, start?: number): string =>
      `Node 0, zone  ${name}\n  pages free     0\n        spanned  ${spanned}\n${start === undefined ? '' : `  start_pfn:           ${start}\n`}`;
    expect(movableSpans(zone('Normal', 10, 1) + zone('Movable', 5, 20) + zone('Movable', 7, 11))).toEqual([
      { startPfn: 11, endPfn: 18 },
      { startPfn: 20, endPfn: 25 },
    ]);
    expect(movableSpans(zone('Movable', 0) + zone('Device', 5, 7))).toEqual([]);
    expect(movableSpans('zebra')).toEqual([]);
  });

  it('of this machine is read without an error', () => {
    expect(
      movableSpans(readFileSync('/proc/zoneinfo', 'utf8')).every(({ startPfn, endPfn }) => startPfn < endPfn),
    ).toBe(true);
  });
});
