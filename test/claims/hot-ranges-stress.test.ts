/**
 * Real threads that fault, drain, verify and grow while others add and remove ranges below them. How much is done is counted in
 * ranges that came and went, not in time. Each run tells its seed.
 */
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { drain } from '../../dist/src/claims/drain.js';
import { removeRange } from '../../dist/src/claims/remove-range.js';
import { nodeProgress } from '../../dist/src/observe/progress.js';
import { seededRandom } from '../../dist/src/observe/random.js';
import { sharesOf, verifyShare } from '../../dist/src/observe/verify.js';
import type { PfnExtent } from '../../dist/src/physical/geometry.js';
import { generationOf } from '../../dist/src/region/range-states.js';
import type { Region } from '../../dist/src/region/region.js';
import { hotRegion, memoryOf, stateOfSlot, takenChunks } from '../support/hot.js';
import { ram } from '../support/regions.js';

type Role = { kind: 'fault' | 'drain' | 'verify' | 'grow' } | { kind: 'hotplug'; window: number; cycles: number };

/** What a thread did. */
interface Deed {
  readonly faults: number;
  readonly late: number;
  readonly verified: number;
  readonly grown: number;
  readonly added: number;
  readonly removed: number;
  readonly written: number;
}

const pagesMax = 6 * 512;
const room = { ranges: 3, pages: pagesMax };
const planned = [ram(1, 158), ram(256, 9000, 1)];
/** Where ranges come and go, some pfns apart so that faults of 1 GiB reach over several; the plan is the last window. */
const windows: readonly PfnExtent[] = [ram(20_000, 4096), ram(24_500, 4096), ram(29_000, 4096), ram(0, 12_000)];

/** Threads on one region. */
class Crowd {
  readonly region = hotRegion(planned, room, 'boot');
  readonly workers: Worker[];
  readonly #gate = new Int32Array(new SharedArrayBuffer(12));
  readonly #deeds: Promise<Deed | undefined>[];

  constructor(roles: readonly Role[], seed: number) {
    this.#gate[2] = roles.filter(({ kind }) => kind === 'hotplug').length;
    this.workers = roles.map(
      (role, index) =>
        new Worker(new URL('../support/hot-actor.mjs', import.meta.url), {
          workerData: {
            handle: this.region.handle,
            gate: this.#gate,
            role: { ...role, pagesMax },
            seed: seed * 100 + index,
            windows,
          },
        }),
    );
    this.#deeds = this.workers.map(
      (worker) =>
        new Promise((resolve, reject) => {
          worker.once('message', resolve);
          worker.once('error', (error) => reject(new Error(`seed ${seed}: ${error.message}`, { cause: error })));
          worker.once('exit', () => resolve(undefined));
        }),
    );
  }

  begin(): void {
    Atomics.store(this.#gate, 0, 1);
    Atomics.notify(this.#gate, 0);
  }

  /** A thread that adds and removes will not tell that it is done. */
  doWithout(): void {
    Atomics.add(this.#gate, 1, 1);
  }

  /** What they did; undefined for those that died. */
  async deeds(): Promise<(Deed | undefined)[]> {
    const deeds = await Promise.all(this.#deeds);
    await Promise.all(this.workers.map((worker) => worker.terminate()));
    return deeds;
  }
}

/** Removes what is left, and looks whether everything is as if nobody had ever been there. */
async function clearUp(region: Region, seeded: string): Promise<void> {
  const claimant = new Claimant(region);
  for (const { range } of region.slots.taken()) {
    if (range.slot >= region.slots.hotFirst) await removeRange(claimant, range.startPfn);
  }
  claimant.reapDead();
  for (let slot = region.slots.hotFirst; slot < region.slots.count; slot++) {
    expect(stateOfSlot(region, slot), seeded).toBe('absent');
    expect(takenChunks(region, slot), seeded).toEqual([]);
    expect(
      memoryOf(region, slot).findIndex((word) => word !== 0),
      seeded,
    ).toBe(-1);
  }
  expect(drain(claimant, 0), seeded).toBe('complete');
  expect(nodeProgress(region, claimant.chunks), seeded).toEqual([
    { nid: 0, pages: 158, pagesReady: 158 },
    { nid: 1, pages: 9000, pagesReady: 9000 },
  ]);
  const cursor = new Int32Array(new SharedArrayBuffer(4));
  expect(verifyShare(region, sharesOf(region), cursor), seeded).toMatchObject({ checked: 9158, wrong: 0 });
}

const sum = (deeds: readonly (Deed | undefined)[], name: keyof Deed): number =>
  deeds.reduce((total, deed) => total + (deed?.[name] ?? 0), 0);

/** Another one each day, so that many are tried over time; a failure tells which. */
const firstSeed = Math.floor(Date.now() / 86_400_000) % 1_000_000;

describe.each([1, 2, 3, firstSeed])('seed %i', (seed) => {
  it('faults, drains, verification and grow meet ranges that come and go', async () => {
    const cycles = 60;
    const crowd = new Crowd(
      [
        { kind: 'hotplug', window: 0, cycles },
        { kind: 'hotplug', window: 1, cycles },
        { kind: 'hotplug', window: 2, cycles },
        { kind: 'fault' },
        { kind: 'fault' },
        { kind: 'drain' },
        { kind: 'verify' },
        { kind: 'grow' },
      ],
      seed,
    );
    crowd.begin();
    const deeds = await crowd.deeds();
    expect(deeds).not.toContain(undefined);
    expect([sum(deeds, 'added'), sum(deeds, 'removed')]).toEqual([3 * cycles, 3 * cycles]);
    for (const name of ['faults', 'late', 'verified', 'grown', 'written'] as const) {
      expect(sum(deeds, name), name).toBeGreaterThan(0);
    }
    const { region } = crowd;
    const generations = [1, 2, 3].map((each) =>
      generationOf(region.slots.states.load(region.slots.hotFirst + each - 1)),
    );
    expect(generations.reduce((total, generation) => total + generation, 0)).toBe(3 * cycles);
    await clearUp(region, `seed ${seed}`);
  });
});

describe('threads that are ended in the middle', () => {
  it('leave nothing stuck and nothing written late, whatever they were at', async () => {
    const random = seededRandom(firstSeed);
    for (let round = 0; round < 6; round++) {
      const crowd = new Crowd(
        [
          { kind: 'hotplug', window: 0, cycles: 1_000_000 },
          { kind: 'hotplug', window: 1, cycles: 25 },
          { kind: 'fault' },
          { kind: 'fault' },
          { kind: 'drain' },
        ],
        firstSeed + round,
      );
      crowd.begin();
      const [victim, , faulting] = crowd.workers as [Worker, Worker, Worker];
      await new Promise((resolve) => setTimeout(resolve, 20 + random() * 60));
      await Promise.all([victim.terminate(), faulting.terminate()]);
      crowd.doWithout();
      const deeds = await crowd.deeds();
      expect(deeds[1], `seed ${firstSeed + round}`).toMatchObject({ added: 25, removed: 25 });
      await clearUp(crowd.region, `seed ${firstSeed + round}`);
    }
  });
});
