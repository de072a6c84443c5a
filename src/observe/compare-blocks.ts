/** Holds the plan's nodes against the memory blocks that sysfs shows: their nodes, and whether they are online. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { overlay } from '../physical/extents.ts';
import type { PfnExtent } from '../physical/geometry.ts';
import type { MemoryBlock } from '../physical/sysfs.ts';
import type { PlannedRange } from '../physical/zones.ts';

/** A memory block about which plan and kernel disagree. */
export interface BlockDisagreement extends PfnExtent {
  /** Number of the block: its directory is memoryN. */
  readonly block: number;
  readonly plan: string;
  readonly kernel: string;
}

/** Nodes that the plan puts RAM of each block on, by number of the block. Ranges are sorted, blocks too. */
function plannedNodes(ranges: readonly PlannedRange[], blocks: readonly MemoryBlock[]): Map<MemoryBlock, Set<number>> {
  const nodes = new Map<MemoryBlock, Set<number>>(blocks.map((block) => [block, new Set()]));
  const ram = ranges
    .filter(({ kind }) => kind === 'ram')
    .flatMap(({ segments, nid }) => segments.map((segment) => ({ ...segment, nid })))
    // pages of holes are linked to the node of the memory behind them, which may be that of another block
    .filter(({ use }) => use !== 'unavailable');
  overlay(ram, blocks, (_, { nid }, block) => {
    if (block) nodes.get(block)?.add(nid);
  });
  return nodes;
}

/**
 * Disagreements, by block. A block may belong to two nodes, where a border of nodes lies in it.
 * @param blocks sorted by pfn, without overlaps
 */
export function compareBlocks(
  ranges: readonly PlannedRange[],
  blocks: readonly MemoryBlock[],
  sysRoot: string,
): BlockDisagreement[] {
  const disagreements: BlockDisagreement[] = [];
  for (const [found, nids] of plannedNodes(ranges, blocks)) {
    const { startPfn, endPfn, nid, online } = found;
    const block = startPfn / (endPfn - startPfn);
    const isOn = (other: number): boolean =>
      other === nid || existsSync(join(sysRoot, `devices/system/node/node${other}/memory${block}`));
    const foreign = [...nids].filter((planned) => nid !== undefined && !isOn(planned));
    const plan = nids.size === 0 ? 'no memory' : `memory of node ${[...nids].join(' and ')}`;
    if (online !== nids.size > 0) {
      disagreements.push({ block, startPfn, endPfn, plan, kernel: online ? 'online' : 'offline' });
    } else if (foreign.length > 0) {
      disagreements.push({ block, startPfn, endPfn, plan, kernel: `memory of node ${nid}` });
    }
  }
  return disagreements;
}
