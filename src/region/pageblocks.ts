/**
 * Pageblocks: four bits for each, as in Linux's pageblock_flags (enum pageblock_bits): three for the migrate type of its pages,
 * one by which compaction skips it. The only file with Atomics on them.
 *
 * All memory is MIGRATE_MOVABLE when it is initialized. What is stored is the difference from that (XOR), so that zeros mean
 * movable and initializing writes nothing. Eight pageblocks share a word, and threads change theirs without locks, as
 * set_pfnblock_flags_mask does. Nothing else is ordered by them: relaxed order would do for all of these Atomics.
 *
 * A pageblock that two ranges meet in has its bits with the first of them: it has one migrate type.
 */
import { invariant } from '../errors.ts';
import { pageblockOf, pageblockStart, pageblocksMax } from '../physical/geometry.ts';
import { pageblockBits } from './layout.ts';
import type { RegionRange } from './range.ts';
import type { Region } from './region.ts';

/** Names of migrate types, by their numbers in Linux 6.1 with CMA and memory isolation (enum migratetype). */
export const migrateTypes = ['unmovable', 'movable', 'reclaimable', 'highatomic', 'cma', 'isolate'] as const;

/** What may be done to the pages of a pageblock. */
export type MigrateType = (typeof migrateTypes)[number];

/** MIGRATETYPE_MASK: the bits of the migrate type. */
const migrateTypeMask = 0b0111;
/** What zeros mean. */
const initialFlags: number = migrateTypes.indexOf('movable');

const pageblocksPerWord: number = 32 / pageblockBits;

/** Where the bits of a pageblock are: a word of the control buffer, and a place in it. */
interface PageblockPlace {
  readonly word: number;
  readonly shift: number;
}

function placeOf({ layout }: Region, range: RegionRange, pageblock: number): PageblockPlace {
  const first = (layout.pageblocks[range.slot] as number) / Int32Array.BYTES_PER_ELEMENT;
  const inWord = pageblock % pageblocksPerWord;
  return { word: first + (pageblock - inWord) / pageblocksPerWord, shift: inWord * pageblockBits };
}

/**
 * The range whose bits those of the pageblock that holds `pfn` are.
 * @param range the one that holds it. It may have gone: then another one may have come where it was, and none else may be taken,
 * since an index counted from one far away is no place of its own.
 */
function ownerOf(region: Region, range: RegionRange, pfn: number): RegionRange {
  const start = pageblockStart(pfn);
  if (start >= range.startPfn) return range;
  return region.ranges.find(({ startPfn, endPfn }) => endPfn > start && startPfn <= pfn) ?? range;
}

function placeOfPfn(region: Region, owner: RegionRange, pfn: number): PageblockPlace {
  return placeOf(region, owner, pageblockOf(owner, pageblockStart(pfn)));
}

/** Changes the bits of `mask` at a place to those of `flags`; where `from` is told, only if they are those. */
function change(
  { control }: Region,
  { word, shift }: PageblockPlace,
  flags: number,
  mask: number,
  from: number | undefined = undefined,
): void {
  let before = Atomics.load(control, word);
  for (;;) {
    if (from !== undefined && ((before >>> shift) & mask) !== from) return;
    const wanted = (before & ~(mask << shift)) | ((flags & mask) << shift);
    if (wanted === before) return;
    const found = Atomics.compareExchange(control, word, before, wanted);
    if (found === before) return;
    // somebody has changed another pageblock of this word, or this one
    before = found;
  }
}

/** Migrate type of the pageblock that holds `pfn` (get_pfnblock_migratetype). @param range the one that holds it */
export function migrateTypeOf(region: Region, range: RegionRange, pfn: number): MigrateType {
  const { word, shift } = placeOfPfn(region, ownerOf(region, range, pfn), pfn);
  const stored = Atomics.load(region.control, word) >>> shift;
  const type = migrateTypes[(stored ^ initialFlags) & migrateTypeMask];
  invariant(type !== undefined, 'a pageblock has a migrate type');
  return type;
}

/**
 * Sets it (set_pageblock_migratetype), and leaves the bit of compaction alone.
 * @returns false when the range has gone: then it is taken back, for the next range in the slot begins with what all begin with
 */
export function setMigrateTypeOf(region: Region, range: RegionRange, pfn: number, type: MigrateType): boolean {
  const { slots } = region;
  const flags = migrateTypes.indexOf(type) ^ initialFlags;
  for (;;) {
    const owner = ownerOf(region, range, pfn);
    const place = placeOfPfn(region, owner, pfn);
    change(region, place, flags, migrateTypeMask);
    // looked at behind it: whoever has removed the range may have reset the bits before
    if (slots.states.isLive(owner)) return true;
    change(region, place, 0, migrateTypeMask, flags);
    if (!slots.states.isLive(range)) return false;
    // the neighbour that it shares the pageblock with has gone; the list may not tell yet
    slots.refresh();
  }
}

/** Makes the pageblocks of `[startPfn, endPfn)`, which lies in a range, what they are when it is initialized. */
export function resetPageblocks(region: Region, range: RegionRange, startPfn: number, endPfn: number): void {
  const all = 2 ** pageblockBits - 1;
  const end = pageblockOf(range, endPfn - 1) + 1;
  for (let pageblock = pageblockOf(range, startPfn); pageblock < end; ) {
    const place = placeOf(region, range, pageblock);
    // most words are zeros, and stay clean
    if (Atomics.load(region.control, place.word) === 0) pageblock += pageblocksPerWord - place.shift / pageblockBits;
    else {
      change(region, place, 0, all);
      pageblock++;
    }
  }
}

/** Makes all pageblocks of a slot what they are when a range is initialized, which is about to come there. */
export function beginPageblocks({ control, layout, slots }: Region, slot: number): void {
  const first = (layout.pageblocks[slot] as number) / Int32Array.BYTES_PER_ELEMENT;
  const words = Math.ceil(pageblocksMax(slots.pagesOf(slot)) / pageblocksPerWord);
  for (let word = first; word < first + words; word++) {
    if (Atomics.load(control, word) !== 0) Atomics.store(control, word, 0);
  }
}
