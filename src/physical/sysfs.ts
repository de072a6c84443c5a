/** Reads what sysfs tells about memory and CPUs: nodes, memory blocks and the nodes of persistent memory. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { VmemmapError } from '../errors.ts';
import { type PfnExtent, pageSizeBytes, pagesInside, physicalAddressBits } from './geometry.ts';
import type { TopologyNode } from './topology.ts';
import { nodesMax } from './zones.ts';

/** Most CPUs that a kernel of any architecture can be built for (NR_CPUS 8192 on x86-64); bounds what a list may expand to. */
export const cpusMax = 8192;

/** What the kernel onlines memory by: a run of whole sections, 128 MiB to 2 GiB long on x86-64; it may have holes. */
export interface MemoryBlock extends PfnExtent {
  /** Its node, the lowest if there are several; undefined when sysfs links it to none. */
  readonly nid: number | undefined;
  /** Its pages are in use by the kernel; false for memory that is there but offline. */
  readonly online: boolean;
  /** It is in the zone Movable. */
  readonly movable?: true;
}

/** What to read of memory blocks beside their nodes. */
export interface BlockOptions {
  /** Bytes in a page. */
  readonly pageBytes?: number;
  /** Where memory may be movable, sorted by pfn: only of blocks there it is asked whether they are. */
  readonly maybeMovable?: readonly PfnExtent[];
}

/** Persistent memory as the firmware describes it, and its node. */
export interface PmemRegion extends PfnExtent {
  readonly nid: number;
}

/** All memory blocks, and what a person should know about them. */
export interface MemoryBlocks {
  /** Sorted by pfn, without overlaps; empty when sysfs has none. */
  readonly blocks: readonly MemoryBlock[];
  readonly notes: readonly string[];
}

/** Refuses what a file of sysfs holds: @throws VmemmapError DETECT_FAILED that names the file and what to do instead. */
export function unreadable(path: string, problem: string, received?: unknown): never {
  throw new VmemmapError('DETECT_FAILED', `${path} ${problem}; describe the machine with --simulate SPEC instead`, {
    received,
  });
}

/** The text of a small file without its line end, or undefined when it cannot be read: most of sysfs is optional. */
export function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** Names of the entries of a directory; none when it cannot be read. */
export function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Numbers N of the entries named `${prefix}N` in a directory, ascending; empty when it cannot be read. */
function numbered(directory: string, prefix: string): number[] {
  return namesIn(directory)
    .filter((name) => name.startsWith(prefix) && /^(0|[1-9]\d*)$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b);
}

/**
 * CPU numbers of a list as the kernel prints them, such as `0-3,8,10-11`; ascending, each once. An empty text is no CPU.
 * @param what what to call the list in the error.
 * @throws VmemmapError DETECT_FAILED when it is malformed or names a CPU of {@link cpusMax} or above.
 */
export function parseCpulist(text: string, what = 'the CPU list'): number[] {
  const cpus = new Set<number>();
  const list = text.trim();
  for (const part of list === '' ? [] : list.split(',')) {
    const [, firstText, lastText] =
      /^(\d+)(?:-(\d+))?$/.exec(part) ?? unreadable(what, 'is not a list such as 0-3,8,10-11', text);
    const first = Number(firstText);
    const last = Number(lastText ?? firstText);
    if (last < first) unreadable(what, `has a range that ends before it begins: ${part}`, text);
    if (last >= cpusMax) unreadable(what, `names CPU ${last}; 0 to ${cpusMax - 1} can exist`, text);
    for (let cpu = first; cpu <= last; cpu++) cpus.add(cpu);
  }
  return [...cpus].sort((a, b) => a - b);
}

const nodeDirectory = (sysRoot: string): string => join(sysRoot, 'devices/system/node');
const memoryDirectory = (sysRoot: string): string => join(sysRoot, 'devices/system/memory');

/** CPUs that are online, or undefined where sysfs does not tell. */
export function readOnlineCpus(sysRoot = '/sys'): number[] | undefined {
  const path = join(sysRoot, 'devices/system/cpu/online');
  const text = textOf(path);
  return text === undefined ? undefined : parseCpulist(text, path);
}

/**
 * The nodes and their CPUs, by nid. A machine without NUMA in sysfs is one node 0 with `allowedCpus`, as far as they are online.
 * @param allowedCpus CPUs that this process may use; those of every node are cut to them.
 * @throws VmemmapError DETECT_FAILED when a node tells no CPU list, or a wrong one.
 */
export function readNodes(sysRoot: string, allowedCpus: readonly number[]): TopologyNode[] {
  const allowed = new Set(allowedCpus);
  const nids = numbered(nodeDirectory(sysRoot), 'node');
  if (nids.length === 0) {
    const cpus = (readOnlineCpus(sysRoot) ?? [...allowedCpus]).filter((cpu) => allowed.has(cpu));
    return [{ nid: 0, cpus }];
  }
  return nids.map((nid) => {
    const path = join(nodeDirectory(sysRoot), `node${nid}`, 'cpulist');
    if (nid >= nodesMax) unreadable(path, `is of node ${nid}; 0 to ${nodesMax - 1} can exist`, nid);
    const text = textOf(path) ?? unreadable(path, 'cannot be read');
    return { nid, cpus: parseCpulist(text, path).filter((cpu) => allowed.has(cpu)) };
  });
}

/** Pages of a memory block; undefined where the kernel has no memory blocks. The file holds hexadecimal without 0x. */
function blockPagesOf(sysRoot: string, pageBytes: number): number | undefined {
  const path = join(memoryDirectory(sysRoot), 'block_size_bytes');
  const text = textOf(path);
  if (text === undefined) return undefined;
  const sizeBytes = /^[0-9a-f]{1,13}$/i.test(text) ? Number.parseInt(text, 16) : Number.NaN;
  const { startPfn, endPfn } = pagesInside(0, sizeBytes - 1, pageBytes);
  if (!(endPfn > startPfn) || sizeBytes % pageBytes !== 0) {
    unreadable(path, 'is not a size of whole pages in hexadecimal', text);
  }
  return endPfn;
}

/** The nodes that link to each block: one as a rule, two where a node border lies inside the block. Lowest first. */
function readBlockNodes(sysRoot: string): Map<number, number[]> {
  const nodes = new Map<number, number[]>();
  for (const nid of numbered(nodeDirectory(sysRoot), 'node')) {
    for (const block of numbered(join(nodeDirectory(sysRoot), `node${nid}`), 'memory')) {
      const known = nodes.get(block);
      if (known) known.push(nid);
      else nodes.set(block, [nid]);
    }
  }
  return nodes;
}

/**
 * The memory blocks (Documentation/admin-guide/mm/memory-hotplug.rst). Block N is the N-th run of `block_size_bytes` from
 * address 0. A block whose `state` cannot be read counts as online.
 * @throws VmemmapError DETECT_FAILED when a value makes no sense.
 */
export function readMemoryBlocks(sysRoot = '/sys', options: BlockOptions = {}): MemoryBlocks {
  const { pageBytes = pageSizeBytes, maybeMovable = [] } = options;
  const blockPages = blockPagesOf(sysRoot, pageBytes);
  if (blockPages === undefined) return { blocks: [], notes: [] };
  const directory = memoryDirectory(sysRoot);
  const nodes = readBlockNodes(sysRoot);
  let shared = 0;
  const blocks = numbered(directory, 'memory').map((block): MemoryBlock => {
    const path = join(directory, `memory${block}`);
    const startPfn = block * blockPages;
    if ((startPfn + blockPages) * pageBytes > 2 ** physicalAddressBits)
      unreadable(path, 'lies beyond 2^52 bytes', block);
    const [nid, second] = nodes.get(block) ?? [];
    if (second !== undefined) shared++;
    const state = textOf(join(path, 'state'));
    const extent = { startPfn, endPfn: startPfn + blockPages };
    const mayBe = maybeMovable.some((other) => other.startPfn < extent.endPfn && other.endPfn > startPfn);
    // of memory that is online it is the zone that it is in; of what is offline, those that it may be in
    const movable = mayBe && textOf(join(path, 'valid_zones')) === 'Movable' ? { movable: true as const } : {};
    return { ...extent, nid, online: state === undefined || state === 'online', ...movable };
  });
  if (shared === 0) return { blocks, notes: [] };
  return { blocks, notes: [`${shared} memory blocks belong to two nodes; each is taken as memory of the lower one.`] };
}

/** A number that a small file holds, decimal or with 0x; undefined when it is unreadable or not a number exact to 2^53. */
export function numberIn(path: string): number | undefined {
  const text = textOf(path);
  if (text === undefined || !/^(-?\d{1,16}|0x[0-9a-f]{1,16})$/i.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/**
 * Regions of persistent memory whose address, size and node can be read; `resource` is readable only by root. `numa_node` is
 * the node that Linux writes into their descriptors (dev_to_node in memremap_pages).
 */
export function readPmemRegions(sysRoot = '/sys', pageBytes: number = pageSizeBytes): PmemRegion[] {
  const directory = join(sysRoot, 'bus/nd/devices');
  return numbered(directory, 'region').flatMap((region) => {
    const file = (name: string): number | undefined => numberIn(join(directory, `region${region}`, name));
    const [firstByte, sizeBytes, nid] = [file('resource'), file('size'), file('numa_node')];
    if (firstByte === undefined || !sizeBytes || nid === undefined || nid < 0 || nid >= nodesMax) return [];
    return [{ ...pagesInside(firstByte, firstByte + sizeBytes - 1, pageBytes), nid }];
  });
}

/**
 * Where the zone Movable lies, by a text in the format of /proc/zoneinfo; sorted by pfn. Its zones may hold other memory as well,
 * since a zone spans all from its first page to its last.
 */
export function movableSpans(zoneinfo: string): PfnExtent[] {
  const spans: PfnExtent[] = [];
  let spannedPages = 0;
  let isMovable = false;
  for (const line of zoneinfo.split('\n')) {
    const zone = /^Node \d+, zone +(\w+)/.exec(line)?.[1];
    if (zone !== undefined) [isMovable, spannedPages] = [zone === 'Movable', 0];
    const [, name, value] = (isMovable && /^ +(spanned|start_pfn:) +(\d{1,15})$/.exec(line)) || [];
    if (name === 'spanned') spannedPages = Number(value);
    if (name === 'start_pfn:' && spannedPages > 0) {
      spans.push({ startPfn: Number(value), endPfn: Number(value) + spannedPages });
    }
  }
  return spans.sort((a, b) => a.startPfn - b.startPfn);
}
