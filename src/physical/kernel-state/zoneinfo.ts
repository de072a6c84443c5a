/** Reads /proc/zoneinfo: what zones the running kernel has made. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pfnLimit } from '../geometry.ts';
import { nodesMax, type ZoneName, zoneNames } from '../zones.ts';
import { cannotRead, makesNoSense } from './unreadable.ts';

/** A zone of a node as the running kernel has it. */
export interface KernelZone {
  readonly nid: number;
  /** Number of the zone by its name, as vmemmap counts zones. */
  readonly zone: number;
  /** `start_pfn`; undefined where the kernel does not tell: it does not for zones without present pages, such as Device. */
  readonly startPfn: number | undefined;
  /** `spanned`: pages from the first to the last, holes included. */
  readonly spannedPages: number;
  /** `present`: pages without the holes; 0 for the zone Device, whatever it holds. */
  readonly presentPages: number;
  /** `managed`: pages that were given to the allocator, that is present ones without those kept back at boot. */
  readonly managedPages: number;
}

const fields = { start_pfn: 'startPfn', spanned: 'spannedPages', present: 'presentPages', managed: 'managedPages' };
type Field = (typeof fields)[keyof typeof fields];

/** Before `pagesets`, a zone's own figures; those of each CPU behind have other names. */
const fieldPattern = /^ +(spanned|present|managed|start_pfn):? +(\d+)$/;
const headPattern = /^Node (\d+), zone +(\w+)$/;

/**
 * The zones that span pages, in the order of the text. Zones of other names, such as HighMem, are passed over: no platform here
 * has them.
 * @param file what to call the text in errors
 * @throws VmemmapError KERNEL_UNREADABLE when a figure is missing or cannot be
 */
export function parseZoneinfo(text: string, file = '/proc/zoneinfo'): KernelZone[] {
  const zones: { nid: number; zone: number; found: Partial<Record<Field, number>> }[] = [];
  for (const line of text.split('\n')) {
    const [, nid, name] = headPattern.exec(line) ?? [];
    if (nid !== undefined) zones.push({ nid: Number(nid), zone: zoneNames.indexOf(name as ZoneName), found: {} });
    const [, word, digits] = fieldPattern.exec(line) ?? [];
    if (word === undefined) continue;
    const { found } = zones.at(-1) ?? makesNoSense(file, 'tells pages of no zone', line);
    const value = Number(digits);
    if (value > pfnLimit) makesNoSense(file, `tells ${value} pages, more than can exist`, line);
    found[fields[word as keyof typeof fields]] ??= value;
  }
  return zones
    .filter(({ zone }) => zone >= 0)
    .map(({ nid, zone, found }): KernelZone => {
      const { startPfn, spannedPages, presentPages, managedPages } = found;
      if (nid >= nodesMax) makesNoSense(file, `names node ${nid}; 0 to ${nodesMax - 1} exist`, nid);
      if (spannedPages === undefined || presentPages === undefined || managedPages === undefined) {
        return makesNoSense(file, `tells no pages of node ${nid}, zone ${zoneNames[zone]}`);
      }
      return { nid, zone, startPfn, spannedPages, presentPages, managedPages };
    })
    .filter(({ spannedPages }) => spannedPages > 0);
}

/** The zones of the running kernel. @throws VmemmapError KERNEL_UNREADABLE */
export function readZoneinfo(procRoot: string): KernelZone[] {
  const path = join(procRoot, 'zoneinfo');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    return cannotRead(path, cause);
  }
  return parseZoneinfo(text, path);
}
