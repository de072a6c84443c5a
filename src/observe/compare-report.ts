/** A comparison with the running kernel as a person reads it. Plain text; what the kernel names is made harmless. */
import { zoneNames } from '../physical/zones.ts';
import type { Comparison } from './compare.ts';
import type { BlockDisagreement } from './compare-blocks.ts';
import type { Explained } from './compare-reasons.ts';
import type { ZoneComparison, ZoneFigure } from './compare-zones.ts';
import { counted, formatMs, grouped, harmless } from './report.ts';

function hex(pfn: number): string {
  return `0x${pfn.toString(16)}`;
}

const why = (explanation: string | undefined): string => harmless(explanation ?? 'NOT EXPLAINED');

function rangeLine({ startPfn, endPfn, plan, kernel, kind, explanation }: Explained): string {
  const pages = endPfn - startPfn;
  const planned = kind === 'device' && plan === 'present' ? 'device' : plan;
  const count = counted(pages, 'page');
  return `pfns ${hex(startPfn)}-${hex(endPfn - 1)} (${count}): plan: ${planned}, kernel: ${kernel} — ${why(explanation)}`;
}

const figureNames: Readonly<Record<ZoneFigure, string>> = {
  startPfn: 'start_pfn',
  spannedPages: 'spanned',
  presentPages: 'present',
};

function zoneName({ nid, zone }: ZoneComparison): string {
  return `node ${nid}, zone ${zoneNames[zone]}`;
}

/** A zone that agrees tells its figures; one that does not, what differs. */
function zoneLine(zone: ZoneComparison): string {
  const { plan, kernel, differing, explanation } = zone;
  if (differing.length > 0) {
    const told = differing.map((figure) => {
      return `${figureNames[figure]}: plan: ${plan?.[figure] ?? 'no zone'}, kernel: ${kernel?.[figure] ?? 'no zone'}`;
    });
    return `${zoneName(zone)}: ${told.join('; ')} — ${why(explanation)}`;
  }
  const { spannedPages = 0, presentPages = 0, managedPages = 0 } = kernel ?? {};
  const figures = `spanned ${grouped(spannedPages)}, present ${grouped(presentPages)}, managed ${grouped(managedPages)}`;
  return `${zoneName(zone)}: ${figures} — agrees`;
}

function blockLine({ block, startPfn, endPfn, plan, kernel }: BlockDisagreement): string {
  return `block memory${block} (pfns ${hex(startPfn)}-${hex(endPfn - 1)}): plan: ${plan}, kernel: ${kernel} — ${why(undefined)}`;
}

/** The first disagreement that nothing explains, in a line; there must be one. */
export function firstUnexplained({ zones, blocks, ranges }: Comparison): string {
  const zone = zones.find(({ differing, explanation }) => differing.length > 0 && explanation === undefined);
  if (zone) return zoneLine(zone);
  const [block] = blocks.disagreements;
  if (block) return blockLine(block);
  const range = ranges.find(({ explanation }) => explanation === undefined);
  return range ? rangeLine(range) : 'none';
}

/** All that was compared, disagreements one by one. */
export function formatComparison(comparison: Comparison): string {
  const { kernel, platform, pages, ranges, zones, blocks, explained, unexplained, notes } = comparison;
  const speed = `${grouped(Math.round(pages.perSecond / 1e6))} million a second`;
  const lines = [
    `Linux ${harmless(kernel)}, ${platform}: the plan of this machine against what its kernel made of it`,
    ...zones.map((zone) => `  ${zoneLine(zone)}`),
    `  memory blocks: ${blocks.compared} compared, ${blocks.disagreements.length} disagree`,
    ...blocks.disagreements.map((block) => `  ${blockLine(block)}`),
    `  page frames: ${grouped(pages.endPfn)} compared in ${formatMs(pages.readMs)} (${speed}), ${grouped(pages.agreeing)} agree`,
    ...ranges.map((range) => `  ${rangeLine(range)}`),
    ...notes.map((note) => `  Note: ${harmless(note)}`),
    `${explained + unexplained} disagreements, ${unexplained} without an explanation`,
  ];
  return `${lines.join('\n')}\n`;
}
