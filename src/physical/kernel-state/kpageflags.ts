/** Reads /proc/kpageflags: which page frames have a descriptor in the running kernel, and which of these are reserved. */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { PfnExtent } from '../geometry.ts';
import { cannotRead, makesNoSense } from './unreadable.ts';

/**
 * What the running kernel shows of a page frame:
 * - `absent`: no descriptor, or none that it would show (KPF_NOPAGE);
 * - `blank`: no flag, as the others of its whole section. Kernels of about 6.16 and later show absent ones so (kpage_read of
 *   fs/proc/page.c), and memory that is in use and has no flags is shown so by all;
 * - `present`: a descriptor that is not reserved;
 * - `reserved`: PG_reserved;
 * - `offline`: PG_reserved and PG_offline, which drivers set that take memory away: balloons, virtio-mem.
 */
export type PageState = 'absent' | 'blank' | 'present' | 'reserved' | 'offline';

/** A run of page frames that are shown alike. */
export interface PageRun extends PfnExtent {
  readonly state: PageState;
}

/** All that the running kernel shows. */
export interface KernelPages {
  /** Sorted by pfn; together they are [0, endPfn). Neighbours differ. */
  readonly runs: readonly PageRun[];
  /** Where the file ends: max_pfn, behind all RAM, rounded up to a section by newer kernels. */
  readonly endPfn: number;
  /** Pages with bad memory (KPF_HWPOISON), in runs of any state. */
  readonly poisonedPages: number;
}

/** Flags of include/uapi/linux/kernel-page-flags.h in the lower and the upper word of an entry. */
const low = { poisoned: 2 ** 19, absent: 2 ** 20, offline: 2 ** 23 };
const high = { reserved: 1 };

const entryBytes = 8;
const wordsPerEntry = 2;
/** Entries that are read at once: 4 MiB of them. Blocks ten times as large were no faster; the kernel's part is most of it. */
const blockEntries: number = 2 ** 19;

const states: readonly PageState[] = ['present', 'reserved', 'offline', 'absent', 'blank'];
const stateOf = { present: 0, reserved: 1, offline: 2, absent: 3, blank: 4 } as const;

/** Encodes entries as they come: what is kept are runs, some thousands on a machine of terabytes. */
class Runs {
  readonly runs: PageRun[] = [];
  pfn = 0;
  poisonedPages = 0;
  #startPfn = 0;
  #state = -1;

  /** Takes the entries of one section, or of the part of it that there is. */
  take(words: Uint32Array, at: number, count: number, isWhole: boolean): void {
    const end = at + count * wordsPerEntry;
    if (isWhole && !this.#hasFlags(words, at, end)) this.#begin(stateOf.blank, this.pfn);
    else this.#encode(words, at, end);
    this.pfn += count;
  }

  end(): void {
    this.#begin(-1, this.pfn);
  }

  #hasFlags(words: Uint32Array, at: number, end: number): boolean {
    for (let word = at; word < end; word++) if (words[word] !== 0) return true;
    return false;
  }

  #encode(words: Uint32Array, at: number, end: number): void {
    for (let word = at; word < end; word += wordsPerEntry) {
      const flags = words[word] as number;
      const isReserved = ((words[word + 1] as number) & high.reserved) !== 0;
      let state: number = stateOf.present;
      if (flags & low.absent) state = stateOf.absent;
      else if (isReserved) state = flags & low.offline ? stateOf.offline : stateOf.reserved;
      if (flags & low.poisoned) this.poisonedPages++;
      if (state !== this.#state) this.#begin(state, this.pfn + (word - at) / wordsPerEntry);
    }
  }

  #begin(state: number, pfn: number): void {
    if (state === this.#state) return;
    if (this.#state >= 0 && this.#startPfn < pfn) {
      this.runs.push({ startPfn: this.#startPfn, endPfn: pfn, state: states[this.#state] as PageState });
    }
    this.#startPfn = pfn;
    this.#state = state;
  }
}

/** Fills the buffer as far as the file goes. @returns bytes */
async function readBlock(file: FileHandle, buffer: Uint8Array, position: number): Promise<number> {
  let bytes = 0;
  while (bytes < buffer.length) {
    const { bytesRead } = await file.read(buffer, bytes, buffer.length - bytes, position + bytes);
    if (bytesRead === 0) break;
    bytes += bytesRead;
  }
  return bytes;
}

async function readRuns(file: FileHandle, path: string, sectionPages: number): Promise<Runs> {
  const runs = new Runs();
  const sections = Math.max(1, Math.floor(blockEntries / sectionPages));
  const words = new Uint32Array(sections * sectionPages * wordsPerEntry);
  const buffer = new Uint8Array(words.buffer);
  for (let position = 0; ; position += buffer.length) {
    const bytes = await readBlock(file, buffer, position);
    if (bytes % entryBytes !== 0) makesNoSense(path, `ends in the middle of an entry, at byte ${position + bytes}`);
    const entries = bytes / entryBytes;
    for (let entry = 0; entry < entries; entry += sectionPages) {
      const count = Math.min(sectionPages, entries - entry);
      runs.take(words, entry * wordsPerEntry, count, count === sectionPages);
    }
    if (bytes < buffer.length) break;
  }
  runs.end();
  return runs;
}

/**
 * What the running kernel shows of all its page frames, read as a stream: 8 bytes a page frame, 2 GiB for 1 TiB of memory.
 * @param sectionPages pages in a section, a power of two
 * @throws VmemmapError KERNEL_UNREADABLE when the file cannot be read, or holds no whole entries
 */
export async function readKernelPages(procRoot: string, sectionPages: number): Promise<KernelPages> {
  const path = join(procRoot, 'kpageflags');
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (cause) {
    return cannotRead(path, cause);
  }
  try {
    const { runs, pfn, poisonedPages } = await readRuns(file, path, sectionPages);
    if (pfn === 0) makesNoSense(path, 'is empty');
    return { runs, endPfn: pfn, poisonedPages };
  } catch (cause) {
    if (cause instanceof Error && 'syscall' in cause) return cannotRead(path, cause);
    throw cause;
  } finally {
    await file.close();
  }
}
