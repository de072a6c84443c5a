/** Finds the memory of an arm64 machine that must not be mapped (MEMBLOCK_NOMAP), which its boot log does not print as such. */
import { type ByteRun, meeting, united } from '../byte-runs.ts';
import { type PfnExtent, pagesInside } from '../geometry.ts';
import type { Platform } from '../platforms.ts';
import type { Collected } from './collected.ts';
import type { EarlyRun } from './early.ts';

/** Memory of which it is known whether it is mapped. */
interface MappingEvidence extends ByteRun {
  readonly isMapped: boolean;
}

/** What was found. */
interface FoundNomap {
  /** Sorted and without overlaps. */
  readonly runs: readonly ByteRun[];
  /** Bytes of memory for which there was no evidence. */
  readonly guessedBytes: number;
}

function bytesOf(runs: readonly ByteRun[]): number {
  return runs.reduce((sum, { firstByte, lastByte }) => sum + lastByte + 1 - firstByte, 0);
}

/** Ranges of one node that touch, apart from what is made up. */
function stretches(early: readonly EarlyRun[]): EarlyRun[][] {
  const all: EarlyRun[][] = [];
  for (const run of early) {
    const last = all.at(-1)?.at(-1);
    const goesOn = last?.nid === run.nid && last.lastByte + 1 === run.firstByte && !last.isGuess && !run.isGuess;
    if (goesOn) all.at(-1)?.push(run);
    else all.push([run]);
  }
  return all;
}

/**
 * Which of the early ranges are NOMAP. The kernel keeps touching ranges of one node apart only because their flags differ, so
 * that in a stretch of them every other one is NOMAP. Which ones, evidence tells: what the kernel itself has allocated is mapped.
 * Without any, the half that has more bytes is taken as mapped.
 * @param early sorted and without overlaps.
 */
function findNomap(early: readonly EarlyRun[], evidence: readonly MappingEvidence[]): FoundNomap {
  const balance = new Map<EarlyRun, number>();
  const sorted = evidence.toSorted((a, b) => a.firstByte - b.firstByte);
  meeting(sorted, early, (_, { isMapped }, run) => balance.set(run, (balance.get(run) ?? 0) + (isMapped ? 1 : -1)));

  const runs: ByteRun[] = [];
  let guessedBytes = 0;
  for (const stretch of stretches(early)) {
    const half = (odd: number): EarlyRun[] => stretch.filter((_, index) => index % 2 === odd);
    const [even, odd] = [half(0), half(1)];
    const sum = (halfOf: readonly EarlyRun[]): number =>
      halfOf.reduce((total, run) => total + (balance.get(run) ?? 0), 0);
    const votes = sum(even) - sum(odd);
    if (votes === 0 && stretch.length > 1) guessedBytes += bytesOf(stretch);
    const evenIsMapped = votes === 0 ? bytesOf(even) > bytesOf(odd) : votes > 0;
    runs.push(...(evenIsMapped ? odd : even));
  }
  return { runs: runs.map(({ firstByte, lastByte }) => ({ firstByte, lastByte })), guessedBytes };
}

/** What is known about whether memory is mapped: whatever the kernel has allocated, and what its firmware forbids. */
function mappingEvidence({ reservations, efi, memblock }: Collected): MappingEvidence[] {
  const ofEfi = efi
    .entries(true)
    .filter(({ colour }) => colour === 'ram' || colour === 'nomap')
    .map((entry) => ({ ...entry, isMapped: entry.colour === 'ram' }));
  const ofMemblock = memblock.memory.items.map((item) => ({ ...item, isMapped: !item.isNomap }));
  return [...reservations.told.items, ...ofEfi, ...ofMemblock];
}

/** What the firmware's map or that of memblock tells, where the kernel's own ranges are not in the log. */
function toldNomap({ efi, memblock }: Collected): readonly ByteRun[] {
  if (efi.isTold) return efi.entries(true).filter(({ colour }) => colour === 'nomap');
  return united(memblock.memory.items.filter(({ isNomap }) => isNomap));
}

/** Memory that must not be mapped, in whole pages, and what a person should know; none on other platforms than arm64. */
export function nomapExtents(
  log: Collected,
  early: readonly EarlyRun[],
  { name, pageShift }: Platform,
): { extents: readonly PfnExtent[]; notes: readonly string[] } {
  if (!name.startsWith('arm64')) return { extents: [], notes: [] };
  const found = early.length > 0 ? findNomap(early, mappingEvidence(log)) : { runs: toldNomap(log), guessedBytes: 0 };
  const extents = found.runs.map(({ firstByte, lastByte }) => pagesInside(firstByte, lastByte, 2 ** pageShift));
  const note =
    'Which of the touching ranges are not to be mapped (NOMAP) the log does not tell; every other one is taken so, the smaller half.';
  return {
    extents: extents.filter(({ startPfn, endPfn }) => startPfn < endPfn),
    notes: found.guessedBytes > 0 ? [note] : [],
  };
}
