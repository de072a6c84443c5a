/**
 * How what was stored reaches the media, and what is promised by that.
 *
 * `dax-sync`: the mapping is persistent memory itself, and a page fault returns only when the file system's own records of the
 * page are on the media (MAP_SYNC; on device-dax there are none). Then a cache line is durable once it was written back and a
 * store fence stands behind it: no system call. Non-temporal stores bypass the caches and need the fence alone. This holds where
 * the memory controller's queue survives a power cut (ADR), as the kernel demands of every pmem device it calls persistent.
 * `msync`: pages reach the media by msync(MS_SYNC), which costs a write and a flush of the device; so in batches.
 * `none`: the file is as durable as the kernel's page cache, or as tmpfs.
 */
import { addon } from '../native.ts';
import type { FileKind } from './file.ts';

/** See the top of the file. */
export type Durability = 'dax-sync' | 'msync' | 'none';

/** All of them, the best first. */
export const durabilities: readonly Durability[] = ['dax-sync', 'msync', 'none'];

/** Brings what was stored to the media. Tests put in one that writes down what it is told. */
export interface Persistence {
  readonly durability: Exclude<Durability, 'none'>;
  /** `persist` is done by the processor alone, so that nobody can refuse. */
  readonly isCertain: boolean;
  /**
   * Returns when the bytes that this process has stored there are on the media: 0, or a positive errno when the media refused.
   * Rounded outward to cache lines, or pages.
   */
  persist(view: Uint32Array, byteOffset: number, byteLength: number): number;
  /**
   * The same for what other processes have stored, too: they may have a mapping without MAP_SYNC, whose page faults left
   * records of the file system behind that are not on the media. A system call.
   */
  persistAll(view: Uint32Array, byteOffset: number, byteLength: number): number;
}

/** The persistence of a mapped file; undefined for `none`. */
export function persistenceOf(durability: Durability, kind: FileKind): Persistence | undefined {
  if (durability === 'none' || !addon) return undefined;
  const { flush, syncPages } = addon;
  return {
    durability,
    isCertain: durability === 'dax-sync',
    persist: durability === 'dax-sync' ? flush : syncPages,
    // a device has no records, and no msync
    persistAll: kind === 'devdax' ? flush : syncPages,
  };
}
