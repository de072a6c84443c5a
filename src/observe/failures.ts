/** What could not be written, and what the media refused to keep. */
import { type ChunkMap, payloadOf, stateOf } from '../claims/chunk-map.ts';
import { errnoName } from '../region/backing.ts';
import type { Region } from '../region/region.ts';

/** Pfns whose descriptors could not be written. */
export interface FailedRun {
  readonly startPfn: number;
  readonly endPfn: number;
  /** Name of the errno, such as EIO. */
  readonly error: string;
}

/** The runs of chunks of a region that have failed. */
export function failedRuns(region: Region, chunks: ChunkMap): FailedRun[] {
  const runs: { startPfn: number; endPfn: number; error: string }[] = [];
  for (const range of region.ranges) {
    for (let chunk = 0; chunk < range.chunks; chunk++) {
      const word = chunks.load(range.firstChunk + chunk);
      if (stateOf(word) !== 'failed' || !region.slots.states.isLive(range)) continue;
      const [startPfn, endPfn, error] = [range.chunkStart(chunk), range.chunkEnd(chunk), errnoName(payloadOf(word))];
      const last = runs.at(-1);
      if (last?.endPfn === startPfn && last.error === error) last.endPfn = endPfn;
      else runs.push({ startPfn, endPfn, error });
    }
  }
  return runs;
}

/** Name of the errno with which the media refused to keep something, or null. */
export function mediaErrorOf({ mediaErrno }: Region): string | null {
  return mediaErrno === 0 ? null : errnoName(mediaErrno);
}
