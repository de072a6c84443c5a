/** Tests of the sysfs reader on made trees: nodes, memory blocks, regions of persistent memory. */
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import {
  parseCpulist,
  readMemoryBlocks,
  readNodes,
  readOnlineCpus,
  readPmemRegions,
} from '../../dist/src/physical/sysfs.js';
import { orRefused, refusalOf } from './errors.ts';
import { makeTree, sysfsFiles } from './made-tree.ts';

describe('a CPU list', () => {
  it.each([
    ['0-3,8,10-11', [0, 1, 2, 3, 8, 10, 11]],
    ['0', [0]],
    ['5-5', [5]],
    ['', []],
    ['\n', []],
    ['0-1\n', [0, 1]],
    ['8,0-1,1', [0, 1, 8]],
    ['8191', [8191]],
  ])('of %j is %j', (text, cpus) => {
    expect(parseCpulist(text)).toEqual(cpus);
  });

  it.each([
    ['8192', 'names CPU 8192; 0 to 8191 can exist'],
    ['0-4294967295', 'names CPU 4294967295'],
    ['3-1', 'has a range that ends before it begins: 3-1'],
    ['0,', 'is not a list such as 0-3,8,10-11'],
    ['0--1', 'is not a list'],
    ['0-3:1/2', 'is not a list'],
    ['0, 1', 'is not a list'],
    ['all', 'is not a list'],
  ])('of %j is refused: it %s', (text, problem) => {
    const error = refusalOf(() => parseCpulist(text, 'node3/cpulist'));
    expect(error.code).toBe('DETECT_FAILED');
    expect(error.message).toContain(`node3/cpulist ${problem}`);
  });

  prop.prop([fc.uniqueArray(fc.integer({ min: 0, max: 8191 }))])('printed CPU by CPU is read back sorted', (cpus) => {
    expect(parseCpulist(cpus.join(','))).toEqual(cpus.toSorted((a, b) => a - b));
  });

  prop.prop([fc.oneof(fc.string(), fc.stringMatching(/^[0-9,-]{0,20}$/))])(
    'of any text is CPUs or DETECT_FAILED',
    (text) => {
      const cpus = orRefused(() => parseCpulist(text), 'DETECT_FAILED') ?? [];
      expect(cpus.every((cpu) => cpu >= 0 && cpu < 8192)).toBe(true);
    },
  );
});

describe('nodes', () => {
  it('have the CPUs that sysfs gives them, cut to the allowed ones; some have none', () => {
    const root = makeTree(sysfsFiles({ 0: '0-3,8-11', 2: '', 10: '4-7' }));
    expect(readNodes(root, [0, 1, 2, 4, 5, 9, 99])).toEqual([
      { nid: 0, cpus: [0, 1, 2, 9] },
      { nid: 2, cpus: [] },
      { nid: 10, cpus: [4, 5] },
    ]);
  });

  it('are one node 0 with all online and allowed CPUs where sysfs has none', () => {
    const root = makeTree({ 'devices/system/cpu/online': '0-3\n' });
    expect(readNodes(root, [1, 2, 3, 4])).toEqual([{ nid: 0, cpus: [1, 2, 3] }]);
  });

  it('are one node 0 with the allowed CPUs where sysfs tells nothing', () => {
    const root = makeTree({});
    expect(readOnlineCpus(root)).toBeUndefined();
    expect(readNodes(root, [1, 4])).toEqual([{ nid: 0, cpus: [1, 4] }]);
  });

  it('are no other entries that begin with node', () => {
    const root = makeTree({
      ...sysfsFiles({ 1: '0' }),
      'devices/system/node/node': '',
      'devices/system/node/node01/x': '',
    });
    expect(readNodes(root, [0])).toEqual([{ nid: 1, cpus: [0] }]);
  });

  it('without a readable CPU list are an error that names the file and what to do', () => {
    const root = makeTree({ 'devices/system/node/node0/meminfo': '' });
    const error = refusalOf(() => readNodes(root, [0]));
    expect(error.code).toBe('DETECT_FAILED');
    expect(error.message).toContain('devices/system/node/node0/cpulist cannot be read');
    expect(error.message).toContain('--simulate SPEC');
  });

  it('end at 1023', () => {
    expect(readNodes(makeTree(sysfsFiles({ 1023: '0' })), [0])).toEqual([{ nid: 1023, cpus: [0] }]);
    expect(refusalOf(() => readNodes(makeTree(sysfsFiles({ 1024: '0' })), [0])).message).toContain('is of node 1024');
  });
});

describe('memory blocks', () => {
  it('are runs of the block size, with the node that links them and whether they are online', () => {
    const root = makeTree(
      sysfsFiles(
        { 0: '0', 1: '1' },
        {
          0: { nids: [0] },
          2: { nids: [1], state: 'offline' },
          10: { nids: [1] },
          11: { nids: [1], state: 'going-offline' },
          20: { nids: [] },
        },
      ),
    );
    expect(readMemoryBlocks(root)).toEqual({
      blocks: [
        { startPfn: 0, endPfn: 0x8000, nid: 0, online: true },
        { startPfn: 0x10000, endPfn: 0x18000, nid: 1, online: false },
        { startPfn: 0x50000, endPfn: 0x58000, nid: 1, online: true },
        { startPfn: 0x58000, endPfn: 0x60000, nid: 1, online: false },
        { startPfn: 0xa0000, endPfn: 0xa8000, nid: undefined, online: true },
      ],
      notes: [],
    });
  });

  it('of two nodes go to the lower one, and a note says so', () => {
    const root = makeTree(sysfsFiles({ 2: '0', 10: '1' }, { 3: { nids: [10, 2] } }, '80000000'));
    expect(readMemoryBlocks(root)).toEqual({
      blocks: [{ startPfn: 3 * 0x80000, endPfn: 4 * 0x80000, nid: 2, online: true }],
      notes: ['1 memory blocks belong to two nodes; each is taken as memory of the lower one.'],
    });
  });

  it('whose state cannot be read count as online', () => {
    const files = sysfsFiles({ 0: '0' }, { 1: { nids: [0] } });
    delete files['devices/system/memory/memory1/state'];
    const root = makeTree({ ...files, 'devices/system/memory/memory1/phys_index': '1' });
    expect(readMemoryBlocks(root).blocks).toEqual([{ startPfn: 0x8000, endPfn: 0x10000, nid: 0, online: true }]);
  });

  it('are none where the kernel has none', () => {
    expect(readMemoryBlocks(makeTree(sysfsFiles({ 0: '0' })))).toEqual({ blocks: [], notes: [] });
  });

  it('reach 2^52 bytes and not further', () => {
    // blocks of 1 TiB: the last that ends at 4 PiB is number 4095
    const at = (block: number): string => makeTree(sysfsFiles({ 0: '0' }, { [block]: { nids: [0] } }, '10000000000'));
    expect(readMemoryBlocks(at(4095)).blocks[0]).toMatchObject({ startPfn: 2 ** 40 - 2 ** 28, endPfn: 2 ** 40 });
    expect(refusalOf(() => readMemoryBlocks(at(4096))).message).toContain('memory4096 lies beyond 2^52 bytes');
  });

  it.each(['0', '', '1800', 'fff', '0x8000000', '-1000', 'ffffffffffffffff', 'zebra'])(
    'with a size of %j are an error',
    (size) => {
      const root = makeTree(sysfsFiles({ 0: '0' }, { 0: { nids: [0] } }, size));
      expect(refusalOf(() => readMemoryBlocks(root)).message).toContain('is not a size of whole pages in hexadecimal');
    },
  );
});

describe('regions of persistent memory', () => {
  const region = (number: number, resource: string, size: string, node: string): Record<string, string> => ({
    [`bus/nd/devices/region${number}/resource`]: `${resource}\n`,
    [`bus/nd/devices/region${number}/size`]: `${size}\n`,
    [`bus/nd/devices/region${number}/numa_node`]: `${node}\n`,
  });

  it('have an address, a size and a node', () => {
    const root = makeTree({
      ...region(0, '0x100000000', '4294967296', '1'),
      ...region(1, '0x400000001000', '8192', '0'),
    });
    expect(readPmemRegions(root)).toEqual([
      { startPfn: 0x100000, endPfn: 0x200000, nid: 1 },
      { startPfn: 2 ** 34 + 1, endPfn: 2 ** 34 + 3, nid: 0 },
    ]);
  });

  it('that do not tell all three are passed over', () => {
    const root = makeTree({
      ...region(0, '0x100000000', '4294967296', '-1'),
      ...region(1, 'secret', '4096', '0'),
      ...region(2, '0x1000', '0', '0'),
      ...region(3, '0x1000', '4096', '1024'),
      'bus/nd/devices/region4/size': '4096',
    });
    expect(readPmemRegions(root)).toEqual([]);
    expect(readPmemRegions(makeTree({}))).toEqual([]);
  });
});
