/**
 * The policy for boot RAM: the first section of each node up front, the rest deferred, and an allocator that asks for more
 * by `grow`. Linux (deferred_grow_zone in mm/mm_init.c) switches growing off while its parallel phase runs; here both run on
 * the same claims, so nothing needs to be switched off.
 */
import type { Faults } from '../claims/fault.ts';
import { growTo, pagesGrown } from '../claims/growth.ts';
import { intersect, type PfnExtent, roundDown, sectionPages } from '../physical/geometry.ts';
import type { PlannedMemmap } from '../plan.ts';
import type { RegionRange } from '../region/range.ts';
import type { Region } from '../region/region.ts';
import type { Policy } from './policy.ts';

export const boot: Policy = {
  name: 'boot',

  upFront(ranges: readonly PlannedMemmap[]): PfnExtent[] {
    const firstOfNode = new Map<number, number>();
    for (const { nid, startPfn } of ranges) if (!firstOfNode.has(nid)) firstOfNode.set(nid, startPfn);
    // the first section that holds pages of the node, where holes and zone borders may cut it into several ranges
    return ranges
      .map((range) => {
        const section = roundDown(firstOfNode.get(range.nid) as number, sectionPages);
        return intersect(range, { startPfn: section, endPfn: section + sectionPages });
      })
      .filter(({ startPfn, endPfn }) => startPfn < endPfn);
  },

  grow(faults: Faults, region: Region, nid: number, pages: number): PfnExtent | undefined {
    for (const range of region.ranges) {
      if (range.nid !== nid || range.kind !== 'ram') continue;
      const run = growIn(faults, region, range, pages);
      if (run) return run;
    }
    return undefined;
  },
};

/** The next run of one range; undefined when it has no more, or was removed. */
function growIn(faults: Faults, region: Region, range: RegionRange, pages: number): PfnExtent | undefined {
  for (;;) {
    const taken = pagesGrown(region, range);
    if (taken === undefined) return undefined;
    const free = nextPresent(range, range.startPfn + taken);
    if (free === undefined) return undefined;
    const { startPfn } = free;
    const endPfn = Math.min(startPfn + pages, free.endPfn);
    // First initialized, then taken: a fault that fails loses no pages, and nobody is handed one that is not ready.
    if (faults.settleIn(range, startPfn, endPfn) === 'removed') return undefined;
    // of several threads one gets the run, the others try the next one
    if (!growTo(region, range, taken, endPfn - range.startPfn)) continue;
    // looked at behind it: of a range that is on its way out nothing is handed out any more
    return region.slots.states.isLive(range) ? { startPfn, endPfn } : undefined;
  }
}

/** The first run of pages from `pfn` on that an allocator may have: not reserved, and not in a hole. */
function nextPresent({ segments }: RegionRange, pfn: number): PfnExtent | undefined {
  const found = segments.find(({ endPfn, use }) => endPfn > pfn && use === 'present');
  return found && { startPfn: Math.max(pfn, found.startPfn), endPfn: found.endPfn };
}
