/** Ranges that come and go while a memmap is in use: what is behind `addRange` and `removeRange`. */
import { addRanges, mendAddition } from './claims/add-ranges.ts';
import type { Claimant } from './claims/claimant.ts';
import { isClosed } from './claims/orders.ts';
import { removeRange } from './claims/remove-range.ts';
import type { Settings } from './options.ts';
import { chunksMax, defaultChunkPages, descriptorSizeBytes } from './physical/geometry.ts';
import type { MemoryExtent } from './physical/topology.ts';
import { makePlan, type PlannedMemmap, type TableRecords } from './plan.ts';
import type { Readiness } from './readiness.ts';
import type { HotplugTerms } from './region/hotplug-terms.ts';
import type { HotRoom } from './region/layout.ts';
import { refuseTooLarge } from './region/memory-limit.ts';
import type { RegionRange } from './region/range.ts';

/** How often the opener looks whether ranges have come, should the wake-up be lost with a thread that died giving it. */
const lookAroundMs = 1000;
/** With `indexWord` a table has at most so many slots: a word holds no larger number. */
const indexedSlotsMax: number = 2 ** 32;

/** See the top of the file. One per memmap and thread. */
export class Hotplug {
  readonly #claimant: Claimant;
  readonly #readiness: Readiness;
  /** Removals that this thread is at. */
  readonly #removals = new Set<Promise<void>>();

  constructor(claimant: Claimant, readiness: Readiness) {
    this.#claimant = claimant;
    this.#readiness = readiness;
  }

  /** Begins to look for ranges that other threads add: in the thread that opened the memmap, whose background they are for. */
  watch(): void {
    if (this.#claimant.region.handle.hotplug?.hasThreads) watch(new WeakRef(this));
  }

  /** What there is to do about ranges that have come; resolves when there may be more. Undefined when there never will. */
  next(): Promise<unknown> | undefined {
    const { region } = this.#claimant;
    const { states } = region.slots;
    // read first: what comes behind it ends the wait at once
    const version = states.version();
    if (isClosed(region)) return undefined;
    mendAddition(this.#claimant);
    this.#readiness.again();
    return states.untilChanged(version, lookAroundMs);
  }

  /** See {@link Memmap.addRange}. */
  add(extent: MemoryExtent): readonly RegionRange[] {
    const { hotplug: terms } = this.#claimant.region.handle;
    if (!terms) {
      throw new TypeError(
        'addRange needs room: open the memmap with the option hotplug: { ranges, pages }, not in a file',
      );
    }
    if (typeof extent !== 'object' || extent === null) throw new TypeError('extent must be a MemoryExtent');
    const { table } = terms.options;
    if (table) checkTableExtent(extent, table);
    const added = addRanges(this.#claimant, () => this.#plan(extent, terms), terms.hosts);
    this.#readiness.again();
    return added;
  }

  /** While nobody else adds a range: its pgmap is taken by no other. */
  #plan(extent: MemoryExtent, terms: HotplugTerms): readonly PlannedMemmap[] {
    const pgmap = extent.kind === 'device' ? (extent.pgmap ?? this.#freePgmap) : undefined;
    const ranges = planExtent(pgmap === undefined ? extent : { ...extent, pgmap }, terms);
    const pages = ranges.reduce((sum, range) => sum + range.pages, 0);
    // as at open: somebody writes all of it soon
    const isLimited =
      (terms.hasThreads || terms.poisons) && this.#claimant.region.handle.backing.effective !== 'hugetlb';
    if (isLimited) refuseTooLarge(pages * descriptorSizeBytes);
    return ranges;
  }

  /** A number that no dev_pagemap has. */
  get #freePgmap(): number {
    return 1 + this.#claimant.region.slots.taken().reduce((most, { range }) => Math.max(most, range.pgmap), 0);
  }

  /** See {@link Memmap.removeRange}. */
  async remove(startPfn: number): Promise<void> {
    if (this.#claimant.region.handle.file) throw new TypeError('removeRange is not for memmaps in files');
    if (!Number.isSafeInteger(startPfn) || startPfn < 0) {
      throw new RangeError(`startPfn must be a whole number of 0 or more, not ${startPfn}`);
    }
    const removal = removeRange(this.#claimant, startPfn);
    this.#removals.add(removal);
    try {
      await removal;
    } finally {
      this.#removals.delete(removal);
    }
    this.#readiness.again();
  }

  /** Whether this thread is removing a range. */
  get isRemoving(): boolean {
    return this.#removals.size > 0;
  }

  /** Resolves when the removals are over that this thread is at. Never rejects. */
  async ended(): Promise<void> {
    await Promise.allSettled(this.#removals);
  }

  /** Lets `watch` see that the memmap was closed. */
  close(): void {
    this.#claimant.region.slots.states.wake();
  }
}

/** The room that was asked for, and what whoever adds a range must know; undefined when none was. */
export function roomOf(
  { hotplug, topology, profile, chunkPages, table, poison }: Settings,
  hosts: ReadonlyMap<number, number>,
  threads: readonly { readonly threads: number }[],
): { readonly room: HotRoom; readonly terms: HotplugTerms } | undefined {
  if (!hotplug) return undefined;
  const { zoned, platform } = topology;
  const pagesOfChunk = chunkPages === '1/1024' ? undefined : (chunkPages ?? defaultChunkPages);
  return {
    room: { ...hotplug, chunks: chunksMax(hotplug.pages, pagesOfChunk) },
    terms: {
      machine: { zoned, ...(platform && { platform }) },
      // a template of the user's own, who may go on to use it for something else
      options: { profile, chunkPages, table: table && { ...table, template: table.template.slice() } },
      hosts,
      poisons: poison,
      hasThreads: threads.some((node) => node.threads > 0),
    },
  };
}

/** Looks for changes until the memmap is closed, or nobody has it any more: a wait holds nothing of it. */
async function watch(hotplug: WeakRef<Hotplug>): Promise<void> {
  for (;;) {
    const change = hotplug.deref()?.next();
    if (!change) return;
    await change;
  }
}

/** Cuts what is to be added into ranges, as `open` would. @throws TypeError @throws RangeError when it makes no sense */
function planExtent(extent: MemoryExtent, { machine, options }: HotplugTerms): readonly PlannedMemmap[] {
  try {
    // simulated: what a real machine has not in the sections that it boots with is filled in, and these are not those
    const topology = { ...machine, source: 'simulated', nodes: [], memory: [extent], notes: [] } as const;
    const { ranges } = makePlan(topology, options);
    if (ranges.length === 0) throw new RangeError('topology.memory[0] has no page that gets a descriptor');
    return ranges;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new RangeError(error.message.replace('topology.memory[0]', 'extent'), { cause: error });
  }
}

function checkTableExtent({ nid, kind, endPfn }: MemoryExtent, { indexWord }: TableRecords): void {
  if (nid !== 0 || kind !== 'ram') throw new RangeError("in a table extent must have nid 0 and kind 'ram'");
  if (indexWord === undefined || endPfn <= indexedSlotsMax) return;
  throw new RangeError(`extent.endPfn must be at most 2^32 in a table with indexWord, not ${endPfn}`);
}
