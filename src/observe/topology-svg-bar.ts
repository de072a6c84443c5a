/** One bar of the picture: its label, its shapes, the cuts between them, and the addresses below. */
import type { PfnExtent } from '../physical/geometry.ts';
import { counted, formatBytes, grouped } from './report.ts';
import type { Axis, Gap } from './topology-svg-axis.ts';
import { element, fillOf, rounded, shortName, text, tooltip } from './topology-svg-marks.ts';
import { type Mark, marksOf, markWidthMin, type Stretch } from './topology-svg-stretches.ts';
import { extentText, type Tick, ticksMax, ticksOf } from './topology-svg-ticks.ts';

/** What a bar is made of. */
export interface Bar {
  readonly label: string;
  readonly detail: string;
  readonly stretches: readonly Stretch[];
  readonly blocks: readonly PfnExtent[];
  readonly axis: Axis;
  /** Pfns that are worth an address below, the most telling first. */
  readonly telling: readonly number[];
  /** Whether nodes are told apart above the shapes. */
  readonly hasNodes: boolean;
}

/** Where it goes, and what it may take. */
export interface BarPlace {
  readonly x: number;
  readonly y: number;
  readonly room: number;
  readonly pageSizeBytes: number;
  readonly marksMax: number;
}

/** Height of the shapes. */
const height = 22;
const labelHeight = 20;
const nodesHeight = 15;
const ticksHeight = 36;
const extentHeight = 18;
const spaceBelow = 12;
/** Narrowest bar with ticks below it. */
const tickedWidthMin = 220;
/** Thinnest shape that an edge in the colour of the ground leaves something of. */
const edgedWidthMin = 5;
/** Numbers of nodes above one bar, at most. */
const nodeLabelsMax = 32;
/** Names of zones in the shapes of one bar, at most. */
const zoneLabelsMax = 8;
/** What a bar may have beside the shapes of its pages: its label, lines of ticks in two paths, their labels, and names. */
export const aroundShapes: number = 1 + 2 + ticksMax + zoneLabelsMax;
/** What one bar may have above its shapes. */
export const aboveShapes: number = nodeLabelsMax;
/** Width of a character of a zone's name inside a shape, as drawn where text is large. */
const labelCharacterWidth = 8.4;

/** Whether its first and its last address in one line say as much as ticks could. */
function isPlain({ axis, blocks, telling }: Bar): boolean {
  return axis.width < tickedWidthMin || (blocks.length === 1 && telling.length === 0);
}

/** Height that a bar takes. */
export function barHeight(bar: Bar): number {
  const addresses = isPlain(bar) ? extentHeight : ticksHeight;
  return labelHeight + (bar.hasNodes ? nodesHeight : 0) + height + addresses + spaceBelow;
}

function extentLines({ startPfn, endPfn }: PfnExtent, pageSizeBytes: number): string[] {
  const hex = (value: number): string => `0x${value.toString(16)}`;
  const pages = endPfn - startPfn;
  const size = `${counted(pages, 'page')}, ${formatBytes(pages * pageSizeBytes)}`;
  return [
    `pfns ${hex(startPfn)} to ${hex(endPfn - 1)}: ${size}`,
    `addresses ${hex(startPfn * pageSizeBytes)} to ${hex(endPfn * pageSizeBytes - 1)}`,
  ];
}

/** What the tooltip of a shape says. */
function markLines({ first, count, endPfn, pages, isMixed }: Mark, pageSizeBytes: number): string[] {
  const { nid, zone, use, about } = first;
  const where = zone === undefined ? '' : `node ${nid}, zone ${zone}${isMixed ? ' and others' : ''}: `;
  const extent = extentLines({ startPfn: first.startPfn, endPfn }, pageSizeBytes);
  if (count === 1) {
    const what = use === 'hole' ? 'hole: no memory and no descriptors' : use;
    return [`${where}${what}${about === '' ? '' : ` (${shortName(about)})`}`, ...extent];
  }
  const uses = Object.entries(pages)
    .filter(([, n]) => n > 0)
    .map(([name, n]) => `${grouped(n)} ${name}`);
  return [`${where}${grouped(count)} stretches, too thin to be told apart`, ...extent, `pages: ${uses.join(', ')}`];
}

/** One shape. */
function drawMark(mark: Mark, { x, room, pageSizeBytes }: BarPlace, y: number): string {
  // what is thinner than a line is drawn as one, over its neighbours
  const width = Math.max(markWidthMin, mark.width);
  const { class: zone, ...fill } = fillOf(mark.zone ?? 'any', mark.use);
  const classes = [zone, width >= edgedWidthMin ? 'vm-edge' : undefined].filter((name) => name !== undefined).join(' ');
  const where = { x: x + Math.min(mark.x, room - width), y, width, height };
  const attributes = { ...where, ...fill, class: classes === '' ? undefined : classes };
  return element('rect', attributes, tooltip(markLines(mark, pageSizeBytes)));
}

/** Names of zones, in the widest shapes. */
function drawZoneNames(marks: readonly Mark[], { x }: BarPlace, y: number): string[] {
  return marks
    .filter(({ use, zone, width }) => {
      return use === 'present' && zone !== undefined && width >= (zone.length + 1) * labelCharacterWidth;
    })
    .slice(0, zoneLabelsMax)
    .map((mark) => {
      const classes = `vm-small vm-in vm-in-${mark.zone}`;
      return text(x + mark.x + mark.width / 2, y + height / 2, mark.zone ?? '', classes, centered);
    });
}

// `dy`, since not all that draw SVG know dominant-baseline
const centered = { 'text-anchor': 'middle', dy: '0.35em' };

/** The sign for what was cut out: two slanted lines. */
function drawCut(gap: Gap, { x, pageSizeBytes }: BarPlace, y: number): string[] {
  const middle = x + gap.x + gap.width / 2;
  const slanted = (at: number): string => `M${rounded(at - 2)} ${y + height + 3}l4 ${-height - 6}`;
  const ground = { x: x + gap.x, y, width: gap.width, height, class: 'vm-ground' };
  const lines = { d: slanted(middle - 2.5) + slanted(middle + 2.5), class: 'vm-break vm-in' };
  const told = tooltip(['absent: cut out here', ...extentLines(gap, pageSizeBytes)]);
  return [element('rect', ground, told), element('path', lines)];
}

/** The lines of ticks in one path, or none. */
function drawTickLines(ticks: readonly Tick[], x: number, y: number, classes: string): string[] {
  if (ticks.length === 0) return [];
  return [element('path', { d: ticks.map((tick) => `M${rounded(x + tick.x)} ${y}v4`).join(''), class: classes })];
}

function drawTicks(ticks: readonly Tick[], x: number, y: number): string[] {
  const labels = ticks.map(({ x: at, lines, anchor, isWideOnly }) => {
    const hex = element('tspan', { x: x + at, y: y + 16 }, lines[0]);
    const size = element('tspan', { x: x + at, y: y + 31, class: 'vm-faint' }, lines[1]);
    const classes = `vm-mono vm-text${isWideOnly ? ' vm-wide' : ''}`;
    return element('text', { class: classes, 'text-anchor': anchor === 'start' ? undefined : anchor }, hex + size);
  });
  const narrow = ticks.filter(({ isWideOnly }) => !isWideOnly);
  const wide = ticks.filter(({ isWideOnly }) => isWideOnly);
  return [...drawTickLines(narrow, x, y, 'vm-tick'), ...drawTickLines(wide, x, y, 'vm-tick vm-wide'), ...labels];
}

/** The first and the last address in one line. */
function drawExtent({ blocks }: Bar, { x, pageSizeBytes }: BarPlace, y: number): string[] {
  const extent = { startPfn: blocks[0]?.startPfn ?? 0, endPfn: blocks.at(-1)?.endPfn ?? 0 };
  return [text(x, y + 15, extentText(extent, pageSizeBytes), 'vm-mono vm-faint')];
}

/** Runs of shapes of one node, and their numbers above them where there is room. */
function drawNodes(marks: readonly Mark[], { x, room }: BarPlace, y: number): string[] {
  const runs: { nid: number; from: number; to: number }[] = [];
  for (const { first, x: from, width } of marks) {
    if (first.zone === undefined) continue;
    const last = runs.at(-1);
    if (last?.nid === first.nid) last.to = from + width;
    else runs.push({ nid: first.nid, from, to: from + width });
  }
  const step = room / nodeLabelsMax;
  let free = 0;
  return runs.flatMap(({ nid, from, to }) => {
    for (const words of [`node ${nid}`, String(nid)]) {
      const half = (words.length * labelCharacterWidth) / 2;
      const middle = Math.min((from + to) / 2, room - half);
      // a number may be wider than its run and stand above its neighbours, too, where these leave room for it
      const fits = words === String(nid) || to - from > 2 * half;
      if (!fits || middle - half < free) continue;
      free = Math.max(middle + half + labelCharacterWidth / 2, middle - half + step);
      return [text(x + middle, y, words, 'vm-small vm-faint', { 'text-anchor': 'middle' })];
    }
    return [];
  });
}

/** Draws a bar. */
export function drawBar(bar: Bar, place: BarPlace): string {
  const { x, y, marksMax } = place;
  const marks = marksOf(bar.stretches, bar.axis, marksMax);
  const top = y + labelHeight + (bar.hasNodes ? nodesHeight : 0);
  const byWidth = [...marks].sort((a, b) => b.width - a.width);
  const label =
    element('tspan', { class: 'vm-strong vm-text' }, bar.label) +
    element('tspan', { dx: 8, class: 'vm-faint' }, bar.detail);
  const parts = [
    element('text', { x, y: y + 13, class: 'vm-label' }, label),
    ...(bar.hasNodes ? drawNodes(marks, place, top - 4) : []),
    ...byWidth.map((mark) => drawMark(mark, place, top)),
    ...drawZoneNames(byWidth, place, top),
    ...bar.axis.gaps.filter(({ isCut }) => isCut).flatMap((gap) => drawCut(gap, place, top)),
    ...(isPlain(bar) ? drawExtent(bar, place, top + height) : drawTicks(ticksOf(bar, place), x, top + height)),
  ];
  return element('g', {}, `\n${parts.join('\n')}\n`);
}
