/** The drain: what a background worker does until nothing is left. */
import { chunksOfRun, firstChunkOfRun } from '../physical/geometry.ts';
import type { RegionRange } from '../region/range.ts';
import type { Region } from '../region/region.ts';
import { isSettled, payloadOf, stateOf } from './chunk-map.ts';
import type { Claimant } from './claimant.ts';
import { harden } from './harden.ts';
import { order, ordersOf } from './orders.ts';
import { getsOn, runsLeft, runsTaken, takeRun } from './runs.ts';

/**
 * `complete`: every chunk of the region is initialized or failed. `paused`: to be begun again after a resume; the thread is
 * free for others meanwhile. `cancelled`: the region was cancelled or closed.
 */
export type DrainOutcome = 'complete' | 'paused' | 'cancelled';

/** How long a drain waits for a chunk that another thread holds before it looks around. */
const lookAroundMs = 100;
/** Runs that a helper does before it asks whether its help is any. */
const helpRunsJudged = 16;
/** It asks only where so many runs are left: with less there is nothing to gain by standing aside for a while. */
const helpRunsLeftMin = 128;
/** How long it then stands aside, to see how fast the others are alone: until they have done some runs, but not for long. */
const asideRuns = 8;
const asideStepMs = 1;
const asideStepsMax = 4;
/** With help a node must get on at least so many times as fast as without it. */
const helpGainMin = 1.05;

/** What a drain asks for the time; tests put in one of their own. */
export interface Clock {
  /** Milliseconds. */
  now(): number;
  sleep(ms: number): void;
}

/** Nobody ever changes or notifies it. */
const never = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

const realClock: Clock = {
  now: () => performance.now(),
  sleep: (ms) => Atomics.wait(never, 0, 0, ms),
};

/**
 * Drains as {@link initializeAll} does; then brings to the media what is not there yet: what this thread wrote, and once all is
 * initialized the rest, which faults and threads that died have left.
 */
export function drain(claimant: Claimant, nid: number, clock: Clock = realClock): DrainOutcome {
  const outcome = initializeAll(claimant, nid, clock);
  claimant.hardenOwn();
  const { region, chunks } = claimant;
  if (outcome === 'complete' && region.persistence) harden(region, chunks, 0, region.chunks);
  return outcome;
}

/**
 * Claims and initializes chunk after chunk, first those of node `nid`, then, as long as that is a help, those of the nodes
 * behind it and, last, before it; then waits for chunks that others hold: when it returns `complete`, nothing is left, of ranges
 * either that came meanwhile.
 */
function initializeAll(claimant: Claimant, nid: number, clock: Clock): DrainOutcome {
  const { region } = claimant;
  for (;;) {
    const { ranges } = region;
    const outcome = initializeRanges(claimant, ranges, nid, clock);
    if (outcome !== 'complete' || region.ranges === ranges) return outcome;
  }
}

function initializeRanges(claimant: Claimant, ranges: readonly RegionRange[], nid: number, clock: Clock): DrainOutcome {
  const own = ranges.filter((range) => range.nid === nid);
  const lastOwn = own.at(-1)?.startPfn ?? -1;
  const others = ranges.filter((range) => range.nid !== nid);
  // begun at different places, those who help do not all help the same node
  const behind = others.filter(({ startPfn }) => startPfn > lastOwn);
  const before = others.filter(({ startPfn }) => startPfn < lastOwn);
  for (const range of own) {
    const outcome = drainOwn(claimant, range);
    if (outcome !== 'passed') return outcome;
  }
  const left = new Set<number>();
  for (const range of [...behind, ...before]) {
    if (left.has(range.nid)) continue;
    const outcome = help(claimant, range, clock);
    if (outcome === 'left') left.add(range.nid);
    else if (outcome !== 'passed') return outcome;
  }
  // What remains was claimed by a fault, by another drain, by a thread that died after the cursor had passed, or belongs to
  // a node that we left to its own threads.
  for (const range of ranges) {
    const outcome = finishRange(claimant, range, left.has(range.nid));
    if (outcome !== 'complete') return outcome;
  }
  return 'complete';
}

/** `passed`: every run of the range was taken by somebody, or it was removed. */
type RangeOutcome = 'passed' | Exclude<DrainOutcome, 'complete'>;

function drainOwn(claimant: Claimant, range: RegionRange): RangeOutcome {
  for (;;) {
    const outcome = drainRun(claimant, range);
    if (outcome !== 'more') return outcome;
  }
}

/** The same for a range of another node; `left`: its own threads are as fast alone. */
function help(claimant: Claimant, range: RegionRange, clock: Clock): RangeOutcome | 'left' {
  const { region } = claimant;
  const startMs = clock.now();
  const startRuns = runsTaken(region, range);
  for (let runs = 0; runs < helpRunsJudged; runs++) {
    const outcome = drainRun(claimant, range);
    if (outcome !== 'more') return outcome;
  }
  if (runsLeft(region, range) >= helpRunsLeftMin) {
    const helpedPerMs = (runsTaken(region, range) - startRuns) / (clock.now() - startMs);
    if (helpedPerMs < helpGainMin * runsPerMsWithoutUs(region, range, clock)) return 'left';
  }
  return drainOwn(claimant, range);
}

/** How fast others get on with a range while we do nothing. */
function runsPerMsWithoutUs(region: Region, range: RegionRange, clock: Clock): number {
  const startMs = clock.now();
  const startRuns = runsTaken(region, range);
  for (let step = 0; step < asideStepsMax && runsTaken(region, range) - startRuns < asideRuns; step++) {
    clock.sleep(asideStepMs);
  }
  return (runsTaken(region, range) - startRuns) / (clock.now() - startMs);
}

/**
 * Takes the next run of a range: the chunks of one huge page of descriptors, or one chunk where those are larger. Threads
 * that drain then never touch the same huge page first, which would make the kernel clear it twice, while a fault still
 * claims no more than a chunk. Orders are obeyed between two batches.
 */
function drainRun(claimant: Claimant, range: RegionRange): 'more' | RangeOutcome {
  const told = orderOf(claimant);
  if (told !== undefined) return told;
  if (!claimant.isLive(range)) return 'passed';
  const run = takeRun(claimant.region, range);
  const first = firstChunkOfRun(range, run);
  if (first >= range.chunks) return 'passed';
  const end = first + chunksOfRun(range, run);
  for (let chunk = first; chunk < end; ) {
    // what is left of the run then is found by whoever finishes
    const between = chunk === first ? undefined : orderOf(claimant);
    if (between !== undefined) return between;
    const taken = claimant.initialize(range, chunk, Math.min(end, chunk + range.batchChunks), 'chunksByDrain');
    if (taken === 0 && !claimant.isLive(range)) return 'passed';
    // past what is written now, or past a chunk that somebody else has taken
    chunk += Math.max(1, taken);
  }
  return 'more';
}

/**
 * One turn of the opener's own thread, which has an event loop to serve: runs until `turnMs` are over, and no waiting.
 * @returns `passed` when every run of the region was taken by somebody.
 */
export function drainTurn(claimant: Claimant, turnMs: number): 'more' | RangeOutcome {
  const untilMs = performance.now() + turnMs;
  for (const range of claimant.region.ranges) {
    for (;;) {
      const outcome = drainRun(claimant, range);
      if (outcome === 'passed') break;
      if (outcome !== 'more' || performance.now() >= untilMs) return outcome;
    }
  }
  return 'passed';
}

/**
 * Does what is left of a range; one that was removed is complete.
 * @param isLeft whether the range was left to threads of its own; they may have died meanwhile.
 */
function finishRange(claimant: Claimant, range: RegionRange, isLeft: boolean): DrainOutcome {
  let waits = isLeft;
  for (let chunk = 0; chunk < range.chunks; chunk++) {
    const number = range.firstChunk + chunk;
    for (;;) {
      const word = claimant.chunks.load(number);
      if (isSettled(word)) break;
      if (!claimant.isLive(range)) return 'complete';
      const told = orderOf(claimant);
      if (told !== undefined) return told;
      if (stateOf(word) === 'free') {
        // asked until nobody gets on, and not for every chunk again
        waits &&= getsOn(claimant.region, range, lookAroundMs);
        if (!waits) claimant.initialize(range, chunk, chunk + 1, 'chunksByDrain');
      } else if (claimant.owners.isDead(payloadOf(word))) claimant.releaseDead(number, word);
      else claimant.chunks.wait(number, word, lookAroundMs);
    }
  }
  return 'complete';
}

/** What the drain has been told to do instead of going on. */
function orderOf({ region }: Claimant): 'cancelled' | 'paused' | undefined {
  const orders = ordersOf(region);
  if (orders === 0) return undefined;
  return orders === order.pause ? 'paused' : 'cancelled';
}
