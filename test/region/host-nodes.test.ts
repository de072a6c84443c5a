/** Which node of the real machine a range's memory comes from. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { addonState, type Topology } from '../../dist/src/index.js';
import { addon } from '../../dist/src/native.js';
import { hostNodes } from '../../dist/src/region/host-nodes.js';
import { makeTree, sysfsFiles } from '../physical/made-tree.js';

function found(
  cpus: Record<number, number[]>,
  host: Record<number, string>,
  memory: string,
  source: Topology['source'] = 'simulated',
): [number, number][] {
  const nodes = Object.entries(cpus).map(([nid, list]) => ({ nid: Number(nid), cpus: list }));
  const root = makeTree({ ...sysfsFiles(host), 'devices/system/node/has_memory': `${memory}\n` });
  return [...hostNodes({ source, nodes, memory: [], zoned: false, notes: [] }, root)];
}

const two = { 0: '0-1', 1: '2-3' };

describe('the memory of a node comes from', () => {
  it('the node that has its CPUs', () => {
    expect(found({ 0: [0, 1], 1: [2, 3] }, two, '0-1')).toEqual([
      [0, 0],
      [1, 1],
    ]);
    // simulated nodes are told by their CPUs, not by their numbers
    expect(found({ 0: [3], 5: [0] }, two, '0-1')).toEqual([
      [0, 1],
      [5, 0],
    ]);
  });

  it('wherever it is touched first, when its CPUs lie on two nodes or it has none', () => {
    expect(found({ 0: [0, 1, 2, 3], 1: [] }, two, '0-1')).toEqual([]);
  });

  it('the node itself, when it is a real one without CPUs', () => {
    expect(found({ 0: [0], 2: [] }, { ...two, 2: '' }, '0-2', 'iomem')).toEqual([
      [0, 0],
      [2, 2],
    ]);
    expect(found({ 0: [0], 7: [] }, two, '0-1', 'iomem')).toEqual([[0, 0]]);
  });

  it('wherever it is touched first, when the node of its CPUs has no memory', () => {
    expect(found({ 0: [0], 1: [4] }, { ...two, 2: '4' }, '0-1')).toEqual([[0, 0]]);
  });

  it('anywhere on a machine with one node of memory, or none in sysfs', () => {
    expect(found({ 0: [0], 1: [2] }, two, '0')).toEqual([]);
    expect([...hostNodes({ source: 'simulated', nodes: [], memory: [], zoned: false, notes: [] }, '/nowhere')]).toEqual(
      [],
    );
  });
});

describe.skipIf(!addonState().loaded)('preferNode', () => {
  const view = new Uint32Array(new SharedArrayBuffer(2 ** 24));

  it('binds the pages of a view, as numa_maps shows', ({ skip }) => {
    let maps: string;
    const errno = addon?.preferNode(view, 0);
    if (errno === 38) return skip('this kernel has no memory policies (ENOSYS)');
    expect(errno).toBe(0);
    try {
      maps = readFileSync('/proc/self/numa_maps', 'utf8');
    } catch {
      return skip('this kernel has no numa_maps');
    }
    const page = ((addon?.addressOf(view) ?? 0n) + 4095n) & ~4095n;
    expect(maps).toMatch(new RegExp(`^${page.toString(16)} prefer[:=]0\\b`, 'm'));
  });

  it('tells that a node does not exist, and refuses what can be none', () => {
    expect([22, 38]).toContain(addon?.preferNode(view, 1023));
    for (const nid of [-1, 1024, 0.5]) expect(() => addon?.preferNode(view, nid)).toThrow(RangeError);
  });
});
