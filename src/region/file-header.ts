/** What stands at the start of a file: read without touching it by a mapping, and compared with what should stand there. */
import { fstatSync, readSync } from 'node:fs';
import { firstPlanDifference, type Plan, type PolicyName } from '../plan.ts';
import { allocateBlocks, fileError, type OpenFile } from './file.ts';
import { type RegionLayout, superblockSizeBytes } from './layout.ts';
import { peek } from './mapping.ts';
import {
  decodeSuperblock,
  type HeaderProblem,
  hasMagic,
  headerSizeOf,
  type Refuse,
  type Superblock,
  unfinishedMagic,
} from './superblock.ts';

/** Refusals by what is wrong with the bytes. */
const refusals = {
  foreign: ['FILE_FOREIGN', 'it was left alone; name another file'],
  unfinished: ['FILE_DAMAGED', 'whoever made it was interrupted; vmemmap init makes it anew'],
  version: ['FILE_VERSION', 'use that version, or start over with --rebuild'],
  damaged: ['FILE_DAMAGED', 'restore it from a copy, or start over with --rebuild'],
} as const satisfies Record<HeaderProblem, readonly [string, string]>;

function refuserOf(path: string): Refuse {
  return (problem, what, received) => {
    const [code, advice] = refusals[problem];
    return fileError(code, path, `${what}; ${advice}`, { received });
  };
}

/** As many of the first bytes as there are. */
function firstBytes(file: OpenFile, sizeBytes: number): Uint8Array {
  if (file.kind === 'devdax') return peek(file, Math.min(sizeBytes, file.sizeBytes));
  const bytes = new Uint8Array(sizeBytes);
  let read = 0;
  for (;;) {
    let count: number;
    try {
      count = readSync(file.fd, bytes, read, sizeBytes - read, read);
    } catch (cause) {
      throw fileError('FILE_UNUSABLE', file.path, 'it cannot be read; see the cause', { cause });
    }
    read += count;
    if (count === 0 || read === sizeBytes) return bytes.subarray(0, read);
  }
}

/** Whether there is nothing to lose: no byte, or what an interrupted opener left behind; on a device zeros, too. */
export function isFree({ kind }: Pick<OpenFile, 'kind'>, first: Uint8Array): boolean {
  if (first.length === 0 || unfinishedMagic.every((byte, index) => first[index] === byte)) return true;
  return kind === 'devdax' && first.every((byte) => byte === 0);
}

/**
 * The header of a file; undefined where there is none yet, if that `isWelcome`.
 * @throws VmemmapError FILE_FOREIGN, FILE_DAMAGED, FILE_VERSION, FILE_UNUSABLE
 */
export function readHeader(file: OpenFile, isWelcome: boolean): Superblock | undefined {
  const first = firstBytes(file, superblockSizeBytes);
  if (isWelcome && isFree(file, first)) return undefined;
  const refuse = refuserOf(file.path);
  return decodeSuperblock(firstBytes(file, headerSizeOf(first, refuse)), refuse);
}

/**
 * Starting over is for files of vmemmap, whatever their state or version; a device can be taken in no other way.
 * @throws VmemmapError FILE_FOREIGN
 */
export function refuseRebuildOfForeign(file: OpenFile): void {
  if (file.kind === 'devdax') return;
  const first = firstBytes(file, superblockSizeBytes);
  if (!isFree(file, first) && !hasMagic(first)) throw refuserOf(file.path)('foreign', 'it is no vmemmap region');
}

/** @throws VmemmapError FILE_GEOMETRY when the file holds another memmap than the one that is wanted */
export function refuseOther(
  file: OpenFile,
  found: Superblock,
  { plan, policy }: { readonly plan?: Plan; readonly policy?: PolicyName },
): void {
  const otherPolicy =
    policy !== undefined && policy !== found.policy ? `policy ${found.policy}, not ${policy}` : undefined;
  const difference = (plan && firstPlanDifference(found, plan)) ?? otherPolicy;
  if (difference !== undefined) {
    const what = `it holds another memmap: ${difference}; describe that machine, name another file, or start over with --rebuild`;
    throw fileError('FILE_GEOMETRY', file.path, what);
  }
  if (found.alignmentBytes < file.alignmentBytes) {
    const what = `it is aligned for pages of ${found.alignmentBytes} bytes, the device maps ${file.alignmentBytes}; start over with --rebuild`;
    throw fileError('FILE_GEOMETRY', file.path, what);
  }
}

/** @throws VmemmapError FILE_DAMAGED */
export function refuseCutShort({ path, sizeBytes }: OpenFile, { totalSizeBytes }: RegionLayout): void {
  if (sizeBytes >= totalSizeBytes) return;
  const what = `it was cut short: ${totalSizeBytes} bytes are needed, it has ${sizeBytes}; restore it from a copy, or start over with --rebuild`;
  throw fileError('FILE_DAMAGED', path, what);
}

/** Sets blocks aside again where somebody has punched holes. @throws VmemmapError NO_SPACE */
export function completeBlocks(file: OpenFile, { totalSizeBytes }: RegionLayout): void {
  if (file.kind === 'file' && fstatSync(file.fd).blocks * 512 < totalSizeBytes) allocateBlocks(file, totalSizeBytes);
}
