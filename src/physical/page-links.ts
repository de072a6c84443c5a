/** What a page frame is linked to, a node and a zone, and what it is of use for. */

/** Zone names in the order of their numbers, spelled as in /proc/zoneinfo (`enum zone_type` with all zones of x86-64). */
export const zoneNames = ['DMA', 'DMA32', 'Normal', 'Movable', 'Device'] as const;

/** A zone's name. */
export type ZoneName = (typeof zoneNames)[number];

/** Zone numbers by name: what a page descriptor holds. */
export const zones: Readonly<Record<ZoneName, number>> = { DMA: 0, DMA32: 1, Normal: 2, Movable: 3, Device: 4 };

/** Nodes that the flags word of a page descriptor can tell apart: NODES_SHIFT 10, as distributions build it. */
export const nodesMax = 1024;

/**
 * What pages of a range are: `present` for whoever allocates or maps them; `reserved` before anybody could (the kernel image,
 * a crash kernel); `unavailable`, in holes of sections that hold memory; `altmap`, where a device keeps its own memmap.
 */
export type PageUse = 'present' | 'reserved' | 'unavailable' | 'altmap';
