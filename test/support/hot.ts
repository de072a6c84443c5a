/** Small regions with room for ranges that come later, and one-step doings with them for tests that interleave threads. */
import { addRanges } from '../../dist/src/claims/add-ranges.js';
import { ChunkMap } from '../../dist/src/claims/chunk-map.js';
import { Claimant, type ClaimantOptions } from '../../dist/src/claims/claimant.js';
import { Faults } from '../../dist/src/claims/fault.js';
import { clear, retire, vacate } from '../../dist/src/claims/remove-range.js';
import { chunksMax } from '../../dist/src/physical/geometry.js';
import type { MemoryExtent } from '../../dist/src/physical/topology.js';
import { makePlan, type PlannedMemmap, type PolicyName } from '../../dist/src/plan.js';
import { chooseBacking } from '../../dist/src/region/backing.js';
import type { RangeStateName } from '../../dist/src/region/range-states.js';
import { rangeStateOf } from '../../dist/src/region/range-states.js';
import { Region } from '../../dist/src/region/region.js';
import { machine, ScriptedChunkMap } from './regions.js';

/** Chunks of one pageblock. */
export const chunkPages = 512;

const options = { profile: 'linux-6.1', chunkPages } as const;

/** A region with room for `ranges` ranges of `pages` pages. */
export function hotRegion(
  memory: MemoryExtent[],
  room: { ranges: number; pages: number } = { ranges: 2, pages: 8 * chunkPages },
  policy: PolicyName = 'hotplug',
): Region {
  return Region.create(makePlan(machine(...memory), options), policy, chooseBacking('shared'), new Map(), {
    room: { ...room, chunks: chunksMax(room.pages, chunkPages) },
    terms: { machine: { zoned: false }, options, hosts: new Map(), hasThreads: false, poisons: false },
  });
}

/** These extents as they are planned. */
export function planned(...memory: MemoryExtent[]): readonly PlannedMemmap[] {
  return makePlan(machine(...memory), options).ranges;
}

/** A thread of its own, as far as one thread can be: it finds the ranges for itself. */
export interface Actor {
  readonly region: Region;
  readonly chunks: ScriptedChunkMap;
  readonly claimant: Claimant;
  readonly faults: Faults;
}

/** An actor on the region of a handle. */
export function actorOn(of: Region, clientOptions: ClaimantOptions = {}): Actor {
  const region = Region.attach(of.handle);
  const chunks = ScriptedChunkMap.over(region);
  const claimant = new Claimant(region, { ...clientOptions, chunks });
  return { region, chunks, claimant, faults: new Faults(claimant) };
}

/** Adds ranges. */
export function add({ claimant }: Actor, ...memory: MemoryExtent[]): readonly Region['ranges'][number][] {
  return addRanges(claimant, () => planned(...memory), new Map());
}

/** The range that begins at a pfn, as the actor finds it. */
export function rangeAt({ region }: Actor, startPfn: number): Region['ranges'][number] {
  const range = region.ranges.find((candidate) => candidate.startPfn === startPfn);
  if (!range) throw new Error(`no range begins at pfn ${startPfn}`);
  return range;
}

/** All steps of a removal at once, of a range in which nobody holds a claim. */
export function removeAtOnce(actor: Actor, range: Region['ranges'][number]): void {
  const { claimant, region } = actor;
  const keeper = region.slots.keeperOf(range.slot);
  if (!claimant.keepers.take(keeper)) throw new Error('somebody else removes it');
  retire(claimant, range);
  finishRemoval(actor, range);
  claimant.keepers.release(keeper);
}

/** The steps behind the last claim. */
export function finishRemoval({ claimant }: Actor, range: Region['ranges'][number]): void {
  for (const _ of clear(claimant, range)) {
    // one step after the other
  }
  vacate(claimant, range);
}

/** State of a slot. */
export function stateOfSlot({ slots }: Region, slot: number): RangeStateName {
  return rangeStateOf(slots.states.load(slot));
}

/** All memory of a slot. */
export function memoryOf(region: Region, slot: number): Uint32Array {
  const part = region.handle.data[slot] as Region['handle']['data'][number];
  return new Uint32Array(part.buffer, part.byteOffset, region.slots.pagesOf(slot) * 16);
}

/** States of the chunk words of a slot, free ones left out. */
export function takenChunks(region: Region, slot: number): number[] {
  const { first, end } = region.slots.chunksOf(slot);
  const chunks = ChunkMap.of(region);
  return Array.from({ length: end - first }, (_, index) => chunks.load(first + index)).filter((word) => word !== 0);
}
