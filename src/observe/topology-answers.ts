/** The kernel's own answers in a boot log beside the plan: line by line, whether they agree, and why not where that is known. */
import type { KernelAnswers } from '../physical/dmesg/answers.ts';
import type { PfnExtent } from '../physical/geometry.ts';
import type { Gap } from '../physical/holes.ts';
import type { MachinePlan } from '../physical/machine-plan.ts';
import type { Topology } from '../physical/topology.ts';
import { zoneNames } from '../physical/zones.ts';
import { memText, unavailableLines } from './topology-log.ts';

/** One answer of the kernel. */
export interface AnswerNote {
  /** What it is about. */
  readonly about: string;
  /** What the log says; null where it has no such line. */
  readonly kernel: string | null;
  /** What the plan says; null where it has no such line. */
  readonly planned: string | null;
  readonly agrees: boolean;
  /** Why they differ; null where they agree, and where it is not known. */
  readonly why: string | null;
}

/** What is compared. */
interface Compared {
  readonly answers: KernelAnswers;
  readonly plan: MachinePlan;
  readonly topology: Topology;
  /** Why everything may differ; null where there is no such reason. */
  readonly doubt: string | null;
}

function note(
  { doubt }: Compared,
  about: string,
  kernel: string | null,
  planned: string | null,
  why: string | null = doubt,
): AnswerNote {
  const agrees = kernel === planned;
  return { about, kernel, planned, agrees, why: agrees ? null : why };
}

function zoneName(zone: number): string {
  return zoneNames[zone] ?? `zone ${zone}`;
}

function zoneRangeNotes(compared: Compared): AnswerNote[] {
  const { answers, plan } = compared;
  return answers.zoneRanges
    .filter(({ zone }) => zoneNames[zone] !== 'Movable')
    .map(({ zone, ...extent }) => {
      const planned = plan.zoneRanges.find((range) => range.zone === zone) ?? { startPfn: 0, endPfn: 0 };
      const told = (range: PfnExtent): string => memText(range, plan.platform.pageSizeBytes);
      return note(compared, `Zone ranges: ${zoneName(zone)}`, told(extent), told(planned));
    });
}

/** Index of the first extent, of some that are sorted by pfn, that ends behind `pfn`. */
function firstBehind(extents: readonly PfnExtent[], pfn: number): number {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if ((extents[middle] as PfnExtent).endPfn <= pfn) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Pages of an extent that are RAM of a node. A log may have many thousands of both. */
function ramPages(ram: Topology['memory'], { nid, startPfn, endPfn }: PfnExtent & { readonly nid: number }): number {
  let pages = 0;
  for (let index = firstBehind(ram, startPfn); index < ram.length; index++) {
    const extent = ram[index] as Topology['memory'][number];
    if (extent.startPfn >= endPfn) break;
    if (extent.nid === nid) pages += Math.min(extent.endPfn, endPfn) - Math.max(extent.startPfn, startPfn);
  }
  return pages;
}

/** Each early range should be RAM of its node, all of it, and there should be no more. */
function earlyRangeNotes(compared: Compared): AnswerNote[] {
  const { answers, plan, topology } = compared;
  const { earlyRanges } = answers;
  if (earlyRanges.length === 0) return [];
  const ram = topology.memory.filter(({ kind }) => kind === 'ram');
  const notes = earlyRanges.map((range) => {
    const pages = range.endPfn - range.startPfn;
    const where = memText(range, plan.platform.pageSizeBytes);
    return note(compared, `node ${range.nid}: ${where}`, `${pages} pages`, `${ramPages(ram, range)} pages`);
  });
  const kernel = earlyRanges.reduce((sum, { startPfn, endPfn }) => sum + endPfn - startPfn, 0);
  const planned = ram.reduce((sum, { startPfn, endPfn }) => sum + endPfn - startPfn, 0);
  return [...notes, note(compared, 'Early memory node ranges, all of them', `${kernel} pages`, `${planned} pages`)];
}

/** Where a node lies, as `Initmem setup node` tells it. */
function whereText(
  node: { startPfn?: number | undefined; endPfn?: number | undefined },
  pageSizeBytes: number,
): string {
  const { startPfn, endPfn } = node;
  if (startPfn === undefined || endPfn === undefined) return 'as memoryless';
  return memText({ startPfn, endPfn }, pageSizeBytes);
}

function nodeNotes(compared: Compared): AnswerNote[] {
  const { answers, plan } = compared;
  const { pageSizeBytes } = plan.platform;
  return answers.nodes.flatMap((node) => {
    const { nid, totalPages, memmapBytes } = node;
    const planned = plan.nodes.find((other) => other.nid === nid);
    const notes: AnswerNote[] = [];
    const add = (about: string, kernel: string | number, ours: string | number): void => {
      notes.push(note(compared, about, String(kernel), String(ours)));
    };
    // a log may have the other lines of a node without the one that tells where it lies
    if (node.startPfn !== undefined || (totalPages === undefined && memmapBytes === undefined)) {
      add(`Initmem setup node ${nid}`, whereText(node, pageSizeBytes), whereText(planned ?? {}, pageSizeBytes));
    }
    if (totalPages !== undefined) add(`On node ${nid} totalpages`, totalPages, planned?.presentPages ?? 0);
    if (memmapBytes !== undefined) add(`memmap of node ${nid}, bytes`, memmapBytes, planned?.memmapBytes ?? 0);
    return notes;
  });
}

/** What a zone's lines are called, by what they tell. */
const zoneLines: readonly (readonly [key: 'spannedPages' | 'presentPages' | 'memmapPages', words: string])[] = [
  ['spannedPages', 'spanned'],
  ['presentPages', 'present'],
  ['memmapPages', 'pages used for memmap'],
];

function zoneNotes(compared: Compared): AnswerNote[] {
  const { answers, plan } = compared;
  return answers.zones.flatMap((answer) => {
    const { nid, zone } = answer;
    const planned = plan.zones.find((span) => span.nid === nid && span.zone === zone);
    return zoneLines.flatMap(([key, words]) => {
      const kernel = answer[key];
      const about = `node ${nid}, ${zoneName(zone)} zone, ${words}`;
      return kernel === undefined ? [] : [note(compared, about, String(kernel), String(planned?.[key] ?? 0))];
    });
  });
}

/** Kernels that print the lines of a rule, which do not tell whether a tail is counted. */
const printedBy: Readonly<Record<MachinePlan['unavailable']['rule'], string>> = {
  'memblock-reserved': '4.15 to 4.19',
  zeroed: '4.20 to 5.11',
  'zeroed-with-tail': '4.20 to 5.11',
  'per-zone': '5.12 and later',
};

/** Lines on unavailable pages, in their order. */
function unavailableNotes(compared: Compared): AnswerNote[] {
  const { answers, plan } = compared;
  const printed = answers.unavailable;
  const planned = unavailableLines(plan);
  // an excerpt of a log without the lines before them tells nothing by not having these
  if (printed === undefined && answers.nodes.every(({ startPfn }) => startPfn === undefined)) return [];
  const gaps = (printed?.lines ?? []).map((line): Gap => ({ ...line, startPfn: 0, endPfn: 0 }));
  const kernel =
    printed === undefined
      ? []
      : unavailableLines({ unavailable: { rule: printed.rule, totalPages: printed.totalPages, gaps } });
  const differs = printed !== undefined && printedBy[printed.rule] !== printedBy[plan.unavailable.rule];
  const why = differs ? `it counts as kernels ${printedBy[printed.rule]} do; see --release` : compared.doubt;
  if (kernel.length + planned.length === 0) return [note(compared, 'unavailable pages', 'no line', 'no line')];
  return Array.from({ length: Math.max(kernel.length, planned.length) }, (_, index) =>
    note(compared, 'unavailable pages', kernel[index] ?? null, planned[index] ?? null, why),
  );
}

function memoryNotes(compared: Compared): AnswerNote[] {
  const { answers, plan } = compared;
  if (answers.memory === undefined) return [];
  const present = plan.nodes.reduce((sum, { presentPages }) => sum + presentPages, 0);
  const planned = (present * plan.platform.pageSizeBytes) / 1024;
  return [note(compared, 'Memory, in all', `${answers.memory.totalKib}K`, `${planned}K`)];
}

/** Compares all that a boot log and the plan both tell. */
export function answerNotes(answers: KernelAnswers, topology: Topology, plan: MachinePlan): AnswerNote[] {
  const doubt =
    topology.kernel === undefined
      ? `by the rules of ${plan.rules.release}; the log does not tell its kernel, see --release`
      : null;
  const compared: Compared = { answers, topology, plan, doubt };
  return [
    ...zoneRangeNotes(compared),
    ...earlyRangeNotes(compared),
    ...nodeNotes(compared),
    ...unavailableNotes(compared),
    ...zoneNotes(compared),
    ...memoryNotes(compared),
  ];
}
