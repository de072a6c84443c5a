/**
 * What a process does to the words of a file that it has just opened, before any of its threads joins and before anybody else
 * can open it: it clears up behind those who were there before.
 */
import { resetPageblocks } from '../region/pageblocks.ts';
import type { Region } from '../region/region.ts';
import { ChunkMap, isInitialized, payloadOf, stateOf } from './chunk-map.ts';
import { beginGrowth } from './growth.ts';
import { OwnerTable } from './owners.ts';
import { beginRuns } from './runs.ts';

/** Chunks that were found initialized, and those that were not. */
export interface Resumed {
  readonly chunksKept: number;
  readonly chunksRedone: number;
}

/** Nothing was there before. */
export const nothingResumed: Resumed = { chunksKept: 0, chunksRedone: 0 };

/**
 * Alone with the file: every claim is of somebody who is gone, and so is every owner slot.
 * @param keepsReady whether READY is to be trusted; see {@link ChunkMap.recover}.
 */
export function recover(region: Region, keepsReady: boolean): Resumed {
  const { control, layout, slots, word, processes } = region;
  // before anybody looks which ranges there are
  for (let slot = 0; slot < slots.hotFirst; slot++) slots.states.recover(slot);
  const { ranges } = region;
  const chunks = ChunkMap.of(region);
  const chunksKept = chunks.recover(keepsReady, region.persistence !== undefined);
  for (const range of ranges) {
    for (let chunk = 0; chunk < range.chunks; chunk++) {
      // what stands there was set for descriptors that are lost
      const isKept = isInitialized(chunks.load(range.firstChunk + chunk));
      if (!isKept) resetPageblocks(region, range, range.chunkStart(chunk), range.chunkEnd(chunk));
    }
  }
  new OwnerTable(control, layout.owners, processes).clear();
  // plain order would do for all of them: nobody else is there
  for (const { drainCursor, growCursor, wantedRun, liveWord } of ranges) {
    beginRuns(region, drainCursor, wantedRun);
    beginGrowth(region, growCursor, liveWord);
  }
  Atomics.store(control, word.waiters, 0);
  Atomics.store(control, word.mediaErrno, 0);
  return { chunksKept, chunksRedone: region.chunks - chunksKept };
}

/** Beside others: takes over from whoever had this process's slot before, and is gone, since its lock was free. */
export function takeOver(region: Region): Resumed {
  const chunks = ChunkMap.of(region);
  const owners = new OwnerTable(region.control, region.layout.owners, region.processes);
  owners.reapFormer((tag) => {
    for (let chunk = 0; chunk < region.chunks; chunk++) {
      const word = chunks.load(chunk);
      if (stateOf(word) === 'claimed' && payloadOf(word) === tag) chunks.release(chunk, word);
    }
  });
  let chunksKept = 0;
  for (let chunk = 0; chunk < region.chunks; chunk++) if (isInitialized(chunks.load(chunk))) chunksKept++;
  return { chunksKept, chunksRedone: 0 };
}
