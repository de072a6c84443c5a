/** What a bar shows, from left to right: stretches of pages, the thin ones of them drawn as one. */
import { findRange, type PfnExtent } from '../physical/geometry.ts';
import type { ZoneName } from '../physical/zones.ts';
import type { TopologyReport } from './topology-report.ts';
import type { Axis } from './topology-svg-axis.ts';
import type { ShownUse } from './topology-svg-marks.ts';
import { kindText } from './topology-text.ts';

/** Pages of one node, zone and use, or a hole between such. */
export interface Stretch extends PfnExtent {
  readonly nid: number;
  /** Undefined for a hole. */
  readonly zone: ZoneName | undefined;
  readonly use: ShownUse;
  /** What device memory is used as, or what is reserved for; empty where there is nothing to tell. */
  readonly about: string;
}

/** What one shape shows: a stretch, or several that are too thin to be drawn apart. */
export interface Mark {
  readonly x: number;
  readonly width: number;
  /** The only one, or the first. */
  readonly first: Stretch;
  readonly count: number;
  readonly endPfn: number;
  /** Pages by use. */
  readonly pages: Readonly<Record<ShownUse, number>>;
  /** Whether there are several nodes or zones in it. */
  readonly isMixed: boolean;
  /** Zone and use that it is filled as. */
  readonly zone: ZoneName | undefined;
  readonly use: ShownUse;
}

/** A mark that others are still joined to. */
type OpenMark = { -readonly [Key in keyof Mark]: Mark[Key] } & { readonly pages: Record<ShownUse, number> };

/** Names that a tooltip tells of what is reserved in one stretch. */
const namesMax = 3;
/** Thinnest shape, and thinnest stretch that has one of its own. */
export const markWidthMin = 1.2;

function reservedNames(reserved: TopologyReport['reserved'], { startPfn, endPfn }: PfnExtent): string {
  const names: string[] = [];
  for (
    let index = findRange(reserved, startPfn);
    index >= 0 && index < reserved.length && names.length < namesMax;
    index++
  ) {
    const extent = reserved[index] as TopologyReport['reserved'][number];
    if (extent.startPfn >= endPfn) break;
    names.push(extent.what);
  }
  return names.join(', ');
}

/** All stretches of a machine, sorted by pfn. */
export function stretchesOf({ ranges, reserved }: TopologyReport): Stretch[] {
  return ranges.flatMap((range) => {
    const { nid, zone, kind } = range;
    const device = kind === 'device' ? kindText(range) : '';
    return range.segments.map(({ startPfn, endPfn, use }) => {
      const about = use === 'reserved' ? reservedNames(reserved, { startPfn, endPfn }) : device;
      return { startPfn, endPfn, nid, zone, use, about };
    });
  });
}

/** Stretches, and the holes between them that the axis does not cut. */
function withHoles(stretches: readonly Stretch[], { gaps }: Axis): Stretch[] {
  const holes = gaps
    .filter(({ isCut }) => !isCut)
    .map(({ startPfn, endPfn }): Stretch => ({ startPfn, endPfn, nid: -1, zone: undefined, use: 'hole', about: '' }));
  return [...stretches, ...holes].sort((a, b) => a.startPfn - b.startPfn);
}

function markOf(stretch: Stretch, axis: Axis): Mark {
  const { startPfn, endPfn, zone, use } = stretch;
  const x = axis.at(startPfn);
  const pages = { present: 0, reserved: 0, unavailable: 0, altmap: 0, hole: 0 };
  pages[use] = endPfn - startPfn;
  return { x, width: axis.at(endPfn) - x, first: stretch, count: 1, endPfn, pages, isMixed: false, zone, use };
}

/** What is rare is what a person looks for: among thin stretches it gives the fill. */
const rareness: readonly ShownUse[] = ['unavailable', 'altmap', 'reserved', 'present', 'hole'];
/** Widest mark of several stretches that is filled as the rarest of them; a wider one is filled as most of its pages are. */
const rareWidthMax: number = 2 * markWidthMin;

/** Whether two stretches are of different nodes or zones; a hole is of none. */
function isApart(a: Stretch, b: Stretch): boolean {
  return a.zone !== undefined && b.zone !== undefined && (a.nid !== b.nid || a.zone !== b.zone);
}

function join(mark: OpenMark, next: Mark): void {
  for (const use of rareness) mark.pages[use] += next.pages[use];
  if (rareness.indexOf(next.use) < rareness.indexOf(mark.use)) {
    mark.use = next.use;
    mark.zone = next.zone ?? mark.zone;
  }
  mark.zone ??= next.zone;
  mark.isMixed ||= isApart(mark.first, next.first);
  mark.width = next.x + next.width - mark.x;
  mark.count += next.count;
  mark.endPfn = next.endPfn;
}

/** The fill of a mark that is too wide to be all of what is rare in it. */
function settled(mark: Mark): Mark {
  if (mark.count === 1 || mark.width <= rareWidthMax) return mark;
  const uses = rareness.filter((use) => mark.zone !== undefined || use === 'hole');
  return { ...mark, use: uses.reduce((most, use) => (mark.pages[use] > mark.pages[most] ? use : most)) };
}

/** Whether two marks touch: nothing is cut out between them. */
function touch(a: Mark, b: Mark): boolean {
  return b.first.startPfn === a.endPfn;
}

/** Joins neighbours that are thinner than `widthMin`, until what they make together is as wide. */
function joinThin(marks: readonly Mark[], widthMin: number): Mark[] {
  const out: Mark[] = [];
  let open: OpenMark | undefined;
  const close = (): void => {
    if (open) out.push(open);
    open = undefined;
  };
  for (const mark of marks) {
    if (open && !touch(open, mark)) close();
    if (mark.width >= widthMin) {
      close();
      out.push(mark);
      continue;
    }
    if (open) join(open, mark);
    else open = { ...mark, pages: { ...mark.pages } };
    if (open.width >= widthMin) close();
  }
  close();
  return out;
}

/**
 * What is drawn on a bar.
 * @param marksMax how many shapes there may be; more than the axis has cuts. What is thinner is joined until they are so few.
 */
export function marksOf(stretches: readonly Stretch[], axis: Axis, marksMax: number): Mark[] {
  const all = withHoles(stretches, axis).map((stretch) => markOf(stretch, axis));
  let widthMin = markWidthMin;
  let marks = joinThin(all, widthMin);
  while (marks.length > marksMax && widthMin < axis.width) {
    widthMin *= 1.5;
    marks = joinThin(all, widthMin);
  }
  return marks.map(settled);
}
