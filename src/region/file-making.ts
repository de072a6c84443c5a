/**
 * Making the region of a plan in a file, or on a device. After a crash at any moment the file is empty, unfinished, or whole:
 *
 *     blocks for all ─► "vmemnew" ─► media ─► size, zeros, header without its magic number ─► media ─► magic number ─► media
 *
 * Blocks first, while the file has its old size: it keeps what it holds until there is room for the rest; and all at once: one
 * block that was written before would take the others off the borders of huge pages.
 */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Plan, PolicyName } from '../plan.ts';
import type { DataBuffer } from './backing.ts';
import { type Persistence, persistenceOf } from './durability.ts';
import { allocateBlocks, type OpenFile, resizeTo, writeError } from './file.ts';
import { type RegionLayout, regionLayout } from './layout.ts';
import { mapFile, unmapFile } from './mapping.ts';
import { encodeSuperblock, type Superblock, unfinishedMagic } from './superblock.ts';

/** Stores into the part of a file before its descriptors. Tests put in one that writes down what it is told. */
export interface ControlWriter {
  write(bytes: Uint8Array, offset: number): void;
  /** Gives the file its size. */
  resize(): void;
  /** What was written is on the media. */
  persist(): void;
}

const unfinished: Uint8Array = Uint8Array.from(unfinishedMagic);

/** Writes the control part. @param isEmpty the file has no byte yet: what it gets reads as zeros. */
export function writeControl(
  writer: ControlWriter,
  header: Uint8Array,
  { controlSizeBytes }: RegionLayout,
  isEmpty: boolean,
): void {
  const magicSize = unfinished.length;
  writer.write(unfinished, 0);
  writer.persist();
  writer.resize();
  if (!isEmpty) writer.write(new Uint8Array(controlSizeBytes - magicSize), magicSize);
  writer.write(header.subarray(magicSize), magicSize);
  writer.persist();
  writer.write(header.slice(0, magicSize), 0);
  writer.persist();
}

/** Makes the region. @throws VmemmapError NO_SPACE, and then the file is what it was; FILE_UNUSABLE */
export function makeIn(file: OpenFile, plan: Plan, policy: PolicyName): Superblock {
  const { header, superblock } = encodeSuperblock(plan, policy, file.alignmentBytes);
  const layout = regionLayout(plan.ranges, file.alignmentBytes);
  allocateBlocks(file, layout.totalSizeBytes);
  if (file.kind === 'devdax') makeOnDevice(file, header, layout);
  else makeInFile(file, header, layout);
  return superblock;
}

function makeInFile(file: OpenFile, header: Uint8Array, layout: RegionLayout): void {
  try {
    // whatever durability is asked for: others who want more may join, and this costs a few milliseconds
    writeControl(writerOfFile(file, layout), header, layout, file.sizeBytes === 0);
    if (!file.isVolatile) persistName(file.path);
  } catch (error) {
    throw writeError(file, layout.totalSizeBytes, error);
  }
}

/** A file is written by the system's calls, whose errors are no signals. */
function writerOfFile(file: OpenFile, { totalSizeBytes }: RegionLayout): ControlWriter {
  const { fd } = file;
  return {
    write(bytes, offset) {
      for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, offset + done);
    },
    resize: () => resizeTo(file, totalSizeBytes),
    persist() {
      if (!file.isVolatile) fsyncSync(fd);
    },
  };
}

function makeOnDevice(file: OpenFile, header: Uint8Array, layout: RegionLayout): void {
  const mapped = mapFile(file, layout, [], 'shared');
  try {
    writeControl(writerOverMemory(mapped.control, layout, persistenceOf('dax-sync', 'devdax')), header, layout, false);
  } finally {
    unmapFile(mapped);
  }
}

/** A device can only be mapped: the writer for its control part as it is in memory. */
export function writerOverMemory(
  { buffer, byteOffset }: DataBuffer,
  { controlSizeBytes }: RegionLayout,
  persistence: Persistence | undefined,
): ControlWriter {
  const bytes = new Uint8Array(buffer, byteOffset, controlSizeBytes);
  const words = new Uint32Array(buffer, byteOffset, controlSizeBytes / Uint32Array.BYTES_PER_ELEMENT);
  return {
    write(source, offset) {
      if (source.length !== unfinished.length) return bytes.set(source, offset);
      // a magic number is stored at once: eight bytes are what the media never tears
      const [magic] = new BigInt64Array(Uint8Array.from(source).buffer);
      Atomics.store(new BigInt64Array(buffer, byteOffset + offset, 1), 0, magic as bigint);
    },
    resize() {},
    persist() {
      persistence?.persist(words, 0, words.byteLength);
    },
  };
}

/** Brings the name of a file to the media: it stands in the folder. */
function persistName(path: string): void {
  const fd = openSync(dirname(path), 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
