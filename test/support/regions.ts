/** Small regions for tests: made from a few extents, without reading a machine. */
import { ChunkMap } from '../../dist/src/claims/chunk-map.js';
import { Claimant, type ClaimantOptions } from '../../dist/src/claims/claimant.js';
import { type InitKernel, jsKernel } from '../../dist/src/descriptor/kernel.js';
import type { Pattern } from '../../dist/src/descriptor/pattern.js';
import type { MemoryExtent, Topology } from '../../dist/src/physical/topology.js';
import { makePlan, type PlannedMemmap, type PolicyName } from '../../dist/src/plan.js';
import { chooseBacking } from '../../dist/src/region/backing.js';
import { Region } from '../../dist/src/region/region.js';
import type { ThreadIdentity } from '../../dist/src/region/threads.js';

/** A thread id that the kernel never gives: the largest there could be, with pid_max below it. */
export const deadThread: ThreadIdentity = { tid: 2 ** 22 - 1, startTicks: 1 };

/** RAM of node 0 unless told otherwise. */
export function ram(startPfn: number, pages: number, nid = 0): MemoryExtent {
  return { nid, kind: 'ram', startPfn, endPfn: startPfn + pages };
}

/** A machine of these extents, without zones, whose nodes have no CPUs of their own. */
export function machine(...memory: MemoryExtent[]): Topology {
  const nids = [...new Set(memory.map(({ nid }) => nid))];
  return { source: 'simulated', nodes: nids.map((nid) => ({ nid, cpus: [] })), memory, zoned: false, notes: [] };
}

/** A region of these extents, in chunks of one pageblock. */
export function smallRegion(memory: MemoryExtent[], policy: PolicyName = 'hotplug', chunkPages = 512): Region {
  return Region.create(
    makePlan(machine(...memory), { profile: 'linux-6.1', chunkPages }),
    policy,
    chooseBacking('shared'),
  );
}

/** The pattern of a range that has only one. */
export function patternOf({ segments }: Pick<PlannedMemmap, 'segments'>): Pattern {
  const [segment, ...others] = segments;
  const [part, ...otherParts] = segment?.content.parts ?? [];
  if (!part || others.length + otherParts.length > 0) throw new Error('the range has not one pattern');
  return part.pattern;
}

/** Numbers of the chunks that so many descriptors meet, from number `index` of the range on. */
export function chunksMet(range: Region['ranges'][number], index: number, count: number): number[] {
  const leadPages = range.startPfn - range.basePfn;
  const first = Math.floor((leadPages + index) / range.chunkPages);
  const last = Math.floor((leadPages + index + count - 1) / range.chunkPages);
  return Array.from({ length: last - first + 1 }, (_, i) => range.firstChunk + first + i);
}

/** A kernel that counts how often each chunk of a region was written. */
export function countingKernel(
  region: Region,
  counts: Int32Array,
  onFill: (chunk: number) => void = () => {},
): InitKernel {
  return {
    ...jsKernel,
    fill(words, at, count, pattern, index) {
      const range = region.ranges.find((candidate) => patternOf(candidate) === pattern);
      if (!range) throw new Error('a pattern that no range has');
      for (const chunk of chunksMet(range, index, count)) {
        Atomics.add(counts, chunk, 1);
        onFill(chunk);
      }
      return jsKernel.fill(words, at, count, pattern, index);
    },
  };
}

/** Chunk words that call back at chosen moments. */
export class ScriptedChunkMap extends ChunkMap {
  beforeClaim: ((chunk: number) => void) | undefined;
  beforeRelease: ((chunk: number) => void) | undefined;
  beforePublish: ((chunk: number) => void) | undefined;
  /** Instead of waiting. */
  insteadOfWait: ((chunk: number, word: number) => void) | undefined;

  static over(region: Region): ScriptedChunkMap {
    return new ScriptedChunkMap(region.control, region.layout.chunkWords / 4, region.chunks);
  }

  override claim(first: number, tag: number, end: number = first + 1): number {
    let chunk = first;
    for (; chunk < end; chunk++) {
      this.beforeClaim?.(chunk);
      if (super.claim(chunk, tag) === 0) break;
    }
    return chunk - first;
  }

  override release(chunk: number, word: number): boolean {
    this.beforeRelease?.(chunk);
    return super.release(chunk, word);
  }

  override publish(first: number, tag: number, end: number = first + 1): void {
    for (let chunk = first; chunk < end; chunk++) {
      this.beforePublish?.(chunk);
      super.publish(chunk, tag);
    }
  }

  override wait(chunk: number, word: number, ms: number): boolean {
    if (!this.insteadOfWait) return super.wait(chunk, word, ms);
    this.insteadOfWait(chunk, word);
    return true;
  }
}

/** A claimant and the scripted words that it works through. */
export function scripted(
  region: Region,
  options: ClaimantOptions = {},
): { claimant: Claimant; chunks: ScriptedChunkMap } {
  const chunks = ScriptedChunkMap.over(region);
  return { claimant: new Claimant(region, { ...options, chunks }), chunks };
}

/** The first range of a region. */
export function firstRange(region: Region): Region['ranges'][number] {
  const range = region.ranges[0];
  if (!range) throw new Error('the region has no range');
  return range;
}

/** The numbers below `end`. */
export function upTo(end: number): number[] {
  return Array.from({ length: end }, (_, number) => number);
}
