/** Runs: how a drain takes chunks, so that no two drains touch the same huge page first, and how a helper leaves a node. */
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { isInitialized, stateOf } from '../../dist/src/claims/chunk-map.js';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { drain, drainTurn } from '../../dist/src/claims/drain.js';
import { allowDrains, cancelDrains, pauseDrains, resumeDrains } from '../../dist/src/claims/orders.js';
import { takeRun, wantRun } from '../../dist/src/claims/runs.js';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import {
  batchChunksOf,
  chunkGeometry,
  chunksOfRun,
  firstChunkOfRun,
  runChunksOf,
} from '../../dist/src/physical/geometry.js';
import type { Region } from '../../dist/src/region/region.js';
import {
  countingKernel,
  deadThread,
  firstRange,
  patternOf,
  ram,
  scripted,
  smallRegion,
  upTo,
} from '../support/regions.js';

/** A region of so many pageblocks in chunks of one: 64 chunks are a run. */
function blocks(count: number, ...more: [count: number, nid: number][]) {
  const memory = [ram(0, count * 512)];
  for (const [blocksOfNode, nid] of more) memory.push(ram((memory.at(-1)?.endPfn ?? 0) + 512, blocksOfNode * 512, nid));
  const region = smallRegion(memory);
  const counts = new Int32Array(region.chunks);
  const order: number[] = [];
  const kernel = countingKernel(region, counts, (chunk) => order.push(chunk));
  return { region, counts, order, kernel };
}

function cursorOf(region: Region, range = firstRange(region)): number {
  return Atomics.load(region.control, range.drainCursor);
}

describe('a run', () => {
  it.each([
    ['64 chunks of a pageblock', 512, 4096, 64],
    ['one chunk of a section', 32_768, 4096, 1],
    ['one chunk, when that is larger', 65_536, 4096, 1],
    ['the whole chunks in a huge page, when they do not fill it', 12_288, 2 ** 21, 2],
    ['512 sections on pages of 1 GiB', 32_768, 2 ** 30, 512],
  ])('is %s', (_, chunkPages, pageBytes, wanted) => {
    expect(runChunksOf(chunkGeometry({ startPfn: 0, endPfn: 2 ** 28 }, chunkPages), pageBytes)).toBe(wanted);
  });

  prop.prop([fc.integer({ min: 1, max: 2 ** 20 }), fc.integer({ min: 1, max: 2 ** 17 }), fc.nat({ max: 511 })])(
    'and the others hold every chunk once, and the last ends with the range',
    (pages, chunkPages, lead) => {
      const geometry = chunkGeometry({ startPfn: lead, endPfn: lead + pages }, chunkPages);
      const range = { ...geometry, runChunks: runChunksOf(geometry, 4096), batchChunks: batchChunksOf(geometry) };
      let next = 0;
      for (let run = 0; firstChunkOfRun(range, run) < range.chunks; run++) {
        expect(firstChunkOfRun(range, run)).toBe(next);
        expect(chunksOfRun(range, run)).toBeGreaterThan(0);
        next += chunksOfRun(range, run);
      }
      expect(next).toBe(range.chunks);
    },
  );

  it.each([
    ['64 chunks of a pageblock', 512, 64],
    ['one chunk of a section', 32_768, 1],
    ['one chunk, when that is larger', 65_536, 1],
  ])('is claimed in batches of 2 MiB of descriptors, whatever pages they lie on: %s', (_, chunkPages, wanted) => {
    expect(batchChunksOf(chunkGeometry({ startPfn: 0, endPfn: 2 ** 28 }, chunkPages))).toBe(wanted);
  });

  it('of one batch is claimed before any of it is written, and published after all of it is', () => {
    const { region, kernel } = blocks(64);
    const seen: string[][] = [];
    const claimant = new Claimant(region, {
      kernel: {
        ...kernel,
        fill(...run: Parameters<typeof kernel.fill>) {
          seen.push([...new Set(Array.from({ length: 64 }, (_, chunk) => stateOf(claimant.chunks.load(chunk))))]);
          return kernel.fill(...run);
        },
      },
    });
    expect(drain(claimant, 0)).toBe('complete');
    expect(seen).toEqual([['claimed']]);
  });

  it('is taken by one drain, upwards', () => {
    const { region, order, kernel } = blocks(64 * 2 + 3);
    expect(drain(new Claimant(region, { kernel }), 0)).toBe('complete');
    expect(order).toEqual(Array.from({ length: 131 }, (_, chunk) => chunk));
    // three runs, and the look behind the last
    expect(cursorOf(region)).toBe(4);
  });

  it('in which a fault has taken a chunk goes on behind it', () => {
    const { region, counts, order, kernel } = blocks(64);
    new Claimant(region, { kernel }).settle(firstRange(region), 20);
    drain(new Claimant(region, { kernel }), 0);
    expect(order[0]).toBe(20);
    expect(counts.every((count) => count === 1)).toBe(true);
  });

  it('into which somebody has faulted is done next, then the others upwards', () => {
    const { region, order, kernel } = blocks(64 * 4);
    const range = firstRange(region);
    const faulting = new Claimant(region, { kernel });
    faulting.settle(range, 64 * 2 + 7);
    const drained = new Claimant(region, { kernel });
    expect(drainTurn(drained, 0)).toBe('more');
    expect(order).toEqual([
      135,
      ...upTo(64)
        .map((chunk) => 128 + chunk)
        .filter((chunk) => chunk !== 135),
    ]);
    // a wish that was overwritten is met by the cursor
    faulting.settle(range, 64 + 1);
    faulting.settle(range, 64 * 3 + 1);
    order.length = 0;
    expect(drain(drained, 0)).toBe('complete');
    expect(order.slice(0, 63)).toEqual(
      upTo(64)
        .map((chunk) => 192 + chunk)
        .filter((chunk) => chunk !== 193),
    );
    expect(order.slice(63, 63 + 64)).toEqual(upTo(64));
    expect(order).toHaveLength(63 + 64 + 63);
  });

  it('that somebody wants is taken by one of two drains', () => {
    const { region } = blocks(64 * 4);
    const range = firstRange(region);
    wantRun(region, range, 64 * 3);
    expect([takeRun(region, range), takeRun(region, range)]).toEqual([3, 0]);
  });

  it.each([-5, 5, 2 ** 30])('wanted that does not exist (%i) is passed over', (wish) => {
    const { region } = blocks(64 * 4);
    const range = firstRange(region);
    Atomics.store(region.control, range.wantedRun, wish);
    expect(takeRun(region, range)).toBe(0);
  });

  it('is not asked for where a chunk is a run', () => {
    const region = smallRegion([ram(0, 4 * 32_768)], 'hotplug', 32_768);
    const range = firstRange(region);
    wantRun(region, range, 3);
    expect(takeRun(region, range)).toBe(0);
  });

  it.each([
    ['paused', pauseDrains],
    ['cancelled', cancelDrains],
  ] as const)('that is %s in the middle leaves its rest to whoever drains next', (outcome, order) => {
    const { region, counts, kernel } = blocks(64 * 2);
    const taker = new Claimant(region, { kernel });
    // a fault in the middle cuts the batch in two
    taker.settle(firstRange(region), 9);
    const stopping = {
      ...kernel,
      fill(...run: Parameters<typeof kernel.fill>) {
        order(region);
        return kernel.fill(...run);
      },
    };
    expect(drain(new Claimant(region, { kernel: stopping }), 0)).toBe(outcome);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(10);
    resumeDrains(region);
    allowDrains(region);
    expect(drain(new Claimant(region, { kernel }), 0)).toBe('complete');
    expect(counts.every((count) => count === 1)).toBe(true);
  });

  it('that no range has any more is no chunk, however far the cursor went', () => {
    const { region, counts, kernel } = blocks(64);
    Atomics.store(region.control, firstRange(region).drainCursor, 2 ** 30);
    expect(drain(new Claimant(region, { kernel }), 0)).toBe('complete');
    expect(counts.every((count) => count === 1)).toBe(true);
  });
});

describe('a turn of the opener', () => {
  it('ends after the run in which its time is over', () => {
    const { region, order, kernel } = blocks(64 * 3);
    expect(drainTurn(new Claimant(region, { kernel }), 0)).toBe('more');
    expect(order).toHaveLength(64);
  });

  it('goes through all ranges, and tells when nothing is left to take', () => {
    const { region, counts, kernel } = blocks(10, [10, 1]);
    expect(drainTurn(new Claimant(region, { kernel }), 10_000)).toBe('passed');
    expect(counts.every((count) => count === 1)).toBe(true);
  });

  it('never waits for a chunk that another thread holds', () => {
    const { region, kernel } = blocks(10);
    const other = new Claimant(region);
    other.chunks.claim(3, other.tag);
    const { claimant, chunks } = scripted(region, { kernel });
    chunks.insteadOfWait = () => {
      throw new Error('waited');
    };
    expect(drainTurn(claimant, 10_000)).toBe('passed');
    expect(claimant.allSettled()).toBe(false);
    other.chunks.publish(3, other.tag);
    expect(claimant.allSettled()).toBe(true);
  });

  it.each([
    ['paused', pauseDrains],
    ['cancelled', cancelDrains],
  ] as const)('of a memmap that is %s takes nothing', (outcome, order) => {
    const { region, counts, kernel } = blocks(10);
    order(region);
    expect(drainTurn(new Claimant(region, { kernel }), 10_000)).toBe(outcome);
    expect(counts.every((count) => count === 0)).toBe(true);
  });
});

describe('a helper', () => {
  /** Runs of node 1, each of one chunk; node 0 has one. */
  const runsOfOther = 300;

  /**
   * A helper from node 0 and a thread at home on node 1, which does `homeRuns` runs in each millisecond that the helper sleeps
   * and in each run of its own that the helper does, which takes `helpMs`. Nothing is written.
   */
  function pair(homeRuns: number, helpMs: number) {
    const region = smallRegion([ram(0, 32_768), ram(65_536, runsOfOther * 32_768, 1)], 'hotplug', 32_768);
    const range = region.ranges[1] as Region['ranges'][number];
    const by = { home: 0, helper: 0 };
    let homeWorks = true;
    const home = new Claimant(region, {
      kernel: {
        ...jsKernel,
        fill: () => {
          by.home++;
          return 0;
        },
      },
    });
    const homeGetsOn = (): void => {
      for (let run = 0; homeWorks && run < homeRuns; run++) {
        const next = takeRun(region, range);
        if (next < range.chunks) home.initialize(range, next, next + 1, 'chunksByDrain');
      }
    };
    let ms = 0;
    let asides = 0;
    const clock = {
      now: () => ms,
      sleep(forMs: number) {
        ms += forMs;
        asides++;
        for (let step = 0; step < forMs; step++) homeGetsOn();
      },
    };
    const helper = new Claimant(region, {
      kernel: {
        ...jsKernel,
        fill(_words, _at, _count, pattern) {
          if (pattern !== patternOf(range)) return 0;
          by.helper++;
          ms += helpMs;
          homeGetsOn();
          return 0;
        },
      },
    });
    const die = (): void => {
      homeWorks = false;
    };
    return { region, helper, clock, by, homeGetsOn, die, asides: () => asides };
  }

  it('stays where a node gets on faster with it', () => {
    // 4 runs a millisecond without it, and 5 with it
    const { helper, clock, by, asides } = pair(4, 1);
    expect(drain(helper, 0, clock)).toBe('complete');
    expect(asides()).toBe(2);
    expect(by.home + by.helper).toBe(runsOfOther);
    expect(by.helper).toBeGreaterThan(30);
  });

  it('leaves a node that is as fast without it, and waits until all is done', () => {
    // 4 runs a millisecond without it, and 5 in 1.25 milliseconds with it
    const { helper, clock, by, homeGetsOn } = pair(4, 1.25);
    const { wait } = Atomics;
    try {
      Atomics.wait = ((words: Int32Array, index: number, value: number) => {
        homeGetsOn();
        return wait(words, index, value, 0);
      }) as typeof wait;
      expect(drain(helper, 0, clock)).toBe('complete');
    } finally {
      Atomics.wait = wait;
    }
    expect(by).toEqual({ home: runsOfOther - 16, helper: 16 });
  });

  it('does not ask where little is left', () => {
    const { region, helper, clock, by, asides } = pair(4, 100);
    Atomics.store(region.control, (region.ranges[1] as Region['ranges'][number]).drainCursor, runsOfOther - 127);
    expect(drain(helper, 0, clock)).toBe('complete');
    expect(asides()).toBe(0);
    expect(by.helper).toBeGreaterThan(16);
  });

  it('of a node that has no thread of its own stays, however slow it is', () => {
    const { helper, clock, by, asides } = pair(0, 1000);
    expect(drain(helper, 0, clock)).toBe('complete');
    expect(asides()).toBe(4);
    expect(by).toEqual({ home: 0, helper: runsOfOther });
  });

  it('comes back when nobody gets on there any more, and takes over what a dead thread held', () => {
    const { region, helper, clock, by, die } = pair(4, 100);
    const dead = new Claimant(region, { thread: deadThread });
    dead.chunks.claim(region.chunks - 1, dead.tag);
    const { sleep } = clock;
    clock.sleep = (ms) => {
      sleep(ms);
      if (clock.now() > 16 * 100 + 1) die();
    };
    expect(drain(helper, 0, clock)).toBe('complete');
    expect(by.home + by.helper).toBe(runsOfOther);
    expect(by.helper).toBeGreaterThan(100);
    expect(isInitialized(helper.chunks.load(region.chunks - 1))).toBe(true);
  }, 60_000);
});
