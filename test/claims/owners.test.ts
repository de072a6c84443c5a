/** The owner table: slots, generations, and who is known to be dead. */
import { execFileSync } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { OwnerTable } from '../../dist/src/claims/owners.js';
import { ownerSlots } from '../../dist/src/region/layout.js';
import type { Processes } from '../../dist/src/region/processes.js';
import { isThreadDead, type ThreadIdentity, thisThread, unknownThread } from '../../dist/src/region/threads.js';
import { deadThread, ram, smallRegion } from '../support/regions.js';

function freshTable(): OwnerTable {
  const region = smallRegion([ram(0, 512)]);
  return new OwnerTable(region.control, region.layout.owners);
}

const nothing = (): void => {};

describe('threads', () => {
  it('this thread lives', () => {
    expect(isThreadDead(thisThread())).toBe(false);
  });

  it('a thread with the id of this one, but of another start time, is dead: ids are used again', () => {
    const me = thisThread();
    expect(isThreadDead({ tid: me.tid, startTicks: me.startTicks - 1 })).toBe(true);
  });

  it('an id that nobody has is dead', () => {
    expect(isThreadDead(deadThread)).toBe(true);
  });

  it('nothing is known of the unknown thread', () => {
    expect(isThreadDead(unknownThread)).toBe(false);
  });

  it('a worker lives until it has been terminated', async () => {
    const threads = new URL('../../dist/src/region/threads.js', import.meta.url).href;
    const code = `const { parentPort } = require('node:worker_threads');
      import(${JSON.stringify(threads)}).then(({ thisThread }) => parentPort.postMessage(thisThread()));
      setInterval(() => {}, 1000);`;
    const worker = new Worker(code, { eval: true });
    const identity = await new Promise<ThreadIdentity>((resolve) => worker.once('message', resolve));
    expect(identity.tid).not.toBe(thisThread().tid);
    expect(isThreadDead(identity)).toBe(false);
    await worker.terminate();
    expect(isThreadDead(identity)).toBe(true);
  });
});

describe('slots', () => {
  it('two owners never have the same tag', () => {
    const table = freshTable();
    expect(table.join(nothing).tag).not.toBe(table.join(nothing).tag);
  });

  it('a slot that was left is used again, under another tag, through more than all generations', () => {
    const table = freshTable();
    let last = table.join(nothing);
    const slot = last.slot;
    for (let i = 0; i < 300; i++) {
      table.leave(last);
      const next = table.join(nothing);
      expect(next.slot).toBe(slot);
      expect(next.tag).not.toBe(last.tag);
      last = next;
    }
  });

  it('leaving twice breaks an invariant', () => {
    const table = freshTable();
    const owner = table.join(nothing);
    table.leave(owner);
    expect(() => table.leave(owner)).toThrow('broken invariant');
  });

  it('one owner more than slots is refused with what to do, and fits when somebody leaves', () => {
    const table = freshTable();
    const owners = Array.from({ length: ownerSlots }, () => table.join(nothing));
    expect(() => table.join(nothing)).toThrow(expect.objectContaining({ code: 'NO_OWNER_SLOT' }));
    table.leave(owners[500] as (typeof owners)[0]);
    expect(table.join(nothing).slot).toBe(500);
  });

  it('when all slots are taken, those of dead threads are reaped, and their claims with them', () => {
    const table = freshTable();
    const dead = Array.from({ length: 3 }, () => table.join(nothing, deadThread));
    for (let i = 3; i < ownerSlots; i++) table.join(nothing);
    const released: number[] = [];
    expect(table.join((tag) => released.push(tag)).slot).toBe(dead[0]?.slot);
    expect(released).toEqual(dead.map(({ tag }) => tag));
  });
});

describe('the dead', () => {
  it('an owner lives as long as its thread, by its tag', () => {
    const table = freshTable();
    expect(table.isDead(table.join(nothing).tag)).toBe(false);
    expect(table.isDead(table.join(nothing, deadThread).tag)).toBe(true);
  });

  it('a tag of a former owner of the slot is dead', () => {
    const table = freshTable();
    const former = table.join(nothing);
    table.leave(former);
    table.join(nothing);
    expect(table.isDead(former.tag)).toBe(true);
  });

  it('reaping frees the slots of the dead only, and tells their tags once', () => {
    const table = freshTable();
    const alive = table.join(nothing);
    const dead = table.join(nothing, deadThread);
    const released: number[] = [];
    expect(table.reap((tag) => released.push(tag))).toBe(1);
    expect(table.reap((tag) => released.push(tag))).toBe(0);
    expect(released).toEqual([dead.tag]);
    expect(table.isDead(alive.tag)).toBe(false);
  });

  it('while a reaper is at it, the owner counts as dead, and nobody reaps it a second time', () => {
    const table = freshTable();
    const dead = table.join(nothing, deadThread);
    let seen: unknown;
    table.reap(() => {
      seen = [table.isDead(dead.tag), table.reap(nothing)];
    });
    expect(seen).toEqual([true, 0]);
  });

  it('a reaper that died in the middle is reaped itself', () => {
    const table = freshTable();
    const dead = table.join(nothing, deadThread);
    const die = (): never => {
      throw new Error('killed while reaping');
    };
    expect(() => table.reap(die, deadThread)).toThrow('killed while reaping');
    const released: number[] = [];
    expect(table.reap((tag) => released.push(tag))).toBe(1);
    expect(released).toEqual([dead.tag]);
  });
});

/** Processes that share a file, as one of them is told of the others. */
interface Told {
  /** Slots of processes that have ended. */
  readonly gone?: readonly number[];
  /** Slots of processes of another pid namespace. */
  readonly foreign?: readonly number[];
}

function processes(slot: number, { gone = [], foreign = [] }: Told = {}): Processes {
  return {
    slot,
    isGone: (other) => gone.includes(other),
    sharesThreadIds: (other) => !foreign.includes(other),
    hasOthers: () => true,
    whileGone(other, reap) {
      if (gone.includes(other)) reap();
      return gone.includes(other);
    },
    forget() {},
  };
}

/** One owner table as processes 1 and above see it. */
function sharedTable(): (slot: number, told?: Told) => OwnerTable {
  const region = smallRegion([ram(0, 512)]);
  return (slot, told) => new OwnerTable(region.control, region.layout.owners, processes(slot, told));
}

describe('processes that share a file', () => {
  it('have different tags, and each knows its own', () => {
    const seenBy = sharedTable();
    const [first, second] = [seenBy(1).join(nothing), seenBy(127).join(nothing)];
    expect(first.tag).not.toBe(second.tag);
    const own = [first, second].map(({ tag }) => [1, 127].map((slot) => seenBy(slot).isOfThisProcess(tag)));
    expect(own).toEqual([
      [true, false],
      [false, true],
    ]);
  });

  it('do not take a tag of a former owner of a slot for one of their own', () => {
    const table = sharedTable()(1);
    const former = table.join(nothing);
    table.leave(former);
    expect(table.isOfThisProcess(former.tag)).toBe(false);
    const next = table.join(nothing);
    expect(next.slot).toBe(former.slot);
    expect([former, next].map(({ tag }) => table.isOfThisProcess(tag))).toEqual([false, true]);
  });

  it('keep thread ids up to the largest apart from the largest process slot', () => {
    const seenBy = sharedTable();
    const owner = seenBy(127).join(nothing, deadThread);
    // of a process that lives in another pid namespace: nothing is known of its threads
    expect(seenBy(1, { foreign: [127] }).isDead(owner.tag)).toBe(false);
    expect(seenBy(1).isDead(owner.tag)).toBe(true);
    expect(seenBy(1, { foreign: [127], gone: [127] }).isDead(owner.tag)).toBe(true);
    expect(seenBy(1, { foreign: [127], gone: [126] }).isDead(owner.tag)).toBe(false);
  });

  it('see the threads of a process that is gone dead at once, though their ids are in use here', () => {
    const seenBy = sharedTable();
    const owner = seenBy(2).join(nothing);
    expect(seenBy(1).isDead(owner.tag)).toBe(false);
    expect(seenBy(1, { gone: [2] }).isDead(owner.tag)).toBe(true);
  });

  it('never ask whether they are gone themselves: an own lock is no obstacle', () => {
    const seenBy = sharedTable();
    const owner = seenBy(1).join(nothing);
    expect(seenBy(1, { gone: [1], foreign: [1] }).isDead(owner.tag)).toBe(false);
    expect(seenBy(1, { gone: [1], foreign: [1] }).reap(nothing)).toBe(0);
  });

  it('know their own threads whatever is told of namespaces', () => {
    const seenBy = sharedTable();
    const dead = seenBy(1).join(nothing, deadThread);
    expect(seenBy(1, { foreign: [1] }).isDead(dead.tag)).toBe(true);
  });

  it('reap the slots of those that are gone, and of dead threads whose ids they know, and of nobody else', () => {
    const seenBy = sharedTable();
    const alive = seenBy(2).join(nothing);
    const dead = seenBy(2).join(nothing, deadThread);
    const foreign = seenBy(3).join(nothing, deadThread);
    const gone = seenBy(4).join(nothing);
    const released: number[] = [];
    const table = seenBy(1, { foreign: [3, 4], gone: [4] });
    expect(table.reap((tag) => released.push(tag))).toBe(2);
    expect(released).toEqual([dead.tag, gone.tag]);
    expect([alive, foreign].map(({ tag }) => table.isDead(tag))).toEqual([false, false]);
  });

  it('reap a reaper whose process is gone, although a thread with its id lives here', () => {
    const seenBy = sharedTable();
    const dead = seenBy(3).join(nothing, deadThread);
    const die = (): never => {
      throw new Error('killed while reaping');
    };
    expect(() => seenBy(2).reap(die, thisThread())).toThrow('killed while reaping');
    // its id is in use, by this thread: as long as the process is there, it may be at it
    expect(seenBy(1).reap(nothing)).toBe(0);
    expect(seenBy(1, { foreign: [2] }).reap(nothing)).toBe(0);
    const released: number[] = [];
    expect(seenBy(1, { gone: [2] }).reap((tag) => released.push(tag))).toBe(1);
    expect(released).toEqual([dead.tag]);
  });
});

describe('a process that takes a slot of the process table', () => {
  it('reaps what the former one with that slot left, alive or not, and nothing of anybody else', () => {
    const seenBy = sharedTable();
    const former = [seenBy(2).join(nothing), seenBy(2).join(nothing, deadThread)];
    const other = seenBy(3).join(nothing, deadThread);
    const inMemory = seenBy(0).join(nothing, deadThread);
    const released: number[] = [];
    seenBy(2).reapFormer((tag) => released.push(tag));
    expect(released).toEqual(former.map(({ tag }) => tag));
    const next = seenBy(2).join(nothing);
    expect(next.slot).toBe(former[0]?.slot);
    expect(next.tag).not.toBe(former[0]?.tag);
    // theirs stand as they stood
    expect([other, inMemory].map(({ tag }) => seenBy(3, { foreign: [0] }).isDead(tag))).toEqual([true, false]);
  });

  it('that finds one reaped by another meanwhile leaves the slot to who has it then', () => {
    const seenBy = sharedTable();
    const former = seenBy(2).join(nothing);
    let next = former;
    seenBy(2).reapFormer(() => {
      // process 1 saw that 2 was gone, a moment before its slot was taken again; process 3 comes next
      expect(seenBy(1, { gone: [2] }).reap(nothing)).toBe(1);
      next = seenBy(3).join(nothing);
    });
    expect(next.slot).toBe(former.slot);
    expect(seenBy(1).isDead(next.tag)).toBe(false);
    expect(seenBy(3).isOfThisProcess(next.tag)).toBe(true);
  });
});

describe('an owner table that is cleared', () => {
  it('has no owner and counts nothing any more, and gives no tag of before again', () => {
    const table = sharedTable()(1);
    const before = [table.join(nothing), table.join(nothing, deadThread)];
    table.count(before[0] as (typeof before)[0], 'chunksByDrain', 7);
    table.clear();
    expect(Object.values(table.totals())).toEqual([0, 0, 0, 0, 0]);
    expect(table.reap(nothing)).toBe(0);
    const after = [table.join(nothing), table.join(nothing)];
    expect(after.map(({ slot }) => slot)).toEqual(before.map(({ slot }) => slot));
    expect(after.filter(({ tag }) => before.some((owner) => owner.tag === tag))).toEqual([]);
    // who still claims something with a tag of before is dead
    expect(before.map(({ tag }) => table.isDead(tag))).toEqual([true, true]);
  });

  it('frees the slots of owners that died while they joined or reaped', () => {
    const seenBy = sharedTable();
    seenBy(3).join(nothing, deadThread);
    const die = (): never => {
      throw new Error('killed while reaping');
    };
    expect(() => seenBy(2).reap(die)).toThrow('killed while reaping');
    seenBy(1).clear();
    expect(seenBy(1).join(nothing).slot).toBe(0);
  });

  it('leaves a slot that nobody ever had as it is: its page need not come', () => {
    const region = smallRegion([ram(0, 512)]);
    const table = new OwnerTable(region.control, region.layout.owners, processes(1));
    const words = region.control.subarray(region.layout.owners / 4, region.layout.chunkWords / 4);
    table.clear();
    expect(words.every((word) => word === 0)).toBe(true);
  });
});

describe('counters', () => {
  it('add up over owners that were and are', () => {
    const table = freshTable();
    const first = table.join(nothing);
    table.count(first, 'chunksByDrain', 3);
    table.leave(first);
    const second = table.join(nothing);
    table.count(second, 'chunksByDrain');
    table.count(table.join(nothing), 'faultsWaited', 2);
    expect(table.totals()).toEqual({
      chunksByDrain: 4,
      chunksByFault: 0,
      faultsWaited: 2,
      claimsReleased: 0,
      chunksFailed: 0,
    });
  });
});

describe('when the kernel cannot be asked', () => {
  it('a thread that lives is not taken for dead, and nobody joins without an identity', () => {
    const folder = new URL('../../dist/src/region/', import.meta.url).href;
    const code = `
      import { openSync } from 'node:fs';
      import { isThreadDead, isTidUnused, thisThread } from '${folder}threads.js';
      const me = thisThread();
      try { for (;;) openSync('/dev/null'); } catch {}
      let code;
      try { thisThread(); } catch (error) { code = error.code; }
      process.stdout.write(JSON.stringify([isThreadDead(me), isTidUnused(me.tid), code]));`;
    const command = 'ulimit -n 60; exec "$0" --input-type=module -e "$1"';
    const output = execFileSync('sh', ['-c', command, process.execPath, code], { encoding: 'utf8' });
    expect(JSON.parse(output)).toEqual([false, false, 'THREAD_UNKNOWN']);
  });
});
