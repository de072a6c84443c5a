/** The superblock and the range table: what an attaching thread or process learns about a region, and how it is checked. */
import { crc32 } from 'node:zlib';
import { patternWords } from '../descriptor/layout.ts';
import { VmemmapError } from '../errors.ts';
import { chunkGeometry, pfnLimit, rangePagesMax } from '../physical/geometry.ts';
import type { MemoryKind } from '../physical/topology.ts';
import { type Plan, type PlannedMemmap, type PolicyName, rangesMax } from '../plan.ts';
import { ownerSlots, rangeEntrySizeBytes, superblockSizeBytes } from './layout.ts';

/** "vmemmap" and a zero byte. */
const magic: readonly number[] = [0x76, 0x6d, 0x65, 0x6d, 0x6d, 0x61, 0x70, 0x00];
/** Changes whenever a region of before cannot be read any more. */
export const layoutVersion = 1;

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
} as const;

/** Byte offsets in an entry of the range table. */
const rangeAt = {
  startPfn: 0,
  endPfn: 8,
  chunkPages: 16,
  nid: 24,
  zone: 28,
  kind: 32,
  pgmap: 40,
  pattern: 64,
} as const;

const kinds: readonly MemoryKind[] = ['ram', 'device'];
const policies: readonly PolicyName[] = ['hotplug', 'boot'];

/** What the superblock and the range table say. */
export interface Superblock extends Plan {
  readonly policy: PolicyName;
  /** Sixteen random bytes, in hexadecimal: two handles of one region have the same. */
  readonly uuid: string;
}

/** Bytes that hold the superblock and the range table. */
function headerSizeBytes(rangeCount: number): number {
  return superblockSizeBytes + rangeCount * rangeEntrySizeBytes;
}

/** CRC-32 of the header with the checksum's own bytes read as zero. */
function checksum(header: Uint8Array): number {
  // crc32 does not read shared memory, and the header is small: work on a copy.
  const copy = Uint8Array.from(header);
  copy.fill(0, at.checksum, at.checksum + 4);
  return crc32(copy);
}

/** Sixteen random bytes to tell regions apart, no secret: node:crypto takes open 4 ms to load, a file in /proc half a one. */
function randomBytes(): Uint8Array {
  return Uint8Array.from({ length: 16 }, () => Math.floor(Math.random() * 256));
}

/** Writes superblock and range table into a fresh control buffer. @returns what a reader of it would be told. */
export function writeSuperblock(buffer: SharedArrayBuffer, plan: Plan, policy: PolicyName): Superblock {
  const header = new Uint8Array(buffer, 0, headerSizeBytes(plan.ranges.length));
  const view = new DataView(buffer, 0, header.length);
  header.set(magic, at.magic);
  view.setUint32(at.layoutVersion, layoutVersion, true);
  const uuid = randomBytes();
  header.set(uuid, at.uuid);
  view.setUint32(at.rangeCount, plan.ranges.length, true);
  view.setUint32(at.ownerSlots, ownerSlots, true);
  view.setUint32(at.policy, policies.indexOf(policy), true);
  view.setUint32(at.profileId, plan.profileId, true);
  plan.ranges.forEach((range, index) => {
    const entry = superblockSizeBytes + index * rangeEntrySizeBytes;
    view.setFloat64(entry + rangeAt.startPfn, range.startPfn, true);
    view.setFloat64(entry + rangeAt.endPfn, range.endPfn, true);
    view.setFloat64(entry + rangeAt.chunkPages, range.chunkPages, true);
    view.setUint32(entry + rangeAt.nid, range.nid, true);
    view.setUint32(entry + rangeAt.zone, range.zone, true);
    view.setUint32(entry + rangeAt.kind, kinds.indexOf(range.kind), true);
    view.setFloat64(entry + rangeAt.pgmap, range.pgmap, true);
    new Uint32Array(buffer, entry + rangeAt.pattern, patternWords).set(range.pattern);
  });
  view.setUint32(at.checksum, checksum(header), true);
  return { ranges: plan.ranges, policy, uuid: Buffer.from(uuid).toString('hex'), profileId: plan.profileId };
}

function invalid(what: string, received: unknown): VmemmapError {
  return new VmemmapError('HANDLE_INVALID', `${what}; use a handle that memmap.handle() made with this version`, {
    received,
  });
}

/** Reads and checks a superblock and its range table. @throws VmemmapError HANDLE_INVALID */
export function readSuperblock(buffer: SharedArrayBuffer): Superblock {
  if (buffer.byteLength < superblockSizeBytes) throw invalid('the control buffer is too small', buffer.byteLength);
  const view = new DataView(buffer);
  const bytes = new Uint8Array(buffer);
  if (magic.some((byte, index) => bytes[at.magic + index] !== byte)) throw invalid('not a vmemmap region', undefined);
  const version = view.getUint32(at.layoutVersion, true);
  if (version !== layoutVersion) throw invalid(`region layout ${version}, this is ${layoutVersion}`, version);
  const rangeCount = view.getUint32(at.rangeCount, true);
  const sizeBytes = headerSizeBytes(rangeCount);
  if (rangeCount > rangesMax || sizeBytes > buffer.byteLength) throw invalid('impossible range count', rangeCount);
  const sum = checksum(bytes.subarray(0, sizeBytes));
  if (view.getUint32(at.checksum, true) !== sum) throw invalid('the superblock is damaged: wrong checksum', sum);
  if (view.getUint32(at.ownerSlots, true) !== ownerSlots) throw invalid('another size of the owner table', undefined);
  const policy = policies[view.getUint32(at.policy, true)];
  if (policy === undefined) throw invalid('unknown policy', view.getUint32(at.policy, true));
  const ranges = Array.from({ length: rangeCount }, (_, index) => readRange(buffer, view, index));
  for (let i = 1; i < ranges.length; i++) {
    if ((ranges[i] as PlannedMemmap).startPfn < (ranges[i - 1] as PlannedMemmap).endPfn) {
      throw invalid('ranges overlap or are not sorted', i);
    }
  }
  const uuid = Buffer.from(bytes.slice(at.uuid, at.uuid + 16)).toString('hex');
  return { ranges, policy, uuid, profileId: view.getUint32(at.profileId, true) };
}

function readRange(buffer: SharedArrayBuffer, view: DataView, index: number): PlannedMemmap {
  const entry = superblockSizeBytes + index * rangeEntrySizeBytes;
  const startPfn = view.getFloat64(entry + rangeAt.startPfn, true);
  const endPfn = view.getFloat64(entry + rangeAt.endPfn, true);
  const chunkPages = view.getFloat64(entry + rangeAt.chunkPages, true);
  const kind = kinds[view.getUint32(entry + rangeAt.kind, true)];
  const sound =
    [startPfn, endPfn, chunkPages].every((pfn) => Number.isSafeInteger(pfn)) &&
    startPfn >= 0 &&
    startPfn < endPfn &&
    endPfn <= pfnLimit &&
    endPfn - startPfn <= rangePagesMax &&
    chunkPages > 0 &&
    kind !== undefined;
  if (!sound) throw invalid(`range ${index} is impossible`, { startPfn, endPfn, chunkPages });
  return {
    ...chunkGeometry({ startPfn, endPfn }, chunkPages),
    nid: view.getUint32(entry + rangeAt.nid, true),
    zone: view.getUint32(entry + rangeAt.zone, true),
    kind,
    pgmap: view.getFloat64(entry + rangeAt.pgmap, true),
    pattern: Uint32Array.from(new Uint32Array(buffer, entry + rangeAt.pattern, patternWords)),
  };
}
