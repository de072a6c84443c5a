/**
 * Ranges that come and go under claims: each moment at which one thread may meet another is forced. Actors are threads as far as
 * one thread can be: each finds the ranges for itself.
 */
import { describe, expect, it, vi } from 'vitest';
import { addRanges } from '../../dist/src/claims/add-ranges.js';
import { stateOf } from '../../dist/src/claims/chunk-map.js';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { drain, drainTurn } from '../../dist/src/claims/drain.js';
import { growTo, pagesGrown } from '../../dist/src/claims/growth.js';
import { closeClaims } from '../../dist/src/claims/orders.js';
import { removeRange, retire } from '../../dist/src/claims/remove-range.js';
import { takeRun } from '../../dist/src/claims/runs.js';
import { type InitKernel, jsKernel } from '../../dist/src/descriptor/kernel.js';
import { nodeProgress } from '../../dist/src/observe/progress.js';
import { verifyChunk } from '../../dist/src/observe/verify.js';
import type { PlannedMemmap } from '../../dist/src/plan.js';
import { policies } from '../../dist/src/policy/policies.js';
import { migrateTypeOf, setMigrateTypeOf } from '../../dist/src/region/pageblocks.js';
import { Region } from '../../dist/src/region/region.js';
import { refusalOf } from '../physical/errors.js';
import {
  type Actor,
  actorOn,
  add,
  finishRemoval,
  hotRegion,
  memoryOf,
  planned,
  rangeAt,
  removeAtOnce,
  stateOfSlot,
  takenChunks,
} from '../support/hot.js';
import { deadThread, ram } from '../support/regions.js';

/** Where the hot ranges of these tests are. */
const here = 2 ** 20;
const elsewhere = 2 ** 21;
/** The first hot slot. */
const slot = 1;

/** A region of two chunks in the plan, a hot range of eight at `here`, and three threads. */
function setUp() {
  const region = hotRegion([ram(0, 1024)]);
  const [one, other, remover] = [actorOn(region), actorOn(region), actorOn(region)] as [Actor, Actor, Actor];
  add(remover, ram(here, 4096));
  return { region, one, other, remover, range: rangeAt(one, here) };
}

const codeOf = (call: () => unknown): string => refusalOf(call).code;
const turn = (): Promise<void> => new Promise(setImmediate);

describe('a range that was added', () => {
  it('is found by every thread, whether it was there before or came later, and faulted', () => {
    const { region, one, other, range } = setUp();
    expect(other.region.ranges.map(({ startPfn, endPfn }) => [startPfn, endPfn])).toEqual([
      [0, 1024],
      [here, here + 4096],
    ]);
    expect([range.slot, range.firstChunk, range.chunks, range.nid, range.zone]).toEqual([slot, 2, 8, 0, 2]);
    expect(one.faults.fault(here + 700, 0)).toBe('claimed');
    expect(other.faults.fault(here + 512, 9)).toBe('ready');
    expect(actorOn(region).faults.fault(here + 4095, 0)).toBe('claimed');
    expect(verifyChunk(one.region, one.chunks, range, 1)).toEqual({
      checked: 512,
      wrong: 0,
      firstWrongPfn: -1,
      failed: 0,
    });
  });

  it('is not there before all of it is written down: an entry alone is no range', () => {
    const { one, remover } = setUp();
    const { slots } = remover.region;
    const second = slot + 1;
    slots.states.begin(second);
    expect(codeOf(() => one.faults.fault(elsewhere, 0))).toBe('PFN_ABSENT');
    expect(one.region.ranges.length).toBe(2);
    expect(Region.attach(one.region.handle).ranges.length).toBe(2);
    expect(stateOfSlot(one.region, second)).toBe('adding');
    expect(drain(one.claimant, 0)).toBe('complete');
    expect(takenChunks(one.region, second)).toEqual([]);
  });

  it('may begin anywhere, and is as long as its room at most', () => {
    const { remover, range } = setUp();
    removeAtOnce(remover, range);
    expect(() => add(remover, ram(here, 4097))).toThrow(
      new RangeError(
        `the range of pfns ${here} to ${here + 4096} has 4097 pages in 9 chunks; hotplug left room for 4096 in 9`,
      ),
    );
    // the last page of a pageblock, seven whole ones, and a part: nine chunks
    add(remover, ram(here + 511, 4096));
    const off = rangeAt(remover, here + 511);
    expect([off.pages, off.chunks]).toEqual([4096, 9]);
    expect(drain(remover.claimant, 0)).toBe('complete');
    for (let chunk = 0; chunk < 9; chunk++)
      expect(verifyChunk(remover.region, remover.chunks, off, chunk).wrong).toBe(0);
  });

  it.each([
    ['the first page of one of the plan', ram(1023, 2)],
    ['the last page of one that was added', ram(here + 4095, 1)],
    ['one that lies inside', ram(here - 1, 4098)],
  ])('may not overlap another one: %s', (_, extent) => {
    const { region, other } = setUp();
    expect(() => add(other, ram(elsewhere, 1), extent)).toThrow(RangeError);
    // neither of the two
    expect(other.region.ranges.length).toBe(2);
    expect(stateOfSlot(region, slot + 1)).toBe('absent');
  });

  it('may have as many segments as its entry has room for', () => {
    const { remover } = setUp();
    const [whole] = planned(ram(elsewhere, 4096));
    if (!whole) throw new Error('no plan');
    const inSegments = (count: number): PlannedMemmap => ({
      ...whole,
      segments: Array.from({ length: count }, (_, index) => ({
        startPfn: elsewhere + index,
        endPfn: index === count - 1 ? elsewhere + 4096 : elsewhere + index + 1,
        use: index % 2 === 0 ? ('present' as const) : ('reserved' as const),
        content: (whole.segments[0] as PlannedMemmap['segments'][number]).content,
      })),
    });
    const addSegments = (count: number): unknown => addRanges(remover.claimant, () => [inSegments(count)], new Map());
    expect(() => addSegments(17)).toThrow(
      new RangeError(
        `the range of pfns ${elsewhere} to ${elsewhere + 4095} has more than 16 segments with 16 kinds of descriptors; add it in pieces`,
      ),
    );
    addSegments(16);
    expect(rangeAt(actorOn(remover.region), elsewhere).segments).toEqual(inSegments(16).segments);
  });

  it('may lie next to others on both sides, and where one was', () => {
    const { remover, range } = setUp();
    add(remover, ram(here + 4096, 1));
    removeAtOnce(remover, range);
    add(remover, ram(here - 1, 4097 - 1));
    removeAtOnce(remover, rangeAt(remover, 0));
    removeAtOnce(remover, rangeAt(remover, here - 1));
    add(remover, ram(0, 1024));
    expect(remover.region.ranges.map(({ startPfn, slot }) => [startPfn, slot])).toEqual([
      [0, 1],
      [here + 4096, 2],
    ]);
  });

  it('needs a slot: without one all are refused', () => {
    const { other } = setUp();
    const error = refusalOf(() => add(other, ram(elsewhere, 1), ram(elsewhere + 1, 1)));
    expect([error.code, error.message]).toEqual([
      'NO_RANGE_SLOT',
      '2 more ranges are to be added, and hotplug left room for 2, of which 1 are free; remove a range first, or open with more room',
    ]);
    expect(other.region.ranges.length).toBe(2);
    add(other, ram(elsewhere, 1));
    expect(codeOf(() => add(other, ram(elsewhere + 1, 1)))).toBe('NO_RANGE_SLOT');
  });

  it('is drained by a drain that is at work when it comes', () => {
    const region = hotRegion([ram(0, 128 * 512)]);
    const other = actorOn(region);
    const written: number[] = [];
    const kernel: InitKernel = {
      ...jsKernel,
      fill(words, at, count, pattern, index) {
        if (written.length === 0) add(other, ram(here, 4096));
        written.push(count);
        return jsKernel.fill(words, at, count, pattern, index);
      },
    };
    expect(drain(actorOn(region, { kernel }).claimant, 0)).toBe('complete');
    expect(written.reduce((sum, count) => sum + count, 0)).toBe(128 * 512 + 4096);
  });
});

describe('a claimant that finds the range removed behind its claim', () => {
  it('gives the claim back and writes nothing: the fault is told that the range was removed', () => {
    const { region, one, remover, range } = setUp();
    one.faults.fault(here, 0);
    one.chunks.beforeClaim = () => retire(remover.claimant, rangeAt(remover, here));
    const error = refusalOf(() => one.faults.fault(here + 512, 0));
    expect([error.code, error.message]).toEqual([
      'RANGE_REMOVED',
      `the range of pfns ${here} to ${here + 4095} was removed meanwhile; see memmap.ranges`,
    ]);
    expect(stateOf(one.chunks.load(range.firstChunk + 1))).toBe('free');
    expect(
      memoryOf(region, slot)
        .subarray(512 * 16, 1024 * 16)
        .every((word) => word === 0),
    ).toBe(true);
    expect(codeOf(() => one.faults.fault(here, 0))).toBe('PFN_ABSENT');
  });

  it('gives a whole batch back, and the drain goes on with the rest', () => {
    const { region, one, remover, range } = setUp();
    one.chunks.beforeClaim = (chunk) => {
      if (chunk === range.firstChunk + 5) retire(remover.claimant, rangeAt(remover, here));
    };
    expect(drain(one.claimant, 0)).toBe('complete');
    expect(takenChunks(region, slot)).toEqual([]);
    expect(memoryOf(region, slot).every((word) => word === 0)).toBe(true);
    expect(nodeProgress(one.region, one.chunks)).toEqual([{ nid: 0, pages: 1024, pagesReady: 1024 }]);
  });

  it('gives it back, too, when another range is in its slot by then, which loses nothing', () => {
    const { region, one, other, remover, range } = setUp();
    one.chunks.beforeClaim = () => {
      one.chunks.beforeClaim = undefined;
      removeAtOnce(remover, rangeAt(remover, here));
      add(remover, ram(elsewhere, 4096));
    };
    const seen: string[] = [];
    one.chunks.beforeRelease = (chunk) => {
      // for this moment it looks to those who know the range as if somebody were at work
      seen.push(stateOf(other.chunks.load(chunk)));
      other.chunks.insteadOfWait = () => {
        throw new Error('waits');
      };
      expect(() => other.faults.fault(elsewhere + 1024, 0)).toThrow('waits');
    };
    expect(codeOf(() => one.faults.fault(here + 1024, 0))).toBe('RANGE_REMOVED');
    expect(seen).toEqual(['claimed']);
    expect(takenChunks(region, slot)).toEqual([]);
    expect(memoryOf(region, slot).every((word) => word === 0)).toBe(true);
    expect(other.faults.fault(elsewhere + 1024, 0)).toBe('claimed');
    expect(range.seen.every((byte) => byte === 0)).toBe(true);
  });

  it('and died before it gave it back leaves a claim that the next one to need the chunk releases', () => {
    const { region, remover, other } = setUp();
    const dead = actorOn(region, { thread: deadThread });
    const range = rangeAt(dead, here);
    removeAtOnce(remover, rangeAt(remover, here));
    add(remover, ram(elsewhere, 4096));
    dead.chunks.claim(range.firstChunk + 3, dead.claimant.tag);
    other.chunks.insteadOfWait = () => {};
    expect(other.faults.fault(elsewhere + 3 * 512, 0)).toBe('claimed');
    expect(other.claimant.owners.totals().claimsReleased).toBe(1);
  });

  it('and died leaves a claim in an empty slot, which whoever needs its owner slot sets free', () => {
    const { region, remover, other, range } = setUp();
    const dead = actorOn(region, { thread: deadThread });
    removeAtOnce(remover, rangeAt(remover, here));
    dead.chunks.claim(range.firstChunk + 3, dead.claimant.tag);
    expect(other.claimant.reapDead()).toBe(1);
    expect(takenChunks(region, slot)).toEqual([]);
  });
});

describe('a look at a chunk word', () => {
  it('that another range has left there counts for nothing', () => {
    const { one, remover } = setUp();
    const range = rangeAt(one, here);
    removeAtOnce(remover, rangeAt(remover, here));
    add(remover, ram(elsewhere, 4096));
    remover.faults.fault(elsewhere, 0);
    expect(one.claimant.settle(range, 0)).toBe('removed');
    expect(range.seen[0]).toBe(0);
  });

  it('without waiting, too', async () => {
    const { one, remover } = setUp();
    const range = rangeAt(one, here);
    removeAtOnce(remover, rangeAt(remover, here));
    add(remover, ram(elsewhere, 4096));
    remover.faults.fault(elsewhere, 0);
    expect(await one.claimant.settleAsync(range, 0)).toBe('removed');
  });

  it('is remembered for the range, and not for the one that comes behind it', () => {
    const { one, remover } = setUp();
    one.faults.fault(here, 0);
    expect(one.faults.fault(here, 0)).toBe('ready');
    removeAtOnce(remover, rangeAt(remover, here));
    add(remover, ram(here, 4096));
    expect(one.faults.fault(here, 0)).toBe('claimed');
  });

  it('that all are initialized is remembered so, too', () => {
    const { one, remover } = setUp();
    const range = rangeAt(one, here);
    range.complete = true;
    expect([one.faults.fault(here, 0), one.faults.fault(here, 9)]).toEqual(['ready', 'ready']);
    removeAtOnce(remover, rangeAt(remover, here));
    expect([0, 9].map((order) => codeOf(() => one.faults.fault(here, order)))).toEqual(['PFN_ABSENT', 'PFN_ABSENT']);
    add(remover, ram(here, 4096));
    expect(one.faults.fault(here, 9)).toBe('claimed');
  });
});

describe('a removal', () => {
  it('waits for those who hold a claim, and leaves the memory alone until then', async () => {
    const { region, one, remover, range } = setUp();
    one.chunks.claim(range.firstChunk + 7, one.claimant.tag);
    const words = memoryOf(region, slot).subarray(7 * 512 * 16);
    let isOver = false;
    const removal = removeRange(remover.claimant, here).then(() => {
      isOver = true;
    });
    await turn();
    expect(stateOfSlot(region, slot)).toBe('removing');
    for (let round = 0; round < 3; round++) {
      words.fill(round + 1);
      await new Promise((resolve) => setTimeout(resolve, 25));
      expect([isOver, words[0], words.at(-1)]).toEqual([false, round + 1, round + 1]);
    }
    one.chunks.publish(range.firstChunk + 7, one.claimant.tag);
    await removal;
    expect(stateOfSlot(region, slot)).toBe('absent');
    expect(memoryOf(region, slot).every((word) => word === 0)).toBe(true);
    expect(takenChunks(region, slot)).toEqual([]);
  });

  it('meets a claimant that comes between its order and its look: that one turns back', async () => {
    const { region, one, remover } = setUp();
    // the range as it was before the removal began: everything but the last look has been done
    const range = rangeAt(one, here);
    const looked: string[] = [];
    const { load } = remover.chunks;
    remover.chunks.load = (chunk) => {
      if (looked.length === 0 && stateOfSlot(region, slot) === 'removing') {
        looked.push('claims');
        expect(one.claimant.initialize(range, 0, 8, 'chunksByDrain')).toBe(0);
      }
      return load.call(remover.chunks, chunk);
    };
    await removeRange(remover.claimant, here);
    expect(looked).toEqual(['claims']);
    expect(takenChunks(region, slot)).toEqual([]);
    expect(memoryOf(region, slot).every((word) => word === 0)).toBe(true);
  });

  it('releases what dead threads hold', async () => {
    const { region, remover, range } = setUp();
    const dead = new Claimant(region, { thread: deadThread });
    dead.chunks.claim(range.firstChunk, dead.tag, range.firstChunk + 3);
    await removeRange(remover.claimant, here);
    expect(takenChunks(region, slot)).toEqual([]);
    expect(remover.claimant.owners.totals().claimsReleased).toBe(3);
  });

  it('leaves nothing of a chunk either that a thread had begun when it died, and that nobody did again', async () => {
    const { region, remover, range } = setUp();
    const dead = new Claimant(region, { thread: deadThread });
    dead.chunks.claim(range.firstChunk + 4, dead.tag);
    memoryOf(region, slot).fill(77, 4 * 512 * 16, 4 * 512 * 16 + 100);
    remover.claimant.reapDead();
    expect(takenChunks(region, slot)).toEqual([]);
    await removeRange(remover.claimant, here);
    expect(memoryOf(region, slot).every((word) => word === 0)).toBe(true);
  });

  it('is seen by a fault before the version of the set tells of it', () => {
    const { one, remover } = setUp();
    one.faults.fault(here, 0);
    remover.region.slots.states.retire(slot);
    expect(codeOf(() => one.faults.fault(here, 0))).toBe('PFN_ABSENT');
    expect(codeOf(() => one.faults.fault(here + 4095, 0))).toBe('PFN_ABSENT');
    expect(one.faults.fault(0, 0)).toBe('claimed');
  });

  it('takes chunks along that had failed, and words that were set for pageblocks', async () => {
    const { region, one, remover, range } = setUp();
    one.chunks.claim(range.firstChunk + 2, one.claimant.tag);
    one.chunks.fail(range.firstChunk + 2, one.claimant.tag, 5);
    setMigrateTypeOf(one.region, range, here + 600, 'isolate');
    await removeRange(remover.claimant, here);
    expect(takenChunks(region, slot)).toEqual([]);
    add(remover, ram(here, 4096));
    expect(migrateTypeOf(remover.region, rangeAt(remover, here), here + 600)).toBe('movable');
    expect(drain(one.claimant, 0)).toBe('complete');
    expect(nodeProgress(one.region, one.chunks)).toEqual([{ nid: 0, pages: 5120, pagesReady: 5120 }]);
  });

  it('of a range of the plan leaves the others as they are; of the last one nothing', async () => {
    const { region, one, remover } = setUp();
    one.faults.fault(0, 0);
    await removeRange(remover.claimant, 0);
    expect(memoryOf(region, 0).every((word) => word === 0)).toBe(true);
    expect(codeOf(() => one.faults.fault(0, 0))).toBe('PFN_ABSENT');
    expect(one.faults.fault(here, 0)).toBe('claimed');
    await removeRange(remover.claimant, here);
    expect(one.region.ranges).toEqual([]);
    expect(codeOf(() => one.faults.fault(here, 0))).toBe('PFN_ABSENT');
    expect(drain(one.claimant, 0)).toBe('complete');
    // who attaches now finds nothing, and what comes later
    const late = actorOn(region);
    expect(codeOf(() => late.faults.fault(here, 0))).toBe('PFN_ABSENT');
    add(one, ram(7, 1));
    expect(late.faults.fault(7, 0)).toBe('claimed');
  });

  it('of a pfn where no range begins is PFN_ABSENT, inside one, too', async () => {
    const { remover } = setUp();
    for (const pfn of [here + 1, here - 1, elsewhere]) {
      await expect(removeRange(remover.claimant, pfn)).rejects.toMatchObject({
        code: 'PFN_ABSENT',
        message: `no range begins at pfn ${pfn}; see memmap.ranges`,
      });
    }
  });

  it('wakes a thread that waits for a chunk, before the owner of that is done', async () => {
    const { one, other, remover, range } = setUp();
    other.chunks.claim(range.firstChunk, other.claimant.tag);
    // half a minute: only a wake-up comes sooner
    const waiting = one.chunks.waitAsync(range.firstChunk, one.chunks.load(range.firstChunk), 30_000);
    const fault = one.faults.faultAsync(here, 0);
    const keepAlive = setTimeout(() => {}, 30_000);
    const removal = removeRange(remover.claimant, here);
    await expect(fault).rejects.toMatchObject({ code: 'RANGE_REMOVED' });
    await waiting;
    clearTimeout(keepAlive);
    other.chunks.publish(range.firstChunk, other.claimant.tag);
    await removal;
  });

  it('is an error for a thread that sleeps over a chunk', () => {
    const { one, other, remover, range } = setUp();
    other.chunks.claim(range.firstChunk, other.claimant.tag);
    one.chunks.insteadOfWait = () => retire(remover.claimant, rangeAt(remover, here));
    expect(codeOf(() => one.faults.fault(here, 0))).toBe('RANGE_REMOVED');
    expect(stateOf(one.chunks.load(range.firstChunk))).toBe('claimed');
  });

  it('makes a hole for a fault that reaches over several ranges, unless its own pfn lies there', () => {
    const { one, other, remover } = setUp();
    add(remover, ram(here + 4096, 1024));
    const next = rangeAt(one, here + 4096);
    other.chunks.claim(next.firstChunk, other.claimant.tag);
    one.chunks.insteadOfWait = () => retire(remover.claimant, rangeAt(remover, here + 4096));
    expect(one.faults.fault(here + 3584, 18)).toBe('claimed');
    expect(one.faults.isInitialized(here + 3584, here + 2 ** 18)).toBe(true);
    expect(one.faults.initializedPages(0, elsewhere)).toBe(512);
  });

  it('leaves no claim to be waited for in a drain that waits for one', () => {
    const { one, other, remover, range } = setUp();
    other.chunks.claim(range.firstChunk + 7, other.claimant.tag);
    const waited: number[] = [];
    one.chunks.insteadOfWait = (chunk) => {
      waited.push(chunk);
      retire(remover.claimant, rangeAt(remover, here));
    };
    expect(drain(one.claimant, 0)).toBe('complete');
    expect(waited).toEqual([range.firstChunk + 7]);
  });

  it('lets a drain finish the batch that it is at, and take no other', () => {
    const region = hotRegion([ram(0, 512)], { ranges: 1, pages: 256 * 512 });
    const remover = actorOn(region);
    add(remover, ram(here, 256 * 512));
    const written: number[] = [];
    const kernel: InitKernel = {
      ...jsKernel,
      fill(words, at, count, pattern, index) {
        written.push(count);
        if (count > 512) retire(remover.claimant, rangeAt(remover, here));
        return jsKernel.fill(words, at, count, pattern, index);
      },
    };
    const one = actorOn(region, { kernel });
    expect(drain(one.claimant, 0)).toBe('complete');
    expect(written).toEqual([512, 64 * 512]);
    finishRemoval(remover, region.slots.taken().find(({ range }) => range.startPfn === here)?.range as never);
    expect(takenChunks(region, slot)).toEqual([]);
    expect(drainTurn(one.claimant, 1000)).toBe('passed');
  });

  it('is not counted as wrong by who compares meanwhile', () => {
    const { one, other, remover } = setUp();
    one.faults.fault(here, 0);
    const range = rangeAt(other, here);
    const { load } = other.chunks;
    other.chunks.load = (chunk) => {
      const word = load.call(other.chunks, chunk);
      removeAtOnce(remover, rangeAt(remover, here));
      return word;
    };
    const nothing = { checked: 0, wrong: 0, firstWrongPfn: -1, failed: 0 };
    expect(verifyChunk(other.region, other.chunks, range, 0)).toEqual(nothing);
  });
});

describe('two removals of a range', () => {
  it('are one: the second waits for the first, and both succeed', async () => {
    const { region, one, other, remover, range } = setUp();
    one.chunks.claim(range.firstChunk, one.claimant.tag);
    const both = Promise.all([removeRange(remover.claimant, here), removeRange(other.claimant, here)]);
    await turn();
    await turn();
    one.chunks.publish(range.firstChunk, one.claimant.tag);
    await both;
    expect(stateOfSlot(region, slot)).toBe('absent');
    await expect(removeRange(other.claimant, here)).rejects.toMatchObject({ code: 'PFN_ABSENT' });
  });

  it('that meet in one thread, too', async () => {
    const { region, remover } = setUp();
    await Promise.all([removeRange(remover.claimant, here), removeRange(remover.claimant, here)]);
    expect(stateOfSlot(region, slot)).toBe('absent');
  });

  it('do not take away what comes in between: the second one sees that the range has gone', async () => {
    const { one, other, remover, range } = setUp();
    one.chunks.claim(range.firstChunk, one.claimant.tag);
    const first = removeRange(remover.claimant, here);
    const second = removeRange(other.claimant, here);
    await turn();
    one.chunks.publish(range.firstChunk, one.claimant.tag);
    await first;
    add(remover, ram(here, 4096));
    await second;
    expect(one.faults.fault(here, 0)).toBe('claimed');
  });
});

describe('two removals of a range, and what comes behind it', () => {
  it('the second one that takes its place when the range has just gone leaves the next one alone', async () => {
    const { one, other, remover } = setUp();
    const { take } = other.claimant.keepers;
    other.claimant.keepers.take = (at) => {
      other.claimant.keepers.take = take;
      removeAtOnce(remover, rangeAt(remover, here));
      add(remover, ram(here, 4096));
      return take.call(other.claimant.keepers, at);
    };
    await removeRange(other.claimant, here);
    expect(one.faults.fault(here, 0)).toBe('claimed');
    expect(one.claimant.keepers.isHeld(one.region.slots.keeperOf(slot))).toBe(false);
  });
});

describe('a removal whose thread dies', () => {
  it.each([
    ['before it has stored anything', () => {}],
    ['in the middle', (remover: Actor, range: Region['ranges'][number]) => retire(remover.claimant, range)],
    [
      'before it has told that the set has changed',
      (remover: Actor, range: Region['ranges'][number]) => remover.region.slots.states.retire(range.slot),
    ],
  ])('%s is finished by the next one', async (_, step) => {
    const { region, one, other } = setUp();
    const dead = actorOn(region, { thread: deadThread });
    one.faults.fault(here, 0);
    dead.claimant.keepers.take(region.slots.keeperOf(slot));
    step(dead, rangeAt(dead, here));
    await removeRange(other.claimant, here);
    expect(stateOfSlot(region, slot)).toBe('absent');
    expect(memoryOf(region, slot).every((word) => word === 0)).toBe(true);
    expect(codeOf(() => one.faults.fault(here, 0))).toBe('PFN_ABSENT');
    expect(one.region.ranges.map(({ startPfn }) => startPfn)).toEqual([0]);
    // and the keeper's word is free
    add(other, ram(here, 4096));
    await removeRange(one.claimant, here);
  });
});

describe('a removal that cannot end', () => {
  function stuck() {
    const { region, one, range, ...rest } = setUp();
    one.chunks.claim(range.firstChunk + 1, one.claimant.tag);
    const impatient = actorOn(region, { waitMsMax: 40 });
    return { region, one, range, impatient, ...rest };
  }

  it('is an error after the bound; the range is gone for everybody, its slot is kept, and a later one ends it', async () => {
    const { region, one, other, impatient, range } = stuck();
    await expect(removeRange(impatient.claimant, here)).rejects.toMatchObject({
      code: 'FAULT_TIMEOUT',
      message: expect.stringContaining('the thread that claimed chunk 1 of it lives but does not finish'),
    });
    expect(stateOfSlot(region, slot)).toBe('removing');
    expect(codeOf(() => other.faults.fault(here, 0))).toBe('PFN_ABSENT');
    expect(() => add(other, ram(here + 100, 1))).toThrow(
      new RangeError(
        `pfns ${here + 100} to ${here + 100} overlap the range of pfns ${here} to ${here + 4095}, which is being removed`,
      ),
    );
    add(other, ram(elsewhere, 1));
    expect(codeOf(() => add(other, ram(elsewhere + 1, 1)))).toBe('NO_RANGE_SLOT');
    one.chunks.publish(range.firstChunk + 1, one.claimant.tag);
    await removeRange(other.claimant, here);
    add(other, ram(here, 4096));
  });

  it('does not hang who waits for the one that is at it', async () => {
    const { region, impatient, other } = stuck();
    other.claimant.keepers.take(region.slots.keeperOf(slot));
    await expect(removeRange(impatient.claimant, here)).rejects.toMatchObject({
      code: 'FAULT_TIMEOUT',
      message: expect.stringContaining('another thread removes it, lives, but did not finish'),
    });
    other.claimant.keepers.release(region.slots.keeperOf(slot));
  });
});

describe('an addition whose thread dies', () => {
  it('in the middle is undone by the next one', () => {
    const { region, one, remover, range } = setUp();
    removeAtOnce(remover, range);
    const dead = actorOn(region, { thread: deadThread });
    dead.claimant.keepers.take(region.word.addersKeeper);
    for (const each of [slot, slot + 1]) dead.region.slots.states.begin(each);
    dead.region.slots.states.publish(slot);
    add(one, ram(elsewhere, 1));
    expect(stateOfSlot(region, slot + 1)).toBe('live');
    expect(rangeAt(one, elsewhere).slot).toBe(slot + 1);
  });

  it('before it has told that ranges have come is told by the next one, even if that is refused', () => {
    const { region, one, other, remover, range } = setUp();
    removeAtOnce(remover, range);
    expect(one.region.ranges.length).toBe(1);
    const dead = actorOn(region, { thread: deadThread });
    dead.region.slots.states.changed = () => {};
    const { release } = dead.claimant.keepers;
    dead.claimant.keepers.release = () => {};
    add(dead, ram(here, 4096));
    dead.claimant.keepers.release = release;
    expect(one.region.ranges.length).toBe(1);
    expect(() => add(other, ram(here, 1))).toThrow(RangeError);
    expect(one.region.ranges.length).toBe(2);
    expect(one.faults.fault(here, 0)).toBe('claimed');
  });

  it('but lives, and does not finish, is waited for until the bound', () => {
    const { region, other } = setUp();
    const impatient = actorOn(region, { waitMsMax: 30 });
    other.claimant.keepers.take(region.word.addersKeeper);
    const error = refusalOf(() => add(impatient, ram(elsewhere, 1)));
    expect([error.code, error.message]).toEqual([
      'FAULT_TIMEOUT',
      expect.stringMatching(/^the thread that adds a range lives but did not finish in \d+ ms/),
    ]);
    other.claimant.keepers.release(region.word.addersKeeper);
    add(impatient, ram(elsewhere, 1));
  });
});

describe('close', () => {
  it('ends a removal that waits, leaves the memory to whoever closes, and waits for it', async () => {
    const { region, one, other, remover, range } = setUp();
    one.chunks.claim(range.firstChunk, one.claimant.tag);
    const words = memoryOf(region, slot);
    words.fill(77);
    const removal = removeRange(remover.claimant, here);
    await turn();
    closeClaims(region);
    const closed = other.claimant.claimsEnded();
    await expect(removal).rejects.toMatchObject({ code: 'CLOSED' });
    one.chunks.publish(range.firstChunk, one.claimant.tag);
    expect(await closed).toBe(true);
    expect(words.every((word) => word === 77)).toBe(true);
    await expect(removeRange(remover.claimant, 0)).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('ends a removal that is giving memory back before the next piece', async () => {
    const pages = 3 * 2 ** 20;
    const region = hotRegion([ram(0, 512)], { ranges: 1, pages });
    const [one, remover] = [actorOn(region), actorOn(region)] as [Actor, Actor];
    add(remover, ram(here, pages));
    for (const pfn of [here, here + pages / 2]) one.faults.fault(pfn, 0);
    const words = memoryOf(region, slot);
    // a word that is not 0 in any descriptor
    const [first, later] = [1, (pages / 2) * 16 + 1];
    expect([words[first], words[later]]).not.toContain(0);
    // each piece takes longer than a turn
    let nowMs = performance.now();
    const now = vi.spyOn(performance, 'now').mockImplementation(() => (nowMs += 10));
    const removal = removeRange(remover.claimant, here);
    while (words[first] !== 0) await Promise.resolve();
    closeClaims(region);
    await expect(removal).rejects.toMatchObject({ code: 'CLOSED' });
    now.mockRestore();
    expect(words[later]).not.toBe(0);
    expect(stateOfSlot(region, slot)).toBe('removing');
  });

  it('waits until nobody removes or adds a range any more, until the bound', async () => {
    const { region, other } = setUp();
    const impatient = actorOn(region, { waitMsMax: 40 });
    for (const at of [region.slots.keeperOf(slot), region.slots.keeperOf(0), region.word.addersKeeper]) {
      other.claimant.keepers.take(at);
      expect(await impatient.claimant.claimsEnded()).toBe(false);
      setTimeout(() => other.claimant.keepers.release(at), 30);
      expect(await new Claimant(region).claimsEnded()).toBe(true);
    }
  });

  it('does not wait for a keeper that has died', async () => {
    const { region } = setUp();
    const dead = actorOn(region, { thread: deadThread });
    dead.claimant.keepers.take(region.slots.keeperOf(slot));
    dead.claimant.keepers.take(region.word.addersKeeper);
    expect(await new Claimant(region, { waitMsMax: 40 }).claimsEnded()).toBe(true);
  });

  it('that comes behind the keeper refuses to add, and nothing has changed', () => {
    const { region, other } = setUp();
    const { take } = other.claimant.keepers;
    other.claimant.keepers.take = (at) => {
      const before = take.call(other.claimant.keepers, at);
      closeClaims(region);
      return before;
    };
    expect(codeOf(() => add(other, ram(elsewhere, 1)))).toBe('CLOSED');
    expect(stateOfSlot(region, slot + 1)).toBe('absent');
    expect(other.claimant.keepers.isHeld(region.word.addersKeeper)).toBe(false);
  });

  it('waits for claims in a range whose removal has given up', async () => {
    const { region, one, remover, range } = setUp();
    one.chunks.claim(range.firstChunk, one.claimant.tag);
    retire(remover.claimant, rangeAt(remover, here));
    closeClaims(region);
    expect(await new Claimant(region, { waitMsMax: 40 }).claimsEnded()).toBe(false);
    one.chunks.publish(range.firstChunk, one.claimant.tag);
    expect(await new Claimant(region, { waitMsMax: 40 }).claimsEnded()).toBe(true);
  });
});

describe('grow', () => {
  function growing() {
    const region = hotRegion([ram(0, 1024)], { ranges: 2, pages: 4096 }, 'boot');
    const [one, remover] = [actorOn(region), actorOn(region)] as [Actor, Actor];
    add(remover, ram(here, 4096));
    const grow = (pages: number): unknown => policies.boot.grow?.(one.faults, one.region, 0, pages);
    return { region, one, remover, grow };
  }

  it('goes on into ranges that were added, and not into those that have gone', () => {
    const { remover, grow } = growing();
    expect(grow(1024)).toEqual({ startPfn: 0, endPfn: 1024 });
    expect(grow(1000)).toEqual({ startPfn: here, endPfn: here + 1000 });
    removeAtOnce(remover, rangeAt(remover, here));
    expect(grow(1)).toBeUndefined();
    add(remover, ram(elsewhere, 4096));
    expect(grow(2)).toEqual({ startPfn: elsewhere, endPfn: elsewhere + 2 });
  });

  it('that comes back late takes no page from the range behind, though that is as far', () => {
    const { one, remover } = growing();
    const range = rangeAt(one, here);
    expect(pagesGrown(one.region, range)).toBe(0);
    removeAtOnce(remover, rangeAt(remover, here));
    add(remover, ram(here, 4096));
    expect(growTo(one.region, range, 0, 100)).toBe(false);
    expect(pagesGrown(one.region, range)).toBeUndefined();
    expect(pagesGrown(one.region, rangeAt(one, here))).toBe(0);
  });

  it('hands out nothing of a range that was removed while it initialized', () => {
    const { one, remover, grow } = growing();
    grow(1024);
    const range = rangeAt(one, here);
    one.chunks.beforePublish = () => retire(remover.claimant, rangeAt(remover, here));
    expect(grow(10)).toBeUndefined();
    expect(pagesGrown(one.region, range)).toBe(0);
  });

  it('hands out nothing of a range that was removed just before it looked for the last time', () => {
    const { one, remover, grow } = growing();
    grow(1024);
    const range = rangeAt(one, here);
    const { states } = one.region.slots;
    const { isLive } = states;
    states.isLive = (found) => {
      if (pagesGrown(one.region, range) === 10) retire(remover.claimant, rangeAt(remover, here));
      return isLive.call(states, found);
    };
    expect(grow(10)).toBeUndefined();
    expect(pagesGrown(one.region, range)).toBe(10);
  });

  it('hands out nothing of a range that was removed before it could begin', () => {
    const { one, remover, grow } = growing();
    grow(1024);
    one.chunks.beforeClaim = () => retire(remover.claimant, rangeAt(remover, here));
    expect(grow(10)).toBeUndefined();
  });
});

describe('hints of a range that has gone', () => {
  it('are gone when the next one comes', () => {
    const { one, remover } = setUp();
    const old = rangeAt(one, here);
    expect([takeRun(one.region, old), takeRun(one.region, old)]).toEqual([0, 1]);
    one.region.control[old.wantedRun] = 1;
    removeAtOnce(remover, rangeAt(remover, here));
    add(remover, ram(elsewhere, 4096));
    expect([takeRun(one.region, old), takeRun(one.region, old)]).toEqual([0, 1]);
  });

  it('lead nobody astray in the one behind it', () => {
    const { one, remover, other } = setUp();
    const old = rangeAt(one, here);
    removeAtOnce(remover, rangeAt(remover, here));
    add(remover, ram(elsewhere, 512));
    // a run that the range behind does not have, and a cursor far behind its end
    one.region.control[old.wantedRun] = 1000;
    for (let run = 0; run < 5; run++) takeRun(one.region, old);
    expect(drain(other.claimant, 0)).toBe('complete');
    expect(other.faults.isInitialized(elsewhere, elsewhere + 512)).toBe(true);
  });
});

describe('who attaches', () => {
  it.each(['live', 'removing', 'absent', 'adding'] as const)('while a slot is %s finds what is there', (state) => {
    const { region, remover, range } = setUp();
    const steps = {
      live: () => {},
      removing: () => retire(remover.claimant, rangeAt(remover, here)),
      absent: () => removeAtOnce(remover, rangeAt(remover, here)),
      adding: () => {
        removeAtOnce(remover, rangeAt(remover, here));
        region.slots.states.begin(slot);
      },
    };
    steps[state]();
    expect(stateOfSlot(region, slot)).toBe(state);
    const late = actorOn(region);
    expect(late.region.ranges.map(({ startPfn }) => startPfn)).toEqual(state === 'live' ? [0, here] : [0]);
    if (state === 'live') expect(late.faults.fault(here, 0)).toBe('claimed');
    else expect(codeOf(() => late.faults.fault(here, 0))).toBe('PFN_ABSENT');
    expect(late.claimant.settle(range, 0)).toBe(state === 'live' ? 'ready' : 'removed');
  });

  it('just when an entry is overwritten takes nothing from that', () => {
    const { region, remover } = setUp();
    const late = Region.attach(region.handle);
    const { entries } = late.slots;
    const { load } = entries;
    entries.load = (index) => {
      entries.load = load;
      const before = new Uint8Array(load.call(entries, index).buffer);
      removeAtOnce(remover, rangeAt(remover, here));
      add(remover, ram(elsewhere + 7, 3, 1));
      const torn = load.call(entries, index);
      // half of it is of the range before: no range is like that
      new Uint8Array(torn.buffer).set(before.subarray(0, 12));
      return torn;
    };
    expect(late.ranges.map(({ startPfn }) => startPfn)).toEqual([0, elsewhere + 7]);
  });

  it('between the two halves of a list sees no two ranges at one place', () => {
    const { region, remover } = setUp();
    add(remover, ram(elsewhere, 4096));
    const late = Region.attach(region.handle);
    const { states } = late.slots;
    const { load } = states;
    states.load = (each) => {
      const word = load.call(states, each);
      if (each === slot) {
        // when the first of them was looked at, it goes, and the second one comes where it was
        states.load = load;
        removeAtOnce(remover, rangeAt(remover, elsewhere));
        removeAtOnce(remover, rangeAt(remover, here));
        add(remover, ram(elsewhere + 4096, 1));
        add(remover, ram(here, 4096));
      }
      return word;
    };
    expect(late.ranges.map(({ startPfn, slot: at }) => [startPfn, at])).toEqual([
      [0, 0],
      [here, 2],
      [elsewhere + 4096, 1],
    ]);
  });
});
