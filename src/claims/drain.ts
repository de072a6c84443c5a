/** The drain: what a background worker does until nothing is left. */
import { chunksOfRun, firstChunkOfRun } from '../physical/geometry.ts';
import type { RegionRange } from '../region/region.ts';
import { isSettled, payloadOf, stateOf } from './chunk-map.ts';
import type { Claimant } from './claimant.ts';
import { order, ordersOf } from './orders.ts';
import { getsOn, takeRun } from './runs.ts';

/**
 * `complete`: every chunk of the region is initialized or failed. `paused`: to be begun again after a resume; the thread is
 * free for others meanwhile. `cancelled`: the region was cancelled or closed.
 */
export type DrainOutcome = 'complete' | 'paused' | 'cancelled';

/** How long a drain waits for a chunk that another thread holds before it looks around. */
const lookAroundMs = 100;
/**
 * A node whose pages take a helper so many times as long as its own did has all the hands that its memory can use: the
 * helper leaves it to its own threads. Remote memory alone costs a factor of 1.5 to 3 on machines of two to eight sockets.
 */
const helpSlowdownMax = 4;
/** Helped runs over which that is judged. */
const helpRunsJudged = 8;

/** How fast this thread gets on, on its own node and elsewhere. */
class Pace {
  readonly #now: () => number;
  /** On the own node: milliseconds a page; 0 while that is not known. */
  #ownMsPerPage = 0;
  #ownPages = 0;
  #helpedPages = 0;
  #runs = 0;
  #startMs: number;

  constructor(now: () => number) {
    this.#now = now;
    this.#startMs = now();
  }

  countOwn(pages: number): void {
    this.#ownPages += pages;
  }

  /** The own node is done; what comes is help. */
  turnToOthers(): void {
    if (this.#ownPages > 0) this.#ownMsPerPage = (this.#now() - this.#startMs) / this.#ownPages;
    this.#judgeAgain();
  }

  /** Counts a helped run; true when the last ones took too long. The clock is read once in several runs: it makes garbage. */
  countHelped(pages: number): boolean {
    this.#helpedPages += pages;
    if (++this.#runs < helpRunsJudged) return false;
    const msPerPage = (this.#now() - this.#startMs) / this.#helpedPages;
    this.#judgeAgain();
    // who had no pages of its own knows no pace to compare with
    return this.#ownMsPerPage > 0 && msPerPage > helpSlowdownMax * this.#ownMsPerPage;
  }

  #judgeAgain(): void {
    this.#runs = 0;
    this.#helpedPages = 0;
    this.#startMs = this.#now();
  }
}

/**
 * Claims and initializes chunk after chunk, first those of node `nid`, then, as long as that gets on, those of the nodes
 * behind it and, last, before it; then waits for chunks that others hold: when it returns `complete`, nothing is left.
 * @param now a clock in milliseconds, by which it judges whether its help pays.
 */
export function drain(claimant: Claimant, nid: number, now: () => number = () => performance.now()): DrainOutcome {
  const { ranges } = claimant.region;
  const own = ranges.filter((range) => range.nid === nid);
  const lastOwn = own.at(-1)?.index ?? -1;
  const others = ranges.filter((range) => range.nid !== nid);
  // begun at different places, those who help do not all help the same node
  const behind = others.filter(({ index }) => index > lastOwn);
  const before = others.filter(({ index }) => index < lastOwn);
  const pace = new Pace(now);
  for (const range of own) {
    const outcome = drainOwn(claimant, range, pace);
    if (outcome !== 'passed') return outcome;
  }
  pace.turnToOthers();
  const left = new Set<number>();
  for (const range of [...behind, ...before]) {
    if (left.has(range.nid)) continue;
    const outcome = help(claimant, range, pace);
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

/** `passed`: every run of the range was taken by somebody. */
type RangeOutcome = 'passed' | Exclude<DrainOutcome, 'complete'>;

function drainOwn(claimant: Claimant, range: RegionRange, pace: Pace): RangeOutcome {
  for (;;) {
    const outcome = drainRun(claimant, range);
    if (outcome !== 'more') return outcome;
    pace.countOwn(range.runPages);
  }
}

/** The same for a range of another node; `left`: it does not pay. */
function help(claimant: Claimant, range: RegionRange, pace: Pace): RangeOutcome | 'left' {
  for (;;) {
    const outcome = drainRun(claimant, range);
    if (outcome !== 'more') return outcome;
    if (pace.countHelped(range.runPages)) return 'left';
  }
}

/**
 * Takes the next run of a range: the chunks of one huge page of descriptors, or one chunk where those are larger. Threads
 * that drain then never touch the same huge page first, which would make the kernel clear it twice, while a fault still
 * claims no more than a chunk. Orders are obeyed between two batches.
 */
function drainRun(claimant: Claimant, range: RegionRange): 'more' | RangeOutcome {
  const order = orderOf(claimant);
  if (order !== undefined) return order;
  const run = takeRun(claimant.region, range);
  const first = firstChunkOfRun(range, run);
  if (first >= range.chunks) return 'passed';
  const end = first + chunksOfRun(range, run);
  for (let chunk = first; chunk < end; ) {
    // what is left of the run then is found by whoever finishes
    const between = chunk === first ? undefined : orderOf(claimant);
    if (between !== undefined) return between;
    const taken = claimant.initialize(range, chunk, Math.min(end, chunk + range.batchChunks), 'chunksByDrain');
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

/** @param isLeft whether the range was left to threads of its own; they may have died meanwhile. */
function finishRange(claimant: Claimant, range: RegionRange, isLeft: boolean): DrainOutcome {
  let waits = isLeft;
  for (let chunk = 0; chunk < range.chunks; chunk++) {
    const number = range.firstChunk + chunk;
    for (;;) {
      const word = claimant.chunks.load(number);
      if (isSettled(word)) break;
      const order = orderOf(claimant);
      if (order !== undefined) return order;
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
