/** What a machine's physical memory looks like: the input of the plan. Plain data; readers make it, nobody changes it. */
import type { PfnExtent } from './geometry.ts';

/** `ram`: ordinary memory. `device`: persistent or other device memory, ZONE_DEVICE. */
export type MemoryKind = 'ram' | 'device';

/** A run of present page frames of one node and one kind, before zones cut it. */
export interface MemoryExtent extends PfnExtent {
  readonly nid: number;
  readonly kind: MemoryKind;
  /** For device memory: which dev_pagemap it belongs to, 1 or more, unique in the topology. */
  readonly pgmap?: number;
}

/** A NUMA node. It may have no CPUs, no memory, or neither. */
export interface TopologyNode {
  readonly nid: number;
  /** CPUs of this node that a thread may be pinned to; empty when it has none. */
  readonly cpus: readonly number[];
}

/** Where a topology came from, to be told to the user. */
export type TopologySource = 'simulated' | 'iomem' | 'iomem-file' | 'sysfs-blocks' | 'namespace' | 'table';

/** A machine: its nodes, and its memory sorted by pfn without overlaps. */
export interface Topology {
  readonly source: TopologySource;
  readonly nodes: readonly TopologyNode[];
  readonly memory: readonly MemoryExtent[];
  /** True: cut RAM into DMA, DMA32 and Normal by pfn. False: all RAM is Normal (a table of records has no zones). */
  readonly zoned: boolean;
  /** What a person should know about how this was found, each one sentence. */
  readonly notes: readonly string[];
}
