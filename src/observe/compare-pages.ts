/** Holds the plan's page frames against those that the running kernel shows, run by run. */
import { overlay } from '../physical/extents.ts';
import type { PfnExtent } from '../physical/geometry.ts';
import type { KernelPages, PageState } from '../physical/kernel-state/kpageflags.ts';
import type { MemoryKind } from '../physical/topology.ts';
import type { PageUse, PlannedRange } from '../physical/zones.ts';

/** What the plan says of a page frame: what it is used for, or that it has no descriptor. */
export type PlanAnswer = PageUse | 'absent';

/** What the kernel shows of a page frame; `not shown` behind the end of its file. */
export type KernelAnswer = PageState | 'not shown';

/** A run of page frames with one answer of each, whether they agree or not. */
export interface PageAnswers extends PfnExtent {
  readonly plan: PlanAnswer;
  readonly kernel: KernelAnswer;
  /** Of the plan; undefined for what has no descriptor there. */
  readonly kind: MemoryKind | undefined;
  readonly nid: number | undefined;
  readonly zone: number | undefined;
}

/** What the plan says, run by run, of all page frames up to an end. */
function* planRuns(ranges: readonly PlannedRange[], endPfn: number): Generator<Omit<PageAnswers, 'kernel'>> {
  let behindPfn = 0;
  const absent = (startPfn: number, end: number): Omit<PageAnswers, 'kernel'> => {
    return { startPfn, endPfn: end, plan: 'absent', kind: undefined, nid: undefined, zone: undefined };
  };
  for (const { segments, kind, nid, zone } of ranges) {
    for (const segment of segments) {
      if (behindPfn < segment.startPfn) yield absent(behindPfn, segment.startPfn);
      yield { startPfn: segment.startPfn, endPfn: segment.endPfn, plan: segment.use, kind, nid, zone };
      behindPfn = segment.endPfn;
    }
  }
  if (behindPfn < endPfn) yield absent(behindPfn, endPfn);
}

/** Both answers for all page frames, from 0 to where neither has any more. Sorted; neighbours differ. */
export function pageAnswers(ranges: readonly PlannedRange[], kernel: KernelPages): PageAnswers[] {
  const answers: PageAnswers[] = [];
  const planned = [...planRuns(ranges, kernel.endPfn)];
  // where absent ones are shown as such, those without a flag are there
  const blank: KernelAnswer = kernel.runs.some(({ state }) => state === 'absent') ? 'present' : 'blank';
  overlay(planned, kernel.runs, (piece, answer, run) => {
    const { state = 'not shown' as const } = run ?? {};
    const next: PageAnswers = { ...answer, ...piece, kernel: state === 'blank' ? blank : state };
    const last = answers.at(-1);
    const isSame =
      last?.endPfn === next.startPfn &&
      (['plan', 'kernel', 'kind', 'nid', 'zone'] as const).every((name) => last[name] === next[name]);
    if (last && isSame) answers[answers.length - 1] = { ...last, endPfn: next.endPfn };
    else answers.push(next);
  });
  return answers;
}

/** What the kernel shows where all is as planned. Device memory is not shown, or as absent, by Linux 5.4 and later. */
const agreeing: Readonly<Record<PlanAnswer, readonly KernelAnswer[]>> = {
  absent: ['absent', 'blank', 'not shown'],
  present: ['present'],
  reserved: ['reserved', 'offline'],
  unavailable: ['reserved'],
  altmap: ['reserved'],
};

/** Whether both answers mean the same. */
export function agrees({ plan, kernel, kind }: PageAnswers): boolean {
  // Linux before 5.4 shows device memory, all of which is reserved
  if (kind === 'device') return kernel === 'reserved';
  return agreeing[plan].includes(kernel);
}
