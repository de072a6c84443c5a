/** Finds out what memory there is: on the machine this runs on, or from a /proc/iomem that was captured on another. */
import { readFileSync } from 'node:fs';
import { availableParallelism, release as releaseHere } from 'node:os';
import { VmemmapError } from '../errors.ts';
import { withinAddresses } from './address-limit.ts';
import { readDevices } from './device-list.ts';
import type { PfnExtent } from './geometry.ts';
import { type IomemMap, parseIomem } from './iomem.ts';
import { type IomemExtent, withoutPageZero } from './iomem-memory.ts';
import { type NodeKnowledge, placeMemory } from './placement.ts';
import { type Platform, type PlatformName, platforms } from './platforms.ts';
import {
  type MemoryBlock,
  movableSpans,
  parseCpulist,
  readMemoryBlocks,
  readNodes,
  readOnlineCpus,
  readPmemRegions,
  textOf,
} from './sysfs.ts';
import { readTextFile } from './text-file.ts';
import { thisMachine } from './this-machine.ts';
import type { MemoryExtent, ReservedExtent, Topology, TopologyNode } from './topology.ts';

/** Where to look; the defaults are the machine this runs on. */
export interface DetectOptions {
  /** A file in the format of /proc/iomem. */
  readonly iomemPath?: string | undefined;
  /** Where sysfs is mounted. */
  readonly sysRoot?: string | undefined;
  /** CPUs that this process may use, to which those of every node are cut; {@link readAllowedCpus} by default. */
  readonly cpus?: readonly number[] | undefined;
  /** A file in the format of /proc/zoneinfo, which tells where movable memory is. */
  readonly zoneinfoPath?: string | undefined;
  /** Default: that of this machine. */
  readonly platform?: PlatformName | undefined;
  /** Kernel release, as `uname -r` prints it. Default: that of this machine. */
  readonly release?: string | undefined;
}

/** What is known about a machine whose memory map was captured. */
export interface IomemFileOptions {
  /** Default x86-64. */
  readonly platform?: PlatformName | undefined;
}

/** Bytes of a captured memory map at most. */
const mapBytesMax: number = 16 * 2 ** 20;

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
function readIomem(path: string, platform: Platform): IomemMap | { readonly failure: unknown } {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (failure) {
    return { failure };
  }
  return parseIomem(text, path, platform);
}

/** What the extents are, where they came from, and what was lost on the way. */
interface Extents {
  readonly source: 'iomem' | 'sysfs-blocks';
  readonly extents: readonly IomemExtent[];
  readonly reserved: readonly ReservedExtent[];
  readonly notes: readonly string[];
  /** Why /proc/iomem was of no use, when it could not be read. */
  readonly cause?: unknown;
}

/** RAM as whole memory blocks, for want of a memory map. */
function extentsOfBlocks(blocks: readonly MemoryBlock[], platform: Platform, why: string, cause?: unknown): Extents {
  const extents = blocks.map((block): IomemExtent => ({ kind: 'ram', ...withoutPageZero(pagesOf(block), platform) }));
  const note =
    `${why}, so RAM is told by the memory blocks of sysfs: ` +
    'holes smaller than a block count as memory, and persistent memory is missing.';
  return { source: 'sysfs-blocks', extents, reserved: [], notes: [note], cause };
}

function pagesOf({ startPfn, endPfn }: PfnExtent): PfnExtent {
  return { startPfn, endPfn };
}

function chooseExtents(
  iomem: ReturnType<typeof readIomem>,
  iomemPath: string,
  blocks: readonly MemoryBlock[],
  platform: Platform,
): Extents {
  const ofBlocks = (why: string, cause?: unknown): Extents => extentsOfBlocks(blocks, platform, why, cause);
  if ('failure' in iomem) return ofBlocks(`${iomemPath} cannot be read`, iomem.failure);
  if (iomem.addressesHidden) return ofBlocks(`${iomemPath} shows its addresses only to root`);
  if (iomem.resources.length === 0) return ofBlocks(`${iomemPath} is empty`);
  return { source: 'iomem', extents: iomem.memoryExtents, reserved: iomem.reserved, notes: [] };
}

/** Where memory may be movable: what kmem has added, and what the zones Movable span. */
function maybeMovable(iomem: ReturnType<typeof readIomem>, zoneinfoPath: string): PfnExtent[] {
  const kmem = 'failure' in iomem ? [] : iomem.memoryExtents.filter(({ isKmem }) => isKmem === true);
  return [...kmem.map(pagesOf), ...movableSpans(textOf(zoneinfoPath) ?? '')];
}

/** The nodes, by nid, and those of `memory` that sysfs does not list: these have no CPUs of their own. */
export function withNodesOf(memory: readonly MemoryExtent[], found: readonly TopologyNode[]): TopologyNode[] {
  const missing = new Set(memory.map(({ nid }) => nid));
  for (const { nid } of found) missing.delete(nid);
  return [...found, ...[...missing].map((nid) => ({ nid, cpus: [] }))].sort((a, b) => a.nid - b.nid);
}

/**
 * The machine this runs on: memory from /proc/iomem, the node of each extent from sysfs, and what has page descriptors of its
 * persistent memory from the namespaces that sysfs lists. RAM is movable where sysfs says so of its memory blocks; what lies in it
 * for the kernel's image or a crash kernel is reserved. Without root the kernel shows no addresses; then RAM is told by memory
 * blocks, `source` is `sysfs-blocks`, and a note says what is lost by that.
 * @throws VmemmapError DETECT_FAILED when neither can be read, IOMEM_SYNTAX when `iomemPath` is malformed.
 */
export function detect(options: DetectOptions = {}): Topology {
  const { iomemPath = '/proc/iomem', zoneinfoPath = '/proc/zoneinfo', sysRoot = '/sys' } = options;
  const cpus = options.cpus ?? readAllowedCpus('/proc/self/status', sysRoot);
  const here = thisMachine();
  const platform = platforms[options.platform ?? here.platform ?? 'x86-64'];
  const kernel = options.release ?? releaseHere();
  const pageBytes = platform.pageSizeBytes;

  const found = readNodes(sysRoot, cpus);
  const iomem = readIomem(iomemPath, platform);
  const movable = maybeMovable(iomem, zoneinfoPath);
  const { blocks, notes: blockNotes } = readMemoryBlocks(sysRoot, { pageBytes, maybeMovable: movable });
  const { source, extents, reserved, notes, cause } = chooseExtents(iomem, iomemPath, blocks, platform);
  const listed = source === 'iomem' ? readDevices(sysRoot, { pageBytes, release: kernel }) : undefined;
  const nids = found.map(({ nid }) => nid);
  const knowledge: NodeKnowledge = {
    nids,
    blocks,
    pmemRegions: readPmemRegions(sysRoot, pageBytes),
    devices: listed?.devices,
  };
  const placed = placeMemory(extents, knowledge);
  if (placed.memory.length === 0) {
    const where =
      source === 'iomem'
        ? `${iomemPath} lists no memory that is online`
        : `neither ${iomemPath} nor ${sysRoot} tells any memory`;
    throw new VmemmapError('DETECT_FAILED', `${where}; ${instead}`, { cause });
  }
  const machineNotes = options.platform === undefined ? here.notes : [];
  return {
    source,
    nodes: withNodesOf(placed.memory, found),
    memory: placed.memory,
    zoned: true,
    platform: platform.name,
    kernel,
    ...(reserved.length > 0 ? { reserved } : {}),
    notes: [...machineNotes, ...notes, ...blockNotes, ...(listed?.notes ?? []), ...placed.notes],
  };
}

/**
 * The memory map in a file.
 * @throws VmemmapError IOMEM_SYNTAX when it is malformed; DETECT_FAILED when it cannot be read, was captured without root, or
 * lists no memory.
 */
export function readIomemFile(path: string, platform: Platform): IomemMap {
  const iomem = parseIomem(readTextFile(path, mapBytesMax), path, platform);
  if (iomem.addressesHidden) {
    const what =
      'was captured without root, so that all addresses are zero; capture it again with sudo cat /proc/iomem';
    throw new VmemmapError('DETECT_FAILED', `${path} ${what}`, { received: path });
  }
  if (iomem.memoryExtents.length === 0) {
    const what = 'lists no whole page of "System RAM" or "Persistent Memory"; give the /proc/iomem of a machine';
    throw new VmemmapError('DETECT_FAILED', `${path} ${what}`, { received: path });
  }
  return iomem;
}

/** What a memory map leaves open, each one sentence. */
function iomemNotes(iomem: IomemMap): string[] {
  const has = (is: (extent: IomemExtent) => boolean): boolean => iomem.memoryExtents.some(is);
  return [
    ...(has(({ isKmem }) => isKmem === true)
      ? ['A memory map does not tell zones; RAM of kmem is taken as movable, as daxctl makes it.']
      : []),
    ...(has(({ mode }) => mode === 'devdax')
      ? ['A memory map does not tell alignments; device-dax is taken as aligned to 2 MiB, as ndctl makes it.']
      : []),
  ];
}

/**
 * The machine that a captured /proc/iomem describes. It does not tell nodes, so all memory is on node 0, with `cpus`.
 * @param cpus CPUs of this machine that may initialize the memmap.
 * @throws VmemmapError IOMEM_SYNTAX when the file is malformed; DETECT_FAILED when it cannot be read, was captured without
 * root, or lists no memory.
 */
export function fromIomemFile(path: string, cpus: readonly number[], options: IomemFileOptions = {}): Topology {
  const { platform } = options;
  const iomem = readIomemFile(path, platforms[platform ?? 'x86-64']);
  const nowhere = { nids: [0], blocks: [], pmemRegions: [], kmemIsMovable: true };
  const { memory, notes } = placeMemory(iomem.memoryExtents, nowhere);
  const topology: Topology = {
    source: 'iomem-file',
    nodes: [{ nid: 0, cpus: [...cpus] }],
    memory,
    zoned: true,
    ...(platform === undefined ? {} : { platform }),
    ...(iomem.reserved.length > 0 ? { reserved: iomem.reserved } : {}),
    notes: ['A memory map does not tell nodes, so all memory is on node 0.', ...iomemNotes(iomem), ...notes],
  };
  return withinAddresses(topology, path);
}
