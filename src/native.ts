/** Loads the native addon, or says why it is not there; everything but tuning and files works without. */
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { InitKernel } from './descriptor/kernel.ts';
import { layoutFacts } from './descriptor/pattern.ts';

/**
 * How a store path stores: in `plain` stores; `non-temporal`, past the caches; `sparse`, only the lanes that are not zero,
 * which is right where the memory is known to be zero.
 */
export type StoreKind = 'plain' | 'non-temporal' | 'sparse';

/** What native/addon.cc exports. Errors of system calls come back as positive errnos, 0 is success. */
export interface Addon extends Omit<InitKernel, 'storePath' | 'fill'> {
  /** As {@link InitKernel.fill}, by one of {@link storePaths}: its place in that list. */
  fill(words: Uint32Array, at: number, count: number, pattern: Uint32Array, index: number, path: number): number;
  /** The store paths that this processor can run; of each kind the widest first. */
  storePaths(): { name: string; kind: StoreKind }[];
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
  /** mbind(MPOL_PREFERRED) of the view's whole pages to a node of this machine. */
  preferNode(view: Uint32Array, nid: number): number;
  /** Maps the pages that the view meets at once, as if each had been written to (MADV_POPULATE_WRITE, Linux 5.14). */
  populate(view: Uint32Array, byteOffset?: number, byteLength?: number): number;
  /** Gives the memory of the view's whole pages back to the kernel; it reads as zeros from then on. */
  discard(view: Uint32Array): number;
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
}

/** The native init kernels that this processor can run, of each kind the widest first; none without the addon. */
export const nativeKernels: readonly NativeKernel[] = addon
  ? addon.storePaths().map(({ name, kind }, path) => ({
      storePath: name,
      kind,
      fill: (words, at, count, pattern, index) => loadedAddon?.fill(words, at, count, pattern, index, path) ?? 0,
      check: loadedAddon?.check as InitKernel['check'],
      firstDifference: loadedAddon?.firstDifference as InitKernel['firstDifference'],
    }))
  : [];

/** The native kernel for whoever only checks, or undefined without the addon. */
export const nativeKernel: InitKernel | undefined = nativeKernels[0];
