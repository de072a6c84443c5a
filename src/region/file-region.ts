/**
 * A region in a file: found and checked, or made; mapped; and shared by processes. What its chunks are after a crash is the
 * business of src/claims/recovery.ts, which runs between `openFileRegion` and its `finish`.
 *
 *     setup lock ─► alone? ─► header ─► none: make it          ─► map ─► slot ─► (recovery) ─► finish
 *                             │         ours: compare, map it
 *                             └──────── anything else: refuse, and leave it as it is
 */
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { VmemmapError } from '../errors.ts';
import { addonState } from '../native.ts';
import type { Plan, PolicyName } from '../plan.ts';
import { type BackingReport, errnoName } from './backing.ts';
import type { Durability } from './durability.ts';
import { asItIs, type FileKind, fileError, type OpenFile, openFile, removeIfMade } from './file.ts';
import { completeBlocks, readHeader, refuseCutShort, refuseOther, refuseRebuildOfForeign } from './file-header.ts';
import { makeIn } from './file-making.ts';
import { type RegionLayout, regionLayout } from './layout.ts';
import { type MappedFile, mapFile, mapModeOf, readsBeforePopulate, unmapFile } from './mapping.ts';
import {
  type FileProcesses,
  lockReading,
  shareUse,
  takeProcessSlot,
  tryLockAlone,
  tryLockReaders,
  tryLockSetup,
  unlockReaders,
  unlockSetup,
} from './processes.ts';
import { Region } from './region.ts';
import { isSameBoot, isSameFile, readSession, type Session, sessionNow, writeSession } from './session.ts';
import { epochExtent, epochWords, type Superblock } from './superblock.ts';

/** What is asked for. */
export interface FileRequest {
  readonly path: string;
  readonly kind: FileKind;
  /** The least that will do; the best that there is when undefined. */
  readonly durability?: Durability | undefined;
  /** Start over, whatever the file holds, as long as it is one of vmemmap; a device may hold anything. */
  readonly rebuild?: boolean;
  /** What the file must hold, or is made to hold; undefined: whatever it holds. */
  readonly plan?: Plan;
  readonly policy?: PolicyName;
}

/** A region whose file is locked against others who open it, until `finish`. */
export interface Opening {
  readonly region: Region;
  /** Nobody else has the file open. */
  readonly isAlone: boolean;
  /** The file was there, with chunks that may be initialized. */
  readonly isResumed: boolean;
  /** Chunks that are READY still are: the kernel has had the pages since. Only asked where nobody else has the file. */
  readonly keepsReady: boolean;
  /** Lets others in. @throws VmemmapError NOT_DURABLE when the media refuses what recovery has found */
  finish(): void;
  /** Gives the file up again, because recovery failed. */
  abandon(): void;
}

/** How often one who waits for another to open the file looks again, and how long it does. */
const setupStepMs = 5;
const setupMsMax = 60_000;

/**
 * Opens the region of a file, or makes it.
 * @throws VmemmapError ADDON_MISSING, FILE_*, NO_SPACE, NO_MEMORY, NO_PROCESS_SLOT, BACKING_UNAVAILABLE when the durability
 * asked for cannot be had @throws the reason of `signal` when it is aborted while another process opens the file
 */
export async function openFileRegion(request: FileRequest, signal?: AbortSignal): Promise<Opening> {
  refuseWithoutAddon();
  for (;;) {
    // a device is never made
    const opened = openFile(request.path, request.plan && request.kind === 'file' ? 'make' : 'use');
    try {
      refuseOtherKind(opened, request.kind);
      await lockSetup(opened, signal);
      // somebody who could not finish making it may have removed it while we waited; then once more
      const file = asItIs(opened);
      if (file) return openLocked(file, request);
    } catch (error) {
      closeSync(opened.fd);
      throw error;
    }
    // the name is of another file by now, or of none
    closeSync(opened.fd);
  }
}

function refuseWithoutAddon(): void {
  const state = addonState();
  if (!state.loaded)
    throw new VmemmapError('ADDON_MISSING', `the backings file and devdax need the addon: ${state.reason}`);
}

function refuseOtherKind({ path, kind }: OpenFile, wanted: FileKind): void {
  if (kind === wanted) return;
  const what = kind === 'devdax' ? 'it is a device; use the backing devdax' : 'it is a file; use the backing file';
  throw fileError('FILE_FOREIGN', path, what);
}

async function lockSetup({ fd, path }: OpenFile, signal: AbortSignal | undefined): Promise<void> {
  const untilMs = performance.now() + setupMsMax;
  while (!tryLockSetup(fd, path)) {
    signal?.throwIfAborted();
    if (performance.now() > untilMs) {
      const what = `another process has been opening it for ${setupMsMax / 1000} s; is it stopped? See inspect`;
      throw fileError('FILE_BUSY', path, what);
    }
    await sleep(setupStepMs);
  }
}

function openLocked(file: OpenFile, request: FileRequest): Opening {
  const isAlone = tryLockAlone(file.fd, file.path);
  try {
    const { durability: durabilityRequested } = request;
    // known before anything is made, or lost
    const mode = mapModeOf(file, durabilityRequested);
    const durability = durabilityOf(file, mode, durabilityRequested);
    const found = findOrMake(file, request, isAlone);
    return mapLocked(file, found.superblock, {
      ...{ isAlone, isResumed: !found.isMade, mode, durability },
      ...(durabilityRequested === undefined ? {} : { durabilityRequested }),
    });
  } catch (error) {
    removeIfMade(file);
    throw error;
  }
}

function findOrMake(
  file: OpenFile,
  request: FileRequest,
  isAlone: boolean,
): { superblock: Superblock; isMade: boolean } {
  if (request.rebuild) return { superblock: rebuild(file, request, isAlone), isMade: true };
  const { plan, policy } = request;
  const superblock = readHeader(file, isAlone && plan !== undefined);
  if (!superblock) return { superblock: makeIn(file, plan as Plan, policy as PolicyName), isMade: true };
  refuseOther(file, superblock, request);
  const layout = regionLayout(superblock.ranges, superblock.alignmentBytes);
  refuseCutShort(file, layout);
  completeBlocks(file, layout);
  return { superblock, isMade: false };
}

function rebuild(file: OpenFile, { plan, policy }: FileRequest, isAlone: boolean): Superblock {
  if (!isAlone) {
    throw fileError('FILE_BUSY', file.path, 'it cannot be rebuilt while another process uses it; close it there first');
  }
  refuseRebuildOfForeign(file);
  // who reads it has mapped what is cut off
  if (!tryLockReaders(file.fd, file.path)) {
    throw fileError(
      'FILE_BUSY',
      file.path,
      'it cannot be rebuilt while inspect or verify reads it; let them end first',
    );
  }
  try {
    return makeIn(file, plan as Plan, policy as PolicyName);
  } finally {
    unlockReaders(file.fd);
  }
}

/** What a mapping gives. @throws VmemmapError BACKING_UNAVAILABLE when that is less than what was asked for */
function durabilityOf(file: OpenFile, mode: 'sync' | 'shared', wanted: Durability | undefined): Durability {
  const { path, kind, isDax, isVolatile } = file;
  if (wanted === 'none') return wanted;
  if (isVolatile) {
    if (wanted === undefined) return 'none';
    const what = kind === 'devdax' ? 'it is no persistent memory' : 'tmpfs keeps nothing when the machine goes down';
    throw fileError('BACKING_UNAVAILABLE', path, `durability ${wanted} cannot be had: ${what}; ask for none`);
  }
  const isSync = kind === 'devdax' || mode === 'sync';
  if (wanted === 'dax-sync' && !isSync) {
    const why = isDax
      ? 'its file system does not give MAP_SYNC'
      : 'it is not on DAX; use a file system on an fsdax namespace, mounted with -o dax=always';
    throw fileError('BACKING_UNAVAILABLE', path, `durability dax-sync cannot be had: ${why}, or ask for msync`);
  }
  // a device has no msync, and what it has is more
  if (kind === 'devdax') return 'dax-sync';
  return wanted ?? (isSync ? 'dax-sync' : 'msync');
}

/** What is known about a file before it is mapped. */
interface Terms extends Pick<Opening, 'isAlone' | 'isResumed'> {
  readonly mode: 'sync' | 'shared';
  readonly durability: Durability;
  readonly durabilityRequested?: Durability;
}

function mapLocked(file: OpenFile, found: Superblock, terms: Terms): Opening {
  const { isAlone, isResumed } = terms;
  const epoch = isAlone && isResumed ? nextEpoch(found.epoch) : found.epoch;
  const layout = regionLayout(found.ranges, found.alignmentBytes);
  const mapped = mapFile(file, layout, found.ranges, terms.mode);
  try {
    const control = bytesOf(mapped, layout);
    const now = sessionNow(file.fd, epoch);
    const last = readSession(control, layout);
    if (!isAlone && !isSameBoot(last, now)) {
      const what = 'another machine uses it; a memmap is shared by processes of one machine';
      throw fileError('FILE_BUSY', file.path, what);
    }
    const process = takeProcessSlot(file.fd, file.path);
    const region = regionOf(file, mapped, { ...found, epoch }, process, terms);
    const processes = region.processes as FileProcesses;
    if (isAlone && isSameBoot(last, now)) refuseStrangers(file, processes);
    shareUse(file.fd, file.path);
    processes.note();
    return {
      region,
      isAlone,
      isResumed,
      keepsReady: keepsReady(region, last, now, found.epoch),
      finish() {
        if (isAlone) beginSession(region, control, now);
        unlockSetup(file.fd);
      },
      abandon() {
        processes.forget();
        unmapFile(mapped);
        closeSync(file.fd);
      },
    };
  } catch (error) {
    unmapFile(mapped);
    throw error;
  }
}

function bytesOf(
  { control: { buffer, byteOffset } }: MappedFile,
  { controlSizeBytes }: RegionLayout,
): Uint8Array<SharedArrayBuffer> {
  return new Uint8Array(buffer, byteOffset, controlSizeBytes);
}

function nextEpoch(epoch: number): number {
  return (epoch + 1) % 2 ** 32;
}

/**
 * Nobody holds a lock, and still there lives a process that noted that it uses the file: locks do not reach from it to us, as
 * through another device node of the same device, or on some network file systems.
 */
function refuseStrangers({ path }: OpenFile, processes: FileProcesses): void {
  const pid = processes.livingStranger();
  if (pid === undefined) return;
  const what = `process ${pid} uses it, but its locks do not show here; open it by the same device node, or on a local file system`;
  throw fileError('FILE_BUSY', path, what);
}

function regionOf(
  file: OpenFile,
  mapped: MappedFile,
  superblock: Superblock,
  process: number,
  { durability, durabilityRequested }: Pick<Terms, 'durability' | 'durabilityRequested'>,
): Region {
  const backing: BackingReport = {
    requested: file.kind,
    effective: file.kind,
    pageSize: file.pageSizeBytes,
    firstTouch: 'populate',
    durability,
    ...(durabilityRequested === undefined ? {} : { durabilityRequested }),
  };
  const { path, fd, isMade } = file;
  const memory = isMade ? 'fresh' : 'touched';
  const { control, data } = mapped;
  const readsFirst = readsBeforePopulate(file);
  return Region.ofFile({ control, data, backing, memory, file: { path, fd, process, mapped, readsFirst } }, superblock);
}

/** Whether READY can be trusted in a file that nobody has open, whose superblock has this epoch. */
export function keepsReady({ control, word }: Region, last: Session | undefined, now: Session, epoch: number): boolean {
  // a page that the media lost counts as written; see harden.ts
  if (Atomics.load(control, word.mediaErrno) !== 0) return false;
  // the line of the next epoch stands there when its opener was killed between that and the epoch: it had recovered, in this boot
  return isSameFile(last, now) && (last?.epoch === epoch || last?.epoch === nextEpoch(epoch));
}

/**
 * Writes down that a session begins: behind recovery, so that whoever comes after a crash in between recovers again.
 * @throws VmemmapError NOT_DURABLE when the media refuses
 */
export function beginSession(region: Region, control: Uint8Array<SharedArrayBuffer>, now: Session): void {
  const { layout, epoch, uuid, persistence, controlLines } = region;
  const persist = (offset: number, end: number): void => {
    const errno = persistence?.persist(controlLines, offset, end - offset) ?? 0;
    if (errno === 0) return;
    // told once, and perhaps of what the session before had stored: whoever opens the file next must not trust READY
    Atomics.compareExchange(region.control, region.word.mediaErrno, 0, errno);
    const what = `the media refused what was found in the file (${errnoName(errno)}); see the kernel's log, and copy the file elsewhere`;
    throw new VmemmapError('NOT_DURABLE', what, { errno });
  };
  persist(layout.session, layout.controlSizeBytes);
  writeSession(control, layout, now);
  const [low, high] = epochWords(uuid, epoch);
  const words = new BigInt64Array(control.buffer, control.byteOffset + epochExtent.offset, 1);
  // at once: eight bytes are what the media never tears
  Atomics.store(words, 0, (BigInt(high) << 32n) | BigInt(low));
  persist(0, layout.processes);
}

/**
 * A region that can only be looked at: nothing of the file is changed. Whoever rebuilds it meanwhile is refused.
 * @throws VmemmapError ADDON_MISSING, FILE_*
 */
export function readFileRegion(path: string): Region {
  refuseWithoutAddon();
  const opened = openFile(path, 'read');
  try {
    const errno = lockReading(opened.fd);
    if (errno === constants.errno.EAGAIN) throw fileError('FILE_BUSY', path, 'it is being rebuilt; look again later');
    const file = asItIs(opened) ?? opened;
    const superblock = readHeader(file, false) as Superblock;
    const layout = regionLayout(superblock.ranges, superblock.alignmentBytes);
    refuseCutShort(file, layout);
    const mapped = mapFile(file, layout, superblock.ranges, 'read');
    return regionOf(file, mapped, superblock, 0, { durability: 'none' });
  } catch (error) {
    closeSync(opened.fd);
    throw error;
  }
}
