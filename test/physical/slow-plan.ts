/** The plan of a small machine, made page by page: slow, and too simple to be wrong in the ways in which lists of extents are. */
import type { KernelRules } from '../../dist/src/physical/kernel-rules.js';
import type { MemoryExtent, Topology } from '../../dist/src/physical/topology.js';
import type { PageUse, PlannedRange } from '../../dist/src/physical/zones.js';

/** What one page frame is. */
export interface SlowPage {
  readonly nid: number;
  readonly zone: number;
  readonly pgmap?: number | undefined;
  readonly use: PageUse;
}

/** A run of equal page frames. */
export type SlowRun = SlowPage & { readonly startPfn: number; readonly endPfn: number };

interface Pages {
  /** Memory at boot, by pfn. */
  readonly boot: (MemoryExtent | undefined)[];
  readonly nomap: boolean[];
  readonly reserved: boolean[];
  /** One behind the last page that there is anything of, and behind its section. */
  readonly limitPfn: number;
}

function spread<T>(pages: T[], { startPfn, endPfn }: { startPfn: number; endPfn: number }, value: T): void {
  for (let pfn = startPfn; pfn < endPfn; pfn++) pages[pfn] = value;
}

function pagesOf(topology: Topology, { sectionPages }: KernelRules): Pages {
  const lastPfn = Math.max(0, ...topology.memory.map(({ endPfn }) => endPfn));
  const limitPfn = Math.ceil(lastPfn / sectionPages) * sectionPages;
  const boot = new Array<MemoryExtent | undefined>(limitPfn).fill(undefined);
  const nomap = new Array<boolean>(limitPfn).fill(false);
  const reserved = new Array<boolean>(limitPfn).fill(false);
  for (const extent of topology.memory) if (extent.kind === 'ram' && !extent.movable) spread(boot, extent, extent);
  for (const extent of topology.nomap ?? []) spread(nomap, extent, true);
  for (const extent of topology.reserved ?? []) spread(reserved, extent, true);
  return { boot, nomap, reserved, limitPfn };
}

/** pfn_valid, as init_unavailable_range asks it. */
function isValid({ boot, nomap }: Pages, pfn: number, rules: KernelRules): boolean {
  const { sectionPages, platform, validity } = rules;
  if (validity !== 'section') {
    const block = pfn - (pfn % platform.pageblockPages);
    return boot[block] !== undefined && (validity === 'memory-pageblock' || !nomap[block]);
  }
  const section = pfn - (pfn % sectionPages);
  for (let other = section; other < section + sectionPages; other++) if (boot[other]) return true;
  return false;
}

/** Valid by pfn; each section or block is looked at once. */
function validPages(pages: Pages, rules: KernelRules): boolean[] {
  const unit = rules.validity === 'section' ? rules.sectionPages : rules.platform.pageblockPages;
  const valid = new Array<boolean>(pages.limitPfn).fill(false);
  for (let pfn = 0; pfn < pages.limitPfn; pfn += unit) {
    if (isValid(pages, pfn, rules))
      spread(valid, { startPfn: pfn, endPfn: Math.min(pfn + unit, pages.limitPfn) }, true);
  }
  return valid;
}

/** Who owns what is behind the last memory: the highest zone with pages of the node that has the last page. */
function tailOwner({ boot }: Pages, zoneOf: (pfn: number) => number): { nid: number; zone: number } | undefined {
  const nid = boot.findLast((extent) => extent !== undefined)?.nid;
  if (nid === undefined) return undefined;
  let zone = 0;
  for (const [pfn, extent] of boot.entries()) if (extent?.nid === nid) zone = Math.max(zone, zoneOf(pfn));
  return { nid, zone };
}

/** Node and zone of the first memory at or behind each page, else those of the tail. */
function owners(pages: Pages, zoneOf: (pfn: number) => number): ({ nid: number; zone: number } | undefined)[] {
  let owner = tailOwner(pages, zoneOf);
  const list = new Array<typeof owner>(pages.limitPfn).fill(undefined);
  for (let pfn = pages.limitPfn - 1; pfn >= 0; pfn--) {
    const extent = pages.boot[pfn];
    if (extent && (owner?.nid !== extent.nid || owner.zone !== zoneOf(pfn)))
      owner = { nid: extent.nid, zone: zoneOf(pfn) };
    list[pfn] = owner;
  }
  return list;
}

/** What every page frame is, as runs. @param zoneOf the zone of memory at a pfn */
export function slowPlan(topology: Topology, rules: KernelRules, zoneOf: (pfn: number) => number): SlowRun[] {
  const pages = pagesOf(topology, rules);
  const plan = new Array<SlowPage | undefined>(pages.limitPfn).fill(undefined);
  const valid = validPages(pages, rules);
  const owner = owners(pages, zoneOf);
  for (let pfn = 0; pfn < pages.limitPfn; pfn++) {
    const link = owner[pfn];
    if (!pages.boot[pfn] && valid[pfn] && link) plan[pfn] = { ...link, use: 'unavailable' };
  }
  for (const { startPfn, endPfn, kind, nid, movable, pgmap, altmap } of topology.memory) {
    for (let pfn = startPfn; pfn < endPfn; pfn++) {
      const use =
        pages.nomap[pfn] && rules.nomapIsHole
          ? 'unavailable'
          : pages.nomap[pfn] || pages.reserved[pfn]
            ? 'reserved'
            : 'present';
      if (kind === 'ram') plan[pfn] = { nid, zone: movable ? 3 : zoneOf(pfn), use };
      else if (pfn < startPfn + (altmap?.reservePages ?? 0)) continue;
      else {
        const dataPfn = startPfn + (altmap ? altmap.reservePages + altmap.memmapPages : 0);
        plan[pfn] = { nid, zone: 4, pgmap, use: pfn < dataPfn ? 'altmap' : 'present' };
      }
    }
  }
  return runsOf(plan);
}

function runsOf(plan: readonly (SlowPage | undefined)[]): SlowRun[] {
  const runs: { -readonly [key in keyof SlowRun]: SlowRun[key] }[] = [];
  for (const [pfn, page] of plan.entries()) {
    const last = runs.at(-1);
    if (!page) continue;
    const { nid, zone, pgmap, use } = page;
    const continues =
      last?.endPfn === pfn && last.nid === nid && last.zone === zone && last.pgmap === pgmap && last.use === use;
    if (last && continues) last.endPfn++;
    else runs.push({ nid, zone, pgmap, use, startPfn: pfn, endPfn: pfn + 1 });
  }
  return runs;
}

/** A plan's segments as runs of equal page frames. */
export function segmentRuns(ranges: readonly PlannedRange[]): SlowRun[] {
  return ranges.flatMap(({ nid, zone, pgmap, segments }) =>
    segments.map(({ startPfn, endPfn, use }) => ({ nid, zone, pgmap, use, startPfn, endPfn })),
  );
}

/** Lines of a boot log on unavailable pages, as [nid, zone, pages]: one for each hole that has some. */
export function slowLines(topology: Topology, rules: KernelRules, zoneOf: (pfn: number) => number): number[][] {
  const pages = pagesOf(topology, rules);
  const valid = validPages(pages, rules);
  const owner = owners(pages, zoneOf);
  const lines: number[][] = [];
  let count = 0;
  for (let pfn = 0; pfn <= pages.limitPfn; pfn++) {
    const isHole = pfn < pages.limitPfn && !pages.boot[pfn];
    if (isHole && valid[pfn]) count++;
    if (isHole || count === 0) continue;
    const link = owner[pfn] ?? tailOwner(pages, zoneOf);
    lines.push([link?.nid as number, link?.zone as number, count]);
    count = 0;
  }
  return lines;
}

/** The one count of older kernels. */
export function slowCount(topology: Topology, rules: KernelRules): number {
  const pages = pagesOf(topology, rules);
  const valid = validPages(pages, rules);
  const isMapped = (pfn: number): boolean => pages.boot[pfn] !== undefined && !pages.nomap[pfn];
  const bootEnd = pages.boot.findLastIndex((extent) => extent !== undefined) + 1;
  let lastMapped = -1;
  for (let pfn = 0; pfn < pages.limitPfn; pfn++) if (isMapped(pfn)) lastMapped = pfn;
  const tailEnd = Math.ceil(bootEnd / rules.sectionPages) * rules.sectionPages;
  let count = 0;
  for (let pfn = 0; pfn < pages.limitPfn; pfn++) {
    if (!valid[pfn]) continue;
    if (rules.unavailable === 'memblock-reserved') count += pages.reserved[pfn] && !pages.boot[pfn] ? 1 : 0;
    else if (!isMapped(pfn)) count += pfn < (rules.unavailable === 'zeroed' ? lastMapped : tailEnd) ? 1 : 0;
  }
  return count;
}
