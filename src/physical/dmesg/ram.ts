/** Decides what is RAM in a boot log that may tell it twice: as the kernel took it, and as the firmware told it. */
import { VmemmapError } from '../../errors.ts';
import type { RefuseLine } from '../caret.ts';
import { pagesInside } from '../geometry.ts';
import type { Platform } from '../platforms.ts';
import type { MemoryExtent } from '../topology.ts';
import type { Collected } from './collected.ts';
import type { EarlyRun } from './early.ts';
import { firmwareMemory } from './firmware.ts';
import type { NodeRun } from './nodes.ts';

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
function checkPages(early: readonly EarlyRun[], { pageShift, name }: Platform, refuse: RefuseLine): void {
  const pageBytes = 2 ** pageShift;
  const odd = early.find(({ firstByte, lastByte }) => firstByte % pageBytes !== 0 || (lastByte + 1) % pageBytes !== 0);
  if (odd)
    refuse(odd.line, odd.column, `expected whole pages of ${name}, ${pageBytes / 1024} KiB each; see --platform`);
}

/** RAM by node, in whole pages and joined, and what a person should know. */
export interface FoundRam {
  readonly runs: readonly NodeRun[];
  readonly notes: readonly string[];
}

/**
 * The kernel's own ranges where the log has them, else what the firmware told. Where the log holds both they are compared:
 * excerpts often lack lines of the firmware's map.
 */
export function findRam(log: Collected, early: readonly EarlyRun[], platform: Platform, refuse: RefuseLine): FoundRam {
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

/** RAM as extents of whole pages, cut where the zone Movable begins. */
export function ramExtents(log: Collected, runs: readonly NodeRun[], pageBytes: number): MemoryExtent[] {
  const extents = runs.map(({ nid, firstByte, lastByte }): MemoryExtent => {
    return { nid, kind: 'ram', ...pagesInside(firstByte, lastByte, pageBytes) };
  });
  const starts = [...log.movableStarts].map(
    ([nid, byte]) => [nid, pagesInside(byte, byte, pageBytes).startPfn] as const,
  );
  return cutMovable(extents, new Map(starts));
}
