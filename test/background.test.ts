/** How many threads each node gets. */
import { describe, expect, it } from 'vitest';
import { threadsOf } from '../dist/src/background.js';
import type { Topology } from '../dist/src/index.js';

function planned(cpusOfNodes: number[][], threadsPerNode?: number): [number, number][] {
  const nodes: Topology['nodes'] = cpusOfNodes.map((cpus, nid) => ({ nid, cpus }));
  const topology: Topology = { source: 'simulated', nodes, memory: [], zoned: false, notes: [] };
  return threadsOf(topology, nodes, threadsPerNode).map(({ cpus, threads }) => [cpus.length, threads]);
}

describe('threads by default', () => {
  it('are one per CPU of the node', () => {
    expect(planned([[0, 1, 2], [3]])).toEqual([
      [3, 3],
      [1, 1],
    ]);
  });

  it('are no more than CPUs where simulated nodes share them', () => {
    expect(planned([[0], [1], [0], [1], [0]]).map(([, threads]) => threads)).toEqual([1, 1, 0, 0, 0]);
  });

  it('are none on memory without CPUs, unless no node has any', () => {
    expect(planned([[0, 1], []]).map(([, threads]) => threads)).toEqual([2, 0]);
    expect(planned([[], []]).map(([, threads]) => threads)).toEqual([1, 0]);
  });

  it('leave half of the owner slots to others on the largest machines', () => {
    const node = (first: number): number[] => Array.from({ length: 384 }, (_, cpu) => first + cpu);
    expect(planned([node(0), node(384)]).map(([, threads]) => threads)).toEqual([256, 256]);
  });
});

describe('threads asked for', () => {
  it('are so many on every node, whatever its CPUs', () => {
    expect(planned([[0], [], [0]], 3).map(([, threads]) => threads)).toEqual([3, 3, 3]);
    expect(planned([[0], [1]], 0).map(([, threads]) => threads)).toEqual([0, 0]);
  });

  it('are refused when they are too many in all', () => {
    expect(planned([[0], [1]], 256).map(([, threads]) => threads)).toEqual([256, 256]);
    expect(() => planned([[0], [1]], 257)).toThrow(
      expect.objectContaining({
        code: 'NO_OWNER_SLOT',
        message: expect.stringContaining('makes 514 threads; at most 512'),
      }),
    );
  });
});
