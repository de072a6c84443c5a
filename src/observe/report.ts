/** The report of a run as a person reads it. Plain text, no colours: it may go to a file. */
import { descriptorSizeBytes } from '../physical/geometry.ts';
import { platforms } from '../physical/platforms.ts';
import type { TopologySource } from '../physical/topology.ts';
import type { InitReport, RangeReport } from './init-report.ts';
import type { DescriptorNote, Inspection } from './inspect.ts';
import type { VerifyResult } from './verify.ts';

/** Where a machine was found, as reports begin. */
export const sources: Readonly<Record<TopologySource, string>> = {
  dmesg: 'a machine read from a boot log',
  iomem: 'this machine, read from /proc/iomem',
  'iomem-file': 'a machine read from a file',
  namespace: 'the namespace of a device',
  ndctl: 'memory that ndctl lists',
  simulated: 'a simulated machine',
  'sysfs-blocks': "this machine, read from sysfs's memory blocks",
  table: 'a table of records',
};

/** Bytes with a binary unit and three significant digits, such as `1.50 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  let value = bytes;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : significant(value)} ${units[unit]}`;
}

/** Milliseconds as the unit that reads best. */
export function formatMs(ms: number): string {
  if (ms < 1) return `${significant(ms * 1000)} µs`;
  return ms < 1000 ? `${significant(ms)} ms` : `${significant(ms / 1000)} s`;
}

/** Three significant digits. The borders are where rounding would give a digit more: 9.996 is 10.0 and not 10.00. */
function significant(value: number): string {
  return value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

/** A whole number with commas. */
export function grouped(count: number): string {
  return count.toLocaleString('en-US');
}

/** `1 node`, `2 nodes`. */
export function counted(count: number, what: string): string {
  return `${grouped(count)} ${what}${count === 1 ? '' : 's'}`;
}

/** Text in which a name from a file or a kernel may stand: what would break a line or move the cursor is replaced. */
export function harmless(text: string): string {
  return text.replace(/\p{Cc}/gu, '?');
}

/** Columns aligned: text to the left, figures to the right. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[],
): string[] {
  const widths = head.map((title, column) =>
    // not as arguments of one call: a machine may have more ranges than a call can have
    rows.reduce((width, row) => Math.max(width, (row[column] ?? '').length), title.length),
  );
  return [head, ...rows].map((row) =>
    row
      .map((cell, column) =>
        right.includes(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
}

/** Pages of a range that nobody can have, such as `3 reserved, 96 unavailable`; empty when there are none. */
function otherUses({ uses }: RangeReport): string {
  return Object.entries(uses)
    .filter(([use, pages]) => use !== 'present' && pages > 0)
    .map(([use, pages]) => `${grouped(pages)} ${use}`)
    .join(', ');
}

/** What the pages of a range hold; those of holes have descriptors, and no memory. */
function memoryText({ pages, uses }: RangeReport, pageSizeBytes: number): string {
  const bytes = (pages - uses.unavailable) * pageSizeBytes;
  return bytes === 0 ? 'none' : formatBytes(bytes);
}

/** The ranges by node and zone. */
function rangeLines({ ranges, platform }: Pick<InitReport, 'ranges' | 'platform'>): string[] {
  const { pageSizeBytes } = platforms[platform];
  const hasOthers = ranges.some((range) => otherUses(range) !== '');
  const head = [
    'node',
    'zone',
    'kind',
    'first pfn',
    'last pfn',
    'pages',
    'memory',
    'descriptors',
    'chunks',
    'pages/chunk',
    ...(hasOthers ? ['of these'] : []),
  ];
  const rows = ranges.map((range) => [
    String(range.nid),
    range.zone,
    range.kind,
    `0x${range.startPfn.toString(16)}`,
    `0x${(range.endPfn - 1).toString(16)}`,
    grouped(range.pages),
    memoryText(range, pageSizeBytes),
    formatBytes(range.pages * descriptorSizeBytes),
    grouped(range.chunks),
    grouped(range.chunkPages),
    ...(hasOthers ? [otherUses(range)] : []),
  ]);
  return table(head, rows, [0, 3, 4, 5, 6, 7, 8, 9]);
}

/** When each node's share was ready, one line a node. */
function milestoneLines({ milestones, ranges, totalMs }: InitReport): string[] {
  const barWidth = 40;
  return [...new Set(ranges.map(({ nid }) => nid))].map((nid) => {
    const own = milestones.filter((milestone) => milestone.nid === nid);
    const doneMs = own.find(({ share }) => share === 1)?.ms ?? totalMs;
    const length = Math.max(1, Math.min(barWidth, Math.round((doneMs / totalMs) * barWidth)));
    const steps = own.map(({ share, ms }) => `${share * 100} % ${formatMs(ms)}`).join(' · ');
    return `  node ${String(nid).padEnd(3)} ${'█'.repeat(length).padEnd(barWidth)}  ${steps}`;
  });
}

function faultLines({ faults }: InitReport): string[] {
  if (faults.count === 0) return [];
  const us = (value: number | null): string => (value === null ? '-' : formatMs(value / 1000));
  return [
    '',
    `${grouped(faults.count)} foreground faults at random (seed ${faults.seed}), while the background ran and after it`,
    `  ${grouped(faults.alreadyReady)} found their descriptors ready · ${grouped(faults.claimed)} claimed and initialized · ` +
      `${grouped(faults.waited)} waited for a worker`,
    `  latency: median ${us(faults.p50Us)} · 99 % ${us(faults.p99Us)} · longest ${us(faults.maxUs)}`,
  ];
}

function isFile({ effective }: InitReport['backing']): boolean {
  return effective === 'file' || effective === 'devdax';
}

/** What sharing the tails of compound pages saves. */
function sharedTailsLines({ backing: { sharedTails }, pages }: InitReport): string[] {
  if (!sharedTails) return [];
  const { storedBytes, mappings } = sharedTails;
  const saved = (1 - storedBytes / (pages * descriptorSizeBytes)) * 100;
  return [
    `  tails of compound pages are stored once: ${formatBytes(storedBytes)} of memory, ${saved.toFixed(1)} % less, in ` +
      `${grouped(mappings)} mappings`,
  ];
}

/** Where a memmap in a file stands, and how long it lasts. */
function fileLines({ backing, durableMs, resumed }: InitReport): string[] {
  if (!isFile(backing)) return [];
  const { chunksKept, chunksRedone } = resumed;
  const kept =
    chunksKept + chunksRedone === 0
      ? 'none was there'
      : `${grouped(chunksKept)} chunks were kept, ${grouped(chunksRedone)} were left to do`;
  const promise = {
    'dax-sync': 'on the media by cache lines',
    msync: 'on the media by msync',
    none: 'not on the media',
  };
  const when = durableMs === null ? '' : `, all of it after ${formatMs(durableMs)}`;
  return [`  ${promise[backing.durability]} (durability ${backing.durability})${when}; ${kept}`];
}

/** What a file holds. */
export function formatInspection(found: Inspection): string {
  const { chunks, failed, processes, mediaError } = found;
  const states = Object.entries(chunks)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${grouped(count)} ${state}`);
  const users = processes.map(({ pid }) => pid).join(', ');
  return [
    `${found.path}: ${found.profile ?? 'a table of records'} · policy ${found.policy} · ${formatBytes(found.sizeBytes)}`,
    `  uuid ${found.uuid} · session ${grouped(found.epoch)}`,
    '',
    ...rangeLines(found).map((line) => `  ${line}`),
    '',
    `${grouped(found.pages)} page descriptors; chunks: ${states.join(' · ')}`,
    ...failed.map(
      ({ startPfn, endPfn, error }) => `  pfns ${startPfn} to ${endPfn - 1} could not be written: ${error}`,
    ),
    ...(mediaError === null ? [] : [`  the media refused to keep something: ${mediaError}`]),
    users === '' ? 'nobody has it open' : `open in the processes ${users}`,
    '',
  ].join('\n');
}

/** One descriptor of a file. */
export function formatDescriptor({ pfn, nid, zone, use, chunk, state, words, fields }: DescriptorNote): string {
  const lanes = Array.from({ length: words.length / 2 }, (_, lane) =>
    [words[lane * 2 + 1], words[lane * 2]].map((word) => (word ?? 0).toString(16).padStart(8, '0')).join(''),
  );
  const named = Object.entries(fields ?? {}).map(([name, value]) => `  ${name.padEnd(16)} ${value}`);
  return [
    `pfn ${pfn} (0x${pfn.toString(16)}): node ${nid}, zone ${zone}, ${use}, chunk ${chunk}, which is ${state}`,
    `  ${lanes.slice(0, 4).join(' ')}`,
    `  ${lanes.slice(4).join(' ')}`,
    ...named,
    '',
  ].join('\n');
}

/** How a verification of a file went. */
export function formatVerified(result: VerifyResult): string {
  return `verified ${grouped(result.checked)} descriptors: ${found(result)}\n`;
}

function found({ wrong, failed }: Pick<VerifyResult, 'wrong' | 'failed'>): string {
  const bad = failed === 0 ? '' : `, ${grouped(failed)} could not be written or read`;
  return `${grouped(wrong)} wrong${bad}`;
}

/** The whole report. */
export function formatReport(report: InitReport): string {
  const { backing, verify } = report;
  const bytes = report.pages * descriptorSizeBytes;
  const rate = `${grouped(Math.round(report.pagesPerSecond))} pages/s (${formatBytes((bytes / report.totalMs) * 1000)}/s of descriptors)`;
  const asked = backing.reason === undefined ? '' : `; ${backing.requested} was asked for, but ${backing.reason}`;
  return [
    `vmemmap of ${sources[report.source]} · ${report.profile} · policy ${report.policy}`,
    ...report.notes.map((note) => `  note: ${note}`),
    '',
    ...rangeLines(report).map((line) => `  ${line}`),
    '',
    `${grouped(report.pages)} page descriptors, ${formatBytes(bytes)}`,
    `  any pfn usable after    ${formatMs(report.openMs)}  (open returned)`,
    `  first fault took        ${formatMs(report.firstFaultUs / 1000)}`,
    `  everything ready after  ${formatMs(report.totalMs)}  ${rate}`,
    ...milestoneLines(report),
    `  ${isFile(backing) ? 'in a file' : 'first touch'}, ${report.threads} threads, store path ${report.storePath}, ${formatBytes(backing.pageSize)} pages, ` +
      `backing ${backing.effective}${asked}`,
    ...sharedTailsLines(report),
    ...fileLines(report),
    ...(report.workerFailures > 0 ? [`  ${report.workerFailures} worker threads died; others did their work`] : []),
    ...faultLines(report),
    '',
    verify.checked + verify.failed > 0
      ? `verified ${grouped(verify.checked)} descriptors in ${formatMs(verify.ms)}: ${found(verify)}`
      : 'not verified (--verify does it)',
    '',
  ].join('\n');
}
