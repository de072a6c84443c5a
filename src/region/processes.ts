/**
 * The processes that share a file: who they are, and whether they live. The kernel says so, by locks on bytes of the file far
 * behind its end (open file description locks, fcntl(2)): whoever opens the file holds the byte of its slot as long as it uses
 * the file, and the kernel lets go of it when the last thread of a killed process has stored its last. No time-out, no guess
 * by process id; it works across pid namespaces.
 *
 *     byte      held                  by
 *     SETUP     exclusively           whoever opens the file, until it can be used or is refused
 *     USE       shared                every process that uses it; exclusively, for a moment, by one that finds itself alone
 *     READ      shared                whoever only reads the file; exclusively, who rebuilds it
 *     SLOT + n  exclusively           the process with slot n, 1 and above; for a moment, who reaps what its holder left behind
 *
 * A process that opens a file twice is two of these: a lock belongs to an open file, not to a process.
 *
 *     slot      taken by whoever wins its byte, under SETUP; what its former holder left behind (owner slots, claims) is reaped
 *               before a thread of the next one joins; until then it looks alive to others, which only lets them wait
 *
 * Each slot has a line of notes in the process table: pid, pid namespace and time namespace. The pid is for people; all three are
 * for thread ids and start times (threads.ts), which mean something only where the namespaces are the same.
 */
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { VmemmapError } from '../errors.ts';
import { addon, lockKind } from '../native.ts';
import { processSlotSizeBytes, processSlots, type RegionLayout } from './layout.ts';
import { isThreadDead, mainThread } from './threads.ts';

/** The processes that share a region, as one of them sees them. */
export interface Processes {
  /** Slot of this process, 1 and above. */
  readonly slot: number;
  /** Whether the process that had a slot is known to be gone. */
  isGone(slot: number): boolean;
  /** Whether thread ids and start times mean the same to that process and to this one, which can look them up. */
  sharesThreadIds(slot: number): boolean;
  /** Whether another process uses the file. */
  hasOthers(): boolean;
  /**
   * Calls `reap` while nobody can take the slot of a process that is gone. Several threads of a process may do so at once; but
   * see OwnerTable, which lets one.
   * @returns false when it is not gone
   */
  whileGone(slot: number, reap: () => void): boolean;
  /** This process is about to close the file. */
  forget(): void;
}

/** Bytes that are locked; numbers are counted from where lock bytes begin. There is no slot 0. */
const lockByte = { setup: 0, use: 1, read: 2, slot: 2 } as const;

/** Words of a line of the process table. */
const lineWord = { pid: 0, pidNamespace: 1, timeNamespace: 2, startTicks: 3 } as const;

const { EAGAIN } = constants.errno;

/** A lock of an open file. @returns 0, EAGAIN when somebody else is in the way, or another positive errno */
function lock(fd: number, byte: number, kind: keyof typeof lockKind): number {
  return addon?.lockByte(fd, byte, lockKind[kind]) ?? constants.errno.ENOSYS;
}

function refuseLock(path: string, errno: number): VmemmapError {
  return new VmemmapError(
    'FILE_UNUSABLE',
    `${path}: its file system has no open file description locks (errno ${errno}), without which several processes cannot be told apart; use a local file system`,
    { errno },
  );
}

/** Takes a lock exclusively if nobody is in the way. @throws VmemmapError FILE_UNUSABLE where there are no such locks */
function tryLock(fd: number, path: string, byte: number): boolean {
  const errno = lock(fd, byte, 'exclusive');
  if (errno !== 0 && errno !== EAGAIN) throw refuseLock(path, errno);
  return errno === 0;
}

/** Tries to become the only one who opens the file. @returns whether it worked @throws VmemmapError FILE_UNUSABLE */
export function tryLockSetup(fd: number, path: string): boolean {
  return tryLock(fd, path, lockByte.setup);
}

/** Lets others open the file. */
export function unlockSetup(fd: number): void {
  lock(fd, lockByte.setup, 'none');
}

/** Whether nobody uses the file; then nobody can begin to before `shareUse`. Under SETUP. */
export function tryLockAlone(fd: number, path: string): boolean {
  return tryLock(fd, path, lockByte.use);
}

/** Uses the file, beside others. Under SETUP, so that nobody can be alone meanwhile. */
export function shareUse(fd: number, path: string): void {
  const errno = lock(fd, lockByte.use, 'shared');
  if (errno !== 0) throw refuseLock(path, errno);
}

/** Takes a slot of the process table. Under SETUP. @throws VmemmapError NO_PROCESS_SLOT */
export function takeProcessSlot(fd: number, path: string): number {
  for (let slot = 1; slot < processSlots; slot++) {
    if (lock(fd, lockByte.slot + slot, 'exclusive') === 0) return slot;
  }
  throw new VmemmapError(
    'NO_PROCESS_SLOT',
    `${path}: ${processSlots - 1} processes have it open already; close it in some of them`,
  );
}

/** Reads the file without using it. @returns 0, EAGAIN while somebody rebuilds it, or another errno */
export function lockReading(fd: number): number {
  return lock(fd, lockByte.read, 'shared');
}

/** Whether nobody reads the file; then nobody can begin to before `unlockReaders`. Under SETUP. */
export function tryLockReaders(fd: number, path: string): boolean {
  return tryLock(fd, path, lockByte.read);
}

/** Lets others read it. */
export function unlockReaders(fd: number): void {
  lock(fd, lockByte.read, 'none');
}

/** Number of a namespace of this process (namespaces(7)); 0 when it cannot be told. */
function namespace(kind: 'pid' | 'time'): number {
  try {
    return Number(/\d+/.exec(readlinkSync(`/proc/self/ns/${kind}`))?.[0] ?? 0) | 0;
  } catch {
    return 0;
  }
}

/**
 * Number of the pid namespace that thread ids in /proc are of; 0 when it cannot be told. Whoever was put into a pid namespace
 * without a /proc of it (nsenter --pid) reads ids of another one there: it has more than one in its line NSpid (proc(5)), the
 * first of them that other one's.
 */
function pidNamespace(): number {
  try {
    const isOurs = /^NSpid:\t\d+$/m.test(readFileSync('/proc/self/status', 'utf8'));
    return isOurs ? namespace('pid') : 0;
  } catch {
    return 0;
  }
}

/** A process that has a file open, as `inspect` tells it. */
export interface ProcessNote {
  readonly slot: number;
  readonly pid: number;
}

/** See the top of the file. */
export class FileProcesses implements Processes {
  readonly slot: number;
  readonly #fd: number;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #first: number;
  readonly #pidNamespace: number = pidNamespace();
  /** Start times are told in the reader's (time_namespaces(7)); 0 on kernels that have none. */
  readonly #timeNamespace: number = namespace('time');

  /** @param words the region's control buffer as words. */
  constructor(fd: number, slot: number, words: Int32Array<SharedArrayBuffer>, { processes }: RegionLayout) {
    this.slot = slot;
    this.#fd = fd;
    this.#words = words;
    this.#first = processes / Int32Array.BYTES_PER_ELEMENT;
  }

  /** Writes the notes of this process; before a thread of it joins. */
  note(): void {
    // plain order would do: who reads them has seen an owner slot of this process before, which is stored behind
    const { tid, startTicks } = mainThread();
    Atomics.store(this.#words, this.#at(this.slot) + lineWord.startTicks, startTicks | 0);
    Atomics.store(this.#words, this.#at(this.slot) + lineWord.pid, tid);
    Atomics.store(this.#words, this.#at(this.slot) + lineWord.pidNamespace, this.#pidNamespace);
    Atomics.store(this.#words, this.#at(this.slot) + lineWord.timeNamespace, this.#timeNamespace);
  }

  /** Takes the notes back: only who was killed leaves them behind. */
  forget(): void {
    // plain order would do: the lock that the kernel lets go of behind it says more
    for (const word of Object.values(lineWord)) Atomics.store(this.#words, this.#at(this.slot) + word, 0);
  }

  hasOthers(): boolean {
    return addon?.testLock(this.#fd, lockByte.use) === EAGAIN;
  }

  whileGone(slot: number, reap: () => void): boolean {
    if (slot === this.slot || lock(this.#fd, lockByte.slot + slot, 'exclusive') !== 0) return false;
    try {
      reap();
      return true;
    } finally {
      lock(this.#fd, lockByte.slot + slot, 'none');
    }
  }

  /** Pid of a process that noted that it uses the file, lives, and has no lock that shows here; undefined when there is none. */
  livingStranger(): number | undefined {
    for (let slot = 1; slot < processSlots; slot++) {
      const at = this.#at(slot);
      // plain order would do: by its locks nobody is there, and whoever is all the same has opened the file before us
      const tid = Atomics.load(this.#words, at + lineWord.pid);
      if (tid === 0 || tid === process.pid || !this.sharesThreadIds(slot)) continue;
      const startTicks = Atomics.load(this.#words, at + lineWord.startTicks) >>> 0;
      if (!isThreadDead({ tid, startTicks })) return tid;
    }
    return undefined;
  }

  isGone(slot: number): boolean {
    // Only an answer that nobody has the lock means gone. Own locks are no obstacle: never asked about the own slot.
    return slot !== this.slot && addon?.testLock(this.#fd, lockByte.slot + slot) === 0;
  }

  sharesThreadIds(slot: number): boolean {
    const at = this.#at(slot);
    // acquire, by the load of the owner slot before it, as said in note
    const theirs = Atomics.load(this.#words, at + lineWord.pidNamespace);
    if (theirs === 0 || theirs !== this.#pidNamespace) return false;
    if (Atomics.load(this.#words, at + lineWord.timeNamespace) !== this.#timeNamespace) return false;
    // Where /proc hides the processes of others (its mount option hidepid), their threads look as if there were none.
    return existsSync(`/proc/${Atomics.load(this.#words, at + lineWord.pid)}/stat`);
  }

  #at(slot: number): number {
    return this.#first + (slot * processSlotSizeBytes) / Int32Array.BYTES_PER_ELEMENT;
  }
}

/** Who has a file open at this moment: those slots whose byte is locked, with the pid that they noted down. */
export function processesOf(fd: number, words: Int32Array<SharedArrayBuffer>, layout: RegionLayout): ProcessNote[] {
  const notes: ProcessNote[] = [];
  for (let slot = 1; slot < processSlots; slot++) {
    if (addon?.testLock(fd, lockByte.slot + slot) !== EAGAIN) continue;
    const at = (layout.processes + slot * processSlotSizeBytes) / Int32Array.BYTES_PER_ELEMENT;
    notes.push({ slot, pid: Atomics.load(words, at + lineWord.pid) });
  }
  return notes;
}
