/** What the fills of the picture mean, in rows as long as there is room. */
import type { ZoneName } from '../physical/zones.ts';
import { element, type FillZone, fillOf, type ShownUse, text } from './topology-svg-marks.ts';

/** What is to be explained. */
export interface LegendContent {
  readonly zones: readonly ZoneName[];
  readonly uses: ReadonlySet<ShownUse>;
}

interface Entry {
  readonly label: string;
  readonly zone: FillZone;
  readonly use: ShownUse;
}

const swatchWidth = 20;
const rowHeight = 21;
/** Width of a character of a label, where text is large. */
const characterWidth = 7.5;

const explained: Readonly<Record<Exclude<ShownUse, 'present'>, string>> = {
  reserved: 'reserved at boot',
  unavailable: 'unavailable: no memory, but descriptors',
  altmap: 'altmap: the memmap of a device',
  hole: 'hole',
};

/** Draws the legend. @returns it, and where what comes below may begin */
export function drawLegend(
  { zones, uses }: LegendContent,
  { x, y, room }: { readonly x: number; readonly y: number; readonly room: number },
): { readonly svg: string; readonly bottom: number } {
  const hatched = (['reserved', 'unavailable', 'altmap', 'hole'] as const).filter((use) => uses.has(use));
  const entries: Entry[] = [
    ...zones.map((zone) => ({ label: zone, zone, use: 'present' as const })),
    ...hatched.map((use) => ({ label: explained[use], zone: 'any' as const, use })),
  ];
  const parts: string[] = [];
  let [left, top] = [0, y];
  for (const { label, zone, use } of entries) {
    const width = swatchWidth + 7 + label.length * characterWidth + 14;
    if (left > 0 && left + width > room) [left, top] = [0, top + rowHeight];
    parts.push(element('rect', { x: x + left, y: top, width: swatchWidth, height: 13, ...fillOf(zone, use) }));
    parts.push(text(x + left + swatchWidth + 7, top + 11.5, label, 'vm-small vm-text'));
    left += width;
  }
  return { svg: element('g', {}, `\n${parts.join('\n')}\n`), bottom: top + rowHeight };
}
