/** What a file holds, read without changing it: for a person (`vmemmap inspect`), and as a plain object. */
import { ChunkMap, type ChunkStateName, isSound, stateOf } from '../claims/chunk-map.ts';
import { PageView } from '../descriptor/page-view.ts';
import { profiles } from '../descriptor/profiles.ts';
import { VmemmapError } from '../errors.ts';
import { chunkOf, descriptorSizeBytes, findRange } from '../physical/geometry.ts';
import type { PlatformName } from '../physical/platforms.ts';
import { type PageUse, type ZoneName, zoneNames } from '../physical/zones.ts';
import type { PolicyName, Segment } from '../plan.ts';
import { errnoName } from '../region/backing.ts';
import { readFileRegion } from '../region/file-region.ts';
import { type ProcessNote, processesOf } from '../region/processes.ts';
import type { RegionRange } from '../region/range.ts';
import type { Region } from '../region/region.ts';
import { type FailedRun, failedRuns, mediaErrorOf } from './failures.ts';
import type { RangeReport } from './init-report.ts';
import { chunksByState } from './progress.ts';
import { mergeVerified, nothingVerified, type VerifyResult, verifyChunk } from './verify.ts';

/** What a file holds. */
export interface Inspection {
  readonly path: string;
  readonly uuid: string;
  /** Number of the session: how often it was opened with nobody in it. */
  readonly epoch: number;
  /** Name of the kernel profile; null for a table of the user's own records. */
  readonly profile: string | null;
  /** What kind of machine: it tells how large pages are. */
  readonly platform: PlatformName;
  readonly policy: PolicyName;
  readonly pages: number;
  readonly sizeBytes: number;
  readonly ranges: readonly RangeReport[];
  readonly chunks: Readonly<Record<ChunkStateName, number>>;
  /** Chunks that could not be written, in runs of the same errno. */
  readonly failed: readonly FailedRun[];
  /** Name of the errno with which the media refused to keep something, or null. */
  readonly mediaError: string | null;
  /** Who has it open at this moment. */
  readonly processes: readonly ProcessNote[];
}

/** One descriptor of a file. */
export interface DescriptorNote {
  readonly pfn: number;
  readonly nid: number;
  readonly zone: ZoneName;
  readonly use: PageUse;
  readonly chunk: number;
  readonly state: ChunkStateName;
  /** Its sixteen words, as they stand there. */
  readonly words: readonly number[];
  /** Its fields; null for a table of the user's own records. */
  readonly fields: Readonly<Record<string, string>> | null;
}

/** A range as reports show it. */
export function rangeReport(range: RegionRange): RangeReport {
  const { nid, zone, kind, startPfn, endPfn, pages, chunkPages, chunks } = range;
  const uses: Record<PageUse, number> = { present: 0, reserved: 0, unavailable: 0, altmap: 0 };
  for (const segment of range.segments) uses[segment.use] += segment.endPfn - segment.startPfn;
  return { nid, zone: zoneNames[zone] as ZoneName, kind, startPfn, endPfn, pages, uses, chunkPages, chunks };
}

/** Opens a file for reading, and closes it when `look` has looked. */
async function withFile<T>(path: string, look: (region: Region, chunks: ChunkMap) => T | Promise<T>): Promise<T> {
  const region = readFileRegion(path);
  try {
    if (region.ranges.length < region.slots.count) {
      throw new VmemmapError('FILE_DAMAGED', `${path}: the word of a range is damaged; vmemmap init mends it`);
    }
    const chunks = ChunkMap.of(region);
    for (let chunk = 0; chunk < region.chunks; chunk++) {
      if (isSound(chunks.load(chunk))) continue;
      const what = `the word of chunk ${chunk} is damaged; vmemmap init takes the chunk for one that is not initialized`;
      throw new VmemmapError('FILE_DAMAGED', `${path}: ${what}`, { received: chunks.load(chunk) });
    }
    return await look(region, chunks);
  } finally {
    region.discard();
  }
}

/**
 * What a file holds. Nothing of it is changed or locked, whoever has it open.
 * @throws VmemmapError ADDON_MISSING, FILE_DAMAGED, FILE_FOREIGN, FILE_UNUSABLE, FILE_VERSION
 */
export function inspectFile(path: string): Promise<Inspection> {
  return withFile(path, (region, chunks) => ({
    path,
    uuid: region.uuid,
    epoch: region.epoch,
    profile: profileOf(region)?.name ?? null,
    platform: region.platform,
    policy: region.policy,
    pages: region.pages,
    sizeBytes: region.layout.totalSizeBytes,
    ranges: region.ranges.map(rangeReport),
    chunks: chunksByState(region, chunks),
    failed: failedRuns(region, chunks),
    mediaError: mediaErrorOf(region),
    processes: processesOf(region.handle.file?.fd ?? -1, region.control, region.layout),
  }));
}

function profileOf({ profileId }: Region): (typeof profiles)[keyof typeof profiles] | undefined {
  return Object.values(profiles).find(({ id }) => id === profileId);
}

/** One descriptor of a file, whether it is initialized or not. @throws as `inspectFile`, and VmemmapError PFN_ABSENT, CHUNK_FAILED */
export function inspectDescriptor(path: string, pfn: number): Promise<DescriptorNote> {
  return withFile(path, (region, chunks) => {
    const range = region.rangeOf(pfn);
    if (!range) {
      throw new VmemmapError('PFN_ABSENT', `pfn ${pfn} lies in no range of ${path}; see vmemmap inspect ${path}`, {
        received: pfn,
      });
    }
    const chunk = chunkOf(range, pfn);
    refuseUnreadable(region, range, chunk);
    const at = range.offsetOf(pfn) / Uint32Array.BYTES_PER_ELEMENT;
    const words = Array.from(range.words.subarray(at, at + descriptorSizeBytes / Uint32Array.BYTES_PER_ELEMENT));
    const profile = profileOf(region);
    return {
      pfn,
      nid: range.nid,
      zone: zoneNames[range.zone] as ZoneName,
      // segments together are the range
      use: (range.segments[findRange(range.segments, pfn)] as Segment).use,
      chunk: range.firstChunk + chunk,
      state: stateOf(chunks.load(range.firstChunk + chunk)),
      words,
      fields: profile ? new PageView(profile).moveTo(range, pfn).fields() : null,
    };
  });
}

function refuseUnreadable(region: Region, range: RegionRange, chunk: number): void {
  const errno = region.look(range, chunk, chunk + 1);
  if (errno === 0) return;
  const what = `the descriptors of pfns ${range.chunkStart(chunk)} to ${range.chunkEnd(chunk) - 1} cannot be read: ${errnoName(errno)}`;
  throw new VmemmapError('CHUNK_FAILED', what, { errno });
}

/** Compares every initialized descriptor of a file with what it should be; see {@link Inspection} for what is not changed. */
export function verifyFile(path: string): Promise<VerifyResult> {
  return withFile(path, (region, chunks) => {
    let result = nothingVerified;
    for (const range of region.ranges) {
      for (let chunk = 0; chunk < range.chunks; chunk++) {
        result = mergeVerified(result, verifyChunk(region, chunks, range, chunk));
      }
    }
    return result;
  });
}
