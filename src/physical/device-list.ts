/** Lists the device memory that Linux has page descriptors for: namespaces of libnvdimm, and device-dax of other memory. */
import { basename, join } from 'node:path';
import { VmemmapError } from '../errors.ts';
import { targetOf } from './device-file.ts';
import { compoundPagesOf } from './device-rules.ts';
import {
  alignIn,
  extentIn,
  type FoundNamespace,
  type Kernel,
  nodeOf,
  pagesOf,
  readBare,
  readClaimed,
} from './nd-namespace.ts';
import { namesIn, textOf } from './sysfs.ts';
import type { MemoryExtent } from './topology.ts';

/** Device memory before it has a pgmap number. */
export type DeviceExtent = Omit<MemoryExtent, 'pgmap'>;

/** All device memory that has descriptors. */
export interface DeviceList {
  /** Sorted by pfn. */
  readonly devices: readonly DeviceExtent[];
  readonly notes: readonly string[];
}

/** A folder in sysfs and how to read what it is. */
interface Candidate {
  readonly name: string;
  readonly read: () => DeviceExtent[];
}

function placed({ extent, owner, namespace }: FoundNamespace): DeviceExtent[] {
  return [{ nid: nodeOf(owner, namespace.device).nid, ...extent }];
}

/** Namespaces with an info block as block devices, and without one where Linux maps them all the same. */
function namespaces(sysRoot: string, kernel: Kernel): Candidate[] {
  const directory = join(sysRoot, 'bus/nd/devices');
  return namesIn(directory).flatMap((name): Candidate[] => {
    const folder = join(directory, name);
    // one that nobody has set up, or that is disabled, has no descriptors
    if (targetOf(join(folder, 'driver')) === undefined) return [];
    if (/^pfn\d+\.\d+$/.test(name)) {
      const claim = { mode: 'fsdax', device: name, folder, owner: folder } as const;
      return [{ name, read: () => placed(readClaimed(claim, sysRoot, kernel)) }];
    }
    const isBare = /^namespace\d+\.\d+$/.test(name) && textOf(join(folder, 'mode')) === 'memory';
    // one that somebody has claimed is told by who has
    if (!isBare || (textOf(join(folder, 'holder')) ?? '') !== '') return [];
    return [{ name, read: () => placed(readBare(folder, name, kernel)) }];
  });
}

/** A device-dax device that is none of persistent memory: it may have several mappings. */
function readDax(folder: string, name: string, { pageBytes, release }: Kernel): DeviceExtent[] {
  const { nid } = nodeOf(folder, name);
  const description = {
    kind: 'device',
    mode: 'devdax',
    ...compoundPagesOf('devdax', alignIn(folder, pageBytes), pageBytes, release),
  } as const;
  return [{ nid, ...description, ...pagesOf(extentIn(folder), folder, pageBytes) }];
}

/** Devices of the driver device_dax; those of kmem are RAM, and told as such. */
function daxDevices(sysRoot: string, kernel: Kernel): Candidate[] {
  const directory = join(sysRoot, 'bus/dax/devices');
  return namesIn(directory).flatMap((name): Candidate[] => {
    const driver = targetOf(join(directory, name, 'driver'));
    if (!/^dax\d+\.\d+$/.test(name) || driver === undefined || basename(driver) !== 'device_dax') return [];
    const folder = targetOf(join(directory, name)) ?? join(directory, name);
    const owner = join(folder, '..');
    if (textOf(join(owner, 'devtype')) === 'nd_dax') {
      const claim = { mode: 'devdax', device: name, folder: owner, owner: folder } as const;
      return [{ name, read: () => placed(readClaimed(claim, sysRoot, kernel)) }];
    }
    return [{ name, read: () => readDax(folder, name, kernel) }];
  });
}

/** Whether sysfs has persistent memory or device-dax at all. */
function hasDevices(sysRoot: string): boolean {
  const isDevice = (name: string): boolean => /^(?:namespace|dax)\d+\.\d+$/.test(name);
  return [join(sysRoot, 'bus/nd/devices'), join(sysRoot, 'bus/dax/devices')].some((directory) =>
    namesIn(directory).some(isDevice),
  );
}

/**
 * The device memory of the machine that has page descriptors, as sysfs tells it to root; undefined where sysfs has no such
 * devices, or does not tell where they are. A device that makes no sense is left out, with a note.
 */
export function readDevices(sysRoot: string, kernel: Kernel): DeviceList | undefined {
  if (!hasDevices(sysRoot)) return undefined;
  const devices: DeviceExtent[] = [];
  const notes: string[] = [];
  for (const { name, read } of [...namespaces(sysRoot, kernel), ...daxDevices(sysRoot, kernel)]) {
    try {
      devices.push(...read());
    } catch (error) {
      if (!(error instanceof VmemmapError)) throw error;
      if (isHidden(sysRoot, name)) return undefined;
      notes.push(`${name} is left out: ${error.message}.`);
    }
  }
  return { devices: devices.sort((a, b) => a.startPfn - b.startPfn), notes };
}

/** Whether the address of a device is not shown, as to who is not root. */
function isHidden(sysRoot: string, name: string): boolean {
  const directories = ['bus/nd/devices', 'bus/dax/devices'].map((bus) => join(sysRoot, bus, name));
  return directories.every((folder) => textOf(join(folder, 'resource')) === undefined);
}
