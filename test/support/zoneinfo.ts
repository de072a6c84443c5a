/** What the kernel of this machine says of its own memory, to hold what was detected against. */
import { readFileSync } from 'node:fs';
import { parseIomem } from '../../dist/src/physical/iomem.js';

/** Why this machine cannot be compared with its kernel; empty when it can. */
export function reasonNotToCompare(): string {
  try {
    const text = readFileSync('/proc/iomem', 'utf8');
    readFileSync('/proc/zoneinfo', 'utf8');
    return parseIomem(text).addressesHidden ? '/proc/iomem shows its addresses only to root' : '';
  } catch (error) {
    return `/proc/iomem or /proc/zoneinfo cannot be read: ${String(error)}`;
  }
}

/**
 * `present` by node and zone as /proc/zoneinfo prints it. Linux keeps it at 0 for the zone Device, so that zone is left out,
 * and RAM that is Movable counts as Normal: which RAM is movable is an administrator's choice, not the memory map's.
 */
export function presentOfKernel(): Map<string, number> {
  const present = new Map<string, number>();
  let zone = '';
  for (const line of readFileSync('/proc/zoneinfo', 'utf8').split('\n')) {
    const [, nid, name] = /^Node (\d+), zone +(\w+)/.exec(line) ?? [];
    if (name !== undefined) zone = `node ${nid} ${name === 'Movable' ? 'Normal' : name}`;
    const pages = Number(/^ +present +(\d+)/.exec(line)?.[1] ?? 0);
    if (pages > 0 && !zone.endsWith('Device')) present.set(zone, (present.get(zone) ?? 0) + pages);
  }
  return present;
}
