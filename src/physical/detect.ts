/** Finds out what memory there is: on the machine this runs on, or from a /proc/iomem that was captured on another. */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { VmemmapError } from '../errors.ts';
import { type IomemMap, parseIomem } from './iomem.ts';
import { type IomemExtent, withoutPageZero } from './iomem-memory.ts';
import { placeMemory } from './placement.ts';
import {
  type MemoryBlock,
  parseCpulist,
  readMemoryBlocks,
  readNodes,
  readOnlineCpus,
  readPmemRegions,
} from './sysfs.ts';
import type { MemoryExtent, Topology, TopologyNode } from './topology.ts';

/** Where to look; the defaults are the machine this runs on. */
export interface DetectOptions {
  /** A file in the format of /proc/iomem. */
  readonly iomemPath?: string | undefined;
  /** Where sysfs is mounted. */
  readonly sysRoot?: string | undefined;
  /** CPUs that this process may use, to which those of every node are cut; {@link readAllowedCpus} by default. */
  readonly cpus?: readonly number[] | undefined;
}

const instead = 'run as root, or describe a machine with --simulate SPEC (such as 8x3TiB:pmem) or --iomem FILE';

/**
 * CPUs that this process may run on: its affinity (`Cpus_allowed_list` in /proc/self/status, cut by cpusets), else all that
 * are online.
 */
export function readAllowedCpus(statusPath = '/proc/self/status', sysRoot = '/sys'): number[] {
  let status = '';
  try {
    status = readFileSync(statusPath, 'utf8');
  } catch {
    // no /proc: what is online is the best that is known
  }
  const list = /^Cpus_allowed_list:[ \t]*(.+)$/m.exec(status)?.[1];
  if (list !== undefined) return parseCpulist(list, statusPath);
  return readOnlineCpus(sysRoot) ?? Array.from({ length: availableParallelism() }, (_, cpu) => cpu);
}

/** A memory map, or why there is none; malformed text is an error all the same. */
function readIomem(path: string): IomemMap | { readonly failure: unknown } {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (failure) {
    return { failure };
  }
  return parseIomem(text, path);
}

/** What the extents are, where they came from, and what was lost on the way. */
interface Extents {
  readonly source: 'iomem' | 'sysfs-blocks';
  readonly extents: readonly IomemExtent[];
  readonly notes: readonly string[];
  /** Why /proc/iomem was of no use, when it could not be read. */
  readonly cause?: unknown;
}

/** RAM as whole memory blocks, for want of a memory map. */
function extentsOfBlocks(blocks: readonly MemoryBlock[], why: string, cause?: unknown): Extents {
  const extents = blocks.map((block): IomemExtent => ({ kind: 'ram', ...withoutPageZero(block) }));
  const note =
    `${why}, so RAM is told by the memory blocks of sysfs: ` +
    'holes smaller than a block count as memory, and persistent memory is missing.';
  return { source: 'sysfs-blocks', extents, notes: [note], cause };
}

function chooseExtents(iomemPath: string, blocks: readonly MemoryBlock[]): Extents {
  const iomem = readIomem(iomemPath);
  if ('failure' in iomem) return extentsOfBlocks(blocks, `${iomemPath} cannot be read`, iomem.failure);
  if (iomem.addressesHidden) return extentsOfBlocks(blocks, `${iomemPath} shows its addresses only to root`);
  if (iomem.resources.length === 0) return extentsOfBlocks(blocks, `${iomemPath} is empty`);
  return { source: 'iomem', extents: iomem.memoryExtents, notes: [] };
}

/** The nodes, by nid, and those of `memory` that sysfs does not list: these have no CPUs of their own. */
export function withNodesOf(memory: readonly MemoryExtent[], found: readonly TopologyNode[]): TopologyNode[] {
  const missing = new Set(memory.map(({ nid }) => nid));
  for (const { nid } of found) missing.delete(nid);
  return [...found, ...[...missing].map((nid) => ({ nid, cpus: [] }))].sort((a, b) => a.nid - b.nid);
}

/**
 * The machine this runs on: memory from /proc/iomem, the node of each extent from sysfs. Without root the kernel shows no
 * addresses; then RAM is told by memory blocks, `source` is `sysfs-blocks`, and a note says what is lost by that.
 * @throws VmemmapError DETECT_FAILED when neither can be read, IOMEM_SYNTAX when `iomemPath` is malformed.
 */
export function detect(options: DetectOptions = {}): Topology {
  const { iomemPath = '/proc/iomem', sysRoot = '/sys' } = options;
  const cpus = options.cpus ?? readAllowedCpus('/proc/self/status', sysRoot);
  const found = readNodes(sysRoot, cpus);
  const { blocks, notes: blockNotes } = readMemoryBlocks(sysRoot);
  const { source, extents, notes, cause } = chooseExtents(iomemPath, blocks);
  const nids = found.map(({ nid }) => nid);
  const placed = placeMemory(extents, { nids, blocks, pmemRegions: readPmemRegions(sysRoot) });
  if (placed.memory.length === 0) {
    const where =
      source === 'iomem'
        ? `${iomemPath} lists no memory that is online`
        : `neither ${iomemPath} nor ${sysRoot} tells any memory`;
    throw new VmemmapError('DETECT_FAILED', `${where}; ${instead}`, { cause });
  }

  const nodes = withNodesOf(placed.memory, found);
  return { source, nodes, memory: placed.memory, zoned: true, notes: [...notes, ...blockNotes, ...placed.notes] };
}

/**
 * The machine that a captured /proc/iomem describes. It does not tell nodes, so all memory is on node 0, with `cpus`.
 * @param cpus CPUs of this machine that may initialize the memmap.
 * @throws VmemmapError IOMEM_SYNTAX when the file is malformed; DETECT_FAILED when it cannot be read, was captured without
 * root, or lists no memory.
 */
export function fromIomemFile(path: string, cpus: readonly number[]): Topology {
  const iomem = readIomem(path);
  if ('failure' in iomem) {
    const reason = iomem.failure instanceof Error ? `: ${iomem.failure.message}` : '';
    throw new VmemmapError(
      'DETECT_FAILED',
      `${path} cannot be read${reason}; give a readable file, or use --simulate SPEC`,
      {
        cause: iomem.failure,
        received: path,
      },
    );
  }
  if (iomem.addressesHidden) {
    const what =
      'was captured without root, so that all addresses are zero; capture it again with sudo cat /proc/iomem';
    throw new VmemmapError('DETECT_FAILED', `${path} ${what}`, { received: path });
  }
  if (iomem.memoryExtents.length === 0) {
    const what = 'lists no whole page of "System RAM" or "Persistent Memory"; give the /proc/iomem of a machine';
    throw new VmemmapError('DETECT_FAILED', `${path} ${what}`, { received: path });
  }
  const { memory } = placeMemory(iomem.memoryExtents, { nids: [0], blocks: [], pmemRegions: [] });
  const notes = ['A memory map does not tell nodes, so all memory is on node 0.'];
  return { source: 'iomem-file', nodes: [{ nid: 0, cpus: [...cpus] }], memory, zoned: true, notes };
}
