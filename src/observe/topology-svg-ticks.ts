/** Addresses below a bar: in hexadecimal digits, and in binary units. As many as fit, the most telling ones first. */
import type { PfnExtent } from '../physical/geometry.ts';
import type { Axis } from './topology-svg-axis.ts';
import { monoWidths } from './topology-svg-marks.ts';

/** A tick, and how its label stands. */
export interface Tick {
  readonly x: number;
  readonly lines: readonly [hex: string, size: string];
  readonly anchor: 'start' | 'middle' | 'end';
  /** Shown only where the picture is wide, and text small. */
  readonly isWideOnly: boolean;
}

const units: readonly string[] = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
/** Labels at most below one bar. */
export const ticksMax = 10;
/** Candidates that are looked at: a bar may have thousands of blocks. */
const candidatesMax = 400;
/** Between two labels. */
const clearance = 9;

/** An address in binary units, in no more digits than were asked for: `4 GiB`, `3.375 GiB`. */
function sizeText(bytes: number, digits = 4): string {
  const unit = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${Number((bytes / 1024 ** unit).toPrecision(digits))} ${units[unit]}`;
}

/** Where a bar begins and ends, in one line: for one that is too narrow for ticks, or has none but those two. */
export function extentText({ startPfn, endPfn }: PfnExtent, pageSizeBytes: number): string {
  const [start, end] = [startPfn * pageSizeBytes, endPfn * pageSizeBytes];
  // a node that is small beside its address needs more of them
  const digits = [4, 5, 6, 7].find((count) => sizeText(start, count) !== sizeText(end, count)) ?? 8;
  return `0x${start.toString(16)} to 0x${end.toString(16)} · ${sizeText(start, digits)} to ${sizeText(end, digits)}`;
}

/** Whether the labels of an axis begin at its left end, end at its right one, or are centered at their ticks. */
function anchorOf(x: number, labelWidth: number, room: number): Tick['anchor'] {
  if (x < labelWidth / 2) return 'start';
  return x > room - labelWidth / 2 ? 'end' : 'middle';
}

/** Where a label lies, from left to right. */
function spanOf(x: number, labelWidth: number, anchor: Tick['anchor']): readonly [number, number] {
  if (anchor === 'start') return [x, x + labelWidth];
  return anchor === 'end' ? [x - labelWidth, x] : [x - labelWidth / 2, x + labelWidth / 2];
}

/** Places labels one after the other where there is room left. */
class Places {
  readonly taken: (readonly [number, number])[] = [];

  /** Takes the room if it is free. */
  take(from: number, to: number): boolean {
    const isFree = this.taken.every(([left, right]) => to + clearance <= left || right + clearance <= from);
    if (isFree) this.taken.push([from, to]);
    return isFree;
  }
}

/** Ends of the bar, then those of its longest blocks, then what the caller thinks telling. */
function candidatesOf(blocks: readonly PfnExtent[], telling: readonly number[]): number[] {
  const longest = [...blocks].sort((a, b) => b.endPfn - b.startPfn - (a.endPfn - a.startPfn));
  const ends = longest.slice(0, candidatesMax / 2).flatMap(({ startPfn, endPfn }) => [startPfn, endPfn]);
  const pfns = [blocks[0]?.startPfn ?? 0, blocks.at(-1)?.endPfn ?? 0, ...telling, ...ends];
  return [...new Set(pfns)].slice(0, candidatesMax);
}

/** The bar that ticks are for. */
export interface Ticked {
  readonly axis: Axis;
  readonly blocks: readonly PfnExtent[];
  /** Pfns to be preferred to the ends of blocks, the most telling first. */
  readonly telling: readonly number[];
}

/**
 * The ticks of a bar.
 * @param place width of the drawing to the right of the axis' left end, and of pages
 */
export function ticksOf(
  { axis, blocks, telling }: Ticked,
  { room, pageSizeBytes }: { readonly room: number; readonly pageSizeBytes: number },
): Tick[] {
  const candidates = candidatesOf(blocks, telling);
  const ticks: Tick[] = [];
  const narrow = new Places();
  const wide = new Places();
  for (const isWideOnly of [false, true]) {
    for (const pfn of candidates) {
      const x = axis.at(pfn);
      const lines = [`0x${(pfn * pageSizeBytes).toString(16)}`, sizeText(pfn * pageSizeBytes)] as const;
      if (ticks.length >= ticksMax || ticks.some((tick) => tick.lines[0] === lines[0])) continue;
      const widths = Object.values(monoWidths).map((width) => width * Math.max(...lines.map((line) => line.length)));
      const [narrowWidth, wideWidth] = widths as [number, number];
      const anchor = anchorOf(x, isWideOnly ? wideWidth : narrowWidth, room);
      if (!isWideOnly && !narrow.take(...spanOf(x, narrowWidth, anchor))) continue;
      if (!wide.take(...spanOf(x, wideWidth, anchor)) && isWideOnly) continue;
      ticks.push({ x, lines, anchor, isWideOnly });
    }
  }
  return ticks;
}
