/** Reads a machine from its boot log: what the firmware told the kernel, and what the kernel made of it. */
import { VmemmapError } from '../../errors.ts';
import { withinAddresses } from '../address-limit.ts';
import type { ByteRun } from '../byte-runs.ts';
import type { RefuseLine } from '../caret.ts';
import type { Platform } from '../platforms.ts';
import { withSharedCpus } from '../simulate.ts';
import { readTextFile } from '../text-file.ts';
import type { MemoryExtent, ReservedExtent, Topology } from '../topology.ts';
import type { Collected } from './collected.ts';
import { deviceMemory } from './firmware.ts';
import { nomapExtents } from './nomap.ts';
import { findRam, ramExtents } from './ram.ts';
import { reservedExtents } from './reserved.ts';
import { type DmesgOptions, readLog } from './told-log.ts';

/** Bytes of a log at most. */
export const logBytesMax: number = 64 * 2 ** 20;

/**
 * The machine that a boot log describes. Its memory is that of "Early memory node ranges" where the log holds them, else what
 * the firmware's map (e820, EFI) gives, cut by node (SRAT). Whatever had to be guessed is a note.
 * @param log what dmesg, journalctl -k or a console printed, or an excerpt; times and other prefixes may stand before the lines.
 * @param cpus CPUs of this machine that may initialize the memmap; the nodes with memory share them.
 * @throws VmemmapError DMESG_SYNTAX where memory is told in a way that makes no sense; DETECT_FAILED when none is told, or the
 * machine is of no known platform.
 */
export function readDmesg(log: string, cpus: readonly number[], options: DmesgOptions = {}): Topology {
  const { file, refuse, boot, told, platform, platformNotes, early } = readLog(log, options);
  const pageBytes = platform.pageSizeBytes;

  const ram = findRam(told, early, platform, refuse);
  if (ram.runs.length === 0) tellsNoMemory(file);
  const device = deviceMemory(told, ram.runs, pageBytes, refuse);
  const memory = [...ramExtents(told, ram.runs, pageBytes), ...device.extents].sort((a, b) => a.startPfn - b.startPfn);
  const reserved = reservedOf(told, ram.runs, platform, refuse);
  const nomap = nomapExtents(told, early, platform);
  const { release } = told.hints;
  const bootNote = `The log holds ${boot.boots} boots; the last one that tells memory is taken.`;
  const topology: Topology = {
    source: 'dmesg',
    nodes: nodesOf(told, memory, cpus),
    memory,
    zoned: true,
    platform: platform.name,
    ...(release === undefined ? {} : { kernel: release }),
    ...(reserved.length === 0 ? {} : { reserved }),
    ...(nomap.extents.length === 0 ? {} : { nomap: nomap.extents }),
    notes: [...(boot.boots > 1 ? [bootNote] : []), ...platformNotes, ...ram.notes, ...nomap.notes, ...device.notes],
  };
  return withinAddresses(topology, file);
}

function tellsNoMemory(file: string): never {
  const what =
    'tells no memory: neither "Early memory node ranges" nor a map of e820 or EFI; ' +
    'give the beginning of a boot log (dmesg, or journalctl -k -b), or use --simulate SPEC';
  throw new VmemmapError('DETECT_FAILED', `${file} ${what}`, { received: file });
}

/** All that is reserved before anybody could use it. */
function reservedOf(
  { reservations, memblock, hints }: Collected,
  ram: readonly ByteRun[],
  { name, pageShift }: Platform,
  refuse: RefuseLine,
): readonly ReservedExtent[] {
  reservations.told.refuseDamage(refuse);
  memblock.steps.refuseDamage(refuse);
  const facts = {
    reservations,
    memblock: memblock.reserved(),
    x86Ram: name === 'x86-64' ? ram : undefined,
    // where the log lacks its version, its words tell on which side of 5.12 it is
    release: hints.release ?? (hints.tellsOneTotal ? '5.11' : undefined),
  };
  return reservedExtents(facts, 2 ** pageShift);
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
