/** Machines made by hand, and their reports. */
import { topologyReport } from '../../dist/src/observe/topology-making.js';
import type { TopologyReport } from '../../dist/src/observe/topology-report.js';
import { planMachine } from '../../dist/src/physical/machine-plan.js';
import { simulate } from '../../dist/src/physical/simulate.js';
import type { MemoryExtent, Topology } from '../../dist/src/physical/topology.js';

/** What Linux would make of a machine, reported. */
export function reportOf(topology: Topology): TopologyReport {
  return topologyReport(topology, planMachine(topology));
}

/** A simulated machine with eight CPUs. */
export function simulated(spec: string): TopologyReport {
  return reportOf(simulate(spec, [0, 1, 2, 3, 4, 5, 6, 7]));
}

/**
 * Four nodes: RAM with holes below 1 MiB and behind 96 MiB; RAM without CPUs; a device that holds its own memmap, without RAM;
 * CPUs only. Sections are of 0x8000 pages, so that three holes have descriptors.
 */
export const smallMachine: Topology = {
  source: 'iomem-file',
  kernel: '6.1.0',
  zoned: true,
  nodes: [
    { nid: 0, cpus: [0, 1, 2, 8] },
    { nid: 1, cpus: [] },
    { nid: 2, cpus: [4] },
    { nid: 3, cpus: [5] },
  ],
  memory: [
    { nid: 0, kind: 'ram', startPfn: 1, endPfn: 0x9f },
    { nid: 0, kind: 'ram', startPfn: 0x100, endPfn: 0x6000 },
    { nid: 1, kind: 'ram', startPfn: 0x8000, endPfn: 0x1_0000 },
    {
      nid: 2,
      kind: 'device',
      pgmap: 1,
      mode: 'devdax',
      compoundPages: 512,
      altmap: { reservePages: 2, memmapPages: 510 },
      startPfn: 0x2_0000,
      endPfn: 0x2_8000,
    },
  ],
  reserved: [{ startPfn: 0x10, endPfn: 0x20, what: 'kernel' }],
  notes: ['Made by hand.'],
};

/** RAM of some nodes with a hole behind each extent, as long as the extent: more of both than a picture can have shapes. */
export function striped(nodes: number, extents: number, pages: number): Topology {
  const memory = Array.from({ length: extents }, (_, index): MemoryExtent => {
    const startPfn = 2 * index * pages;
    return { nid: index % nodes, kind: 'ram', startPfn, endPfn: startPfn + pages };
  });
  return {
    source: 'iomem-file',
    nodes: Array.from({ length: nodes }, (_, nid) => ({ nid, cpus: [nid] })),
    memory,
    zoned: true,
    notes: [],
  };
}
