/** Ranges that come and go while a memmap is in use: what is behind `addRange` and `removeRange`. */
import { addRanges } from './claims/add-ranges.ts';
import type { Claimant } from './claims/claimant.ts';
import { isClosed } from './claims/orders.ts';
import { removeRange } from './claims/remove-range.ts';
import type { Settings } from './options.ts';
import { chunksMax, defaultChunkPages, descriptorSizeBytes, type PfnExtent, pfnLimit } from './physical/geometry.ts';
import type { MemoryExtent } from './physical/topology.ts';
import { nodesMax } from './physical/zones.ts';
import { makePlan } from './plan.ts';
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
    this.#readiness.again();
    return states.untilChanged(version, lookAroundMs);
  }

  /** See {@link Memmap.addRange}. */
  add(extent: MemoryExtent): readonly RegionRange[] {
    const { region } = this.#claimant;
    const { backing, hotplug: terms } = region.handle;
    if (!terms) {
      throw new TypeError(
        'addRange needs room: open the memmap with the option hotplug: { ranges, pages }, not in a file',
      );
    }
    const { machine, options, hosts, hasThreads } = terms;
    checkExtent(extent, options.table !== undefined);
    if (options.table?.indexWord !== undefined && extent.endPfn > indexedSlotsMax) {
      throw new RangeError(`extent.endPfn must be at most 2^32 in a table with indexWord, not ${extent.endPfn}`);
    }
    const memory = [extent.kind === 'device' ? { ...extent, pgmap: extent.pgmap ?? this.#nextPgmap } : extent];
    const { ranges } = makePlan({ ...machine, nodes: [], memory, notes: [] }, { ...options, isAdded: true });
    const pages = ranges.reduce((sum, range) => sum + range.pages, 0);
    // as at open: somebody writes all of it soon
    if (hasThreads && backing.effective !== 'hugetlb') refuseTooLarge(pages * descriptorSizeBytes);
    const added = addRanges(this.#claimant, ranges, hosts);
    this.#readiness.again();
    return added;
  }

  /** A number that no dev_pagemap has. */
  get #nextPgmap(): number {
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
  { hotplug, topology, profile, chunkPages, table }: Settings,
  hosts: ReadonlyMap<number, number>,
  threads: readonly { readonly threads: number }[],
): { readonly room: HotRoom; readonly terms: HotplugTerms } | undefined {
  if (!hotplug) return undefined;
  const { source, zoned, platform, kernel } = topology;
  const pagesOfChunk = chunkPages === '1/1024' ? undefined : (chunkPages ?? defaultChunkPages);
  return {
    room: { ...hotplug, chunks: chunksMax(hotplug.pages, pagesOfChunk) },
    terms: {
      machine: { source, zoned, ...(platform && { platform }), ...(kernel !== undefined && { kernel }) },
      // a template of the user's own, who may go on to use it for something else
      options: { profile, chunkPages, table: table && { ...table, template: table.template.slice() } },
      hosts,
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

/** Misuse is told before anything is locked or planned. @throws TypeError @throws RangeError */
function checkExtent(extent: MemoryExtent, isTable: boolean): void {
  if (typeof extent !== 'object' || extent === null)
    throw new TypeError('extent must be an object: startPfn, endPfn, nid, kind');
  const { startPfn, endPfn, nid, kind, pgmap }: Partial<MemoryExtent> & PfnExtent = extent;
  const complain = (what: string, received: unknown): never => {
    throw new RangeError(`extent.${what}, not ${String(received)}`);
  };
  const isPfn = (pfn: unknown): boolean =>
    Number.isSafeInteger(pfn) && (pfn as number) >= 0 && (pfn as number) <= pfnLimit;
  if (!isPfn(startPfn)) complain(`startPfn must be a pfn below ${pfnLimit}`, startPfn);
  if (!isPfn(endPfn) || endPfn <= startPfn) complain(`endPfn must lie behind startPfn, up to ${pfnLimit}`, endPfn);
  if (!Number.isInteger(nid) || nid < 0 || nid >= nodesMax) complain(`nid must be 0 to ${nodesMax - 1}`, nid);
  if (kind !== 'ram' && (kind !== 'device' || isTable))
    complain(`kind must be 'ram'${isTable ? '' : " or 'device'"}`, kind);
  if (pgmap !== undefined && (kind === 'ram' || !Number.isSafeInteger(pgmap) || pgmap < 1)) {
    complain('pgmap must be 1 or more, of device memory', pgmap);
  }
}
