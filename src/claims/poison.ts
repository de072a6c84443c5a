/**
 * Poison: descriptors that are not initialized are all ones (PAGE_POISON_PATTERN), as page_init_poison leaves the memory of a
 * memmap in debug kernels, so that whoever reads one before its time finds out.
 */
import { patternWords } from '../descriptor/layout.ts';
import type { Pattern } from '../descriptor/pattern.ts';
import { nativeKernels } from '../native.ts';
import { batchChunksOf } from '../physical/geometry.ts';
import type { RegionRange } from '../region/range.ts';
import type { Region } from '../region/region.ts';
import { Claimant } from './claimant.ts';

/** What every word of a descriptor is until it is initialized. */
export const poisonWord = 0xffff_ffff;
/** That in every descriptor. */
const poison: Pattern = new Uint32Array(patternWords).fill(poisonWord, 0, patternWords / 2);

/**
 * Poisons the descriptors of all chunks that are free, on this thread: it writes all that initializing will write again, in
 * about the time of one thread. Each chunk is claimed for it and freed again, since other processes may be at the same file.
 * A chunk that cannot be written is passed over: whoever initializes it is told why.
 * @throws TypeError when the environment asks for sparse stores: they leave ones where zeros belong
 */
export function poisonFree(region: Region): void {
  const claimant = new Claimant(region);
  try {
    refuseSparse(claimant);
    for (const range of region.ranges) poisonRange(claimant, range);
  } finally {
    claimant.leave();
  }
}

function refuseSparse({ kernel }: Claimant): void {
  const own = nativeKernels.find(({ storePath }) => storePath === kernel.storePath.split('+')[0]);
  if (own?.kind === 'sparse') throw new TypeError(`poison does not go with ${own.storePath} in VMEMMAP_STORES`);
}

function poisonRange({ region, chunks, kernel, tag }: Claimant, range: RegionRange): void {
  const batch = batchChunksOf(range);
  for (let chunk = 0; chunk < range.chunks; ) {
    const first = range.firstChunk + chunk;
    const count = chunks.claim(first, tag, first + Math.min(batch, range.chunks - chunk));
    const end = chunk + count;
    try {
      if (count > 0 && region.unreadable(range, chunk, end) === 0) {
        range.sumOverChunks(
          chunk,
          end,
          (words, at, descriptors) => kernel.fill(words, at, descriptors, poison, 0),
          true,
        );
      }
    } finally {
      for (let claimed = first; claimed < first + count; claimed++) chunks.abandon(claimed, tag);
    }
    // behind those comes one that is not free
    chunk = end + (count === 0 ? 1 : 0);
  }
}
