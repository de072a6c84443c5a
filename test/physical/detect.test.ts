/** Tests of detection: on made machines, from captured maps, and on the machine that runs the tests against its kernel. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { detect, fromIomemFile, readAllowedCpus } from '../../dist/src/physical/detect.js';
import { zoneNames, zoneSpans } from '../../dist/src/physical/zones.js';
import { presentOfKernel, reasonNotToCompare } from '../support/zoneinfo.ts';
import { refusalOf } from './errors.ts';
import { makeTree, sysfsFiles } from './made-tree.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/iomem/${name}.txt`, import.meta.url));
/** Detects on a made machine: the lines of its /proc/iomem (none: there is no such file) and its sysfs. */
function detectOn(iomem: readonly string[] | undefined, sysfs: Readonly<Record<string, string>>, cpus = [0, 1]) {
  const root = makeTree(iomem ? { ...sysfs, iomem: iomem.join('\n') } : sysfs);
  return detect({
    iomemPath: join(root, 'iomem'),
    zoneinfoPath: join(root, 'zoneinfo'),
    sysRoot: root,
    cpus,
    platform: 'x86-64',
    release: '6.1.0',
  });
}

/** 128 MiB in pages: one memory block of the made machines. */
const block = 0x8000;

describe('RAM', () => {
  it('of one node is what the memory map says, page 0 left out', () => {
    const machine = detectOn(
      ['00000000-0009fbff : System RAM', '00100000-0fffffff : System RAM'],
      sysfsFiles({ 0: '0-1' }, { 0: { nids: [0] }, 1: { nids: [0] } }),
    );
    expect(machine).toEqual({
      source: 'iomem',
      nodes: [{ nid: 0, cpus: [0, 1] }],
      memory: [
        { nid: 0, kind: 'ram', startPfn: 1, endPfn: 0x9f },
        { nid: 0, kind: 'ram', startPfn: 0x100, endPfn: 0x10000 },
      ],
      zoned: true,
      platform: 'x86-64',
      kernel: '6.1.0',
      notes: [],
    });
  });

  it('that spans nodes is cut where the node of the blocks changes, and only there', () => {
    const machine = detectOn(
      ['08000000-27ffffff : System RAM'],
      sysfsFiles({ 0: '0', 1: '1' }, { 1: { nids: [0] }, 2: { nids: [0] }, 3: { nids: [1] }, 4: { nids: [1] } }),
    );
    expect(machine.memory).toEqual([
      { nid: 0, kind: 'ram', startPfn: block, endPfn: 3 * block },
      { nid: 1, kind: 'ram', startPfn: 3 * block, endPfn: 5 * block },
    ]);
    expect(machine.notes).toEqual([]);
  });

  it('in a block of two nodes goes to the lower one, with a note', () => {
    const machine = detectOn(
      ['08000000-17ffffff : System RAM'],
      sysfsFiles({ 0: '0', 1: '1' }, { 1: { nids: [0, 1] }, 2: { nids: [1] } }),
    );
    expect(machine.memory.map(({ nid, startPfn, endPfn }) => [nid, startPfn, endPfn])).toEqual([
      [0, block, 2 * block],
      [1, 2 * block, 3 * block],
    ]);
    expect(machine.notes).toEqual(['1 memory blocks belong to two nodes; each is taken as memory of the lower one.']);
  });

  it('that is offline is left out, with a note', () => {
    const machine = detectOn(
      ['08000000-1fffffff : System RAM'],
      sysfsFiles({ 0: '0' }, { 1: { nids: [0] }, 2: { nids: [0], state: 'offline' }, 3: { nids: [0] } }),
    );
    expect(machine.memory.map(({ startPfn, endPfn }) => [startPfn, endPfn])).toEqual([
      [block, 2 * block],
      [3 * block, 4 * block],
    ]);
    expect(machine.notes).toEqual(['32768 pages of RAM are offline and left out.']);
  });

  it('in no block goes to the node of the RAM below, or to the lowest node, with a note', () => {
    const machine = detectOn(
      ['00001000-00001fff : System RAM', '08000000-0fffffff : System RAM', '10000000-17ffffff : System RAM'],
      sysfsFiles({ 3: '0', 5: '1' }, { 1: { nids: [5] } }),
    );
    expect(machine.memory.map(({ nid, startPfn, endPfn }) => [nid, startPfn, endPfn])).toEqual([
      [3, 1, 2],
      [5, block, 3 * block],
    ]);
    expect(machine.notes).toEqual([
      '32769 pages of RAM are in no memory block of a node; they are taken as memory of the node of the nearest RAM below, or else of the lowest node.',
    ]);
  });

  it('of a machine without nodes and blocks in sysfs is all on node 0, without a note: there is nothing to guess', () => {
    const machine = detectOn(['08000000-17ffffff : System RAM'], {}, [3, 7]);
    expect(machine.nodes).toEqual([{ nid: 0, cpus: [3, 7] }]);
    expect(machine.memory).toEqual([{ nid: 0, kind: 'ram', startPfn: block, endPfn: 3 * block }]);
    expect(machine.notes).toEqual([]);
  });

  it('is exact at 2^46 bytes, in blocks of 2 GiB', () => {
    const machine = detectOn(
      ['3fff80001000-400000000fff : System RAM'],
      sysfsFiles({ 0: '0', 1: '1' }, { 32767: { nids: [0] }, 32768: { nids: [1] } }, '80000000'),
    );
    expect(machine.memory.map(({ nid, startPfn, endPfn }) => [nid, startPfn, endPfn])).toEqual([
      [0, 2 ** 34 - 0x80000 + 1, 2 ** 34],
      [1, 2 ** 34, 2 ** 34 + 1],
    ]);
  });
});

describe('persistent memory', () => {
  const iomem = [
    '08000000-0fffffff : System RAM',
    '100000000-13fffffff : Persistent Memory',
    '200000000-23fffffff : Persistent Memory',
  ];
  const sysfs = sysfsFiles({ 0: '0', 1: '' }, { 1: { nids: [0] } });
  const region = (number: number, resource: string, node: string): Record<string, string> => ({
    [`bus/nd/devices/region${number}/resource`]: resource,
    [`bus/nd/devices/region${number}/size`]: '1073741824',
    [`bus/nd/devices/region${number}/numa_node`]: node,
  });

  it('has the node of its region, and a pgmap of its own', () => {
    const machine = detectOn(iomem, { ...sysfs, ...region(0, '0x200000000', '0'), ...region(1, '0x100000000', '1') });
    expect(machine.memory.slice(1)).toEqual([
      { nid: 1, kind: 'device', pgmap: 1, startPfn: 0x100000, endPfn: 0x140000 },
      { nid: 0, kind: 'device', pgmap: 2, startPfn: 0x200000, endPfn: 0x240000 },
    ]);
    expect(machine.notes).toEqual([]);
  });

  it('whose region cannot be read goes to the node of the RAM below, with a note', () => {
    const machine = detectOn(iomem, { ...sysfs, ...region(0, '0x100000000', '1') });
    expect(machine.memory.slice(1).map(({ nid }) => nid)).toEqual([1, 0]);
    expect(machine.notes).toEqual([
      'The node of 1 extents of device memory cannot be read from sysfs; they are taken as memory of the node of the nearest RAM below, or else of the lowest node.',
    ]);
  });

  it('right behind RAM is of its node, below all RAM of the lowest node, as far as can be told', () => {
    const machine = detectOn(
      [
        '01000000-01ffffff : Persistent Memory',
        '08000000-0fffffff : System RAM',
        '10000000-17ffffff : Persistent Memory',
      ],
      sysfsFiles({ 0: '0', 1: '' }, { 1: { nids: [1] } }),
    );
    expect(machine.memory.map(({ nid, kind }) => [nid, kind])).toEqual([
      [0, 'device'],
      [1, 'ram'],
      [1, 'device'],
    ]);
  });

  it('may be of a node that sysfs does not list; it is added, without CPUs', () => {
    const machine = detectOn(iomem, { ...sysfs, ...region(0, '0x100000000', '7') });
    expect(machine.nodes).toEqual([
      { nid: 0, cpus: [0] },
      { nid: 1, cpus: [] },
      { nid: 7, cpus: [] },
    ]);
  });
});

describe('without root', () => {
  const hidden = ['00000000-00000000 : Reserved', '00000000-00000000 : System RAM'];
  const sysfs = sysfsFiles(
    { 0: '0', 1: '1' },
    {
      0: { nids: [0] },
      1: { nids: [0] },
      3: { nids: [0], state: 'offline' },
      32: { nids: [1] },
    },
  );
  const memory = [
    { nid: 0, kind: 'ram', startPfn: 1, endPfn: 2 * block },
    { nid: 1, kind: 'ram', startPfn: 32 * block, endPfn: 33 * block },
  ];
  const lost =
    'so RAM is told by the memory blocks of sysfs: holes smaller than a block count as memory, and persistent memory is missing.';

  it('RAM is told by memory blocks, and notes say what is lost', () => {
    const machine = detectOn(hidden, sysfs);
    expect(machine.source).toBe('sysfs-blocks');
    expect(machine.memory).toEqual(memory);
    expect(machine.notes).toEqual([
      expect.stringMatching(/iomem shows its addresses only to root, so RAM/),
      '32768 pages of RAM are offline and left out.',
    ]);
    expect(machine.notes[0]).toContain(lost);
  });

  it.each([
    ['cannot be read', undefined],
    ['is empty', []],
  ])('the same holds for a memory map that %s', (why, iomem) => {
    const machine = detectOn(iomem, sysfs);
    expect(machine.source).toBe('sysfs-blocks');
    expect(machine.memory).toEqual(memory);
    expect(machine.notes[0]).toContain(`${why}, ${lost}`);
  });

  it.each([
    ['hidden addresses', hidden],
    ['no memory map', undefined],
    ['an empty memory map', []],
  ])('and without memory blocks, %s is an error that says what to do', (_, iomem) => {
    const error = refusalOf(() => detectOn(iomem, sysfsFiles({ 0: '0' })));
    expect(error.code).toBe('DETECT_FAILED');
    expect(error.message).toMatch(/tells any memory; run as root, .*--simulate SPEC .*--iomem FILE$/);
    expect(error.cause === undefined).toBe(iomem !== undefined);
  });
});

describe('a memory map of this machine', () => {
  it('without memory is an error, also when all of it is offline', () => {
    expect(refusalOf(() => detectOn(['1000-1fff : Reserved'], {})).message).toContain('lists no memory that is online');
    const offline = sysfsFiles({ 0: '0' }, { 1: { nids: [0], state: 'offline' } });
    expect(refusalOf(() => detectOn(['08000000-0fffffff : System RAM'], offline)).code).toBe('DETECT_FAILED');
  });

  it('that is malformed is an error, not a reason to look elsewhere', () => {
    const sysfs = sysfsFiles({ 0: '0' }, { 0: { nids: [0] } });
    expect(refusalOf(() => detectOn(['100000-1fffff : System RAM', 'zebra'], sysfs)).code).toBe('IOMEM_SYNTAX');
  });
});

describe('a captured memory map', () => {
  it('is all on node 0, with the CPUs given', () => {
    const machine = fromIomemFile(fixture('x86-pmem-section-collision'), [0, 3]);
    expect(machine).toEqual({
      source: 'iomem-file',
      nodes: [{ nid: 0, cpus: [0, 3] }],
      memory: [
        { nid: 0, kind: 'ram', startPfn: 0x100000, endPfn: 0x200000 },
        { nid: 0, kind: 'device', pgmap: 1, startPfn: 0x200000, endPfn: 0x304000 },
        { nid: 0, kind: 'ram', startPfn: 0x304000, endPfn: 0x440000 },
        { nid: 0, kind: 'device', pgmap: 2, startPfn: 0x440000, endPfn: 0x2400000 },
        { nid: 0, kind: 'device', mode: 'fsdax', pgmap: 3, startPfn: 0x2400000, endPfn: 0x43c0000 },
      ],
      zoned: true,
      notes: ['A memory map does not tell nodes, so all memory is on node 0.'],
    });
  });

  it.each([
    ['that is missing', {}, /cannot be read: ENOENT.*--simulate SPEC/],
    ['without addresses', { map: '00000000-00000000 : System RAM\n' }, /captured without root.*sudo cat \/proc\/iomem/],
    ['without memory', { map: '1000-1fff : Reserved\n' }, /lists no whole page/],
    ['that is empty', { map: '' }, /lists no whole page/],
    ['with less than a page', { map: '1001-1fff : System RAM\n' }, /lists no whole page/],
  ])('%s is refused', (_, files, message) => {
    const path = join(makeTree(files), 'map');
    const error = refusalOf(() => fromIomemFile(path, [0]));
    expect(error.code).toBe('DETECT_FAILED');
    expect(error.message).toMatch(message);
    expect(error.received).toBe(path);
  });

  it('that is malformed is refused with its name and line', () => {
    const path = join(makeTree({ map: '1000-1fff : System RAM\nzebra\n' }), 'map');
    const error = refusalOf(() => fromIomemFile(path, [0]));
    expect(error.code).toBe('IOMEM_SYNTAX');
    expect(error.message).toContain(`${path}, line 2, column 1`);
  });
});

describe('the CPUs of this process', () => {
  it('are those that its status allows', () => {
    const root = makeTree({ status: 'Name:\tnode\nCpus_allowed:\tf0\nCpus_allowed_list:\t4-5,7\nMems_allowed:\t1\n' });
    expect(readAllowedCpus(join(root, 'status'), root)).toEqual([4, 5, 7]);
  });

  it('are those online where the status does not tell', () => {
    const root = makeTree({ 'devices/system/cpu/online': '0-2\n', status: 'Name:\tnode\n' });
    expect(readAllowedCpus(join(root, 'status'), root)).toEqual([0, 1, 2]);
    expect(readAllowedCpus(join(root, 'missing'), root)).toEqual([0, 1, 2]);
  });

  it('are at least one where nothing tells', () => {
    const root = makeTree({});
    expect(readAllowedCpus(join(root, 'missing'), root)[0]).toBe(0);
  });
});

const skipped = reasonNotToCompare();
if (skipped !== '') process.stderr.write(`skipped, detection beside the kernel of this machine: ${skipped}\n`);

it.skipIf(skipped !== '')(
  `on this machine detection finds the pages that the kernel has present, zone by zone ${skipped}`,
  () => {
    const kernel = presentOfKernel();
    const spans = zoneSpans(detect()).filter(
      ({ zone, presentPages }) => zoneNames[zone] !== 'Device' && presentPages > 0,
    );
    const ours = new Map(spans.map(({ nid, zone, presentPages }) => [`node ${nid} ${zoneNames[zone]}`, presentPages]));
    const table = [...new Set([...kernel.keys(), ...ours.keys()])].map(
      (zone) => `${zone}: kernel ${kernel.get(zone) ?? 0}, detected ${ours.get(zone) ?? 0}`,
    );
    expect(Object.fromEntries(ours), table.join('; ')).toEqual(Object.fromEntries(kernel));
  },
);
