/** Progress: what is initialized at a moment, read from the chunk words, which are the only truth about it. */
import { type ChunkMap, type ChunkStateName, isInitialized, stateOf } from '../claims/chunk-map.ts';
import type { Region } from '../region/region.ts';

/** Pages of a node at a moment. */
export interface NodeProgress {
  readonly nid: number;
  readonly pages: number;
  readonly pagesReady: number;
}

/** The memmap at a moment. */
export interface Progress {
  readonly pages: number;
  readonly pagesReady: number;
  readonly nodes: readonly NodeProgress[];
  /** Milliseconds since open. */
  readonly elapsedMs: number;
  /** Whether the background still works. */
  readonly state: 'active' | 'idle';
}

/** Pages in all and initialized, by node in order of their ids. */
export function nodeProgress(region: Region, chunks: ChunkMap): NodeProgress[] {
  const nodes = new Map<number, { nid: number; pages: number; pagesReady: number }>();
  for (const range of region.ranges) {
    let pagesReady = 0;
    for (let chunk = 0; chunk < range.chunks; chunk++) {
      if (isInitialized(chunks.load(range.firstChunk + chunk))) {
        pagesReady += range.chunkEnd(chunk) - range.chunkStart(chunk);
      }
    }
    // looked at behind the words: one that has gone counts no more
    if (!region.slots.states.isLive(range)) continue;
    const node = nodes.get(range.nid) ?? { nid: range.nid, pages: 0, pagesReady: 0 };
    nodes.set(range.nid, node);
    node.pages += range.pages;
    node.pagesReady += pagesReady;
  }
  return [...nodes.values()].sort((a, b) => a.nid - b.nid);
}

/** Chunks of all ranges, by state. */
export function chunksByState(region: Region, chunks: ChunkMap): Record<ChunkStateName, number> {
  const counts = noChunks();
  for (const range of region.ranges) {
    const own = noChunks();
    for (let chunk = 0; chunk < range.chunks; chunk++) own[stateOf(chunks.load(range.firstChunk + chunk))]++;
    // as above
    if (!region.slots.states.isLive(range)) continue;
    for (const state of Object.keys(own) as ChunkStateName[]) counts[state] += own[state];
  }
  return counts;
}

function noChunks(): Record<ChunkStateName, number> {
  return { free: 0, claimed: 0, ready: 0, durable: 0, failed: 0 };
}
