/** The physical address space of a machine, drawn: one SVG that is complete in itself, for a browser in light or in dark. */
import { zoneNames } from '../physical/zones.ts';
import { counted, formatBytes, sources } from './report.ts';
import type { TopologyReport } from './topology-report.ts';
import { type Bar, barHeight, drawBar } from './topology-svg-bar.ts';
import { barsOf, budgetOf, nodeBarsMax, nodeDetail, shortCpulist } from './topology-svg-bars.ts';
import { drawLegend, type LegendContent } from './topology-svg-legend.ts';
import { element, escapeXml, pattern, type ShownUse, shortName, styleSheet, text } from './topology-svg-marks.ts';
import { exactBytes } from './topology-text.ts';

/** Width of the drawing in its own units. On a telephone they are two thirds of a pixel. */
const width = 600;
/** Pixels that it is wide where there is room and nobody says otherwise. */
const shownWidth = 840;
const margin = 14;
const room: number = width - 2 * margin;

/** Characters in a line of the title, and of what stands below it, where text is large. */
const titleLengthMax = 55;
const lineLengthMax = 64;
/** Of a kernel's release, which is one word. */
const releaseLengthMax = 48;

/** Broken into lines of so many characters: between its parts, or where it has none between its words. */
function wrapped(line: string, lengthMax: number): string[] {
  const joint = line.includes(' · ') ? ' · ' : ' ';
  const lines: string[] = [];
  for (const part of line.split(joint)) {
    const longer = `${lines.at(-1)}${joint}${part}`;
    if (lines.length > 0 && longer.length <= lengthMax) lines[lines.length - 1] = longer;
    else lines.push(part);
  }
  return lines;
}

function headingOf(report: TopologyReport): { readonly title: string; readonly lines: readonly string[] } {
  const { platform, kernel, nodes, unavailablePages, deviceBytes, memoryBytes } = report;
  const release = kernel === null ? [] : [`Linux ${shortName(kernel, releaseLengthMax)}`];
  const ram = memoryBytes > 0 || deviceBytes === 0 ? [`${formatBytes(memoryBytes)} of RAM`] : [];
  const device = deviceBytes > 0 ? [`${formatBytes(deviceBytes)} of devices`] : [];
  const gaps = unavailablePages > 0 ? [`${counted(unavailablePages, 'page')} unavailable`] : [];
  const memmap = `memmap ${formatBytes(report.descriptorBytes)}`;
  return {
    title: `Physical memory of ${sources[report.source]}`,
    lines: [
      [`${platform.name}, pages of ${exactBytes(platform.pageSizeBytes)}`, ...release].join(' · '),
      [counted(nodes.length, 'node'), ...ram, ...device, memmap, ...gaps].join(' · '),
    ],
  };
}

/** Nodes that have no bar. */
function memorylessLine({ nodes }: TopologyReport): string[] {
  const without = nodes.filter(({ presentPages, devicePages }) => presentPages + devicePages === 0);
  if (without.length === 0) return [];
  return [`no memory: node${without.length === 1 ? '' : 's'} ${shortCpulist(without.map(({ nid }) => nid))}`];
}

/** What the picture says, for who does not see it. */
function description(report: TopologyReport): string {
  const { nodes, ranges, platform } = report;
  const told = nodes.slice(0, nodeBarsMax).map((node) => {
    const own = ranges.filter(({ nid }) => nid === node.nid);
    const address = (pfn = 0): string => `0x${(pfn * platform.pageSizeBytes).toString(16)}`;
    if (own.length === 0) return `Node ${node.nid}: no memory.`;
    const where = `addresses ${address(own[0]?.startPfn)} to ${address(own.at(-1)?.endPfn)}`;
    return `Node ${node.nid}: ${nodeDetail(node)}, ${where}.`;
  });
  const more = nodes.length > told.length ? [`And ${counted(nodes.length - told.length, 'more node')}.`] : [];
  return [...headingOf(report).lines.map((line) => `${line}.`), ...told, ...more].join(' ');
}

function legendOf(bars: readonly Bar[]): LegendContent {
  const stretches = bars.flatMap((bar) => bar.stretches);
  const uses = new Set<ShownUse>(stretches.map(({ use }) => use));
  if (bars.some(({ axis }) => axis.gaps.some(({ isCut }) => !isCut))) uses.add('hole');
  const zones = new Set(stretches.map(({ zone }) => zone));
  return { zones: zoneNames.filter((zone) => zones.has(zone)), uses };
}

/** Patterns that the bars may need: every zone with every hatched use, as thin stretches are drawn together. */
function definitions({ zones, uses }: LegendContent): string {
  const hatched = (['reserved', 'unavailable', 'altmap'] as const).filter((use) => uses.has(use));
  const patterns = hatched.flatMap((use) => [...zones, 'any' as const].map((zone) => pattern(zone, use)));
  return element('defs', {}, [pattern('any', 'hole'), ...patterns].join('\n'));
}

/** What there is to be seen, and where it ends. */
function drawBody(
  report: TopologyReport,
  bars: readonly Bar[],
  marksMax: number,
): { readonly parts: readonly string[]; readonly bottom: number } {
  const { title, lines } = headingOf(report);
  const parts: string[] = [];
  let y = 8;
  for (const line of wrapped(title, titleLengthMax)) {
    y += 20;
    parts.push(text(margin, y, line, 'vm-title vm-text'));
  }
  y += 8;
  for (const line of lines.flatMap((whole) => wrapped(whole, lineLengthMax))) {
    y += 17;
    parts.push(text(margin, y, line, 'vm-label vm-faint'));
  }
  const legend = drawLegend(legendOf(bars), { x: margin, y: y + 14, room });
  parts.push(legend.svg);
  y = legend.bottom + 14;
  for (const bar of bars) {
    parts.push(drawBar(bar, { x: margin, y, room, pageSizeBytes: report.platform.pageSizeBytes, marksMax }));
    y += barHeight(bar);
  }
  for (const line of memorylessLine(report)) {
    y += 10;
    parts.push(text(margin, y, line, 'vm-label vm-faint'));
  }
  return { parts, bottom: y };
}

/** Draws a machine. At most 2000 shapes and labels, whatever it has: what is too thin is drawn together. */
export function drawTopology(report: TopologyReport): string {
  const budget = budgetOf(report);
  const bars = barsOf(report, budget, room);
  const { parts, bottom } = drawBody(report, bars, budget.marksMax);
  const height = Math.ceil(bottom + margin);
  const shownHeight = Math.round((height * shownWidth) / width);
  const size = { viewBox: `0 0 ${width} ${height}`, width: shownWidth, height: shownHeight };
  const how = { role: 'img', class: 'vm-picture', 'aria-labelledby': 'vm-title', 'aria-describedby': 'vm-desc' };
  const inside = [
    element('title', { id: 'vm-title' }, escapeXml(headingOf(report).title)),
    element('desc', { id: 'vm-desc' }, escapeXml(description(report))),
    element('style', {}, `\n${styleSheet()}\n`),
    definitions(legendOf(bars)),
    element('rect', { width, height, class: 'vm-ground' }),
    ...parts,
  ];
  return `${element('svg', { xmlns: 'http://www.w3.org/2000/svg', ...size, ...how }, `\n${inside.join('\n')}\n`)}\n`;
}
