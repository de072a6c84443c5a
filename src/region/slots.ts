/**
 * The slots of a region, and the ranges that are in them: those of the plan, one in each of the first slots, and those that come
 * later and go, in the hot ones. What a thread has found is a list, made again when the set of ranges has changed since.
 */
import type { PlannedMemmap } from '../plan.ts';
import type { DataBuffer } from './backing.ts';
import { HotEntries, rangeInEntry } from './hot-entries.ts';
import { type HotRoom, type RegionLayout, rangeWord } from './layout.ts';
import { RegionRange } from './range.ts';
import { generationOf, liveWordOf, RangeStates, rangeStateOf } from './range-states.ts';

/** A slot with a range that is live or being removed. */
export interface TakenSlot {
  readonly slot: number;
  /** Its state word as it was found. */
  readonly word: number;
  readonly range: RegionRange;
}

function isTaken(word: number): boolean {
  const state = rangeStateOf(word);
  return state === 'live' || state === 'removing';
}

/** What slots are made of. */
export interface SlotGround {
  /** The ranges that the region was made with; some may have gone. */
  readonly plan: readonly PlannedMemmap[];
  readonly room: HotRoom;
  readonly layout: RegionLayout;
  readonly control: Int32Array<SharedArrayBuffer>;
  /** One buffer for each slot. */
  readonly data: readonly DataBuffer[];
  readonly pageSizeBytes: number;
}

/** See the top of the file. One per region and thread. */
export class RangeSlots {
  readonly states: RangeStates;
  readonly entries: HotEntries;
  readonly plan: readonly PlannedMemmap[];
  readonly room: HotRoom;
  /** Slots in all; the hot ones are those from `hotFirst` on. */
  readonly count: number;
  readonly hotFirst: number;
  /** Chunk words in all: those of slots without a range, too. */
  readonly chunks: number;
  readonly #ground: SlotGround;
  /** Number of each slot's chunk 0 among all. */
  readonly #firstChunks: readonly number[];
  /** What was found last in each slot. */
  readonly #found: (RegionRange | undefined)[] = [];
  #list: readonly RegionRange[] = [];
  /** Equal to no version at first. */
  #version: number = Number.NaN;

  constructor(ground: SlotGround) {
    const { plan, room, layout, control } = ground;
    this.#ground = ground;
    this.plan = plan;
    this.room = room;
    this.states = new RangeStates(control, layout);
    this.entries = new HotEntries(control, layout);
    this.hotFirst = plan.length;
    this.count = plan.length + room.ranges;
    const firstChunks: number[] = [];
    let next = 0;
    for (let slot = 0; slot < this.count; slot++) {
      firstChunks.push(next);
      next += plan[slot]?.chunks ?? room.chunks;
    }
    this.#firstChunks = firstChunks;
    this.chunks = next;
  }

  /** The ranges that are live, sorted by pfn; the same list as long as that is so. */
  get ranges(): readonly RegionRange[] {
    return this.states.version() === this.#version ? this.#list : this.refresh();
  }

  /**
   * Looks at every slot. For whoever has found a range not to be live any more that stands in the list: it is on its way out, and
   * the version may not tell yet.
   */
  refresh(): readonly RegionRange[] {
    let version = this.states.version();
    for (;;) {
      const found = this.#findAll();
      // Of one that went while we looked and another that came in its place both may have been found; then this has changed.
      const now = this.states.version();
      if (now === version) {
        this.#version = version;
        if (found.length !== this.#list.length || found.some((range, at) => range !== this.#list[at]))
          this.#list = found;
        return this.#list;
      }
      version = now;
    }
  }

  #findAll(): RegionRange[] {
    const found: RegionRange[] = [];
    for (let slot = 0; slot < this.count; slot++) {
      const range = this.#find(slot);
      this.#found[slot] = range;
      if (range) found.push(range);
    }
    return found.sort((a, b) => a.startPfn - b.startPfn);
  }

  #find(slot: number): RegionRange | undefined {
    const word = this.states.load(slot);
    return rangeStateOf(word) === 'live' ? this.#rangeOf(slot, word) : undefined;
  }

  /** All slots with a range that is live, or not gone yet: nothing else may come where it is. */
  taken(): TakenSlot[] {
    const found: TakenSlot[] = [];
    for (let slot = 0; slot < this.count; slot++) {
      for (let word = this.states.load(slot); isTaken(word); word = this.states.load(slot)) {
        const range = this.#rangeOf(slot, word);
        if (!range) continue; // not the one any more that was there
        found.push({ slot, word, range });
        break;
      }
    }
    return found;
  }

  #rangeOf(slot: number, word: number): RegionRange | undefined {
    const liveWord = liveWordOf(word);
    const known = this.#found[slot];
    if (known?.liveWord === liveWord) return known;
    const plan = this.#planOf(slot, word);
    if (!plan) return undefined;
    const { layout, data, pageSizeBytes } = this.#ground;
    const place = { slot, firstChunk: this.#firstChunks[slot] as number, liveWord };
    return new RegionRange(place, plan, layout, data[slot] as DataBuffer, pageSizeBytes);
  }

  /** The range of a slot whose state word was `word`; undefined when that has changed. */
  #planOf(slot: number, word: number): PlannedMemmap | undefined {
    if (slot < this.hotFirst) return this.plan[slot];
    const entry = this.entries.load(slot - this.hotFirst);
    return this.states.load(slot) === word ? rangeInEntry(entry, this.room) : undefined;
  }

  /** Whether a slot has a range, or had one: nobody has touched the memory or the chunk words of others. */
  isUsed(slot: number): boolean {
    return slot < this.hotFirst || generationOf(this.states.load(slot)) > 0;
  }

  /** Takes over the ranges of another region with the same slots, before anybody sees this one. */
  inherit(from: RangeSlots): void {
    for (let slot = 0; slot < this.count; slot++) this.states.inherit(slot, from.states.load(slot));
    for (let slot = this.hotFirst; slot < this.count; slot++) {
      const index = slot - this.hotFirst;
      if (rangeStateOf(this.states.load(slot)) === 'live') this.entries.store(index, from.entries.load(index));
    }
  }

  /** Chunks of a slot, `[first, end)` among all of the region. */
  chunksOf(slot: number): { first: number; end: number } {
    const first = this.#firstChunks[slot] as number;
    return { first, end: this.#firstChunks[slot + 1] ?? this.chunks };
  }

  /** Index in the control buffer of the word of who removes the range of a slot. */
  keeperOf(slot: number): number {
    return rangeWord(this.#ground.layout, slot, 'keeper');
  }

  /** Pages that fit into a slot. */
  pagesOf(slot: number): number {
    return this.plan[slot]?.pages ?? this.room.pages;
  }
}
