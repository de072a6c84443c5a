/**
 * Seeded interleavings: several claimants on one thread, where at every step of one (before a claim, while writing, before
 * publishing, instead of waiting) another may run a whole operation of its own. A seed replays a whole run.
 */
import { describe, expect, it } from 'vitest';
import { ChunkMap, isInitialized } from '../../dist/src/claims/chunk-map.js';
import type { Claimant } from '../../dist/src/claims/claimant.js';
import { Faults } from '../../dist/src/claims/fault.js';
import { seededRandom } from '../../dist/src/observe/random.js';
import { verifyChunk } from '../../dist/src/observe/verify.js';
import type { PolicyName } from '../../dist/src/plan.js';
import { policies } from '../../dist/src/policy/policies.js';
import type { Region } from '../../dist/src/region/region.js';
import { countingKernel, ram, scripted, smallRegion } from '../support/regions.js';

/** An operation that meets a chunk of one that it interrupts cannot go on before that one has: it is tried again later. */
class WouldBlock extends Error {}

interface Actor {
  claimant: Claimant;
  faults: Faults;
  busy: boolean;
}

/** Chunks that begin off a pageblock, a short last chunk, a range of one page, a border between ranges, two nodes. */
const memory = [ram(1, 158), ram(256, 3000), ram(4096, 2048, 1), ram(6144, 1, 1), ram(8192, 700, 1)];

class Run {
  readonly region: Region;
  readonly counts: Int32Array;
  readonly handedOut: [number, number][] = [];
  readonly #actors: Actor[];
  readonly #random: () => number;
  readonly #policy: PolicyName;
  #operations = 60;

  constructor(seed: number, policy: PolicyName) {
    this.#random = seededRandom(seed);
    this.#policy = policy;
    this.region = smallRegion(memory, policy);
    this.counts = new Int32Array(this.region.chunks);
    this.#actors = Array.from({ length: 4 }, () => this.#makeActor());
  }

  #makeActor(): Actor {
    const kernel = countingKernel(this.region, this.counts, () => this.#maybeInterrupt());
    const { claimant, chunks } = scripted(this.region, { kernel });
    chunks.beforeClaim = () => this.#maybeInterrupt();
    chunks.beforePublish = () => this.#maybeInterrupt();
    chunks.insteadOfWait = () => {
      throw new WouldBlock();
    };
    return { claimant, faults: new Faults(claimant), busy: false };
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #maybeInterrupt(): void {
    if (this.#random() < 0.4) this.step();
  }

  /** Lets an idle actor do something. False when there is nothing left to do. */
  step(): boolean {
    const idle = this.#actors.filter(({ busy }) => !busy);
    const actor = idle[this.#below(idle.length)];
    if (!actor || this.#operations === 0) return this.#operations > 0;
    this.#operations--;
    actor.busy = true;
    try {
      this.#operate(actor);
    } catch (error) {
      if (!(error instanceof WouldBlock)) throw error;
    } finally {
      actor.busy = false;
    }
    return true;
  }

  #operate({ claimant, faults }: Actor): void {
    const range = this.region.ranges[this.#below(this.region.ranges.length)] as Region['ranges'][number];
    const pfn = range.startPfn + this.#below(range.pages);
    const choice = this.#below(policies[this.#policy].grow ? 4 : 3);
    if (choice === 0) faults.fault(pfn, 0);
    else if (choice === 1) faults.fault(pfn, this.#random() < 0.9 ? 9 : 18);
    else if (choice === 2) {
      const first = this.#below(range.chunks);
      claimant.initialize(range, first, Math.min(range.chunks, first + 1 + this.#below(4)), 'chunksByDrain');
    } else {
      const run = policies.boot.grow?.(faults, this.region, range.nid, 1 + this.#below(900));
      if (run) {
        expect(faults.isInitialized(run.startPfn, run.endPfn)).toBe(true);
        this.handedOut.push([run.startPfn, run.endPfn]);
      }
    }
  }

  /** Does what is left, one after the other. */
  finish(): void {
    const { claimant } = this.#actors[0] as Actor;
    for (const range of this.region.ranges)
      for (let chunk = 0; chunk < range.chunks; chunk++) claimant.settle(range, chunk);
  }
}

describe.each(['hotplug', 'boot'] as const)('policy %s', (policy) => {
  it('initializes every chunk exactly once in 500 seeded interleavings, and hands out no pfn twice', () => {
    for (let seed = 1; seed <= 500; seed++) {
      const run = new Run(seed, policy);
      while (run.step());
      run.finish();
      const seeded = `seed ${seed}`;
      expect([...run.counts], seeded).toEqual(Array(run.region.chunks).fill(1));
      const chunks = ChunkMap.of(run.region);
      for (const range of run.region.ranges) {
        for (let chunk = 0; chunk < range.chunks; chunk++) {
          expect(verifyChunk(run.region, chunks, range, chunk).wrong, seeded).toBe(0);
        }
      }
      const sorted = run.handedOut.toSorted((a, b) => a[0] - b[0]);
      for (let i = 1; i < sorted.length; i++) {
        expect((sorted[i] as [number, number])[0], seeded).toBeGreaterThanOrEqual(
          (sorted[i - 1] as [number, number])[1],
        );
      }
    }
  });

  it('does the same for the same seed', () => {
    const play = (): unknown => {
      const run = new Run(42, policy);
      while (run.step());
      const { control, layout, chunks } = run.region;
      return [
        Array.from(control.subarray(layout.chunkWords / 4, layout.chunkWords / 4 + chunks), isInitialized),
        run.handedOut,
      ];
    };
    expect(play()).toEqual(play());
  });
});
