/** Why the running kernel's page frames differ from the plan where nothing is wrong: what it kept at boot, gave back, or hides. */
import { overlay, pagesOf } from '../physical/extents.ts';
import { pfnOfByte } from '../physical/geometry.ts';
import type { MachinePlan } from '../physical/machine-plan.ts';
import type { ReservedExtent } from '../physical/topology.ts';
import type { PageAnswers } from './compare-pages.ts';

/** What stands behind a disagreement that is explained. */
export type Reason =
  | 'device-hidden'
  | 'boot-log'
  | 'kernel-image'
  | 'memmap'
  | 'low-memory'
  | 'boot'
  | 'given-back'
  | 'taken-away'
  | 'no-flags'
  | 'old-kernel';

/** A piece of a disagreement; without a reason nothing explains it. */
export interface Explained extends PageAnswers {
  readonly reason: Reason | undefined;
  /** A sentence's part for people; undefined as the reason. */
  readonly explanation: string | undefined;
}

/** What explanations are taken from. */
export interface Evidence {
  readonly plan: MachinePlan;
  /** What the plan itself takes as reserved. */
  readonly planned: readonly ReservedExtent[];
  /** What is the kernel's image and has no name in /proc/iomem. */
  readonly image: readonly ReservedExtent[];
  /** Of the kernel's log; undefined where it cannot be read. */
  readonly bootLog: readonly ReservedExtent[] | undefined;
}

/** The first MiB: x86 reserves all of it since 5.13 (reserve_real_mode), and parts of it before. */
const lowMemoryBytes = 2 ** 20;

type Because = Pick<Explained, 'reason' | 'explanation'>;
const unexplained: Because = { reason: undefined, explanation: undefined };

function because(reason: Reason, explanation: string): Because {
  return { reason, explanation };
}

/** Cuts pieces where those of a list begin and end: what lies in the list is explained by it, the rest is returned. */
function explainBy(
  pieces: readonly PageAnswers[],
  list: readonly ReservedExtent[],
  explain: (what: string) => Because,
  explained: Explained[],
): PageAnswers[] {
  const left: PageAnswers[] = [];
  overlay(pieces, list, (extent, piece, other) => {
    if (other) explained.push({ ...piece, ...extent, ...explain(other.what) });
    else left.push({ ...piece, ...extent });
  });
  return left;
}

/**
 * The memory of each node's memmap among what a kernel reserved and the log does not name: sparse_init allocates it in one
 * piece, as large as the plan says, at a huge page. Where others lie against it, they are told together.
 */
function memmapExtents(pieces: readonly PageAnswers[], { nodes, platform }: MachinePlan): ReservedExtent[] {
  return nodes.flatMap(({ nid, memmapBytes }): ReservedExtent[] => {
    const pages = memmapBytes / platform.pageSizeBytes;
    if (pages === 0) return [];
    const ofNode = pieces.filter((piece) => piece.nid === nid && pagesOf([piece]) >= pages);
    const best = ofNode.sort((a, b) => pagesOf([a]) - pagesOf([b]))[0];
    if (best === undefined) return [];
    const rest = pagesOf([best]) === pages ? '' : ', and what lies beside it';
    return [{ startPfn: best.startPfn, endPfn: best.endPfn, what: `the memmap of node ${nid}${rest}` }];
  });
}

/** What the kernel has reserved and the plan has not. */
function explainReserved(pieces: readonly PageAnswers[], evidence: Evidence): Explained[] {
  const { plan, image, bootLog } = evidence;
  const explained: Explained[] = [];
  const inImage = (what: string): Because => because('kernel-image', `${what} in /proc/iomem`);
  let left = explainBy(pieces, image, inImage, explained);
  left = explainBy(left, bootLog ?? [], (what) => because('boot-log', `${what}, by the kernel's log`), explained);
  if (plan.platform.architecture === 'x86') {
    const lowMemory = {
      startPfn: 0,
      endPfn: pfnOfByte(lowMemoryBytes),
      what: 'the first MiB, which is left to firmware',
    };
    left = explainBy(left, [lowMemory], (what) => because('low-memory', what), explained);
  }
  const memmaps = memmapExtents(left, plan).sort((a, b) => a.startPfn - b.startPfn);
  left = explainBy(left, memmaps, (what) => because('memmap', what), explained);
  const log = bootLog === undefined ? 'its log cannot be read' : 'its log does not tell what for';
  const kept = because('boot', `kept by the kernel when it booted (memblock); ${log}`);
  return [...explained, ...left.map((piece) => ({ ...piece, ...kept }))];
}

/** What was reserved for a while: parts of the kernel's image, and on arm64 all that memblock had reserved. */
function givenBack(what: string): Because {
  if (/^Kernel\b/.test(what))
    return because('given-back', `${what} in /proc/iomem, of which the kernel gave back a part`);
  if (/^reserved$/i.test(what)) return because('given-back', 'reserved while the kernel booted, and given back');
  return unexplained;
}

function explainGivenBack(piece: PageAnswers, planned: readonly ReservedExtent[]): Explained[] {
  const explained: Explained[] = [];
  const left = explainBy([piece], planned, givenBack, explained);
  return [...explained, ...left.map((rest) => ({ ...rest, ...unexplained }))];
}

/** The same answer for all of a piece. */
function explainWhole({ plan, kernel, kind }: PageAnswers, { plan: machine }: Evidence): Because {
  if (kind === 'device') {
    if (kernel === 'present') return unexplained;
    const end = kernel === 'not shown' ? 'ends behind the last RAM' : 'shows device memory as if it had no descriptors';
    return because('device-hidden', `/proc/kpageflags ${end}`);
  }
  if (plan === 'present' && kernel === 'offline') {
    return because('taken-away', 'a driver, such as a memory balloon or virtio-mem, has taken them away');
  }
  if (plan === 'present' && kernel === 'blank') {
    return because('no-flags', 'no page of the section has a flag, and this kernel shows absent ones alike');
  }
  const isZeroed = plan === 'unavailable' && (kernel === 'present' || kernel === 'blank');
  const { unavailable, release } = machine.rules;
  if (isZeroed && (unavailable === 'zeroed' || unavailable === 'memblock-reserved')) {
    return because('old-kernel', `Linux ${release} zeroes descriptors of holes, and does not mark them as reserved`);
  }
  return unexplained;
}

/**
 * Explains disagreements, cut into pieces where explanations change.
 * @param disagreeing sorted by pfn, without overlaps
 */
export function explain(disagreeing: readonly PageAnswers[], evidence: Evidence): Explained[] {
  const isKept = ({ plan, kernel, kind }: PageAnswers): boolean =>
    kind === 'ram' && plan === 'present' && kernel === 'reserved';
  const isFreed = ({ plan, kernel, kind }: PageAnswers): boolean =>
    kind === 'ram' && plan === 'reserved' && (kernel === 'present' || kernel === 'blank');
  const explained = explainReserved(disagreeing.filter(isKept), evidence);
  for (const piece of disagreeing) {
    if (isFreed(piece)) explained.push(...explainGivenBack(piece, evidence.planned));
    else if (!isKept(piece)) explained.push({ ...piece, ...explainWhole(piece, evidence) });
  }
  return explained.sort((a, b) => a.startPfn - b.startPfn);
}
