/** The owner table: slots, generations, and who is known to be dead. */
import { execFileSync } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { OwnerTable } from '../../dist/src/claims/owners.js';
import { isThreadDead, type ThreadIdentity, thisThread, unknownThread } from '../../dist/src/claims/threads.js';
import { ownerSlots } from '../../dist/src/region/layout.js';
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
    const threads = new URL('../../dist/src/claims/threads.js', import.meta.url).href;
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
    const folder = new URL('../../dist/src/claims/', import.meta.url).href;
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
