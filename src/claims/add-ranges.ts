/** Adding ranges to a memmap that is in use: they are written down in hot slots, and from one moment to the next they are there. */
import { VmemmapError } from '../errors.ts';
import { descriptorSizeBytes } from '../physical/geometry.ts';
import type { PlannedMemmap } from '../plan.ts';
import { wordsOf } from '../region/backing.ts';
import { fitsEntry } from '../region/hot-entries.ts';
import { hotPartsMax, hotSegmentsMax, rangeWord } from '../region/layout.ts';
import { beginPageblocks } from '../region/pageblocks.ts';
import type { RegionRange } from '../region/range.ts';
import { rangeStateOf } from '../region/range-states.ts';
import type { Region } from '../region/region.ts';
import { giveBack, takeMemory } from '../region/slot-memory.ts';
import type { Claimant } from './claimant.ts';
import { beginGrowth } from './growth.ts';
import { closedError, isClosed } from './orders.ts';
import { poisonWord } from './poison.ts';
import { beginRuns } from './runs.ts';

/** How often one who waits for another adder looks whether that still lives. */
const livenessIntervalMs = 20;

/**
 * Adds ranges, all or none: when it returns, every thread finds them. Blocks while another thread adds some, which takes a moment.
 * @param plan makes the ranges, while nobody else adds any.
 * @param hosts node of this machine for the memory of each node; see host-nodes.ts.
 * @throws RangeError for ranges that overlap others, or are larger than their room
 * @throws VmemmapError NO_RANGE_SLOT, BACKING_UNAVAILABLE, CLOSED, FAULT_TIMEOUT
 */
export function addRanges(
  claimant: Claimant,
  plan: () => readonly PlannedMemmap[],
  hosts: ReadonlyMap<number, number>,
): readonly RegionRange[] {
  const { region, keepers } = claimant;
  const before = becomeAdder(claimant);
  try {
    // behind the keeper: who closes stores CLOSE and then waits until nobody is one
    if (isClosed(region)) throw closedError();
    if (before === 'inherited') undoUnfinished(region);
    const planned = plan();
    for (const range of planned) checkRoom(region, range);
    checkOverlap(region, planned);
    const words = write(region, freeSlots(region, planned.length), planned, hosts);
    const { states } = region.slots;
    for (const slot of words.keys()) states.publish(slot);
    states.changed();
    return region.ranges.filter(({ slot, liveWord }) => words.get(slot) === liveWord);
  } finally {
    keepers.release(region.word.addersKeeper);
  }
}

function checkRoom({ slots }: Region, range: PlannedMemmap): void {
  const { room } = slots;
  const what = `the range of pfns ${range.startPfn} to ${range.endPfn - 1}`;
  if (range.pages > room.pages || range.chunks > room.chunks) {
    throw new RangeError(
      `${what} has ${range.pages} pages in ${range.chunks} chunks; hotplug left room for ${room.pages} in ${room.chunks}`,
    );
  }
  if (!fitsEntry(range)) {
    throw new RangeError(
      `${what} has more than ${hotSegmentsMax} segments with ${hotPartsMax} kinds of descriptors; add it in pieces`,
    );
  }
}

function becomeAdder(claimant: Claimant): 'free' | 'inherited' {
  const { region, keepers } = claimant;
  const at = region.word.addersKeeper;
  const sinceMs = performance.now();
  for (;;) {
    const before = keepers.take(at);
    if (before) return before;
    if (isClosed(region)) throw closedError();
    const waitedMs = performance.now() - sinceMs;
    if (waitedMs >= claimant.waitMsOf(0)) {
      const what = `the thread that adds a range lives but did not finish in ${Math.round(waitedMs)} ms`;
      throw new VmemmapError('FAULT_TIMEOUT', `${what}; is it stopped or in a debugger?`);
    }
    keepers.wait(at, livenessIntervalMs);
  }
}

/** What an adder has left that died in the middle: ranges that never came, and some that did, of which nobody was told. */
function undoUnfinished(region: Region): void {
  const { slots } = region;
  for (let slot = slots.hotFirst; slot < slots.count; slot++) {
    if (rangeStateOf(slots.states.load(slot)) === 'adding') giveUp(region, slot);
  }
  slots.states.changed();
}

/**
 * The same, should nobody add another range: who died may have published one and told nobody, so that some threads see it and
 * wait for it, and others do not. For a thread that looks around now and then.
 */
export function mendAddition({ region, keepers }: Claimant): void {
  const at = region.word.addersKeeper;
  if (!keepers.isLost(at) || !keepers.take(at)) return;
  try {
    undoUnfinished(region);
  } finally {
    keepers.release(at);
  }
}

function giveUp({ handle, slots }: Region, slot: number): void {
  const part = handle.data[slot];
  if (part && handle.backing.effective === 'hugetlb') {
    giveBack(part, slots.pagesOf(slot) * descriptorSizeBytes, handle.backing);
  }
  slots.states.giveUp(slot);
}

function checkOverlap({ slots }: Region, planned: readonly PlannedMemmap[]): void {
  for (const { range, word } of slots.taken()) {
    const met = planned.find(({ startPfn, endPfn }) => startPfn < range.endPfn && range.startPfn < endPfn);
    if (!met) continue;
    const there = `the range of pfns ${range.startPfn} to ${range.endPfn - 1}`;
    const leaves = rangeStateOf(word) === 'removing' ? ', which is being removed' : '';
    throw new RangeError(`pfns ${met.startPfn} to ${met.endPfn - 1} overlap ${there}${leaves}`);
  }
}

function freeSlots({ slots }: Region, count: number): number[] {
  const free: number[] = [];
  for (let slot = slots.hotFirst; slot < slots.count && free.length < count; slot++) {
    if (rangeStateOf(slots.states.load(slot)) === 'absent') free.push(slot);
  }
  if (free.length === count) return free;
  throw new VmemmapError(
    'NO_RANGE_SLOT',
    `${count} more ranges are to be added, and hotplug left room for ${slots.room.ranges}, of which ${free.length} are free; ` +
      'remove a range first, or open with more room',
  );
}

/** Everything but the last edge. @returns the word of each slot that will say that its range is live */
function write(
  region: Region,
  free: readonly number[],
  planned: readonly PlannedMemmap[],
  hosts: ReadonlyMap<number, number>,
): Map<number, number> {
  const words = new Map<number, number>();
  try {
    free.forEach((slot, index) => {
      const range = planned[index] as PlannedMemmap;
      const liveWord = region.slots.states.begin(slot);
      words.set(slot, liveWord);
      writeSlot(region, slot, liveWord, range);
      const part = region.handle.data[slot];
      const sizeBytes = range.pages * descriptorSizeBytes;
      if (part) takeMemory(part, sizeBytes, region.handle.backing, hosts.get(range.nid));
      // nobody else sees it yet
      if (part && region.handle.hotplug?.poisons) wordsOf(part, sizeBytes).fill(poisonWord);
    });
    return words;
  } catch (error) {
    for (const slot of words.keys()) giveUp(region, slot);
    throw error;
  }
}

/**
 * What is written down by slot begins anew with each range: all of it belongs here. The chunk words are free already, see
 * `ChunkMap.evict`; hints may still be moved by one who has the range of before at hand.
 */
function writeSlot(region: Region, slot: number, liveWord: number, range: PlannedMemmap): void {
  const { layout, slots } = region;
  slots.entries.write(slot - slots.hotFirst, range);
  beginRuns(region, rangeWord(layout, slot, 'drainCursor'), rangeWord(layout, slot, 'wantedRun'));
  beginGrowth(region, rangeWord(layout, slot, 'growCursor'), liveWord);
  beginPageblocks(region, slot);
}
