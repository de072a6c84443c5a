/** Migrate types of pageblocks: movable from initialization on, changed by anyone, and lost with the descriptors. */
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { Memmap, type MigrateType, releaseThreads } from '../../dist/src/index.js';
import { regionLayout } from '../../dist/src/region/layout.js';
import { migrateTypes } from '../../dist/src/region/pageblocks.js';
import { named, skipReason } from '../native/built-addon.js';
import { Folder } from '../native/mapped.js';
import { Attached } from '../support/attached.js';
import { machine, ram } from '../support/regions.js';

const opened: Memmap[] = [];
afterEach(async () => {
  for (const memmap of opened.splice(0)) await memmap.close();
});
afterAll(releaseThreads);

/** 20 pageblocks in one range, and two ranges that meet in a pageblock behind a hole; only faults initialize. */
async function open(): Promise<Memmap> {
  const memory = [ram(0, 20 * 512), ram(100_100, 300), ram(100_400, 2000, 1)];
  const memmap = await Memmap.open({ topology: machine(...memory), threadsPerNode: 0, chunkPages: 512 });
  opened.push(memmap);
  return memmap;
}

/** The types of the pageblocks that begin in `[0, 20 × 512)`. */
const typesOf = (memmap: Memmap): MigrateType[] =>
  Array.from({ length: 20 }, (_, block) => memmap.migrateType(block * 512));

describe('the migrate type of a pageblock', () => {
  it('is movable when its descriptors are initialized', async () => {
    const memmap = await open();
    await memmap.sync();
    expect(typesOf(memmap)).toEqual(Array.from({ length: 20 }, () => 'movable'));
    expect(memmap.migrateType(102_399)).toBe('movable');
  });

  it.each(migrateTypes)('can be set to %s, and back, and is that of all its pages and of no others', async (type) => {
    const memmap = await open();
    await memmap.sync();
    for (const block of [0, 7, 8, 19]) {
      memmap.setMigrateType(block * 512 + 300, type);
      const wanted = Array.from({ length: 20 }, (_, other) => (other === block ? type : 'movable'));
      expect(typesOf(memmap)).toEqual(wanted);
      expect([0, 1, 511].map((page) => memmap.migrateType(block * 512 + page))).toEqual([type, type, type]);
      memmap.setMigrateType(block * 512, 'movable');
    }
    expect(typesOf(memmap)).toEqual(Array.from({ length: 20 }, () => 'movable'));
  });

  it('replaces the one before, whichever it was', async () => {
    const memmap = await open();
    memmap.fault(0);
    for (const first of migrateTypes) {
      for (const second of migrateTypes) {
        memmap.setMigrateType(0, first);
        memmap.setMigrateType(0, second);
        expect(memmap.migrateType(0)).toBe(second);
      }
    }
  });

  it('is one, where two ranges meet in the pageblock', async () => {
    const memmap = await open();
    await memmap.sync();
    // pageblock 195 is [99840, 100352); 196 is [100352, 100864) and has the last pages of one range and the first of the next
    memmap.setMigrateType(100_863, 'isolate');
    expect([100_352, 100_399, 100_400, 100_863].map((pfn) => memmap.migrateType(pfn))).toEqual(
      Array.from({ length: 4 }, () => 'isolate'),
    );
    expect([100_100, 100_351, 100_864].map((pfn) => memmap.migrateType(pfn))).toEqual(
      Array.from({ length: 3 }, () => 'movable'),
    );
    memmap.setMigrateType(100_352, 'cma');
    expect(memmap.migrateType(100_863)).toBe('cma');
  });

  it('cannot be asked for, nor set, before the descriptor is initialized', async () => {
    const memmap = await open();
    memmap.fault(512);
    const refusal = new RangeError(
      'pfn 511 is not initialized yet, and its pageblock has no migrate type: fault it first',
    );
    expect(() => memmap.migrateType(511)).toThrow(refusal);
    expect(() => memmap.setMigrateType(511, 'cma')).toThrow(refusal);
    expect(memmap.migrateType(512)).toBe('movable');
  });

  it.each(['Movable', 'toString', '', undefined, 1])('cannot be set to %j', async (type) => {
    const memmap = await open();
    memmap.fault(0);
    expect(() => memmap.setMigrateType(0, type as MigrateType)).toThrow(
      new RangeError(`type must be ${migrateTypes.join(' or ')}, not ${String(type)}`),
    );
    expect(memmap.migrateType(0)).toBe('movable');
  });

  it('is refused for a hole, for no pfn, and when the memmap is closed', async () => {
    const memmap = await open();
    await memmap.sync();
    expect(() => memmap.migrateType(50_000)).toThrow(expect.objectContaining({ code: 'PFN_ABSENT' }));
    expect(() => memmap.migrateType(-1)).toThrow(RangeError);
    expect(() => memmap.setMigrateType(0.5, 'cma')).toThrow(RangeError);
    await memmap.close();
    expect(() => memmap.migrateType(0)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  });

  it('does not belong to a table of records', async () => {
    await using table = await Memmap.open({ slots: 1000, threadsPerNode: 0 });
    table.fault(0);
    expect(() => table.migrateType(0)).toThrow(TypeError);
    expect(() => table.setMigrateType(0, 'cma')).toThrow(TypeError);
  });

  it('is movable again when everything is initialized once more', async () => {
    const memmap = await open();
    await memmap.sync();
    memmap.setMigrateType(0, 'unmovable');
    const again = await memmap.reinitialize();
    opened.push(again);
    again.fault(0);
    expect(again.migrateType(0)).toBe('movable');
  });

  it('is not lost when threads set those of neighbours, which share a word with it', async () => {
    const memmap = await open();
    await memmap.sync();
    const threads = await Promise.all([1, 2, 3].map(() => Attached.to(memmap.handle())));
    const last: readonly MigrateType[] = ['cma', 'isolate', 'unmovable'];
    const all = [...migrateTypes];
    const done = threads.map((thread, i) => thread.do('setMigrateTypes', i * 512, [...all, last[i]], 20_000));
    for (let i = 0; i < 20_000; i++) memmap.setMigrateType(5 * 512, i % 2 === 0 ? 'cma' : 'highatomic');
    expect(await Promise.all(done)).toEqual([undefined, undefined, undefined]);
    expect(typesOf(memmap).slice(0, 8)).toEqual([...last, 'movable', 'movable', 'highatomic', 'movable', 'movable']);
    expect(await threads[0]?.do('migrateType', 5 * 512)).toBe('highatomic');
    for (const thread of threads) await thread.do('close');
  });
});

describe.skipIf(skipReason !== undefined)(named('in a file, the migrate type of a pageblock'), () => {
  const options = { topology: machine(ram(0, 8 * 512)), threadsPerNode: 0, chunkPages: 1024 };

  it('lasts as long as the descriptors do', async () => {
    using folder = new Folder();
    const file = folder.newPath();
    const first = await Memmap.open({ ...options, file });
    await first.sync();
    await first.durable.catch(() => undefined);
    first.setMigrateType(0, 'cma');
    first.setMigrateType(5 * 512, 'isolate');
    await first.close();
    await using again = await Memmap.open({ ...options, file });
    expect(again.resumed.chunksKept).toBe(4);
    expect([0, 512, 5 * 512, 6 * 512].map((pfn) => again.migrateType(pfn))).toEqual([
      'cma',
      'movable',
      'isolate',
      'movable',
    ]);
  });

  it('is movable when they were lost and are initialized once more', async () => {
    using folder = new Folder();
    const file = folder.newPath();
    const first = await Memmap.open({ ...options, file });
    await first.sync();
    for (const block of [1, 2, 3, 4]) first.setMigrateType(block * 512, 'reclaimable');
    const { control } = first.handle();
    const { chunkWords } = layoutOfFile(first);
    // chunk 1, pageblocks 2 and 3: as if a crash had forgotten it
    Atomics.store(new Int32Array(control.buffer, control.byteOffset + chunkWords, 4), 1, 0);
    await first.close();
    await using again = await Memmap.open({ ...options, file });
    expect(again.resumed).toEqual({ chunksKept: 3, chunksRedone: 1 });
    await again.sync();
    expect([0, 1, 2, 3, 4, 5].map((block) => again.migrateType(block * 512))).toEqual([
      'movable',
      'reclaimable',
      'movable',
      'movable',
      'reclaimable',
      'movable',
    ]);
  });
});

/** Where the parts of a memmap's region lie. */
function layoutOfFile({ ranges }: Memmap): ReturnType<typeof regionLayout> {
  return regionLayout(ranges);
}
