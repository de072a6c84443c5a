/**
 * Which run of a range a drain takes next: the one that a fault asked for, else the next one upwards. The only file with Atomics
 * on the words for it. They only tell where to look, the chunk words decide who may write: relaxed order would do for all of them.
 */
import { firstChunkOfRun, runOf } from '../physical/geometry.ts';
import type { RegionRange } from '../region/range.ts';
import type { Region } from '../region/region.ts';

/** The next run for the caller, which gets it alone; one behind the last when none is left. */
export function takeRun({ control }: Region, range: RegionRange): number {
  const wanted = Atomics.load(control, range.wantedRun);
  if (wanted !== 0 && Atomics.compareExchange(control, range.wantedRun, wanted, 0) === wanted) {
    const run = wanted - 1;
    if (run >= 0 && firstChunkOfRun(range, run) < range.chunks) return run;
  }
  return Atomics.add(control, range.drainCursor, 1);
}

/**
 * Tells the drains that somebody has faulted into a run: they do the rest of it next. Its pages were just cleared and are still
 * in the cache, and whoever faults there often comes back nearby (the reviewers of 2018 asked for it: initialize around the
 * faulting page). A wish that another one overwrites is no loss: the cursor comes by.
 */
export function wantRun({ control }: Region, range: RegionRange, chunk: number): void {
  if (range.runChunks > 1) Atomics.store(control, range.wantedRun, runOf(range, chunk) + 1);
}

/** No run is taken yet of a range that nobody drains yet; the arguments are indices of its words. */
export function beginRuns({ control }: Region, drainCursor: number, wantedRun: number): void {
  Atomics.store(control, drainCursor, 0);
  Atomics.store(control, wantedRun, 0);
}

/** Runs that were taken upwards so far; more than there are when several looked behind the last. */
export function runsTaken({ control }: Region, range: RegionRange): number {
  return Atomics.load(control, range.drainCursor);
}

/** Runs that nobody has taken yet. */
export function runsLeft(region: Region, range: RegionRange): number {
  return Math.max(0, runOf(range, range.chunks - 1) + 1 - runsTaken(region, range));
}

/** Whether others take runs of a range upwards while we look, for `ms` milliseconds. */
export function getsOn({ control }: Region, range: RegionRange, ms: number): boolean {
  const cursor = Atomics.load(control, range.drainCursor);
  // nobody notifies this word: a sleep that ends at once when the cursor has moved already
  Atomics.wait(control, range.drainCursor, cursor, ms);
  return Atomics.load(control, range.drainCursor) !== cursor;
}
