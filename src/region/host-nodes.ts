/** Which node of the machine that this runs on the memory of a range should come from. */
import { readFileSync } from 'node:fs';
import { parseCpulist, readNodes } from '../physical/sysfs.ts';
import type { Topology } from '../physical/topology.ts';

/** Nodes of this machine that have memory of their own; without NUMA in sysfs none. */
function nodesWithMemory(sysRoot: string): ReadonlySet<number> {
  const path = `${sysRoot}/devices/system/node/has_memory`;
  try {
    return new Set(parseCpulist(readFileSync(path, 'utf8').trim(), path));
  } catch {
    return new Set();
  }
}

/**
 * For each node of the topology the node of this machine whose memory its descriptors should take: the one that has all the
 * CPUs which its threads are pinned to. Nodes whose CPUs lie on several, or who have none, are left out: their memory comes
 * from where it is touched first. Empty on a machine with one node of memory, where there is nothing to choose.
 */
export function hostNodes(topology: Topology, sysRoot = '/sys'): ReadonlyMap<number, number> {
  const withMemory = nodesWithMemory(sysRoot);
  if (withMemory.size < 2) return new Map();
  const cpus = topology.nodes.flatMap((node) => node.cpus);
  const hostOfCpu = new Map(
    readNodes(sysRoot, cpus).flatMap(({ nid, cpus }) => cpus.map((cpu) => [cpu, nid] as const)),
  );
  const found = new Map<number, number>();
  for (const node of topology.nodes) {
    const hosts = new Set(node.cpus.map((cpu) => hostOfCpu.get(cpu)));
    // a detected node without CPUs (memory alone, such as CXL) still is a node of this machine
    if (hosts.size === 0 && topology.source !== 'simulated' && withMemory.has(node.nid)) hosts.add(node.nid);
    const [host] = hosts;
    if (hosts.size === 1 && host !== undefined && withMemory.has(host)) found.set(node.nid, host);
  }
  return found;
}
