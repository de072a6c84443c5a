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
    const node = nodes.get(range.nid) ?? { nid: range.nid, pages: 0, pagesReady: 0 };
    nodes.set(range.nid, node);
    node.pages += range.pages;
    for (let chunk = 0; chunk < range.chunks; chunk++) {
      if (isInitialized(chunks.load(range.firstChunk + chunk))) {
        node.pagesReady += range.chunkEnd(chunk) - range.chunkStart(chunk);
      }
    }
  }
  return [...nodes.values()].sort((a, b) => a.nid - b.nid);
}

/** Chunks by state. */
export function chunksByState(chunks: ChunkMap): Record<ChunkStateName, number> {
  const counts: Record<ChunkStateName, number> = { free: 0, claimed: 0, ready: 0, durable: 0, failed: 0 };
  for (let chunk = 0; chunk < chunks.chunks; chunk++) counts[stateOf(chunks.load(chunk))]++;
  return counts;
}
