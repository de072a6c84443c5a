/** What Linux's boot log says about a plan, in its own words (mm/mm_init.c; until 6.4 mm/page_alloc.c). */
import type { PfnExtent } from '../physical/geometry.ts';
import type { MachinePlan } from '../physical/machine-plan.ts';
import { zoneNames } from '../physical/zones.ts';

/** An extent as its bytes, first and last, as Linux prints them: `[mem %#018lx-%#018lx]`, or `empty`. */
export function memText({ startPfn, endPfn }: PfnExtent, pageSizeBytes: number): string {
  if (startPfn >= endPfn) return 'empty';
  const address = (byte: number): string => `0x${byte.toString(16).padStart(16, '0')}`;
  return `[mem ${address(startPfn * pageSizeBytes)}-${address(endPfn * pageSizeBytes - 1)}]`;
}

/** `Zone ranges:` and the lines below it. */
export function zoneRangeLines({ platform, zoneRanges }: MachinePlan): string[] {
  const lines = zoneRanges.map(({ zone, ...extent }) => {
    return `  ${(zoneNames[zone] ?? '').padEnd(8)} ${memText(extent, platform.pageSizeBytes)}`;
  });
  return ['Zone ranges:', ...lines];
}

/** The lines on unavailable pages. None where there are none. */
export function unavailableLines({ unavailable }: { readonly unavailable: MachinePlan['unavailable'] }): string[] {
  const { rule, totalPages, gaps } = unavailable;
  if (rule === 'per-zone') {
    return gaps
      .filter(({ pages }) => pages > 0)
      .map(({ nid, zone, pages }) => `On node ${nid}, zone ${zoneNames[zone]}: ${pages} pages in unavailable ranges`);
  }
  if (totalPages === 0) return [];
  return rule === 'memblock-reserved'
    ? [`Reserved but unavailable: ${totalPages} pages`]
    : [`Zeroed struct page in unavailable ranges: ${totalPages} pages`];
}
