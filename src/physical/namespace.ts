/** Reads which page frames one namespace of persistent memory has, named by its device: /dev/pmem0 or /dev/dax0.0. */
import { basename, dirname, join } from 'node:path';
import { readAllowedCpus, withNodesOf } from './detect.ts';
import { type DeviceStat, folderOf, listIt, refuse, targetOf } from './device-file.ts';
import { type PfnExtent, pageSizeBytes, pagesInside, physicalAddressBits, roundUp } from './geometry.ts';
import { numberIn, readNodes, textOf, unreadable } from './sysfs.ts';
import type { MemoryExtent, Topology } from './topology.ts';
import { nodesMax } from './zones.ts';

/** What the namespace is set up as, in ndctl's words. */
export type NamespaceMode = 'fsdax' | 'devdax' | 'raw';

/** Where Linux keeps the page descriptors: in RAM, or in the namespace itself (an altmap). */
export type NamespaceMap = 'mem' | 'dev';

/** What a person wants to know about a namespace; the figures are those of `ndctl list`. */
export interface Namespace {
  /** Such as `namespace0.0`. */
  readonly name: string;
  /** Its device as sysfs calls it, such as `pmem0`. */
  readonly device: string;
  readonly mode: NamespaceMode;
  /** Absent for a raw namespace, whose page descriptors Linux keeps nowhere. */
  readonly map?: NamespaceMap;
  /** Bytes to which its data is aligned, a power of two from 4 KiB to 1 GiB; absent where there is no info block to tell. */
  readonly alignBytes?: number;
  /** Bytes of data that it holds: without the info block and without page descriptors that lie in it. */
  readonly sizeBytes: number;
  /** Absent where it has none. */
  readonly uuid?: string;
}

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
}

/** A run of bytes, half-open, below 2^52. */
interface ByteExtent {
  readonly startByte: number;
  readonly endByte: number;
}

/** A namespace, and what its descriptors depend on. */
interface Found extends PfnExtent {
  readonly namespace: Namespace;
  /** Folder of the device that Linux maps the memory for: its `numa_node` is what descriptors get. */
  readonly owner: string;
  readonly notes: readonly string[];
}

const byteLimit = 2 ** physicalAddressBits;
/** Bytes at the start of a namespace that its info block takes (nd_info_block_reserve). */
const infoBlockBytes = 8192;
/** Bytes to which Linux aligns whatever it makes page descriptors for: a sub-section (memremap_compat_align). */
const compatAlignBytes: number = 2 * 1024 * 1024;
const alignBytesMax: number = 2 ** 30;
const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Bytes that a small file holds, 0 to 2^52. */
function bytesIn(folder: string, name: string): number {
  const file = join(folder, name);
  const text = textOf(file);
  if (text === undefined) {
    // EACCES for who is not root, and ENXIO where no driver has the device: the one remedy may hide the other
    refuse(file, 'cannot be read; run as root, and enable the namespace if it is disabled ("ndctl enable-namespace")');
  }
  const bytes = numberIn(file);
  if (bytes === undefined || bytes < 0 || bytes > byteLimit) unreadable(file, 'is not a number of bytes to 2^52', text);
  return bytes;
}

/** What the files `resource` and `size` of a folder tell. */
function extentIn(folder: string): ByteExtent {
  const sizeBytes = bytesIn(folder, 'size');
  if (sizeBytes === 0) {
    refuse(join(folder, 'size'), 'is 0: the namespace is not set up; "ndctl create-namespace" does that');
  }
  const startByte = bytesIn(folder, 'resource');
  const endByte = startByte + sizeBytes;
  if (endByte > byteLimit) unreadable(folder, 'lies beyond 2^52 bytes', endByte);
  return { startByte, endByte };
}

function pagesOf({ startByte, endByte }: ByteExtent, folder: string): PfnExtent {
  const pages = pagesInside(startByte, endByte - 1);
  if (pages.startPfn === pages.endPfn) unreadable(folder, 'holds no whole page', endByte - startByte);
  return pages;
}

function uuidIn(folder: string): { uuid?: string } {
  const uuid = textOf(join(folder, 'uuid'));
  return uuid !== undefined && uuidPattern.test(uuid) ? { uuid } : {};
}

/** A namespace without an info block. Whether Linux maps it all the same depends on where it comes from. */
function readBare(folder: string, device: string): Found {
  const extent = extentIn(folder);
  // 'memory' without a claim: pmem_should_map_pages() of drivers/nvdimm is true
  const mapped = textOf(join(folder, 'mode')) === 'memory';
  const rawNote =
    'Linux itself has no page descriptors for a raw namespace; these are the ones that all of its pages would have.';
  return {
    ...pagesOf(extent, folder),
    namespace: {
      name: basename(folder),
      device,
      ...(mapped ? { mode: 'fsdax', map: 'mem' } : { mode: 'raw' }),
      sizeBytes: extent.endByte - extent.startByte,
      ...uuidIn(folder),
    },
    owner: folder,
    notes: mapped ? [] : [rawNote],
  };
}

function mapIn(folder: string): NamespaceMap {
  const file = join(folder, 'mode');
  const text = textOf(file);
  if (text === 'ram') return 'mem';
  if (text === 'pmem') return 'dev';
  return unreadable(file, 'is neither ram nor pmem', text);
}

function alignIn(folder: string): number {
  const file = join(folder, 'align');
  const bytes = numberIn(file) ?? 0;
  const sound = bytes >= pageSizeBytes && bytes <= alignBytesMax && Number.isInteger(Math.log2(bytes));
  return sound ? bytes : unreadable(file, 'is not a power of two from 4096 to 2^30', textOf(file));
}

/** The namespace whose info block a pfn or dax device of libnvdimm holds. */
function namespaceOf(folder: string, sysRoot: string): { name: string; whole: ByteExtent } {
  const file = join(folder, 'namespace');
  const name = textOf(file);
  // the name becomes part of a path
  if (name === undefined || !/^namespace\d+\.\d+$/.test(name)) unreadable(file, 'names no namespace', name);
  return { name, whole: extentIn(join(sysRoot, 'bus/nd/devices', name)) };
}

/** Who has a namespace with an info block. */
interface Claim {
  readonly mode: 'fsdax' | 'devdax';
  readonly device: string;
  /** Folder of the pfn (fsdax) or dax (devdax) device of libnvdimm. */
  readonly folder: string;
  /** As in {@link Found}. */
  readonly owner: string;
}

function readClaimed({ mode, device, folder, owner }: Claim, sysRoot: string): Found {
  const data = extentIn(folder);
  const { name, whole } = namespaceOf(folder, sysRoot);
  if (data.startByte < whole.startByte || data.endByte > whole.endByte) {
    unreadable(folder, `does not lie in ${name}`, data.startByte);
  }
  const map = mapIn(folder);
  const alignBytes = alignIn(folder);
  // Padded: kernels before 5.3 let the mapping begin later where the section had RAM in it, and sysfs does not tell by how much.
  const unpadded = roundUp(whole.startByte + infoBlockBytes, Math.max(alignBytes, compatAlignBytes));
  const padded = map === 'mem' && data.startByte > unpadded;
  const startByte = map === 'dev' || padded ? data.startByte : whole.startByte;
  const paddedNote =
    `The data of ${name} begins later than its alignment asks for, so it was made to avoid RAM beside it; ` +
    'its pages are taken from there on, and Linux may have some more before.';
  return {
    ...pagesOf({ startByte, endByte: data.endByte }, folder),
    namespace: { name, device, mode, map, alignBytes, sizeBytes: data.endByte - data.startByte, ...uuidIn(folder) },
    owner,
    notes: padded ? [paddedNote] : [],
  };
}

function notPmem(path: string): never {
  refuse(path, `is not a namespace of persistent memory; give one such as /dev/pmem0 or /dev/dax0.0 (${listIt})`);
}

function readBlockDevice(path: string, at: string, sysRoot: string): Found {
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
      return readClaimed({ mode: 'fsdax', device, folder, owner: folder }, sysRoot);
    case 'nd_namespace_io':
    case 'nd_namespace_pmem':
      return readBare(folder, device);
    case 'nd_btt':
      return refuse(
        path,
        'is in sector mode, for which there are no page descriptors; "ndctl create-namespace -f -e NAMESPACE -m fsdax" makes it anew (its data is lost)',
      );
    default:
      return notPmem(path);
  }
}

function readCharacterDevice(path: string, at: string, sysRoot: string): Found {
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
  return readClaimed({ mode: 'devdax', device, folder, owner: at }, sysRoot);
}

/** The node that Linux writes into the descriptors, dev_to_node in memremap_pages. */
function nodeOf(folder: string, device: string): { nid: number; notes: readonly string[] } {
  const file = join(folder, 'numa_node');
  const nid = numberIn(file);
  if (nid !== undefined && nid >= nodesMax) unreadable(file, `is ${nid}; 0 to ${nodesMax - 1} can exist`, nid);
  if (nid !== undefined && nid >= 0) return { nid, notes: [] };
  // -1: Linux takes the node of the CPU that happens to map it
  return { nid: 0, notes: [`The kernel does not tell the node of ${device}; it is taken as memory of node 0.`] };
}

/**
 * The machine whose memory is one namespace of persistent memory, named by its device, and what that namespace is.
 *
 * It has the pages whose descriptors Linux initializes as those of device memory (memmap_init_zone_device; nvdimm_setup_pfn of
 * drivers/nvdimm/pfn_devs.c gives it the range; figures seen on 6.1, a namespace of 4 GiB):
 * - map=mem, fsdax and devdax: the namespace from its first page, so that the 2 MiB (or 1 GiB, as aligned) with the info block
 *   count, too, up to the end of the data (1,048,576 pages, of which 1,048,064 hold data). What alignment cuts off at the end
 *   has no descriptors.
 * - map=dev: from the start of the data (1,031,680 pages). The pages before it hold the info block and the descriptors; they
 *   belong to the range of the pgmap, but Linux does not initialize them as device pages (vmem_altmap_offset).
 * - fsdax without an info block (memory that the command line set aside by memmap=SIZE!START, virtio-pmem): all of it.
 * - raw: Linux has no descriptors then. All pages are taken, and a note says so.
 *
 * Every page has a descriptor of its own here; Linux makes compound pages of devdax whose alignment is above 4 KiB.
 * @param path the device, or a link to it; a partition, or a namespace in sector mode, is refused.
 * @throws VmemmapError DETECT_FAILED when there is no such device, it is no persistent memory or not in use as such, or sysfs
 * does not tell its address (it does to root).
 */
export function fromDevice(path: string, options: FromDeviceOptions = {}): NamespaceTopology {
  const { sysRoot = '/sys' } = options;
  const { block, at } = folderOf(path, sysRoot, options.statOf);
  const found = block ? readBlockDevice(path, at, sysRoot) : readCharacterDevice(path, at, sysRoot);
  const { namespace, owner, startPfn, endPfn } = found;
  const { nid, notes } = nodeOf(owner, namespace.device);
  const memory: MemoryExtent[] = [{ nid, kind: 'device', pgmap: 1, startPfn, endPfn }];
  const cpus = options.cpus ?? readAllowedCpus('/proc/self/status', sysRoot);
  return {
    source: 'namespace',
    nodes: withNodesOf(memory, readNodes(sysRoot, cpus)),
    memory,
    zoned: true,
    notes: [...found.notes, ...notes],
    namespace,
  };
}
