/** Loads the native addon, or says why it is not there; everything but tuning and files works without. */
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { InitKernel } from './descriptor/kernel.ts';
import { layoutFacts } from './descriptor/layout.ts';

/**
 * How a store path stores: in `plain` stores; `non-temporal`, past the caches; `sparse`, only the lanes that are not zero,
 * which is right where the memory is known to be zero.
 */
export type StoreKind = 'plain' | 'non-temporal' | 'sparse';

/** How {@link Addon.mapFile} maps, as the addon takes it (MapMode in native/file.h). */
export const mapMode: Readonly<{
  /** Read and write; other mappings and read(2) see each store at once. */
  shared: 0;
  /** As `shared`, and what a page fault changes in the file system is on the media before it returns; only with DAX. */
  sync: 1;
  /** Only to be read: a store ends the process. */
  read: 2;
}> = Object.freeze({ shared: 0, sync: 1, read: 2 });

/** What {@link Addon.lockByte} sets, as the addon takes it (LockKind in native/file.h). */
export const lockKind: Readonly<{
  none: 0;
  /** Needs a descriptor that can read. */
  shared: 1;
  /** Needs a descriptor that can write. */
  exclusive: 2;
}> = Object.freeze({ none: 0, shared: 1, exclusive: 2 });

/** What native/addon.cc exports. Errors of system calls come back as positive errnos, 0 is success. */
export interface Addon extends Omit<InitKernel, 'storePath' | 'fill'> {
  /** As {@link InitKernel.fill}, by one of {@link storePaths}: its place in that list. */
  fill(words: Uint32Array, at: number, count: number, pattern: Uint32Array, index: number, path: number): number;
  /**
   * The store paths that this processor can run; of each kind the widest first. With `needsFlush`, {@link flush} has to
   * follow a fill before its bytes are durable; without, that is so only for descriptors that do not begin at a line.
   */
  storePaths(): { name: string; kind: StoreKind; needsFlush: boolean }[];
  /** Bytes from the view's first byte to the next address that is a multiple of `boundary`, a power of two. */
  bytesToBoundary(view: Uint8Array, boundary: number): number;
  /** Address of the view's first byte; only for reading /proc/self/smaps. */
  addressOf(view: Uint32Array): bigint;
  /** madvise(MADV_HUGEPAGE) on the whole pages of the view. */
  adviseHugePages(view: Uint32Array): number;
  /**
   * Maps reserved huge pages (MAP_HUGETLB) over the view, which must begin and end at borders of such pages and belong to a
   * buffer of at least 64 MiB that nobody else has seen yet.
   */
  mapHugePages(view: Uint32Array, pageSizeBytes: number): number;
  /** Maps ordinary memory over the same view again, which gives reserved huge pages back; it reads as zeros from then on. */
  unmapHugePages(view: Uint32Array, pageSizeBytes: number): number;
  /**
   * Maps memory over the view, whole periods, so that in each what is behind its first two blocks is the second block again and
   * again; see memory.h. The view must be whole pages of a buffer of at least 64 MiB that nobody else has seen yet;
   * {@link unmapHugePages} with the size of ordinary pages maps memory there again. ENOMEM: too many mappings
   * (vm.max_map_count); then ordinary memory is there.
   */
  mapSharedTails(view: Uint32Array, periodBytes: number, blockBytes: number): number;
  /** mbind(MPOL_PREFERRED) of the view's whole pages to a node of this machine. */
  preferNode(view: Uint32Array, nid: number): number;
  /** Maps the pages that the view meets at once, as if each had been written to (MADV_POPULATE_WRITE, Linux 5.14). */
  populate(view: Uint32Array, byteOffset?: number, byteLength?: number): number;
  /** As {@link populate}, as if each page had been read (MADV_POPULATE_READ): for mappings of mode `read`. */
  populateRead(view: Uint32Array, byteOffset?: number, byteLength?: number): number;
  /** Gives the memory of the view's whole pages back to the kernel; it reads as zeros from then on. */
  discard(view: Uint32Array): number;
  /** Says that memory is in use again that was discarded: only a build with the address sanitizer does something. Always 0. */
  reuse(view: Uint32Array): number;
  /**
   * Maps a file over the view, in one of {@link mapMode}. The view must be whole pages (else EINVAL, as for a `fileOffset` that
   * is not a multiple of them) of a buffer of at least 64 MiB that nobody else has seen yet; {@link unmapHugePages} with the
   * size of ordinary pages maps memory there again. After an error, the view is what it was, but after ENOMEM it may read as
   * zeros. The mapping holds the open file description, so `fd` may be closed. A file that shrinks under it ends the process
   * (SIGBUS) at the next touch.
   * EOPNOTSUPP: `sync` where the file is not on DAX. EACCES: the descriptor was not opened for this mode.
   */
  mapFile(view: Uint32Array, fd: number, fileOffset: number, mode: (typeof mapMode)[keyof typeof mapMode]): number;
  /**
   * Sets blocks aside for these bytes, behind the end of the file, too, whose size stays (fallocate); EOPNOTSUPP where the file
   * system cannot.
   */
  allocateFile(fd: number, offset: number, length: number): number;
  /** 1 when mappings of the file bypass the page cache (DAX), 0 when not, −1 when the kernel does not say. */
  isDax(fd: number): number;
  /**
   * Number of the mount through which the file was opened; 0 where the kernel does not tell. Never given twice between two boots
   * from Linux 6.8 on; before, one may come again when its mount is gone.
   */
  mountId(fd: number): number;
  /**
   * Writes the pages that the view meets back to their file and waits for the device (msync). EIO is told once; after it, the
   * pages count as written.
   */
  syncPages(view: Uint32Array, byteOffset?: number, byteLength?: number): number;
  /**
   * Reads a byte of each page: 0, or the errno of the first that cannot be read; ENODATA behind the end. Ask before
   * {@link populate} where the file is not on DAX: from Linux 5.14 to 6.8 that does not return at all from such a page.
   */
  readError(fd: number, offset: number, length: number, pageSizeBytes: number): number;
  /**
   * Why {@link populate} said EFAULT for a mapping of these bytes of the file, as it does for all that would end the process:
   * ENODATA, the file has been truncated; ENOSPC, EDQUOT or EIO, no blocks can be had for it; EIO or EHWPOISON, a page cannot
   * be read; EFAULT, none of these, or no more. Never 0.
   */
  whyUnreachable(fd: number, offset: number, length: number, pageSizeBytes: number): number;
  /**
   * Sets the lock of the descriptor's open file description on a byte, counted from 2^62 and so beyond all data, to one of
   * {@link lockKind} (F_OFD_SETLK). Never waits: EAGAIN when another open file description is in the way, also one of this
   * process. Released by the kernel when the last descriptor AND the last mapping of the description are gone: after a killed
   * process has stored its last.
   */
  lockByte(fd: number, byte: number, kind: (typeof lockKind)[keyof typeof lockKind]): number;
  /** EAGAIN when another open file description has a lock on this byte, 0 when none has. */
  testLock(fd: number, byte: number): number;
  /**
   * Writes the cache lines that these bytes meet back to memory and waits for that; with DAX they are then durable. Always 0.
   * The bytes must be reachable: it faults as a load does.
   */
  flush(view: Uint32Array, byteOffset?: number, byteLength?: number): number;
  /** The instruction by which {@link flush} does it on this processor. */
  flushInstruction(): 'clwb' | 'clflushopt' | 'clflush' | 'dc cvap' | 'dc cvac';
  /**
   * Sleeps while `view[index]` is `expected`, until {@link futexWake} is called on the same word of the file, in any process.
   * 0: woken, maybe for no reason, so look again; EAGAIN: the value differed; ETIMEDOUT; EINTR. Atomics.notify does not wake
   * it. Nothing else ends it, so a thread that may be terminated must not ask for long.
   */
  futexWait(view: Int32Array, index: number, expected: number, timeoutMs: number): number;
  /** Wakes all who sleep in {@link futexWait} on this word, in every process. Change the word before. */
  futexWake(view: Int32Array, index: number): number;
  /** Pins the calling thread to those of the CPUs that it may use. */
  pinThread(cpus: readonly number[]): number;
  /** CPUs that the calling thread may use. */
  allowedCpus(): number[];
  /** Kernel thread id of the calling thread. */
  threadId(): number;
  /** Offsets that the addon was compiled with. */
  layout(): Record<string, number>;
}

/** Whether the addon is there, and if not, why. */
export type AddonState = { readonly loaded: true } | { readonly loaded: false; readonly reason: string };

function load(): { addon: Addon | undefined; state: AddonState } {
  const without = (reason: string): { addon: undefined; state: AddonState } => ({
    addon: undefined,
    state: { loaded: false, reason },
  });
  const setting = process.env['VMEMMAP_ADDON'] ?? '';
  if (/^(off|no|false|0)$/i.test(setting)) return without(`VMEMMAP_ADDON=${setting}`);
  try {
    const require = createRequire(import.meta.url);
    const loaded = require('node-gyp-build')(packageRoot()) as Addon;
    const compiled = loaded.layout();
    const stale = Object.entries(layoutFacts()).find(([name, value]) => compiled[name] !== value);
    if (stale) return without(`it was built for another descriptor layout (${stale[0]}); build it again`);
    return { addon: loaded, state: { loaded: true } };
  } catch (error) {
    const text = error instanceof Error ? (error.message.split('\n')[0] as string) : String(error);
    return without(text.startsWith('No native build') ? 'it is not built: that takes python3, make and g++' : text);
  }
}

/** The folder of package.json: this file may be run from src or from dist/src. */
function packageRoot(): string {
  for (const up of ['..', '../..']) {
    const folder = fileURLToPath(new URL(up, import.meta.url));
    if (readdirSync(folder).includes('package.json')) return folder;
  }
  throw new Error('package.json not found beside the library');
}

const { addon: loadedAddon, state } = load();

/** The addon, or undefined; see {@link addonState} for the reason. */
export const addon: Addon | undefined = loadedAddon;

/** Whether the addon is loaded, and if not, why. */
export function addonState(): AddonState {
  return state;
}

/** A native init kernel and its kind of stores. */
export interface NativeKernel extends InitKernel {
  readonly kind: StoreKind;
  /** As of {@link Addon.storePaths}. */
  readonly needsFlush: boolean;
}

/** The native init kernels that this processor can run, of each kind the widest first; none without the addon. */
export const nativeKernels: readonly NativeKernel[] = addon
  ? addon.storePaths().map(({ name, kind, needsFlush }, path) => ({
      storePath: name,
      kind,
      needsFlush,
      fill: (words, at, count, pattern, index) => loadedAddon?.fill(words, at, count, pattern, index, path) ?? 0,
      check: loadedAddon?.check as InitKernel['check'],
      firstDifference: loadedAddon?.firstDifference as InitKernel['firstDifference'],
    }))
  : [];

/** The native kernel for whoever only checks, or undefined without the addon. */
export const nativeKernel: InitKernel | undefined = nativeKernels[0];
