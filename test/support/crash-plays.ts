/** What tests of crashes play: small regions whose losses can all be tried, drains and users, and the search of what was played. */
import { type ChunkMap, isInitialized } from '../../dist/src/claims/chunk-map.js';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { drain } from '../../dist/src/claims/drain.js';
import { harden } from '../../dist/src/claims/harden.js';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import { VmemmapError } from '../../dist/src/errors.js';
import { seededRandom } from '../../dist/src/observe/random.js';
import { makePlan, type Plan } from '../../dist/src/plan.js';
import type { RegionRange } from '../../dist/src/region/range.js';
import { unknownThread } from '../../dist/src/region/threads.js';
import { type Found, Judge, type Recover, type SearchOptions, search } from './crash-judge.js';
import type { LossBytes } from './losses.js';
import {
  type Defect,
  type Ending,
  freshParts,
  type Ground,
  groundOf,
  idlePersistence,
  regionOver,
  Stage,
  type Stores,
} from './media.js';
import { deadThread, machine, ram, upTo } from './regions.js';

/** The same seed finds the same again. */
export const seed = 20_261_125;
/** Images that were made, and those of them that were new and so given to recovery. */
export const seen = { made: 0, recovered: 0 };

/** A region and its media, and how hard they are tried. */
export interface Setup extends Omit<SearchOptions, 'random' | 'seen' | 'read'> {
  readonly ground: Ground;
  readonly stores: Stores;
  readonly lossBytes: LossBytes;
}

/**
 * Two ranges: one whose chunks are old and on the media, and one that is to be initialized. No plan cuts as finely as these
 * chunks of a few pages, so that there are few lines and all their losses can be tried; nothing in the claims depends on it.
 */
export function planOf(oldChunks: number, chunks: number, chunkPages: number): Plan {
  const memory = machine(ram(0, oldChunks), ram(newPfn, chunks * chunkPages));
  const { ranges, ...rest } = makePlan(memory, { profile: 'linux-6.1', chunkPages: 512 });
  const cut = (index: number) => (index === 0 ? { chunkPages: 1, chunks: oldChunks } : { chunkPages, chunks });
  return { ...rest, ranges: ranges.map((range, index) => ({ ...range, ...cut(index) })) };
}

/** First pfn of the range that is to be initialized. */
export const newPfn = 4096;
/** Of the chunks behind fourteen old ones the first two share a line of chunk words with them, the others are in the next. */
export const oldChunks = 14;

interface DaxOptions {
  readonly stores?: Stores;
  readonly chunks?: number;
  readonly chunkPages?: number;
}

export function dax(
  lossBytes: 8 | 64,
  { stores = 'non-temporal', chunks = 4, chunkPages = 2 }: DaxOptions = {},
): Setup {
  const ground = groundOf(planOf(oldChunks, chunks, chunkPages), 'dax-sync');
  return { ground, stores, lossBytes, combinationsMax: 4096, samples: 60 };
}

/** Two chunks to a page of descriptors. */
export function msync(lossBytes: LossBytes, chunks = 4): Setup {
  const ground = groundOf(planOf(oldChunks, chunks, 32), 'msync');
  return { ground, stores: 'plain', lossBytes, combinationsMax: 1024, samples: 30 };
}

/** A stage on which the old chunks are initialized. */
function stageOf({ ground, stores }: Setup, defect: Defect): Stage {
  const parts = freshParts(ground);
  const region = regionOver(ground, parts, idlePersistence(ground));
  const claimant = new Claimant(region, { kernel: jsKernel, thread: unknownThread });
  const [old] = region.ranges as [RegionRange];
  claimant.initialize(old, 0, old.chunks, 'chunksByFault');
  harden(region, claimant.chunks, 0, old.chunks);
  claimant.leave();
  return new Stage(ground, parts, stores, defect);
}

/** The range that is to be initialized. */
export function newRange({ region }: Stage): RegionRange {
  return region.ranges[1] as RegionRange;
}

export type Play = (stage: Stage) => void;

/** One of many recordings, most of which have much in common: few of its losses, and other ones than of those before. */
const sweepBounds = { combinationsMax: 32, samples: 6 } as const;

/** Records plays and searches them; what one search has seen the next one passes over. */
export class Searcher {
  readonly #setup: Setup;
  readonly #defect: Defect;
  readonly #judge: Judge;
  readonly #options: SearchOptions;

  constructor(setup: Setup, defect: Defect = {}, recoverRegion?: Recover) {
    this.#setup = setup;
    this.#defect = defect;
    this.#judge = new Judge(setup.ground, recoverRegion);
    this.#options = { ...setup, random: seededRandom(seed), seen: new Set() };
  }

  stage(): Stage {
    return stageOf(this.#setup, this.#defect);
  }

  /** Looks at a recording. @param bounds other ones than the setup's, where there are many recordings. */
  search(stage: Stage, bounds: Partial<SearchOptions> = {}): Found | undefined {
    const before = this.#judge.judged;
    const { made, found } = search(stage, this.#judge, { ...this.#options, ...bounds });
    seen.made += made;
    seen.recovered += this.#judge.judged - before;
    return found;
  }

  play(play: Play): Found | undefined {
    const stage = this.stage();
    stage.record(() => play(stage));
    return this.search(stage);
  }

  /**
   * Once by itself, and once more for each step of actor A, before which something else is done.
   * @param bounds for each but the first.
   */
  sweep(play: Play, interruption: Play, bounds: Partial<SearchOptions> = sweepBounds): Found | undefined {
    const whole = this.stage();
    whole.record(() => play(whole));
    const found = this.search(whole);
    if (found) return found;
    for (const step of upTo(whole.stepsOf('A'))) {
      const stage = this.stage();
      let from = 0;
      stage.before('A', step, () => {
        from = stage.events.length;
        interruption(stage);
      });
      stage.record(() => play(stage));
      // all before was looked at already
      const foundHere = this.search(stage, { ...bounds, from });
      if (foundHere) return { ...foundHere, where: `step ${step} of A; ${foundHere.where}` };
    }
    return undefined;
  }
}

/** An actor that drains all. */
export function drainAs(stage: Stage, actor: string, thread = unknownThread): Ending {
  return stage.as(actor, () => {
    const claimant = stage.claimant(thread);
    // one that is to die would find itself dead
    if (thread !== deadThread) claimant.reapDead();
    drain(claimant, 0);
    claimant.leave();
  });
}

export const aDrain: Play = (stage) => void drainAs(stage, 'A');

/** A user changes what is initialized, each time to something else, and brings every other change to the media. */
export function userOf(time: number): Play {
  return (stage) => {
    stage.as('user', () => {
      const chunks = stage.chunks();
      const { firstChunk, chunks: count, chunkPages, startPfn } = newRange(stage);
      for (const chunk of upTo(count)) {
        if (!isInitialized(chunks.load(firstChunk + chunk))) continue;
        const pfn = startPfn + chunk * chunkPages + (chunk % chunkPages);
        stage.change(pfn, 6, 0xabc0 + chunk, time);
        if (chunk % 2 === 0) persistIfItCan(stage, chunks, pfn);
      }
      // an old one, which is DURABLE: it is enough to have seen that
      stage.change(oldChunks - 1, 6, 0xabcd, time);
    });
  };
}

/** Whoever is refused knows that a crash may take it back. */
export function persistIfItCan(stage: Stage, chunks: ChunkMap, pfn: number): void {
  try {
    stage.persist(chunks, pfn);
  } catch (error) {
    if (!(error instanceof VmemmapError && error.code === 'NOT_DURABLE')) throw error;
  }
}
