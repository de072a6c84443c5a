/** Which init kernel a region gets: measured choices by what its memory is and whether somebody has written to it before. */
import { constants } from 'node:os';
import { type InitKernel, jsKernel } from './descriptor/kernel.ts';
import { addon, nativeKernels } from './native.ts';
import { descriptorSizeBytes } from './physical/geometry.ts';
import type { BackingReport } from './region/backing.ts';
import type { MemoryHistory } from './region/region.ts';

/**
 * Bytes stored a nanosecond by one thread (GB/s), AMD EPYC 9004 in a virtual machine, November 2026, pieces of 2 MiB, device
 * descriptors; `npm run bench -- store-paths` measures it again:
 *
 *                          avx512   avx512-nt   sse2   sparse
 *     fresh, huge pages      10.0         8.3    9.6      9.2   the kernel has just cleared the page: its lines are cached
 *     fresh, small pages      2.5           –      –      2.6   traps cost all; populated first 3.0, and 6.3 for two threads
 *     touched                27.0        27.4   26.4     26.6   all that the memory takes; nothing is read first
 *
 * Vectors of 256 bits are as fast as 512; sparse stores save no memory traffic, since lines travel whole, and lose where the
 * cache takes all (44 against 110).
 */
const choices = { fresh: 'plain', touched: 'non-temporal' } as const;

/**
 * What fits into the last-level cache is written again fastest without leaving it: 74 GB/s against 28 for 16 MiB. Half of
 * the 32 MiB of an EPYC 9004's CPU complex.
 */
const cachedBytesMax = 16 * 2 ** 20;

/** Set to the name of a store path (as reports show it) it is used for everything, for benchmarks. */
const override = 'VMEMMAP_STORES';

/** What the choice depends on. */
export interface StoreSituation {
  readonly backing: BackingReport;
  readonly memory: MemoryHistory;
  /** Bytes of descriptors in all. */
  readonly sizeBytes: number;
}

/**
 * The kernel for a region; the JS kernel without the addon.
 * @throws TypeError when VMEMMAP_STORES names a path that is not there
 */
export function kernelFor(situation: StoreSituation): InitKernel {
  const { backing } = situation;
  const kernel = storing(situation);
  const isDax = backing.durability === 'dax-sync';
  // what is on the media when it was stored, past the caches and behind a fence, needs no more
  const durable = isDax && needsFlush(kernel) ? flushing(kernel) : kernel;
  // of a file always: a page that cannot be had would end the process
  const isFile = backing.effective === 'file' || backing.effective === 'devdax';
  const populates =
    isFile || (situation.memory === 'fresh' && backing.firstTouch === 'populate' && kernel !== jsKernel && !asked());
  return populates ? populating(durable) : durable;
}

/** The store path that the environment names, if it does. */
function asked(): string | undefined {
  return process.env[override];
}

/** The kernel that suits the memory, or the one that was asked for. */
function storing({ backing, memory, sizeBytes }: StoreSituation): InitKernel {
  const name = asked();
  if (name) {
    const kernels = [...nativeKernels, jsKernel];
    const found = kernels.find(({ storePath }) => storePath === name);
    if (found) return found;
    const names = kernels.map(({ storePath }) => storePath).join(', ');
    throw new TypeError(`${override} must be one of ${names} here, not ${name}`);
  }
  const isCached = sizeBytes <= cachedBytesMax && backing.durability !== 'dax-sync';
  const wanted = backing.durability === 'dax-sync' ? 'non-temporal' : isCached ? 'plain' : choices[memory];
  return nativeKernels.find(({ kind }) => kind === wanted) ?? jsKernel;
}

function needsFlush(kernel: InitKernel): boolean {
  return nativeKernels.find(({ storePath }) => storePath === kernel.storePath)?.needsFlush ?? true;
}

/** A kernel that writes back the cache lines that it has stored to. */
function flushing(kernel: InitKernel): InitKernel {
  return {
    ...kernel,
    storePath: `${kernel.storePath}+flush`,
    fill(words, at, count, pattern, index) {
      const errno = kernel.fill(words, at, count, pattern, index);
      return errno || (addon?.flush(words, at * words.BYTES_PER_ELEMENT, count * descriptorSizeBytes) ?? 0);
    },
  };
}

/** A kernel that lets the system map a chunk's pages in one call before it writes them. */
function populating(kernel: InitKernel): InitKernel {
  let isKnown = true;
  return {
    ...kernel,
    storePath: `${kernel.storePath}+populate`,
    fill(words, at, count, pattern, index) {
      if (isKnown && addon) {
        const errno = addon.populate(words, at * words.BYTES_PER_ELEMENT, count * descriptorSizeBytes);
        // before Linux 5.14: touched one by one then
        if (errno === constants.errno.EINVAL) isKnown = false;
        else if (errno !== 0) return errno;
      }
      return kernel.fill(words, at, count, pattern, index);
    },
  };
}
