/** What a machine's physical memory looks like: the input of the plan. Plain data; readers make it, nobody changes it. */
import type { PfnExtent } from './geometry.ts';
import type { PlatformName } from './platforms.ts';

/** `ram`: ordinary memory. `device`: persistent or other device memory, ZONE_DEVICE. */
export type MemoryKind = 'ram' | 'device';

/** What a driver makes of device memory, in ndctl's words: MEMORY_DEVICE_FS_DAX or MEMORY_DEVICE_GENERIC. */
export type DeviceMode = 'fsdax' | 'devdax';

/** Pages at the start of device memory that hold its own memmap (`ndctl --map=dev`, struct vmem_altmap). */
export interface Altmap {
  /** Pages in front that are nobody's: info block and padding. They get no descriptor. */
  readonly reservePages: number;
  /** Pages behind them that hold the memmap: marked reserved, and not initialized as device pages. */
  readonly memmapPages: number;
}

/** A run of present page frames of one node and one kind, before zones cut it. */
export interface MemoryExtent extends PfnExtent {
  readonly nid: number;
  readonly kind: MemoryKind;
  /** For device memory: which dev_pagemap it belongs to, 1 or more, unique in the topology. */
  readonly pgmap?: number;
  /** For device memory. Default `fsdax`. */
  readonly mode?: DeviceMode;
  /** For devdax memory: pages in a compound page, a power of two; 1 (the default) for none. Linux: 1 << pgmap.vmemmap_shift. */
  readonly compoundPages?: number;
  /** For device memory: absent where the memmap lies in RAM (`ndctl --map=mem`). The extent begins with it. */
  readonly altmap?: Altmap;
  /** For RAM: in the zone Movable wherever it lies, as memory that was added while the system ran may be. */
  readonly movable?: boolean;
}

/** Pages that are reserved before anybody could use them (memblock.reserved), and what for, such as `Crash kernel`. */
export interface ReservedExtent extends PfnExtent {
  readonly what: string;
}

/** A NUMA node. It may have no CPUs, no memory, or neither. */
export interface TopologyNode {
  readonly nid: number;
  /** CPUs of this node that a thread may be pinned to; empty when it has none. */
  readonly cpus: readonly number[];
}

/** Where a topology came from, to be told to the user. */
export type TopologySource =
  | 'simulated'
  | 'iomem'
  | 'iomem-file'
  | 'sysfs-blocks'
  | 'dmesg'
  | 'ndctl'
  | 'namespace'
  | 'table';

/** A machine: its nodes, and its memory sorted by pfn without overlaps. */
export interface Topology {
  readonly source: TopologySource;
  readonly nodes: readonly TopologyNode[];
  readonly memory: readonly MemoryExtent[];
  /** True: cut RAM into DMA, DMA32 and Normal by pfn. False: all RAM is Normal (a table of records has no zones). */
  readonly zoned: boolean;
  /** Page size and the rest of the geometry. Default `x86-64`. */
  readonly platform?: PlatformName;
  /** Release of the kernel that was found there, such as `5.11.0-rc4`, where that is known. */
  readonly kernel?: string;
  /** Sorted by pfn, without overlaps; where they lie in no memory they mean nothing. */
  readonly reserved?: readonly ReservedExtent[];
  /** Parts of the RAM that the kernel must not map (MEMBLOCK_NOMAP, on arm64), sorted by pfn, without overlaps. */
  readonly nomap?: readonly PfnExtent[];
  /** What a person should know about how this was found, each one sentence. */
  readonly notes: readonly string[];
}
