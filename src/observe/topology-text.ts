/** The plan of a machine as a person reads it. Plain text, no colours, in columns: it may go to a file. */
import { counted, formatBytes, grouped, harmless, sources, table } from './report.ts';
import type { NodeNote, RangeNote, TopologyReport, ZoneNote } from './topology-report.ts';

/** What decides how a kernel tells unavailable pages. */
const ruleWords: Readonly<Record<TopologyReport['unavailable']['rule'], string>> = {
  'memblock-reserved': 'up to 4.19: its log counts pages as unavailable that are reserved and no memory',
  zeroed: '4.20 to 5.5: its log counts unavailable pages in one sum, without those behind the last memory',
  'zeroed-with-tail': '5.6 to 5.11: its log counts unavailable pages in one sum',
  'per-zone': 'since 5.12: its log counts unavailable pages hole by hole, for the zone of the memory behind each',
};

/** Reserved extents that are told by name; a log of memblock has hundreds. */
const reservedShownMax = 16;

/** A column of a table: its title, whether figures stand in it, and its cell in each row. */
interface Column<T> {
  readonly title: string;
  readonly isFigure: boolean;
  readonly cell: (row: T) => string;
  /** Pages by the row where the whole column is left out when they are 0 in all. */
  readonly pages?: (row: T) => number;
}

function text<T>(title: string, cell: (row: T) => string): Column<T> {
  return { title, isFigure: false, cell };
}

function figure<T>(title: string, cell: (row: T) => string): Column<T> {
  return { title, isFigure: true, cell };
}

/** Pages, a column that is left out where there are none. */
function pages<T>(title: string, count: (row: T) => number): Column<T> {
  return { title, isFigure: true, cell: (row) => grouped(count(row)), pages: count };
}

function pfn(value: number | null): string {
  return value === null ? '-' : `0x${value.toString(16)}`;
}

function lastPfn(endPfn: number | null): string {
  return pfn(endPfn === null ? null : endPfn - 1);
}

/** A section: its title, and a table in which a node is named in the first of its rows only. */
function section<T extends { readonly nid: number }>(
  title: string,
  rows: readonly T[],
  columns: readonly Column<T>[],
): string[] {
  if (rows.length === 0) return [];
  const node = (row: T, index: number): string => (rows[index - 1]?.nid === row.nid ? '' : String(row.nid));
  const shown = columns.filter((column) => column.pages === undefined || rows.some((row) => column.pages?.(row) !== 0));
  const head = ['node', ...shown.map((column) => column.title)];
  const cells = rows.map((row, index) => [node(row, index), ...shown.map((column) => column.cell(row))]);
  const figures = shown.flatMap((column, index) => (column.isFigure ? [index + 1] : []));
  return ['', title, ...table(head, cells, [0, ...figures]).map((line) => `  ${line}`)];
}

/** Bytes of a size that is a power of two, such as `64 KiB`: without the digits that would be zeros. */
export function exactBytes(bytes: number): string {
  return formatBytes(bytes).replace(/\.0+ /, ' ');
}

/** Numbers as a list of the kernel: `0-3,8`. */
export function formatCpulist(cpus: readonly number[]): string {
  const sorted = [...cpus].sort((a, b) => a - b);
  const runs: string[] = [];
  for (let first = 0, next = 1; first < sorted.length; first = next++) {
    while (next < sorted.length && sorted[next] === (sorted[next - 1] as number) + 1) next++;
    runs.push(next - first === 1 ? `${sorted[first]}` : `${sorted[first]}-${sorted[next - 1]}`);
  }
  return runs.join(',');
}

const nodeColumns: readonly Column<NodeNote>[] = [
  figure('RAM', (node) => (node.presentPages === 0 ? 'none' : formatBytes(node.memoryBytes))),
  figure('first pfn', (node) => pfn(node.startPfn)),
  figure('last pfn', (node) => lastPfn(node.endPfn)),
  figure('spanned', (node) => grouped(node.spannedPages)),
  figure('present', (node) => grouped(node.presentPages)),
  pages('unavailable', (node) => node.unavailablePages),
  pages('reserved', (node) => node.reservedPages),
  {
    ...figure('device', (node) => (node.devicePages === 0 ? 'none' : formatBytes(node.deviceBytes))),
    pages: (node) => node.devicePages,
  },
  figure('memmap', (node) => {
    const bytes = node.memmapBytes + node.deviceMemmapBytes;
    return bytes === 0 ? 'none' : formatBytes(bytes);
  }),
  // last: the list of a large machine is long
  text('CPUs', (node) => (node.cpus.length === 0 ? 'none' : formatCpulist(node.cpus))),
];

const zoneColumns: readonly Column<ZoneNote>[] = [
  text('zone', (zone) => zone.zone),
  figure('first pfn', (zone) => pfn(zone.startPfn)),
  figure('last pfn', (zone) => lastPfn(zone.endPfn)),
  figure('spanned', (zone) => grouped(zone.spannedPages)),
  figure('present', (zone) => grouped(zone.presentPages)),
  figure('holes', (zone) => grouped(zone.holePages)),
  pages('unavailable', (zone) => zone.unavailablePages),
  pages('reserved', (zone) => zone.reservedPages),
];

/** `ram`, or what device memory is used as: `devdax map=dev, 2 MiB`. */
export function kindText({ kind, mode, map, compoundPages, pages: all, memoryBytes }: RangeNote): string {
  if (kind === 'ram') return 'ram';
  const compound = compoundPages !== null && compoundPages > 1;
  return `${mode} map=${map}${compound ? `, ${exactBytes((memoryBytes / all) * compoundPages)}` : ''}`;
}

/** Chunks are of one size on most machines, and then told once above the table. */
function rangeColumns(chunkSizes: number): Column<RangeNote>[] {
  const chunk = [
    figure<RangeNote>('pages/chunk', (range) => grouped(range.chunkPages)),
    figure<RangeNote>('chunk', (range) => formatBytes(range.chunkBytes)),
  ];
  return [
    text('zone', (range) => range.zone),
    text('kind', kindText),
    figure('first pfn', (range) => pfn(range.startPfn)),
    figure('last pfn', (range) => lastPfn(range.endPfn)),
    figure('pages', (range) => grouped(range.pages)),
    pages('unavailable', (range) => range.uses.unavailable),
    pages('reserved', (range) => range.uses.reserved),
    pages('altmap', (range) => range.uses.altmap),
    figure('memory', (range) => (range.memoryBytes === 0 ? 'none' : formatBytes(range.memoryBytes))),
    figure('descriptors', (range) => formatBytes(range.descriptorBytes)),
    figure('chunks', (range) => grouped(range.chunks)),
    ...(chunkSizes > 1 ? chunk : []),
  ];
}

function rangeLines({ ranges }: TopologyReport): string[] {
  const byNode = [...ranges].sort((a, b) => a.nid - b.nid || a.startPfn - b.startPfn);
  const chunkSizes = new Set(ranges.map(({ chunkPages }) => chunkPages));
  const [first] = ranges;
  const size = first ? `${grouped(first.chunkPages)} pages, ${exactBytes(first.chunkBytes)} of descriptors` : '';
  const title = chunkSizes.size > 1 ? 'ranges' : `ranges, in chunks of ${size}`;
  return section(title, byNode, rangeColumns(chunkSizes.size));
}

function reservedLines({ reserved, platform }: TopologyReport): string[] {
  if (reserved.length === 0) return [];
  const size = ({ startPfn, endPfn }: { startPfn: number; endPfn: number }): number => endPfn - startPfn;
  const shown = [...reserved].sort((a, b) => size(b) - size(a)).slice(0, reservedShownMax);
  const rows = shown
    .sort((a, b) => a.startPfn - b.startPfn)
    .map((extent) => [
      pfn(extent.startPfn),
      lastPfn(extent.endPfn),
      grouped(size(extent)),
      formatBytes(size(extent) * platform.pageSizeBytes),
      extent.what,
    ]);
  const more = reserved.length - shown.length;
  return [
    '',
    `reserved before anybody could use it${more > 0 ? `: the ${shown.length} largest of ${grouped(reserved.length)}` : ''}`,
    ...table(['first pfn', 'last pfn', 'pages', 'memory', 'for'], rows, [0, 1, 2, 3]).map((line) => `  ${line}`),
  ];
}

/** Zone ranges and unavailable pages in the words of the kernel's log. */
function logLines({ log }: TopologyReport): string[] {
  return ['', 'as the log of that kernel says it', ...log.map((line) => `  ${line}`)];
}

/** The kernel's answers, those that differ with what was planned, and why. */
function answerLines({ answers }: TopologyReport): string[] {
  if (answers === null) return [];
  if (answers.length === 0) return ['', "the log tells none of the kernel's own answers"];
  const agreed = answers.filter(({ agrees }) => agrees).length;
  const lines = answers.map(({ about, kernel, planned, agrees, why }) => {
    if (agrees) return `  = ${about}: ${kernel}`;
    return `  ≠ ${about}: ${kernel ?? 'no such line'}; planned: ${planned ?? 'none'}${why === null ? '' : ` (${why})`}`;
  });
  return ['', `the kernel's own answers: ${grouped(agreed)} of ${grouped(answers.length)} as planned`, ...lines];
}

/** How much memory, and how many descriptors. */
function amountLines(report: TopologyReport): string[] {
  const { presentPages, unavailablePages, devicePages, memmapBytes, unavailable } = report;
  const ram = `${grouped(presentPages)} pages of RAM (${formatBytes(report.memoryBytes)})`;
  const device = `${grouped(devicePages)} of devices (${formatBytes(report.deviceBytes)})`;
  // kernels before 5.12 count by rules of their own, and device memory takes the place of holes only later
  const counts =
    unavailablePages === unavailable.totalPages ? '' : ` (its log counts ${grouped(unavailable.totalPages)})`;
  const gaps = `${grouped(unavailablePages)} in unavailable ranges${counts}`;
  const parts = [counted(report.nodes.length, 'node'), ram];
  if (devicePages > 0) parts.push(device);
  if (unavailablePages + unavailable.totalPages > 0) parts.push(gaps);
  const spent = memmapBytes > 0 ? `; for RAM Linux spends ${formatBytes(memmapBytes)}, on whole sections` : '';
  return [
    `  ${parts.join(' · ')}`,
    `  memmap: ${grouped(report.pages)} page descriptors, ${formatBytes(report.descriptorBytes)}${spent}`,
  ];
}

function heading(report: TopologyReport): string[] {
  const { platform, kernel, rulesRelease, unavailable } = report;
  const release = kernel === null ? 'kernel not known' : `Linux ${kernel}`;
  const pageSize = exactBytes(platform.pageSizeBytes);
  return [
    `${sources[report.source]} · ${platform.name}, pages of ${pageSize} · ${release}`,
    `  rules of Linux ${rulesRelease} (${ruleWords[unavailable.rule]})`,
    ...amountLines(report),
  ];
}

/** The whole report. */
export function formatTopology(report: TopologyReport): string {
  const { notes } = report;
  return [
    ...heading(report),
    ...section('nodes', report.nodes, nodeColumns),
    ...section<ZoneNote>('zones', report.zones, zoneColumns),
    ...rangeLines(report),
    ...reservedLines(report),
    ...logLines(report),
    ...answerLines(report),
    ...(notes.length === 0 ? [] : ['', ...notes.map((note) => `note: ${note}`)]),
    '',
  ]
    .map(harmless)
    .join('\n');
}
