/** Which bars the picture of a machine has: the whole of it, what lies below 4 GiB, and its nodes. */
import { union } from '../physical/extents.ts';
import type { PfnExtent } from '../physical/geometry.ts';
import { formatBytes } from './report.ts';
import type { NodeNote, TopologyReport } from './topology-report.ts';
import { brokenAxis, commonScale, logAxis } from './topology-svg-axis.ts';
import { aboveShapes, aroundShapes, type Bar } from './topology-svg-bar.ts';
import { type Stretch, stretchesOf } from './topology-svg-stretches.ts';
import { formatCpulist } from './topology-text.ts';

/** Bars of nodes at most; on larger machines several nodes share one. */
export const nodeBarsMax = 24;
/** Shapes and labels of all bars together, at most. */
const shapesMax = 1900;
/** Shapes in one bar, at most: more are no use where each is a unit wide. */
const marksMost = 240;
/** Characters of a list of numbers in the picture. */
const listLengthMax = 24;
/** Addresses that a machine without borders at others is worth ticks at. */
const tellingBytes: readonly number[] = [2 ** 20, 2 ** 24, 2 ** 32, 2 ** 28, 2 ** 16, 2 ** 30];

/** How many shapes each bar may have. */
export interface Budget {
  readonly marksMax: number;
  readonly cutsMax: number;
}

/** The budget with which all bars together have few enough shapes. */
export function budgetOf({ nodes }: Pick<TopologyReport, 'nodes'>): Budget {
  const bars = Math.min(nodeBarsMax, nodes.length) + 2;
  const perBar = Math.min(Math.floor((shapesMax - aboveShapes) / bars) - aroundShapes, marksMost);
  // each of them takes two
  const cutsMax = Math.floor(perBar / 6);
  return { marksMax: perBar - 2 * cutsMax, cutsMax };
}

/** Numbers as a list, cut short where it is long. */
export function shortCpulist(numbers: readonly number[]): string {
  const list = formatCpulist(numbers);
  return list.length > listLengthMax ? `${list.slice(0, list.lastIndexOf(',', listLengthMax))},…` : list;
}

/** `16.0 GiB · CPUs 0-3`. */
export function nodeDetail({ memoryBytes, deviceBytes, cpus }: NodeNote): string {
  const ram = memoryBytes > 0 || deviceBytes === 0 ? [formatBytes(memoryBytes)] : [];
  const device = deviceBytes > 0 ? [`${formatBytes(deviceBytes)} of devices`] : [];
  const list = `CPU${cpus.length === 1 ? '' : 's'} ${shortCpulist(cpus)}`;
  return [...ram, ...device, cpus.length === 0 ? 'no CPUs' : list].join(' · ');
}

/** Pfns at which another node or zone begins. */
function bordersOf(stretches: readonly Stretch[]): number[] {
  return stretches
    .filter(({ nid, zone }, index) => {
      const before = stretches[index - 1];
      return before !== undefined && (before.nid !== nid || before.zone !== zone);
    })
    .map(({ startPfn }) => startPfn);
}

/** A bar that has no scale yet. */
type Draft = Omit<Bar, 'axis' | 'blocks'>;

/** Stretches by the bar that they go to: one for each node that has any, or for several. */
function groupsOf({ nodes }: TopologyReport, stretches: readonly Stretch[]): Stretch[][] {
  const byNode = new Map<number, Stretch[]>(nodes.map(({ nid }) => [nid, []]));
  for (const stretch of stretches) byNode.get(stretch.nid)?.push(stretch);
  const own = [...byNode.values()].filter(({ length }) => length > 0);
  const perBar = Math.ceil(own.length / nodeBarsMax);
  if (perBar <= 1) return own;
  const groups: Stretch[][] = [];
  for (let first = 0; first < own.length; first += perBar) groups.push(own.slice(first, first + perBar).flat());
  return groups.map((group) => group.sort((a, b) => a.startPfn - b.startPfn));
}

function nodeDraft({ nodes }: TopologyReport, stretches: readonly Stretch[]): Draft {
  const nids = new Set(stretches.map(({ nid }) => nid));
  const own = nodes.filter(({ nid }) => nids.has(nid));
  const [first, last] = [own[0] as NodeNote, own.at(-1) as NodeNote];
  const isOne = own.length === 1;
  const bytes = own.reduce((sum, node) => sum + node.memoryBytes + node.deviceBytes, 0);
  return {
    label: isOne ? `node ${first.nid}` : `nodes ${first.nid} to ${last.nid}`,
    detail: isOne ? nodeDetail(first) : formatBytes(bytes),
    stretches,
    telling: bordersOf(stretches),
    hasNodes: false,
  };
}

/** What lies below 4 GiB, where a machine has most of its borders and holes. */
function lowBar(stretches: readonly Stretch[], pageSizeBytes: number, room: number): Bar[] {
  const endPfn = 2 ** 32 / pageSizeBytes;
  const low = stretches
    .filter(({ startPfn }) => startPfn < endPfn)
    .map((stretch) => ({ ...stretch, endPfn: Math.min(stretch.endPfn, endPfn) }));
  const [first] = low;
  // one kind of pages has no borders to be shown
  if (first === undefined || low.every(({ zone, use }) => zone === first.zone && use === first.use)) return [];
  const blocks = union(low);
  const round = tellingBytes.map((bytes) => bytes / pageSizeBytes).filter((pfn) => pfn >= 1 && pfn > first.startPfn);
  return [
    {
      label: 'below 4 GiB',
      detail: 'each doubling as wide as any other',
      stretches: low,
      blocks,
      axis: logAxis(blocks, endPfn, room),
      telling: [...round, ...bordersOf(low)],
      hasNodes: false,
    },
  ];
}

/**
 * Every bar, from the top. Those of the nodes have one scale.
 * @param room width that there is
 */
export function barsOf(report: TopologyReport, { cutsMax }: Budget, room: number): Bar[] {
  const stretches = stretchesOf(report);
  const onScale = (drafts: readonly Draft[]): Bar[] => {
    const blocks = drafts.map((draft) => union(draft.stretches));
    const scale = commonScale(blocks, room);
    return drafts.map((draft, index) => {
      const own = blocks[index] as PfnExtent[];
      return { ...draft, blocks: own, axis: brokenAxis(own, scale, room, cutsMax) };
    });
  };
  const telling = bordersOf(stretches);
  const whole: Draft = { label: 'all memory', detail: 'to scale', stretches, telling, hasNodes: true };
  const nodes = groupsOf(report, stretches).map((group) => nodeDraft(report, group));
  return [
    ...(nodes.length > 1 ? onScale([whole]) : []),
    ...lowBar(stretches, report.platform.pageSizeBytes, room),
    ...onScale(nodes),
  ];
}
