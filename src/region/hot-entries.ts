/**
 * What the hot ranges are: an entry per hot slot, in the encodings of the superblock's tables. Whoever adds a range writes its
 * entry while the slot is ADDING; whoever sees the slot LIVE reads it. The one after may write already while somebody still
 * reads, who then finds the state of the slot changed and drops what was read; hence every word is an atomic of its own.
 */
import { VmemmapError } from '../errors.ts';
import type { PlannedMemmap } from '../plan.ts';
import {
  type HotRoom,
  hotEntrySizeBytes,
  hotPartsMax,
  hotSegmentsMax,
  type RegionLayout,
  rangeEntrySizeBytes,
  segmentEntrySizeBytes,
  tableCounts,
} from './layout.ts';
import { countsOfOne, readRanges, writeRanges } from './superblock.ts';

/** Where the tables of an entry begin in it. */
const segments: number = rangeEntrySizeBytes;
const parts: number = segments + hotSegmentsMax * segmentEntrySizeBytes;
const tables = { ranges: 0, segments, parts } as const;
const entryWords: number = hotEntrySizeBytes / Int32Array.BYTES_PER_ELEMENT;

/** A copy of an entry, to be decoded once it is known to be whole. */
export type HotEntry = DataView<ArrayBuffer>;

/** Whether a range is simple enough for an entry. */
export function fitsEntry(range: PlannedMemmap): boolean {
  const counts = tableCounts([range]);
  return counts.segments <= hotSegmentsMax && counts.parts <= hotPartsMax;
}

/** See the top of the file. */
export class HotEntries {
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #first: number;

  constructor(control: Int32Array<SharedArrayBuffer>, { hotEntries }: RegionLayout) {
    this.#control = control;
    this.#first = hotEntries / Int32Array.BYTES_PER_ELEMENT;
  }

  /** Writes the entry of hot slot number `index`, counted among the hot ones. The range fits: see {@link fitsEntry}. */
  write(index: number, range: PlannedMemmap): void {
    const entry = new DataView(new ArrayBuffer(hotEntrySizeBytes));
    writeRanges(entry, tables, [range]);
    this.store(index, entry);
  }

  /** Writes an entry as it was loaded. */
  store(index: number, entry: HotEntry): void {
    const words = new Int32Array(entry.buffer);
    // relaxed would do: `publish` of the slot's state releases them
    for (let at = 0; at < entryWords; at++) Atomics.store(this.#control, this.#at(index) + at, words[at] as number);
  }

  /** A copy of an entry; it means something when the state of the slot has not changed since it was seen LIVE. */
  load(index: number): HotEntry {
    const words = new Int32Array(entryWords);
    // acquire: what is read lies before the look at the state behind it
    for (let at = 0; at < entryWords; at++) words[at] = Atomics.load(this.#control, this.#at(index) + at);
    return new DataView(words.buffer);
  }

  #at(index: number): number {
    return this.#first + index * entryWords;
  }
}

/** The range that an entry describes. @throws VmemmapError HANDLE_INVALID when no range is like that, or has no room */
export function rangeInEntry(entry: HotEntry, room: HotRoom): PlannedMemmap {
  const damaged = (what: string): VmemmapError =>
    new VmemmapError(
      'HANDLE_INVALID',
      `the handle's table of added ranges cannot be used: ${what}; make the handle again`,
    );
  const counts = countsOfOne(entry, tables, hotSegmentsMax);
  if (counts.segments > hotSegmentsMax || counts.parts > hotPartsMax) throw damaged('a range has too many parts');
  const range = readRanges(entry, counts, tables, damaged)[0] as PlannedMemmap;
  if (range.pages > room.pages || range.chunks > room.chunks) throw damaged('a range is larger than its room');
  return range;
}
