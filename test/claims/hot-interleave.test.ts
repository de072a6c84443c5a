/**
 * Seeded interleavings with ranges that come and go: several actors on one thread, where at every step of one (before a claim,
 * while writing, before publishing, before giving back, while looking for claims) another may run a whole operation of its own.
 * A seed replays a whole run. What must hold: nobody writes a chunk of a range that is gone, nor one twice; memory of an empty
 * slot stays zeros; nothing is told to be ready that is not.
 */
import { describe, expect, it } from 'vitest';
import { ChunkMap, isInitialized, stateOf } from '../../dist/src/claims/chunk-map.js';
import { growTo, pagesGrown } from '../../dist/src/claims/growth.js';
import { retire } from '../../dist/src/claims/remove-range.js';
import { type InitKernel, jsKernel } from '../../dist/src/descriptor/kernel.js';
import { VmemmapError } from '../../dist/src/errors.js';
import { seededRandom } from '../../dist/src/observe/random.js';
import { verifyChunk } from '../../dist/src/observe/verify.js';
import { policies } from '../../dist/src/policy/policies.js';
import { generationOf, liveWordOf, rangeStateOf } from '../../dist/src/region/range-states.js';
import type { Region } from '../../dist/src/region/region.js';
import { type Actor, actorOn, add, finishRemoval, hotRegion, memoryOf } from '../support/hot.js';
import { chunksMet, patternOf, ram } from '../support/regions.js';

type Range = Region['ranges'][number];

/** An operation that meets a chunk of one that it interrupts cannot go on before that one has: it is tried again later. */
class WouldBlock extends Error {}

/** Off a pageblock, a short last chunk, two nodes. */
const memory = [ram(1, 158), ram(256, 1500, 1)];
const room = { ranges: 3, pages: 1024 };
/** Where hot ranges may begin, some off a pageblock; ends overlap with what is next. */
const starts = [4096, 4096 + 511, 6144, 7000, 8192];

interface Player extends Actor {
  busy: boolean;
  /** All ranges that it ever found, those that are gone, too. */
  readonly known: Set<Range>;
}

class Run {
  readonly region: Region;
  /** How often each chunk of each range that ever was has been written. */
  readonly counts = new Map<string, number>();
  readonly handedOut: string[] = [];
  readonly #players: Player[];
  readonly #random: () => number;
  readonly #removals: { player: Player; range: Range }[] = [];
  #operations = 90;
  added = 0;
  removed = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.region = hotRegion(memory, room, 'boot');
    this.#players = Array.from({ length: 4 }, () => this.#makePlayer());
  }

  #makePlayer(): Player {
    const known = new Set<Range>();
    const kernel: InitKernel = {
      ...jsKernel,
      fill: (words, at, count, pattern, index) => {
        const range = [...known].find((candidate) => patternOf(candidate) === pattern);
        if (!range) throw new Error('a pattern that no range has');
        for (const chunk of chunksMet(range, index, count)) {
          const key = `${range.slot}:${range.liveWord}:${chunk}`;
          this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
          this.#maybeInterrupt();
          this.#mustBeThere(range, 'is written');
        }
        return jsKernel.fill(words, at, count, pattern, index);
      },
    };
    const player = { ...actorOn(this.region, { kernel }), busy: false, known };
    const { slots } = player.region;
    const { refresh } = slots;
    slots.refresh = () => {
      const found = refresh.call(slots);
      for (const range of found) known.add(range);
      return found;
    };
    slots.refresh();
    player.chunks.beforeClaim = () => this.#maybeInterrupt();
    player.chunks.beforeRelease = () => this.#maybeInterrupt();
    player.chunks.beforePublish = () => this.#maybeInterrupt();
    player.chunks.insteadOfWait = () => {
      throw new WouldBlock();
    };
    return player;
  }

  /** Whoever writes has a claim, and so the range waits for it. */
  #mustBeThere({ slot, liveWord, startPfn }: Range, what: string): void {
    const word = this.region.slots.states.load(slot);
    const state = rangeStateOf(word);
    if (liveWordOf(word) !== liveWord || (state !== 'live' && state !== 'removing')) {
      throw new Error(`the range at ${startPfn} ${what}, and the slot is ${state}`);
    }
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #anyOf<T>(values: readonly T[]): T {
    return values[this.#below(values.length)] as T;
  }

  #maybeInterrupt(): void {
    if (this.#random() < 0.3) this.step();
  }

  /** Lets an idle player do something. False when there is nothing left to do. */
  step(): boolean {
    const idle = this.#players.filter(({ busy }) => !busy);
    const player = this.#anyOf(idle);
    if (!player || this.#operations === 0) return this.#operations > 0;
    this.#operations--;
    player.busy = true;
    try {
      this.#operate(player);
    } catch (error) {
      const isExpected =
        error instanceof WouldBlock ||
        error instanceof RangeError ||
        (error instanceof VmemmapError && ['PFN_ABSENT', 'RANGE_REMOVED', 'NO_RANGE_SLOT'].includes(error.code));
      if (!isExpected) throw error;
    } finally {
      player.busy = false;
    }
    this.#checkEmptySlots();
    return true;
  }

  #operate(player: Player): void {
    const { claimant, faults, known } = player;
    const range = this.#anyOf([...known]);
    const pfn = range.startPfn + this.#below(range.pages);
    const choice = this.#below(8);
    if (choice === 0) this.#fault(player, pfn, 0);
    else if (choice === 1) this.#fault(player, pfn, this.#random() < 0.7 ? 9 : 18);
    else if (choice === 2) {
      const first = this.#below(range.chunks);
      claimant.initialize(range, first, Math.min(range.chunks, first + 1 + this.#below(4)), 'chunksByDrain');
    } else if (choice === 3) this.#settle(player, range);
    else if (choice === 4) this.#grow(player, range);
    else if (choice === 5) {
      const startPfn = this.#anyOf(starts);
      add(player, ram(startPfn, 1 + this.#below(1024), this.#below(2)));
      this.added++;
    } else if (choice === 6) this.#beginRemoval(player, range);
    else this.#endRemoval(player);
    if (choice === 0) expect(faults.isInitialized(pfn, pfn + 1)).toBe(true);
  }

  #fault({ faults, region }: Player, pfn: number, order: number): void {
    faults.fault(pfn, order);
    const range = region.rangeOf(pfn);
    if (!range) return;
    const words = range.words.subarray(range.offsetOf(pfn) / 4, range.offsetOf(pfn) / 4 + 2);
    const isWritten = words.some((word) => word !== 0);
    // removed since, while another player was at work
    if (region.slots.states.isLive(range)) expect(isWritten).toBe(true);
  }

  /** A chunk of a range that may have gone long ago: what it is told is so at this moment. */
  #settle({ claimant, region }: Player, range: Range): void {
    const outcome = claimant.settle(range, this.#below(range.chunks));
    if (!region.slots.states.isLive(range)) expect(outcome).toBe('removed');
  }

  #grow({ faults, region }: Player, range: Range): void {
    const run = policies.boot.grow?.(faults, region, range.nid, 1 + this.#below(900));
    if (run) {
      const owner = [...this.#knownTo(run.startPfn)].find((candidate) => region.slots.states.isLive(candidate));
      if (owner) this.handedOut.push(`${owner.slot}:${owner.liveWord}:${run.startPfn}-${run.endPfn}`);
    }
    // and one who comes back late from a range that may have gone
    const from = pagesGrown(region, range);
    if (from === undefined) expect(growTo(region, range, 0, 1)).toBe(false);
  }

  *#knownTo(pfn: number): Generator<Range> {
    for (const { known } of this.#players) {
      for (const range of known) if (range.startPfn <= pfn && pfn < range.endPfn) yield range;
    }
  }

  #beginRemoval(player: Player, range: Range): void {
    const { claimant, region } = player;
    if (range.slot < region.slots.hotFirst && this.#random() < 0.8) return;
    if (!claimant.keepers.take(region.slots.keeperOf(range.slot))) return;
    if (!region.slots.states.isLive(range)) {
      claimant.keepers.release(region.slots.keeperOf(range.slot));
      return;
    }
    retire(claimant, range);
    this.#removals.push({ player, range });
  }

  /** Looks for claims chunk by chunk, others at work in between; with one left it is tried again later. */
  #endRemoval(by: Player): void {
    const index = this.#removals.findIndex(({ player }) => player === by);
    const removal = this.#removals[index];
    if (!removal) return;
    const { range } = removal;
    for (let chunk = 0; chunk < range.chunks; chunk++) {
      if (stateOf(by.chunks.load(range.firstChunk + chunk)) === 'claimed') return;
      this.#maybeInterrupt();
    }
    if (this.#removals[index] !== removal) return;
    this.#removals.splice(index, 1);
    finishRemoval(by, range);
    by.claimant.keepers.release(by.region.slots.keeperOf(range.slot));
    this.removed++;
  }

  #checkEmptySlots(): void {
    const { slots } = this.region;
    for (let slot = 0; slot < slots.count; slot++) {
      if (rangeStateOf(slots.states.load(slot)) !== 'absent' || generationOf(slots.states.load(slot)) === 0) continue;
      const dirty = memoryOf(this.region, slot).findIndex((word) => word !== 0);
      if (dirty >= 0) throw new Error(`somebody has written to word ${dirty} of the empty slot ${slot}`);
    }
  }

  /** Does what is left, one after the other. */
  finish(): void {
    while (this.#removals.length > 0) for (const player of this.#players) this.#endRemovalNow(player);
    const [player] = this.#players as [Player];
    for (const range of player.region.ranges) {
      for (let chunk = 0; chunk < range.chunks; chunk++) player.claimant.settle(range, chunk);
    }
  }

  #endRemovalNow(player: Player): void {
    this.#operations = 0;
    this.#endRemoval(player);
  }
}

describe('ranges that come and go', () => {
  it('are written chunk by chunk once each, and only while they are there, in 400 seeded interleavings', () => {
    let [added, removed] = [0, 0];
    for (let seed = 1; seed <= 400; seed++) {
      const run = new Run(seed);
      const seeded = `seed ${seed}`;
      try {
        while (run.step());
        run.finish();
      } catch (error) {
        throw new Error(`${seeded}: ${(error as Error).message}`, { cause: error });
      }
      const chunks = ChunkMap.of(run.region);
      expect(Math.max(...run.counts.values()), seeded).toBe(1);
      for (const range of run.region.ranges) {
        for (let chunk = 0; chunk < range.chunks; chunk++) {
          expect(isInitialized(chunks.load(range.firstChunk + chunk)), seeded).toBe(true);
          expect(run.counts.get(`${range.slot}:${range.liveWord}:${range.firstChunk + chunk}`), seeded).toBe(1);
          expect(verifyChunk(run.region, chunks, range, chunk).wrong, seeded).toBe(0);
        }
      }
      expect(new Set(run.handedOut).size, seeded).toBe(run.handedOut.length);
      added += run.added;
      removed += run.removed;
    }
    // or nothing of the above was tried
    expect(added).toBeGreaterThan(400);
    expect(removed).toBeGreaterThan(400);
  });

  it('do the same for the same seed', () => {
    const play = (): unknown => {
      const run = new Run(42);
      while (run.step());
      run.finish();
      return [[...run.counts], run.handedOut, run.added, run.removed];
    };
    expect(play()).toEqual(play());
  });
});
