/** Reads which page frames one namespace of persistent memory has, named by its device: /dev/pmem0 or /dev/dax0.0. */
import { release as releaseHere } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { readAllowedCpus, withNodesOf } from './detect.ts';
import { type DeviceStat, folderOf, listIt, refuse, targetOf } from './device-file.ts';
import { type FoundNamespace, type Kernel, type Namespace, nodeOf, readBare, readClaimed } from './nd-namespace.ts';
import { type PlatformName, platforms } from './platforms.ts';
import { readNodes, textOf } from './sysfs.ts';
import { thisMachine } from './this-machine.ts';
import type { MemoryExtent, Topology } from './topology.ts';

export type { NamespaceMap } from './device-rules.ts';
export type { Namespace, NamespaceMode } from './nd-namespace.ts';

/** A machine whose memory is one namespace. */
export interface NamespaceTopology extends Topology {
  readonly source: 'namespace';
  readonly namespace: Namespace;
}

/** Where to look; the defaults are the machine this runs on. */
export interface FromDeviceOptions {
  /** Where sysfs is mounted. */
  readonly sysRoot?: string | undefined;
  /** Tells a device file, symbolic links followed; `statSync` by default. */
  readonly statOf?: ((path: string) => DeviceStat) | undefined;
  /** CPUs that this process may use, to which those of every node are cut; `readAllowedCpus` of detect.ts by default. */
  readonly cpus?: readonly number[] | undefined;
  /** Default: that of this machine. */
  readonly platform?: PlatformName | undefined;
  /** Kernel release, as `uname -r` prints it. Default: that of this machine. */
  readonly release?: string | undefined;
}

function notPmem(path: string): never {
  refuse(path, `is not a namespace of persistent memory; give one such as /dev/pmem0 or /dev/dax0.0 (${listIt})`);
}

function readBlockDevice(path: string, at: string, sysRoot: string, kernel: Kernel): FoundNamespace {
  const isPartition = textOf(join(at, 'partition')) !== undefined;
  const disk = isPartition ? dirname(at) : at;
  const device = basename(disk);
  // the disk of a namespace lies in the folder of whoever maps it
  const folder = targetOf(join(disk, 'device'));
  const devtype = folder === undefined ? undefined : textOf(join(folder, 'devtype'));
  if (folder === undefined || devtype?.startsWith('nd_') !== true) notPmem(path);
  if (isPartition) refuse(path, `is a partition; give the whole device, /dev/${device}`);
  switch (devtype) {
    case 'nd_pfn':
      return readClaimed({ mode: 'fsdax', device, folder, owner: folder }, sysRoot, kernel);
    case 'nd_namespace_io':
    case 'nd_namespace_pmem':
      return readBare(folder, device, kernel);
    case 'nd_btt':
      return refuse(
        path,
        'is in sector mode, for which there are no page descriptors; "ndctl create-namespace -f -e NAMESPACE -m fsdax" makes it anew (its data is lost)',
      );
    default:
      return notPmem(path);
  }
}

function readCharacterDevice(path: string, at: string, sysRoot: string, kernel: Kernel): FoundNamespace {
  // not looked up by its name: dax0.0 in /dev may belong to the dax0.1 of libnvdimm
  const folder = dirname(at);
  if (textOf(join(folder, 'devtype')) !== 'nd_dax') notPmem(path);
  const driver = targetOf(join(at, 'driver'));
  const device = basename(at);
  if (driver === undefined) refuse(path, `is disabled; "daxctl enable-device ${device}" enables it`);
  if (basename(driver) !== 'device_dax') {
    const remedy = `"daxctl reconfigure-device -m devdax ${device}" gives it back`;
    refuse(path, `belongs to the driver ${basename(driver)}, whose use of it has other page descriptors; ${remedy}`);
  }
  return readClaimed({ mode: 'devdax', device, folder, owner: at }, sysRoot, kernel);
}

/**
 * The machine whose memory is one namespace of persistent memory, named by its device, and what that namespace is.
 *
 * It has the pages of its pgmap (nvdimm_setup_pfn of drivers/nvdimm/pfn_devs.c; figures seen on 6.1, a namespace of 4 GiB):
 * - map=mem, fsdax and devdax: the namespace from its first page, so that the 2 MiB (or 1 GiB, as aligned) with the info block
 *   count, too, up to the end of the data (1,048,576 pages, of which 1,048,064 hold data). What alignment cuts off at the end
 *   has no descriptors. Linux initializes all of them as device pages (memmap_init_zone_device).
 * - map=dev: the same, and `altmap` tells how many pages at the start hold the info block and the descriptors: these Linux does
 *   not initialize as device pages (vmem_altmap_offset), but the 1,031,680 behind them.
 * - fsdax without an info block (memory that the command line set aside by memmap=SIZE!START, virtio-pmem): all of it.
 * - raw: Linux has no descriptors then. All pages are taken, and a note says so.
 *
 * Since 5.17 the pages of devdax are compound pages as large as its alignment: `compoundPages`.
 * @param path the device, or a link to it; a partition, or a namespace in sector mode, is refused.
 * @throws VmemmapError DETECT_FAILED when there is no such device, it is no persistent memory or not in use as such, or sysfs
 * does not tell its address (it does to root).
 */
export function fromDevice(path: string, options: FromDeviceOptions = {}): NamespaceTopology {
  const { sysRoot = '/sys' } = options;
  const here = thisMachine();
  const { platform = here.platform ?? 'x86-64', release = releaseHere() } = options;
  const kernel: Kernel = { pageBytes: platforms[platform].pageSizeBytes, release };
  const { block, at } = folderOf(path, sysRoot, options.statOf);
  const found = block ? readBlockDevice(path, at, sysRoot, kernel) : readCharacterDevice(path, at, sysRoot, kernel);
  const { namespace, owner, extent } = found;
  const { nid, notes } = nodeOf(owner, namespace.device);
  const memory: MemoryExtent[] = [{ nid, pgmap: 1, ...extent }];
  const cpus = options.cpus ?? readAllowedCpus('/proc/self/status', sysRoot);
  return {
    source: 'namespace',
    nodes: withNodesOf(memory, readNodes(sysRoot, cpus)),
    memory,
    zoned: true,
    platform,
    kernel: release,
    notes: [...(options.platform ? [] : here.notes), ...found.notes, ...notes],
    namespace,
  };
}
