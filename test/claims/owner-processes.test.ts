/** The owner table between processes: what one does in the middle of what another one does. The processes are made up. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { OwnerTable } from '../../dist/src/claims/owners.js';
import type { Processes } from '../../dist/src/region/processes.js';
import { deadThread, ram, smallRegion } from '../support/regions.js';

const nothing = (): void => {};
const region = () => smallRegion([ram(0, 512)]);

/** The table of a region as a process sees it that has this slot, and is told by `isGone` who is gone. */
function tableOf(
  { control, layout }: ReturnType<typeof region>,
  slot: number,
  isGone: Processes['isGone'] = () => false,
): OwnerTable {
  return new OwnerTable(control, layout.owners, {
    slot,
    isGone,
    sharesThreadIds: () => false,
    hasOthers: () => true,
    whileGone(other, reap) {
      if (isGone(other)) reap();
      return isGone(other);
    },
    forget() {},
  });
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('the thread of another process', () => {
  it('is dead when its process is gone, and lives as long as that does, whatever its id is here', () => {
    const shared = region();
    const { tag } = tableOf(shared, 1).join(nothing, deadThread);
    expect(tableOf(shared, 2).isDead(tag)).toBe(false);
    expect(tableOf(shared, 2, (slot) => slot === 1).isDead(tag)).toBe(true);
  });

  it('is known for that of this process only where it is', () => {
    const shared = region();
    const { tag } = tableOf(shared, 127).join(nothing);
    expect(tableOf(shared, 127).isOfThisProcess(tag)).toBe(true);
    expect(tableOf(shared, 126).isOfThisProcess(tag)).toBe(false);
  });

  it('has its claims freed once by whoever gets the slot of its process, and its own slot with them', () => {
    const shared = region();
    const former = [tableOf(shared, 1).join(nothing), tableOf(shared, 1).join(nothing)];
    const other = tableOf(shared, 2).join(nothing);
    const released: number[] = [];
    tableOf(shared, 1).reapFormer((tag) => released.push(tag));
    tableOf(shared, 1).reapFormer((tag) => released.push(tag));
    expect(released).toEqual(former.map(({ tag }) => tag));
    expect(tableOf(shared, 3).isDead(other.tag)).toBe(false);
  });
});

describe('a thread that lives keeps its slot and its claims', () => {
  it('when a reaper frees the slot of a process that was gone, and a thread takes it, while the next process clears it', () => {
    const shared = region();
    const former = tableOf(shared, 1).join(nothing);
    const lifeAt = shared.layout.owners / 4;
    const { load } = Atomics;
    let living: { tag: number } | undefined;
    vi.spyOn(Atomics, 'load').mockImplementation(((words: Int32Array, index: number) => {
      const word = load(words, index);
      if (index === lifeAt && living === undefined) {
        living = { tag: -1 };
        expect(tableOf(shared, 2, () => true).reap(nothing)).toBe(1);
        living = tableOf(shared, 3).join(nothing);
      }
      return word;
    }) as typeof Atomics.load);
    const released: number[] = [];
    tableOf(shared, 1).reapFormer((tag) => released.push(tag));
    expect(living?.tag).not.toBe(former.tag);
    expect(released).not.toContain(living?.tag);
    expect(tableOf(shared, 4).isDead(living?.tag as number)).toBe(false);
  });

  it('when its process closes the file and opens it again while a reaper finds that it had closed it', () => {
    const shared = region();
    const table = tableOf(shared, 1);
    const first = table.join(nothing);
    let second: typeof first | undefined;
    const reaper = tableOf(shared, 2, () => {
      if (second === undefined) {
        table.leave(first);
        second = table.join(nothing);
      }
      return true;
    });
    const released: number[] = [];
    expect(reaper.reap((tag) => released.push(tag))).toBe(0);
    expect([second?.slot, released]).toEqual([first.slot, []]);
    expect(tableOf(shared, 3).isDead(second?.tag as number)).toBe(false);
    table.leave(second as typeof first);
  });

  it('when a reaper of the same thread id was killed in the slot before', () => {
    const shared = region();
    const table = tableOf(shared, 1);
    table.join(nothing);
    const killed = (): never => {
      throw new Error('killed while reaping');
    };
    expect(() => tableOf(shared, 2, () => true).reap(killed)).toThrow('killed while reaping');
    // the reaper's process is gone, too, and a third one reaps it
    const released: number[] = [];
    expect(tableOf(shared, 3, () => true).reap((tag) => released.push(tag))).toBe(1);
    const next = table.join(nothing);
    expect(released).not.toContain(next.tag);
    expect(tableOf(shared, 3).isDead(next.tag)).toBe(false);
  });
});
