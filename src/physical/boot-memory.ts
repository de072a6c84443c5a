/** The memory a machine boots with (memblock.memory), and how the kernel divides it into zones: free_area_init of mm/mm_init.c. */
import { hull } from './extents.ts';
import { intersect, type PfnExtent } from './geometry.ts';
import { type KernelRules, machineZones } from './kernel-rules.ts';
import { movableStarts, type NodeMemory } from './movable.ts';
import { type PageUse, zones } from './page-links.ts';
import type { MemoryExtent, Topology } from './topology.ts';

/** A run of page frames of one node, zone and use. */
export interface ZonePiece extends PfnExtent {
  readonly nid: number;
  readonly zone: number;
  readonly use: PageUse;
}

/** A node that has memory at boot, from its first page to its last. */
export interface BootNode extends NodeMemory {
  /** What each zone spans of it, by number from DMA to Movable; empty where the zone does not reach it. */
  readonly zones: readonly PfnExtent[];
}

/** What a machine boots with. Memory that was added later is not in it, nor is device memory. */
export interface BootMemory {
  /** Whether the machine is a real one, so that sections have holes and touching memory is one. */
  readonly isReal: boolean;
  /** Sorted by pfn. */
  readonly extents: readonly MemoryExtent[];
  /** The extents cut by zone, sorted by pfn, all present. */
  readonly pieces: readonly ZonePiece[];
  /** The machine's zones DMA, DMA32 and Normal, by number. */
  readonly zones: readonly PfnExtent[];
  /** By nid, those without memory left out. */
  readonly nodes: readonly BootNode[];
}

/** Memory that was there at boot. What is movable by itself was added while the system ran, in whole sections. */
export function isBootMemory({ kind, movable }: MemoryExtent): boolean {
  return kind === 'ram' && movable !== true;
}

/** Memory by nid, in the order in which the nodes turn up; that of a node in the order given. */
export function groupByNid<T extends { readonly nid: number }>(memory: readonly T[]): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const extent of memory) {
    const ofNode = groups.get(extent.nid);
    if (ofNode) ofNode.push(extent);
    else groups.set(extent.nid, [extent]);
  }
  return groups;
}

function nodeMemories(extents: readonly MemoryExtent[]): NodeMemory[] {
  return [...groupByNid(extents)]
    .map(([nid, ofNode]) => ({ nid, ...hull(ofNode), extents: ofNode }))
    .sort((a, b) => a.nid - b.nid);
}

/**
 * What the zones span of a node: zone_spanned_pages_in_node with adjust_zone_range_for_zone_movable. A zone reaches from the
 * node's first page in it to the last, holes included: DMA32 up to 4 GiB if the node has memory above.
 */
function spansOfNode(
  node: NodeMemory,
  machine: readonly PfnExtent[],
  movableStartPfn: number | undefined,
): PfnExtent[] {
  if (movableStartPfn === undefined) {
    return [...machine.map((zone) => intersect(node, zone)), { startPfn: node.endPfn, endPfn: node.endPfn }];
  }
  const below = machine.map((zone) => intersect(node, { ...zone, endPfn: Math.min(zone.endPfn, movableStartPfn) }));
  return [...below, { startPfn: movableStartPfn, endPfn: node.endPfn }];
}

/** RAM of a machine without zones is Normal wherever it lies. */
function zonesOf(topology: Topology, rules: KernelRules, memory: PfnExtent): PfnExtent[] {
  if (topology.zoned) return machineZones(rules, memory);
  const none = { startPfn: memory.startPfn, endPfn: memory.startPfn };
  return [none, none, memory];
}

/** Highest zone that has pages (find_usable_zone_for_movable): Movable is taken from its top. */
function firstPfnForMovable(machine: readonly PfnExtent[]): number {
  return (machine.findLast(({ startPfn, endPfn }) => startPfn < endPfn) as PfnExtent).startPfn;
}

/** @param movablePages what `movablecore=` asks for; 0: nothing */
export function bootMemory(topology: Topology, rules: KernelRules, movablePages: number): BootMemory {
  const isReal = topology.zoned && topology.source !== 'simulated';
  const extents = topology.memory.filter(isBootMemory);
  const first = extents[0];
  if (first === undefined) {
    const none = { startPfn: 0, endPfn: 0 };
    return { isReal, extents, pieces: [], zones: [none, none, none], nodes: [] };
  }
  const machine = zonesOf(topology, rules, {
    startPfn: first.startPfn,
    endPfn: (extents.at(-1) as MemoryExtent).endPfn,
  });
  const memories = nodeMemories(extents);
  const starts = movableStarts(memories, {
    movablePages,
    blockPages: rules.platform.maxOrderPages,
    usableStartPfn: firstPfnForMovable(machine),
  });
  const nodes = memories.map((node) => ({ ...node, zones: spansOfNode(node, machine, starts.get(node.nid)) }));
  return { isReal, extents, pieces: byZone(extents, nodes), zones: machine, nodes };
}

function byZone(extents: readonly MemoryExtent[], nodes: readonly BootNode[]): ZonePiece[] {
  const spansOf = new Map(nodes.map((node) => [node.nid, node.zones]));
  const pieces: ZonePiece[] = [];
  for (const { nid, startPfn, endPfn } of extents) {
    const spans = spansOf.get(nid) as readonly PfnExtent[];
    let restPfn = startPfn;
    // zones ascend by pfn
    for (let zone = zones.DMA; restPfn < endPfn; zone++) {
      const span = spans[zone] as PfnExtent;
      const zoneEndPfn = Math.min(endPfn, span.endPfn);
      // an empty one may lie anywhere
      if (span.startPfn === span.endPfn || restPfn >= zoneEndPfn) continue;
      pieces.push({ startPfn: restPfn, endPfn: zoneEndPfn, nid, zone, use: 'present' });
      restPfn = zoneEndPfn;
    }
  }
  return pieces;
}

/** Node and zone that own what lies behind the last memory: the highest zone that has pages on the last piece's node. */
export function lastZone({ pieces }: BootMemory): { nid: number; zone: number } | undefined {
  const nid = pieces.at(-1)?.nid;
  if (nid === undefined) return undefined;
  const zone = pieces.reduce(
    (highest, piece) => (piece.nid === nid ? Math.max(highest, piece.zone) : highest),
    zones.DMA,
  );
  return { nid, zone };
}
