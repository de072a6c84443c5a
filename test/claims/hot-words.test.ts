/** Words that belong to a slot, under threads that come too late, or that died and whose tags came back. */
import { describe, expect, it } from 'vitest';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { migrateTypeOf, setMigrateTypeOf } from '../../dist/src/region/pageblocks.js';
import { Region } from '../../dist/src/region/region.js';
import { actorOn, add, hotRegion, rangeAt, removeAtOnce, stateOfSlot } from '../support/hot.js';
import { deadThread, ram } from '../support/regions.js';

const here = 2 ** 20;
const elsewhere = 2 ** 21;

/** A claimant of the calling thread that gets the tag of one that is gone. */
function claimantWithTag(region: Region, tag: number): Claimant {
  for (let turn = 0; turn < 256; turn++) {
    const claimant = new Claimant(Region.attach(region.handle));
    if (claimant.tag === tag) return claimant;
    claimant.leave();
  }
  throw new Error('the tag does not come back');
}

describe('the word of a keeper that died', () => {
  it('keeps nobody from adding and removing when its tag comes back, and what it left is undone', () => {
    const region = hotRegion([ram(0, 1024)], { ranges: 1, pages: 1024 });
    const one = actorOn(region);
    const dead = new Claimant(Region.attach(region.handle), { thread: deadThread });
    const keepers = [region.word.addersKeeper, region.slots.keeperOf(0)];
    for (const at of keepers) expect(dead.keepers.take(at)).toBe('free');
    // it died in the middle of an addition
    region.slots.states.begin(1);
    expect(one.claimant.reapDead()).toBe(1);
    const living = claimantWithTag(region, dead.tag);
    for (const at of keepers) expect(one.claimant.keepers.isHeld(at)).toBe(false);
    add(one, ram(here, 1024));
    expect(stateOfSlot(region, 1)).toBe('live');
    removeAtOnce(one, rangeAt(one, 0));
    expect(one.region.ranges.map(({ startPfn }) => startPfn)).toEqual([here]);
    living.leave();
  });

  it('is taken over by one, and is the word of a living one then', () => {
    const region = hotRegion([ram(0, 1024)]);
    const [one, other] = [actorOn(region), actorOn(region)];
    const dead = new Claimant(Region.attach(region.handle), { thread: deadThread });
    const at = region.word.addersKeeper;
    dead.keepers.take(at);
    one.claimant.reapDead();
    expect(one.claimant.keepers.take(at)).toBe('inherited');
    expect(other.claimant.keepers.take(at)).toBeUndefined();
    expect(other.claimant.keepers.isHeld(at)).toBe(true);
    one.claimant.keepers.release(at);
    expect(other.claimant.keepers.take(at)).toBe('free');
  });
});

describe('the migrate type that somebody sets who comes late', () => {
  it.each([200, 600])('changes no word of the region once the range has gone: pfn %i of it', (offset) => {
    const region = hotRegion([ram(0, 1024)]);
    const [one, remover] = [actorOn(region), actorOn(region)];
    // off a pageblock, whose bits may be another range's
    add(remover, ram(here + 100, 3000));
    add(remover, ram(elsewhere, 4096));
    const range = rangeAt(one, here + 100);
    removeAtOnce(remover, range);
    const before = region.control.slice();
    expect(setMigrateTypeOf(one.region, range, here + offset, 'unmovable')).toBe(false);
    expect(migrateTypeOf(one.region, range, here + offset)).toBe('movable');
    expect(region.control.findIndex((word, at) => word !== before[at])).toBe(-1);
  });

  it('is not that of the next range in the slot', () => {
    const region = hotRegion([ram(0, 1024)]);
    const [one, remover] = [actorOn(region), actorOn(region)];
    add(remover, ram(here, 4096));
    const range = rangeAt(one, here);
    removeAtOnce(remover, range);
    add(remover, ram(elsewhere, 4096));
    const next = rangeAt(one, elsewhere);
    expect(next.slot).toBe(range.slot);
    expect(setMigrateTypeOf(one.region, range, here + 600, 'cma')).toBe(false);
    expect(migrateTypeOf(one.region, next, elsewhere + 600)).toBe('movable');
    // what somebody has set there stays
    expect(setMigrateTypeOf(one.region, next, elsewhere + 600, 'isolate')).toBe(true);
    expect(setMigrateTypeOf(one.region, range, here + 1200, 'cma')).toBe(false);
    expect(migrateTypeOf(one.region, next, elsewhere + 600)).toBe('isolate');
  });

  it('is kept by the range itself where the neighbour goes that it shared the pageblock with', () => {
    const region = hotRegion([ram(0, 1024)]);
    const [one, remover] = [actorOn(region), actorOn(region)];
    add(remover, ram(here, 100), ram(here + 100, 3000));
    const [neighbour, range] = [rangeAt(one, here), rangeAt(one, here + 100)];
    // on its way out, and nobody was told yet
    region.slots.states.retire(neighbour.slot);
    expect(one.region.ranges).toContain(neighbour);
    expect(setMigrateTypeOf(one.region, range, here + 200, 'reclaimable')).toBe(true);
    region.slots.states.changed();
    region.slots.states.vacate(neighbour.slot);
    expect(migrateTypeOf(one.region, range, here + 200)).toBe('reclaimable');
    add(remover, ram(here, 100));
    expect(migrateTypeOf(one.region, rangeAt(one, here), here)).toBe('movable');
  });
});
