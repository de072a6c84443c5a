/** Reads a machine from its boot log: what the firmware told the kernel, and what the kernel made of it. */
import { VmemmapError } from '../../errors.ts';
import { withinAddresses } from '../address-limit.ts';
import type { ByteRun } from '../byte-runs.ts';
import type { RefuseLine } from '../caret.ts';
import { pagesInside } from '../geometry.ts';
import { type Platform, type PlatformName, platforms } from '../platforms.ts';
import { withSharedCpus } from '../simulate.ts';
import { readTextFile } from '../text-file.ts';
import type { MemoryExtent, ReservedExtent, Topology } from '../topology.ts';
import { lastBoot } from './boots.ts';
import { type Collected, collect } from './collected.ts';
import type { EarlyRun } from './early.ts';
import { deviceMemory, firmwareMemory } from './firmware.ts';
import { checkLength, refuser } from './lines.ts';
import type { NodeRun } from './nodes.ts';
import { findNomap, type MappingEvidence } from './nomap.ts';
import { reservedExtents } from './reserved.ts';

/** Bytes of a log at most. */
export const logBytesMax: number = 64 * 2 ** 20;

/** What the caller knows about a log. */
export interface DmesgOptions {
  /** What to call the log in errors. */
  readonly file?: string | undefined;
  /** Architecture and page size, where they are known better than the log tells. */
  readonly platform?: PlatformName | undefined;
}

/** Touching runs of one node become one. */
function joinedRuns(runs: readonly NodeRun[]): NodeRun[] {
  const joined: NodeRun[] = [];
  for (const { nid, firstByte, lastByte } of runs) {
    const last = joined.at(-1);
    if (last?.nid === nid && last.lastByte + 1 === firstByte) joined[joined.length - 1] = { ...last, lastByte };
    else joined.push({ nid, firstByte, lastByte });
  }
  return joined;
}

function sameRuns(a: readonly NodeRun[], b: readonly NodeRun[]): boolean {
  const same = (one: NodeRun, other: NodeRun | undefined): boolean =>
    one.nid === other?.nid && one.firstByte === other.firstByte && one.lastByte === other.lastByte;
  return a.length === b.length && a.every((run, index) => same(run, b[index]));
}

/** The early ranges lie in whole pages: where they do not, the platform is another one. */
function checkPages(early: readonly EarlyRun[], { pageSizeBytes, name }: Platform, refuse: RefuseLine): void {
  const pageBytes = pageSizeBytes;
  const odd = early.find(({ firstByte, lastByte }) => firstByte % pageBytes !== 0 || (lastByte + 1) % pageBytes !== 0);
  if (odd)
    refuse(odd.line, odd.column, `expected whole pages of ${name}, ${pageBytes / 1024} KiB each; see --platform`);
}

/** RAM by node, in whole pages and joined, and what a person should know. */
interface FoundRam {
  readonly runs: readonly NodeRun[];
  readonly notes: readonly string[];
}

/**
 * The kernel's own ranges where the log has them, else what the firmware told. Where the log holds both they are compared:
 * excerpts often lack lines of the firmware's map.
 */
function findRam(log: Collected, early: readonly EarlyRun[], platform: Platform, refuse: RefuseLine): FoundRam {
  if (early.length === 0) {
    const { runs, notes } = firmwareMemory(log, platform, refuse) ?? { runs: [], notes: [] };
    return { runs: joinedRuns(runs), notes };
  }
  checkPages(early, platform, refuse);
  const runs = joinedRuns(early);
  const notes = early
    .filter(({ isGuess }) => isGuess)
    .map(
      ({ line, nid, firstByte, lastByte }) =>
        `Line ${line} is garbled: 0x${firstByte.toString(16)}-0x${lastByte.toString(16)} is taken as memory of node ${nid}.`,
    );
  return { runs, notes: [...notes, ...differenceNotes(log, runs, platform, refuse)] };
}

function differenceNotes(log: Collected, runs: readonly NodeRun[], platform: Platform, refuse: RefuseLine): string[] {
  try {
    const firmware = firmwareMemory(log, platform, refuse);
    if (firmware === undefined || sameRuns(joinedRuns(firmware.runs), runs)) return [];
    return [`${firmware.source} in the log is not all that the kernel saw; its "Early memory node ranges" are taken.`];
  } catch (error) {
    if (!(error instanceof VmemmapError)) throw error;
    const [what = ''] = error.message.split('\n');
    return [`The firmware's map in the log is of no use (${what}); the kernel's "Early memory node ranges" are taken.`];
  }
}

/** Where kernelcore= or movablecore= was given, RAM from some address of a node on is in the zone Movable. */
function cutMovable(ram: readonly MemoryExtent[], startPfns: ReadonlyMap<number, number>): MemoryExtent[] {
  return ram.flatMap((extent) => {
    const border = startPfns.get(extent.nid) ?? extent.endPfn;
    if (border >= extent.endPfn) return [extent];
    if (border <= extent.startPfn) return [{ ...extent, movable: true }];
    return [
      { ...extent, endPfn: border },
      { ...extent, startPfn: border, movable: true },
    ];
  });
}

/** What is known about whether memory is mapped: whatever the kernel has allocated, and what its firmware forbids. */
function mappingEvidence(log: Collected): MappingEvidence[] {
  const told = log.reservations.told.items.flatMap(({ firstByte, lastByte, isMapped }) =>
    isMapped === undefined ? [] : [{ firstByte, lastByte, isMapped }],
  );
  const efi = log.efi
    .entries(true)
    .filter(({ colour }) => colour === 'ram' || colour === 'nomap')
    .map(({ firstByte, lastByte, colour }) => ({ firstByte, lastByte, isMapped: colour === 'ram' }));
  const memblock = log.memblock.memory.items.map(({ firstByte, lastByte, isNomap }) => ({
    firstByte,
    lastByte,
    isMapped: !isNomap,
  }));
  return [...told, ...efi, ...memblock];
}

/** Memory that must not be mapped; none on other platforms than arm64. */
function nomapOf(
  log: Collected,
  early: readonly EarlyRun[],
  platform: Platform,
): { runs: readonly ByteRun[]; notes: string[] } {
  if (!platform.name.startsWith('arm64')) return { runs: [], notes: [] };
  if (early.length === 0) return { runs: log.efi.entries(true).filter(({ colour }) => colour === 'nomap'), notes: [] };
  const { runs, guessedBytes } = findNomap(early, mappingEvidence(log));
  const note =
    'Which of the touching ranges are not to be mapped (NOMAP) the log does not tell; every other one is taken so, the smaller half.';
  return { runs, notes: guessedBytes > 0 ? [note] : [] };
}

/**
 * The machine that a boot log describes. Its memory is that of "Early memory node ranges" where the log holds them, else what
 * the firmware's map (e820, EFI) gives, cut by node (SRAT). Whatever had to be guessed is a note.
 * @param log what dmesg, journalctl -k or a console printed, or an excerpt; times and other prefixes may stand before the lines.
 * @param cpus CPUs of this machine that may initialize the memmap; the nodes with memory share them.
 * @throws VmemmapError DMESG_SYNTAX where memory is told in a way that makes no sense; DETECT_FAILED when none is told, or the
 * machine is of no known platform.
 */
export function readDmesg(log: string, cpus: readonly number[], options: DmesgOptions = {}): Topology {
  const { file = 'the boot log' } = options;
  const refuse = refuser(log, file);
  checkLength(log, refuse);
  const boot = lastBoot(log);
  const told = collect(log, boot);
  const first = told.hints.decide(options.platform, [], file).platform;
  const early = told.early.isTold ? told.early.runs(platforms[first].pageSizeBytes, refuse) : [];
  const found = told.hints.decide(options.platform, early, file);
  const platform = platforms[found.platform];
  const pageBytes = platform.pageSizeBytes;

  const ram = findRam(told, early, platform, refuse);
  if (ram.runs.length === 0) {
    const what =
      'tells no memory: neither "Early memory node ranges" nor a map of e820 or EFI; ' +
      'give the beginning of a boot log (dmesg, or journalctl -k -b), or use --simulate SPEC';
    throw new VmemmapError('DETECT_FAILED', `${file} ${what}`, { received: file });
  }
  const device = deviceMemory(told, ram.runs, pageBytes, refuse);
  const nomap = nomapOf(told, early, platform);
  const extents = ram.runs.map(
    ({ nid, firstByte, lastByte }): MemoryExtent => ({
      nid,
      kind: 'ram',
      ...pagesInside(firstByte, lastByte, pageBytes),
    }),
  );
  const movable = new Map(
    [...told.movableStarts].map(([nid, byte]) => [nid, pagesInside(byte, byte, pageBytes).startPfn]),
  );
  const memory = [...cutMovable(extents, movable), ...device.extents].sort((a, b) => a.startPfn - b.startPfn);
  told.reservations.told.refuseDamage(refuse);
  told.memblock.steps.refuseDamage(refuse);
  const reserved: readonly ReservedExtent[] = reservedExtents(
    {
      reservations: told.reservations,
      memblock: told.memblock.reserved(),
      x86Ram: platform.name === 'x86-64' ? ram.runs : undefined,
      release: told.hints.release ?? (told.hints.tellsOneTotal ? '5.11' : undefined),
    },
    pageBytes,
  );
  const nomapExtents = nomap.runs.map(({ firstByte, lastByte }) => pagesInside(firstByte, lastByte, pageBytes));
  const bootNote = `The log holds ${boot.boots} boots; the last one that tells memory is taken.`;
  const topology: Topology = {
    source: 'dmesg',
    nodes: nodesOf(told, memory, cpus),
    memory,
    zoned: true,
    platform: platform.name,
    ...(told.hints.release === undefined ? {} : { kernel: told.hints.release }),
    ...(reserved.length === 0 ? {} : { reserved }),
    ...(nomapExtents.length === 0 ? {} : { nomap: nomapExtents }),
    notes: [...(boot.boots > 1 ? [bootNote] : []), ...found.notes, ...ram.notes, ...nomap.notes, ...device.notes],
  };
  return withinAddresses(topology, file);
}

/** All nodes that the log names; those with memory share the CPUs. */
function nodesOf(log: Collected, memory: readonly MemoryExtent[], cpus: readonly number[]): Topology['nodes'] {
  const withMemory = [...new Set(memory.map(({ nid }) => nid))].sort((a, b) => a - b);
  const shared = withSharedCpus(withMemory, cpus);
  const others = log.nodes.known.filter((nid) => !withMemory.includes(nid)).map((nid) => ({ nid, cpus: [] }));
  return [...shared, ...others].sort((a, b) => a.nid - b.nid);
}

/**
 * The machine that a file with a boot log describes: see {@link readDmesg}.
 * @throws VmemmapError DMESG_SYNTAX, DETECT_FAILED; the latter also when the file cannot be read.
 */
export function fromDmesgFile(
  path: string,
  cpus: readonly number[],
  options: Omit<DmesgOptions, 'file'> = {},
): Topology {
  return readDmesg(readTextFile(path, logBytesMax), cpus, { ...options, file: path });
}
