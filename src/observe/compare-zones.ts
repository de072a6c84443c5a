/** Holds the plan's zones against those that the running kernel shows in /proc/zoneinfo. */
import type { KernelZone } from '../physical/kernel-state/zoneinfo.ts';
import { type ZoneSpan, zoneNames, zones } from '../physical/zones.ts';
import type { PageAnswers } from './compare-pages.ts';

/** A zone of a node, planned, shown by the kernel, or both. */
export interface ZoneComparison {
  readonly nid: number;
  /** Zone number. */
  readonly zone: number;
  readonly plan: ZoneSpan | undefined;
  readonly kernel: KernelZone | undefined;
  /** Present pages that the kernel shows as reserved; those that it kept back at boot are its `presentPages − managedPages`. */
  readonly reservedPages: number;
  /** What differs; a zone that only one of both has differs in `spannedPages`. */
  readonly differing: readonly ZoneFigure[];
  /** Why, where nothing is wrong. */
  readonly explanation: string | undefined;
}

/** What is compared; what the kernel does not tell is not. */
export type ZoneFigure = 'startPfn' | 'spannedPages' | 'presentPages';

/** Parameters with which RAM becomes Movable; the memory map does not tell which. */
const movableParameters = /(?:^|\s)(kernelcore|movablecore|movable_node)\b/;

function differences(plan: ZoneSpan | undefined, kernel: KernelZone | undefined): ZoneFigure[] {
  if (plan === undefined || kernel === undefined) return ['spannedPages'];
  const figures: ZoneFigure[] = [];
  if (kernel.startPfn !== undefined && kernel.startPfn !== plan.startPfn) figures.push('startPfn');
  if (kernel.spannedPages !== plan.spannedPages) figures.push('spannedPages');
  // Linux leaves it at 0 for the zone Device
  if (plan.zone !== zones.Device && kernel.presentPages !== plan.presentPages) figures.push('presentPages');
  return figures;
}

/** Why figures differ where nothing is wrong. */
function explain(
  zone: number,
  plan: ZoneSpan | undefined,
  kernel: KernelZone | undefined,
  commandLine: string,
): string | undefined {
  if (zone === zones.Device) {
    const isLess = (kernel?.spannedPages ?? 0) < (plan?.spannedPages ?? 0);
    return isLess ? 'of some device memory the kernel has no descriptors, as no driver has asked for them' : undefined;
  }
  const parameter = movableParameters.exec(commandLine)?.[1];
  return parameter && `the kernel was started with ${parameter}, which makes RAM movable`;
}

/** Pages of a zone that are present by the plan and reserved by the kernel. */
function reservedPagesOf(answers: readonly PageAnswers[], nid: number, zone: number): number {
  return answers
    .filter((answer) => answer.nid === nid && answer.zone === zone && answer.kind === 'ram')
    .filter(({ plan, kernel }) => (plan === 'present' || plan === 'reserved') && kernel === 'reserved')
    .reduce((pages, { startPfn, endPfn }) => pages + endPfn - startPfn, 0);
}

/**
 * All zones that either knows, by node and then by zone.
 * @param answers of all page frames
 * @param commandLine of the running kernel
 */
export function compareZones(
  planned: readonly ZoneSpan[],
  shown: readonly KernelZone[],
  answers: readonly PageAnswers[],
  commandLine: string,
): ZoneComparison[] {
  const find = <Z extends { nid: number; zone: number }>(
    list: readonly Z[],
    nid: number,
    zone: number,
  ): Z | undefined => list.find((one) => one.nid === nid && one.zone === zone);
  const added = shown.filter(({ nid, zone }) => !find(planned, nid, zone));
  return [...planned, ...added]
    .sort((a, b) => a.nid - b.nid || a.zone - b.zone)
    .map(({ nid, zone }): ZoneComparison => {
      const plan = find(planned, nid, zone);
      const kernel = find(shown, nid, zone);
      const differing = differences(plan, kernel);
      const explanation = differing.length > 0 ? explain(zone, plan, kernel, commandLine) : undefined;
      return { nid, zone, plan, kernel, reservedPages: reservedPagesOf(answers, nid, zone), differing, explanation };
    });
}

/**
 * What the kernel reserved since it booted, in sentences: what it kept back at boot is exactly what it did not give to the
 * allocator, so that more can only have been marked by drivers, as old ones do with what they map to programs.
 */
export function markedSince(compared: readonly ZoneComparison[]): string[] {
  return compared.flatMap(({ nid, zone, kernel, reservedPages }) => {
    const more = kernel ? reservedPages - (kernel.presentPages - kernel.managedPages) : 0;
    if (more <= 0) return [];
    const pages = `${more} page${more === 1 ? '' : 's'} of node ${nid}, zone ${zoneNames[zone]}`;
    return [`Drivers have marked ${pages} as reserved since the kernel booted.`];
  });
}
