/** The superblock and the tables behind it: what an attaching thread or process learns about a region, and how it is checked. */
import { crc32 } from 'node:zlib';
import { patternWords } from '../descriptor/layout.ts';
import { type ContentPart, partsMax } from '../descriptor/pattern.ts';
import { VmemmapError } from '../errors.ts';
import { chunkGeometry, pageblockPages, pfnLimit, rangePagesMax } from '../physical/geometry.ts';
import { platforms } from '../physical/platforms.ts';
import type { MemoryKind } from '../physical/topology.ts';
import type { PageUse } from '../physical/zones.ts';
import { type Plan, type PlannedMemmap, type PolicyName, rangesMax, type Segment, segmentsMax } from '../plan.ts';
import {
  dataAlignmentBytes,
  type HotRoom,
  isRoom,
  noRoom,
  ownerSlots,
  partEntrySizeBytes,
  processSlots,
  rangeEntrySizeBytes,
  segmentEntrySizeBytes,
  superblockSizeBytes,
  type TableCounts,
  type TableLayout,
  tableCounts,
  tableLayout,
} from './layout.ts';

/** "vmemmap" and a zero byte. */
const magic: readonly number[] = [0x76, 0x6d, 0x65, 0x6d, 0x6d, 0x61, 0x70, 0x00];
/** "vmemnew" and a zero byte: stands there instead while a file is being made, and after a crash that interrupted it. */
export const unfinishedMagic: readonly number[] = [0x76, 0x6d, 0x65, 0x6d, 0x6e, 0x65, 0x77, 0x00];
/** Changes whenever a region of before cannot be read any more. */
export const layoutVersion = 3;

/** Byte offsets in the superblock. */
const at = {
  magic: 0,
  layoutVersion: 8,
  checksum: 12,
  uuid: 16,
  rangeCount: 32,
  ownerSlots: 36,
  policy: 40,
  profileId: 44,
  processSlots: 48,
  segmentCount: 52,
  alignmentBytes: 56,
  /** Two words, stored as one of eight bytes: how often the region was opened with nobody in it, and their checksum. */
  epoch: 64,
  partCount: 72,
  platformId: 76,
  hotRanges: 96,
  hotChunks: 100,
  hotPages: 104,
} as const;
const uuidSizeBytes = 16;
/** Where the epoch stands, and its size: the one part of a superblock that changes. */
export const epochExtent: Readonly<{ offset: number; sizeBytes: number }> = { offset: at.epoch, sizeBytes: 8 };

/** Byte offsets in an entry of the range table. */
const rangeAt = {
  startPfn: 0,
  endPfn: 8,
  chunkPages: 16,
  nid: 24,
  zone: 28,
  kind: 32,
  segmentCount: 36,
  pgmap: 40,
} as const;

/** Byte offsets in an entry of the segment table; those of the ranges stand one behind the other, in their order. */
const segmentAt = { startPfn: 0, endPfn: 8, use: 16, partCount: 20, periodPages: 24 } as const;

/** Byte offsets in an entry of the part table; those of the segments stand one behind the other, too. */
const partAt = { at: 0, pattern: 64 } as const;

/** 2 MiB, and 1 GiB for device-dax devices that map nothing smaller. */
const alignments: readonly number[] = [dataAlignmentBytes, 2 ** 30];
const kinds: readonly MemoryKind[] = ['ram', 'device'];
const uses: readonly PageUse[] = ['present', 'reserved', 'unavailable', 'altmap'];
const policies: readonly PolicyName[] = ['hotplug', 'boot'];

/** What the superblock and the tables say. */
export interface Superblock extends Plan {
  readonly policy: PolicyName;
  /** Sixteen random bytes, in hexadecimal: two handles of one region have the same. */
  readonly uuid: string;
  /** Alignment of every range's descriptors, in bytes. */
  readonly alignmentBytes: number;
  /** How often the region was opened with nobody in it, 1 or more. */
  readonly epoch: number;
  /** Room for ranges that come later. */
  readonly room: HotRoom;
}

/** What is wrong with bytes that should be a superblock: not one at all, one of another version, or a damaged one. */
export type HeaderProblem = 'foreign' | 'unfinished' | 'version' | 'damaged';

/** Makes the error for a problem; what it is called, and what to do, depends on where the bytes came from. */
export type Refuse = (problem: HeaderProblem, what: string, received?: unknown) => VmemmapError;

/** CRC-32 of the header with its own bytes read as zero, and those of the epoch, which has a checksum of its own. */
function checksum(header: Uint8Array): number {
  const copy = Uint8Array.from(header);
  copy.fill(0, at.checksum, at.checksum + 4);
  copy.fill(0, at.epoch, at.epoch + epochExtent.sizeBytes);
  return crc32(copy);
}

/** Sixteen random bytes to tell regions apart, no secret: node:crypto takes open 4 ms to load, a file in /proc half a one. */
function randomBytes(): Uint8Array {
  return Uint8Array.from({ length: uuidSizeBytes }, () => Math.floor(Math.random() * 256));
}

/**
 * The two words of an epoch. They lie in one aligned unit of eight bytes, which neither a processor nor a disk tears, and the
 * second is a checksum over the first and the uuid: a change of any bit is seen.
 */
export function epochWords(uuid: string, epoch: number): [epoch: number, check: number] {
  const words = Buffer.alloc(uuidSizeBytes + 4, uuid, 'hex');
  words.writeUInt32LE(epoch, uuidSizeBytes);
  return [epoch, crc32(words)];
}

/** The header of a plan, and what a reader of it is told. */
export function encodeSuperblock(
  plan: Plan,
  policy: PolicyName,
  alignmentBytes: number = dataAlignmentBytes,
  room: HotRoom = noRoom,
): { header: Uint8Array<ArrayBuffer>; superblock: Superblock } {
  const counts = tableCounts(plan.ranges);
  const tables = tableLayout(counts);
  const header = new Uint8Array(tables.endBytes);
  const view = new DataView(header.buffer);
  header.set(magic, at.magic);
  view.setUint32(at.layoutVersion, layoutVersion, true);
  const uuidBytes = randomBytes();
  const uuid = Buffer.from(uuidBytes).toString('hex');
  header.set(uuidBytes, at.uuid);
  view.setUint32(at.rangeCount, counts.ranges, true);
  view.setUint32(at.segmentCount, counts.segments, true);
  view.setUint32(at.partCount, counts.parts, true);
  view.setUint32(at.ownerSlots, ownerSlots, true);
  view.setUint32(at.policy, policies.indexOf(policy), true);
  view.setUint32(at.profileId, plan.profileId, true);
  view.setUint32(at.platformId, platforms[plan.platform].id, true);
  view.setUint32(at.processSlots, processSlots, true);
  view.setFloat64(at.alignmentBytes, alignmentBytes, true);
  view.setUint32(at.hotRanges, room.ranges, true);
  view.setUint32(at.hotChunks, room.chunks, true);
  view.setFloat64(at.hotPages, room.pages, true);
  writeRanges(view, tables, plan.ranges);
  view.setUint32(at.checksum, checksum(header), true);
  const epoch = 1;
  epochWords(uuid, epoch).forEach((word, index) => {
    view.setUint32(at.epoch + index * 4, word, true);
  });
  const { ranges, profileId, platform } = plan;
  return { header, superblock: { ranges, profileId, platform, policy, uuid, alignmentBytes, epoch, room } };
}

/** Writes ranges with their segments into tables that have room for them. */
export function writeRanges(
  view: DataView<ArrayBuffer>,
  tables: Omit<TableLayout, 'endBytes'>,
  ranges: readonly PlannedMemmap[],
): void {
  ranges.forEach((range, index) => {
    const entry = tables.ranges + index * rangeEntrySizeBytes;
    view.setFloat64(entry + rangeAt.startPfn, range.startPfn, true);
    view.setFloat64(entry + rangeAt.endPfn, range.endPfn, true);
    view.setFloat64(entry + rangeAt.chunkPages, range.chunkPages, true);
    view.setUint32(entry + rangeAt.nid, range.nid, true);
    view.setUint32(entry + rangeAt.zone, range.zone, true);
    view.setUint32(entry + rangeAt.kind, kinds.indexOf(range.kind), true);
    view.setUint32(entry + rangeAt.segmentCount, range.segments.length, true);
    view.setFloat64(entry + rangeAt.pgmap, range.pgmap, true);
  });
  const segments = ranges.flatMap((range) => range.segments);
  segments.forEach(({ startPfn, endPfn, use, content }, index) => {
    const entry = tables.segments + index * segmentEntrySizeBytes;
    view.setFloat64(entry + segmentAt.startPfn, startPfn, true);
    view.setFloat64(entry + segmentAt.endPfn, endPfn, true);
    view.setUint32(entry + segmentAt.use, uses.indexOf(use), true);
    view.setUint32(entry + segmentAt.partCount, content.parts.length, true);
    view.setFloat64(entry + segmentAt.periodPages, content.periodPages, true);
  });
  const parts = segments.flatMap(({ content }) => content.parts);
  parts.forEach((part, index) => {
    const entry = tables.parts + index * partEntrySizeBytes;
    view.setFloat64(entry + partAt.at, part.at, true);
    new Uint32Array(view.buffer, entry + partAt.pattern, patternWords).set(part.pattern);
  });
}

/** Whether these bytes begin a region of any version, whole or not. */
export function hasMagic(bytes: Uint8Array): boolean {
  return magic.every((byte, index) => bytes[at.magic + index] === byte);
}

/**
 * How many bytes the header has that begins with these, which are at least the superblock.
 * @throws what `refuse` makes of a problem
 */
export function headerSizeOf(superblock: Uint8Array, refuse: Refuse): number {
  const isUnfinished = unfinishedMagic.every((byte, index) => superblock[at.magic + index] === byte);
  if (isUnfinished) throw refuse('unfinished', 'it was never finished');
  if (superblock.byteLength < superblockSizeBytes) {
    const problem = hasMagic(superblock) ? 'damaged' : 'foreign';
    throw refuse(problem, 'it is too small for a superblock', superblock.byteLength);
  }
  if (!hasMagic(superblock)) throw refuse('foreign', 'it is no vmemmap region');
  const view = new DataView(superblock.buffer, superblock.byteOffset);
  const version = view.getUint32(at.layoutVersion, true);
  if (version !== layoutVersion) {
    throw refuse('version', `it has region layout ${version}, this is ${layoutVersion}`, version);
  }
  const counts = countsIn(view);
  if (counts.ranges > rangesMax || counts.segments > segmentsMax || counts.parts > segmentsMax) {
    throw refuse('damaged', 'its range count is impossible', counts);
  }
  return tableLayout(counts).endBytes;
}

function countsIn(view: DataView): TableCounts {
  const count = (name: 'rangeCount' | 'segmentCount' | 'partCount'): number => view.getUint32(at[name], true);
  return { ranges: count('rangeCount'), segments: count('segmentCount'), parts: count('partCount') };
}

/** Reads and checks a superblock and the tables behind it. @throws what `refuse` makes of a problem */
export function decodeSuperblock(bytes: Uint8Array, refuse: Refuse): Superblock {
  const sizeBytes = headerSizeOf(bytes, refuse);
  const damaged = (what: string, received?: unknown): VmemmapError => refuse('damaged', what, received);
  if (sizeBytes > bytes.byteLength) throw damaged('its range count is impossible', sizeBytes);
  // a copy: what another thread or process changes meanwhile cannot be one thing when it is checked and another when used
  const header = Uint8Array.from(bytes.subarray(0, sizeBytes));
  const view = new DataView(header.buffer);
  const sum = checksum(header);
  if (view.getUint32(at.checksum, true) !== sum) throw damaged('its superblock has a wrong checksum', sum);
  const uuid = Buffer.from(header.subarray(at.uuid, at.uuid + uuidSizeBytes)).toString('hex');
  const [epoch, check] = [view.getUint32(at.epoch, true), view.getUint32(at.epoch + 4, true)];
  if (epochWords(uuid, epoch)[1] !== check) throw damaged('its epoch has a wrong checksum', check);
  if (view.getUint32(at.ownerSlots, true) !== ownerSlots) throw damaged('its owner table has another size');
  if (view.getUint32(at.processSlots, true) !== processSlots) throw damaged('its process table has another size');
  const policy = policies[view.getUint32(at.policy, true)];
  if (policy === undefined) throw damaged('its policy is unknown', view.getUint32(at.policy, true));
  const platformId = view.getUint32(at.platformId, true);
  const platform = Object.values(platforms).find(({ id }) => id === platformId)?.name;
  if (platform === undefined) throw damaged('its platform is unknown', platformId);
  const alignmentBytes = view.getFloat64(at.alignmentBytes, true);
  if (!alignments.includes(alignmentBytes)) throw damaged('its alignment is impossible', alignmentBytes);
  const room = {
    ranges: view.getUint32(at.hotRanges, true),
    pages: view.getFloat64(at.hotPages, true),
    chunks: view.getUint32(at.hotChunks, true),
  };
  if (!isRoom(room)) throw damaged('its room for ranges is impossible', room);
  const counts = countsIn(view);
  const ranges = readRanges(view, counts, tableLayout(counts), damaged);
  for (let i = 1; i < ranges.length; i++) {
    if ((ranges[i] as PlannedMemmap).startPfn < (ranges[i - 1] as PlannedMemmap).endPfn) {
      throw damaged('its ranges overlap or are not sorted', i);
    }
  }
  const profileId = view.getUint32(at.profileId, true);
  return { ranges, profileId, platform, policy, uuid, alignmentBytes, epoch, room };
}

/** The refusal of what came with a handle. */
export function refuseHandle(_: HeaderProblem, what: string, received?: unknown): VmemmapError {
  return new VmemmapError(
    'HANDLE_INVALID',
    `the handle's control buffer cannot be used: ${what}; use a handle that memmap.handle() made with this version`,
    { received },
  );
}

/**
 * All ranges with their segments, each checked.
 * @param tables where the tables begin.
 */
export function readRanges(
  view: DataView<ArrayBuffer>,
  counts: TableCounts,
  tables: Omit<TableLayout, 'endBytes'>,
  damaged: (what: string) => Error,
): PlannedMemmap[] {
  let segment = 0;
  let part = 0;
  const segmentHere = (): Segment | undefined => {
    if (segment >= counts.segments) return undefined;
    const entry = tables.segments + segment++ * segmentEntrySizeBytes;
    const partCount = view.getUint32(entry + segmentAt.partCount, true);
    if (partCount > counts.parts - part) return undefined;
    const parts = Array.from({ length: partCount }, () => readPart(view, tables.parts + part++ * partEntrySizeBytes));
    return readSegment(view, entry, parts);
  };
  const ranges = Array.from({ length: counts.ranges }, (_, index) => {
    const entry = tables.ranges + index * rangeEntrySizeBytes;
    const segments: Segment[] = [];
    for (let left = view.getUint32(entry + rangeAt.segmentCount, true); left > 0; left--) {
      const next = segmentHere();
      if (!next) throw damaged(`its range ${index} has an impossible segment`);
      segments.push(next);
    }
    const range = readRange(view, entry, segments);
    if (!range) throw damaged(`its range ${index} is impossible`);
    return range;
  });
  if (segment !== counts.segments || part !== counts.parts) throw damaged('its segments belong to no range');
  return ranges;
}

/** How many segments and parts belong to the one range that tables hold; the counts may be anything. */
export function countsOfOne(view: DataView, tables: Omit<TableLayout, 'endBytes'>, segmentsMost: number): TableCounts {
  const segments = view.getUint32(tables.ranges + rangeAt.segmentCount, true);
  let parts = 0;
  for (let segment = 0; segment < Math.min(segments, segmentsMost); segment++) {
    parts += view.getUint32(tables.segments + segment * segmentEntrySizeBytes + segmentAt.partCount, true);
  }
  return { ranges: 1, segments, parts };
}

/** Counts that are exact, and not below `min`. */
function areCounts(min: number, ...values: readonly number[]): boolean {
  return values.every((value) => Number.isSafeInteger(value) && value >= min);
}

function readPart(view: DataView<ArrayBuffer>, entry: number): ContentPart {
  return {
    at: view.getFloat64(entry + partAt.at, true),
    pattern: Uint32Array.from(new Uint32Array(view.buffer, entry + partAt.pattern, patternWords)),
  };
}

/** An entry of the segment table; undefined when it is impossible. */
function readSegment(view: DataView, entry: number, parts: readonly ContentPart[]): Segment | undefined {
  const startPfn = view.getFloat64(entry + segmentAt.startPfn, true);
  const endPfn = view.getFloat64(entry + segmentAt.endPfn, true);
  const periodPages = view.getFloat64(entry + segmentAt.periodPages, true);
  const use = uses[view.getUint32(entry + segmentAt.use, true)];
  const isSound =
    areCounts(0, startPfn, endPfn) &&
    startPfn < endPfn &&
    areCounts(1, periodPages) &&
    periodPages <= rangePagesMax &&
    (periodPages > 1 || parts.length === 1) &&
    parts.length <= partsMax &&
    parts.every(({ at }, index) => areCounts(0, at) && at < periodPages && at > (parts[index - 1]?.at ?? -1)) &&
    parts[0]?.at === 0;
  return isSound && use !== undefined ? { startPfn, endPfn, use, content: { periodPages, parts } } : undefined;
}

/** An entry of the range table; undefined when it is impossible. */
function readRange(view: DataView, entry: number, segments: readonly Segment[]): PlannedMemmap | undefined {
  const startPfn = view.getFloat64(entry + rangeAt.startPfn, true);
  const endPfn = view.getFloat64(entry + rangeAt.endPfn, true);
  const chunkPages = view.getFloat64(entry + rangeAt.chunkPages, true);
  const kind = kinds[view.getUint32(entry + rangeAt.kind, true)];
  const isSound =
    areCounts(0, startPfn, endPfn, chunkPages) &&
    startPfn < endPfn &&
    endPfn <= pfnLimit &&
    endPfn - startPfn <= rangePagesMax &&
    chunkPages > 0 &&
    chunkPages <= rangePagesMax &&
    chunkPages % pageblockPages === 0 &&
    segments[0]?.startPfn === startPfn &&
    segments.at(-1)?.endPfn === endPfn &&
    segments.every((segment, index) => index === 0 || segment.startPfn === segments[index - 1]?.endPfn);
  if (!isSound || kind === undefined) return undefined;
  return {
    ...chunkGeometry({ startPfn, endPfn }, chunkPages),
    nid: view.getUint32(entry + rangeAt.nid, true),
    zone: view.getUint32(entry + rangeAt.zone, true),
    kind,
    pgmap: view.getFloat64(entry + rangeAt.pgmap, true),
    segments,
  };
}
