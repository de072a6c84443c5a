/** What the firmware's map in a boot log makes of memory: which bytes are RAM or device memory, and of which node. */
import { type ByteRun, meeting, united, without } from '../byte-runs.ts';
import type { RefuseLine } from '../caret.ts';
import { pagesInside } from '../geometry.ts';
import type { Platform } from '../platforms.ts';
import type { MemoryExtent } from '../topology.ts';
import type { Collected } from './collected.ts';
import { joinedNodes, type NodeRun } from './nodes.ts';

/** RAM by node in whole pages, and what a person should know. */
export interface FirmwareMemory {
  /** What told it, as the subject of a sentence. */
  readonly source: string;
  /** Sorted and without overlaps. */
  readonly runs: readonly NodeRun[];
  readonly notes: readonly string[];
}

/** RAM before nodes are known. */
interface Ram {
  readonly source: string;
  readonly runs: readonly ByteRun[];
  /** The nodes of all of it, where the source tells them itself. */
  readonly nodes?: readonly NodeRun[];
}

/**
 * Page 0 and what lies between 640 KiB and 1 MiB are never memory on x86, whatever the firmware says (trim_bios_range of
 * arch/x86/kernel/setup.c).
 */
const biosRuns: readonly ByteRun[] = [
  { firstByte: 0, lastByte: 0xfff },
  { firstByte: 0xa_0000, lastByte: 0xf_ffff },
];
/** Memory that the nodes do not cover is lost up to here; above it Linux does not believe in them (numa_meminfo_cover_memory). */
const uncoveredMaxBytes: number = 2 ** 20;

function isX86({ name }: Platform): boolean {
  return name === 'x86-64';
}

/** The bytes that are RAM, from the first source that tells any. */
function firmwareRam(log: Collected, platform: Platform, refuse: RefuseLine): Ram | undefined {
  const { e820, efi, memblock, nodes } = log;
  const isRam = ({ colour }: { colour: string }): boolean => colour === 'ram' || colour === 'nomap';
  const x86 = isX86(platform);
  const withoutBios = (runs: readonly ByteRun[]): ByteRun[] => without(united(runs), x86 ? biosRuns : []);
  if (x86 && (e820.isTold || e820.told.damaged.length > 0)) {
    e820.told.refuseDamage(refuse);
    return { source: 'The e820 map', runs: withoutBios(e820.entries().filter(isRam)) };
  }
  if (efi.isTold || efi.told.damaged.length > 0) {
    efi.told.refuseDamage(refuse);
    return { source: 'The EFI memory map', runs: withoutBios(efi.entries(!x86).filter(isRam)) };
  }
  if (memblock.isTold) {
    memblock.memory.refuseDamage(refuse);
    const items = memblock.memory.items;
    const told = items.flatMap((run) => (run.nid === undefined ? [] : [{ ...run, nid: run.nid }]));
    const all = told.length === items.length ? { nodes: joinedNodes(told, refuse) } : {};
    return { source: 'The memory of memblock', runs: united(items), ...all };
  }
  if (nodes.power.items.length > 0) return { source: 'The device tree', runs: united(nodes.power.items) };
  return undefined;
}

/** Rounds runs to the whole pages inside them; what has none goes. */
function wholePages(runs: readonly NodeRun[], pageBytes: number): NodeRun[] {
  return runs.flatMap(({ nid, firstByte, lastByte }) => {
    const { startPfn, endPfn } = pagesInside(firstByte, lastByte, pageBytes);
    return startPfn < endPfn ? [{ nid, firstByte: startPfn * pageBytes, lastByte: endPfn * pageBytes - 1 }] : [];
  });
}

/** Gives what no node covers to the node of the run below it, or to the lowest one. */
function withUncovered(covered: readonly NodeRun[], uncovered: readonly ByteRun[]): NodeRun[] {
  const lowest = Math.min(...covered.map(({ nid }) => nid), nodesEnd);
  const all = [...covered, ...uncovered.map((run) => ({ ...run, nid: -1 }))].sort((a, b) => a.firstByte - b.firstByte);
  let nid = lowest === nodesEnd ? 0 : lowest;
  return all.map((run) => {
    if (run.nid >= 0) nid = run.nid;
    return { ...run, nid };
  });
}

const nodesEnd = Number.MAX_SAFE_INTEGER;

/**
 * RAM as the firmware's map in the log tells it, by node and in whole pages; undefined where there is none. On x86 it is the
 * `usable` memory of e820, as rounded and cut by Linux; with a complete map and SRAT it equals the "Early memory node ranges".
 * @param refuse told of damaged lines that it depends on.
 */
export function firmwareMemory(log: Collected, platform: Platform, refuse: RefuseLine): FirmwareMemory | undefined {
  const ram = firmwareRam(log, platform, refuse);
  if (ram === undefined) return undefined;
  const { source, runs } = ram;
  const pageBytes = platform.pageSizeBytes;
  const nodes = ram.nodes ?? log.nodes.runs(refuse);
  if (nodes === undefined) {
    const note = 'The log does not tell nodes, so all memory is on node 0.';
    const onNode0 = runs.map((run) => ({ nid: 0, firstByte: run.firstByte, lastByte: run.lastByte }));
    return { source, runs: wholePages(onNode0, pageBytes), notes: log.nodes.isOneNode ? [] : [note] };
  }
  const covered = meeting(runs, nodes, (part, _, { nid }): NodeRun => ({ ...part, nid }));
  const uncovered = without(runs, nodes);
  const bytes = uncovered.reduce((sum, { firstByte, lastByte }) => sum + lastByte + 1 - firstByte, 0);
  if (bytes < uncoveredMaxBytes) {
    const note = `${bytes} bytes of RAM are in no node, and left out as Linux does.`;
    return { source, runs: wholePages(covered, pageBytes), notes: bytes > 0 ? [note] : [] };
  }
  const note = `${bytes} bytes of RAM are in no node that the log tells; they are taken as memory of the node below.`;
  return { source, runs: wholePages(withUncovered(covered, uncovered), pageBytes), notes: [note] };
}

/** Device memory, and what a person should know about it. */
export interface DeviceMemory {
  readonly extents: readonly MemoryExtent[];
  readonly notes: readonly string[];
}

/** Runs of device memory: of the firmware's map, else what the SRAT calls non-volatile. */
function deviceRuns(log: Collected): { runs: readonly ByteRun[]; notes: readonly string[] } {
  const isDevice = ({ colour }: { colour: string }): boolean => colour === 'device';
  if (log.e820.isTold) return { runs: log.e820.entries().filter(isDevice), notes: [] };
  if (log.efi.isTold) return { runs: log.efi.entries(false).filter(isDevice), notes: [] };
  const nonVolatile = log.nodes.srat.items.filter((run) => run.nonVolatile);
  const note =
    'The log does not hold the map of the firmware; what its SRAT calls non-volatile is taken as device memory.';
  return { runs: united(nonVolatile), notes: nonVolatile.length > 0 ? [note] : [] };
}

/** How much the firmware has set aside for drivers. */
function softReservedNotes(log: Collected): string[] {
  const entries = log.e820.isTold ? log.e820.entries() : log.efi.entries(false);
  const soft = entries.filter(({ colour }) => colour === 'soft');
  const bytes = soft.reduce((sum, { firstByte, lastByte }) => sum + lastByte + 1 - firstByte, 0);
  return bytes === 0
    ? []
    : [`${bytes} bytes are soft reserved: a driver may make RAM or device memory of them later; they are left out.`];
}

/**
 * Persistent memory. How it is divided into namespaces a boot log does not tell, so each run of it is one device.
 * @param ram sorted; memory that is RAM is no device memory, as where the kernel was loaded into it.
 */
export function deviceMemory(
  log: Collected,
  ram: readonly NodeRun[],
  pageBytes: number,
  refuse: RefuseLine,
): DeviceMemory {
  const { runs, notes } = deviceRuns(log);
  if (runs.length === 0) return { extents: [], notes: softReservedNotes(log) };
  const nodes = log.nodes.runs(refuse) ?? [];
  const device = without(runs, ram);
  // what lies on two nodes is two devices
  const placed = meeting(device, nodes, (part, _, { nid }): NodeRun => ({ ...part, nid }));
  const below = ({ firstByte }: ByteRun): number =>
    (ram.findLast((run) => run.lastByte < firstByte) ?? ram[0])?.nid ?? 0;
  const unplaced = without(device, nodes).map((run) => ({ ...run, nid: below(run) }));
  const whole = wholePages([...placed, ...unplaced], pageBytes).sort((a, b) => a.firstByte - b.firstByte);
  const extents = whole.map(
    ({ nid, firstByte, lastByte }, index): MemoryExtent => ({
      nid,
      kind: 'device',
      pgmap: index + 1,
      ...pagesInside(firstByte, lastByte, pageBytes),
    }),
  );
  const guesses = log.nodes.isOneNode ? 0 : unplaced.length;
  const guess = `The log does not tell the node of ${guesses} runs of device memory; that of the RAM below is taken.`;
  return { extents, notes: [...notes, ...(guesses > 0 ? [guess] : []), ...softReservedNotes(log)] };
}
