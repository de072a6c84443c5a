/** Reads a namespace of persistent memory from the folders that libnvdimm has for it in sysfs. */
import { basename, join } from 'node:path';
import { refuse } from './device-file.ts';
import { altmapOf, compoundPagesOf, dataStart, isAlignment, type NamespaceMap } from './device-rules.ts';
import { type PfnExtent, pagesInside, physicalAddressBits } from './geometry.ts';
import { numberIn, textOf, unreadable } from './sysfs.ts';
import type { MemoryExtent } from './topology.ts';
import { nodesMax } from './zones.ts';

/** What the namespace is set up as, in ndctl's words. */
export type NamespaceMode = 'fsdax' | 'devdax' | 'raw';

/** What a person wants to know about a namespace; the figures are those of `ndctl list`. */
export interface Namespace {
  /** Such as `namespace0.0`. */
  readonly name: string;
  /** Its device as sysfs calls it, such as `pmem0`. */
  readonly device: string;
  readonly mode: NamespaceMode;
  /** Absent for a raw namespace, whose page descriptors Linux keeps nowhere. */
  readonly map?: NamespaceMap;
  /** Bytes to which its data is aligned, a power of two from a page to 1 GiB; absent where there is no info block to tell. */
  readonly alignBytes?: number;
  /** Bytes of data that it holds: without the info block and without page descriptors that lie in it. */
  readonly sizeBytes: number;
  /** Absent where it has none. */
  readonly uuid?: string;
}

/** What the rules depend on beside the namespace. */
export interface Kernel {
  /** Bytes in a page. */
  readonly pageBytes: number;
  /** Release of the kernel whose sysfs it is; undefined: a present one. */
  readonly release: string | undefined;
}

/** A run of bytes, half-open, below 2^52. */
export interface ByteExtent {
  readonly startByte: number;
  readonly endByte: number;
}

/** A namespace, and what its descriptors depend on. */
export interface FoundNamespace {
  readonly namespace: Namespace;
  /** Pages, and how they are described; the node is that of `owner`. */
  readonly extent: Omit<MemoryExtent, 'nid' | 'pgmap'>;
  /** Folder of the device that Linux maps the memory for: its `numa_node` is what descriptors get. */
  readonly owner: string;
  readonly notes: readonly string[];
}

/** Who has a namespace with an info block. */
export interface Claim {
  readonly mode: 'fsdax' | 'devdax';
  readonly device: string;
  /** Folder of the pfn (fsdax) or dax (devdax) device of libnvdimm. */
  readonly folder: string;
  /** As in {@link FoundNamespace}. */
  readonly owner: string;
}

const byteLimit = 2 ** physicalAddressBits;
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
export function extentIn(folder: string): ByteExtent {
  const sizeBytes = bytesIn(folder, 'size');
  if (sizeBytes === 0) {
    refuse(join(folder, 'size'), 'is 0: the namespace is not set up; "ndctl create-namespace" does that');
  }
  const startByte = bytesIn(folder, 'resource');
  const endByte = startByte + sizeBytes;
  if (endByte > byteLimit) unreadable(folder, 'lies beyond 2^52 bytes', endByte);
  return { startByte, endByte };
}

/** The whole pages of a run. */
export function pagesOf({ startByte, endByte }: ByteExtent, folder: string, pageBytes: number): PfnExtent {
  const pages = pagesInside(startByte, endByte - 1, pageBytes);
  if (pages.startPfn === pages.endPfn) unreadable(folder, 'holds no whole page', endByte - startByte);
  return pages;
}

function uuidIn(folder: string): { uuid?: string } {
  const uuid = textOf(join(folder, 'uuid'));
  return uuid !== undefined && uuidPattern.test(uuid) ? { uuid } : {};
}

/** A namespace without an info block. Whether Linux maps it all the same depends on where it comes from. */
export function readBare(folder: string, device: string, { pageBytes }: Kernel): FoundNamespace {
  const extent = extentIn(folder);
  // 'memory' without a claim: pmem_should_map_pages() of drivers/nvdimm is true
  const mapped = textOf(join(folder, 'mode')) === 'memory';
  const rawNote =
    'Linux itself has no page descriptors for a raw namespace; these are the ones that all of its pages would have.';
  return {
    extent: { kind: 'device', mode: 'fsdax', ...pagesOf(extent, folder, pageBytes) },
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

/** The alignment that the file `align` of a folder tells. */
export function alignIn(folder: string, pageBytes: number): number {
  const file = join(folder, 'align');
  const bytes = numberIn(file) ?? 0;
  return isAlignment(bytes, pageBytes)
    ? bytes
    : unreadable(file, `is not a power of two from ${pageBytes} to 2^30`, textOf(file));
}

/** The namespace whose info block a pfn or dax device of libnvdimm holds. */
function namespaceOf(folder: string, sysRoot: string): { name: string; whole: ByteExtent } {
  const file = join(folder, 'namespace');
  const name = textOf(file);
  // the name becomes part of a path
  if (name === undefined || !/^namespace\d+\.\d+$/.test(name)) unreadable(file, 'names no namespace', name);
  return { name, whole: extentIn(join(sysRoot, 'bus/nd/devices', name)) };
}

/** A namespace with an info block: its pages are those of the namespace up to the end of the data. */
export function readClaimed({ mode, device, folder, owner }: Claim, sysRoot: string, kernel: Kernel): FoundNamespace {
  const { pageBytes, release } = kernel;
  const data = extentIn(folder);
  const { name, whole } = namespaceOf(folder, sysRoot);
  if (data.startByte < whole.startByte || data.endByte > whole.endByte) {
    unreadable(folder, `does not lie in ${name}`, data.startByte);
  }
  const map = mapIn(folder);
  const alignBytes = alignIn(folder, pageBytes);
  // Padded: kernels before 5.3 let the mapping begin later where the section had RAM in it, and sysfs does not tell by how much.
  const unpadded = dataStart(whole.startByte, whole.endByte - whole.startByte, { map, alignBytes, pageBytes });
  const padded = map === 'mem' && data.startByte > unpadded;
  const startByte = padded ? data.startByte : whole.startByte;
  const paddedNote =
    `The data of ${name} begins later than its alignment asks for, so it was made to avoid RAM beside it; ` +
    'its pages are taken from there on, and Linux may have some more before.';
  const pages = pagesOf({ startByte, endByte: data.endByte }, folder, pageBytes);
  return {
    extent: {
      kind: 'device',
      mode,
      ...compoundPagesOf(mode, alignBytes, pageBytes, release),
      ...(map === 'dev' ? { altmap: altmapOf(data.startByte - whole.startByte, pageBytes) } : {}),
      ...pages,
    },
    namespace: { name, device, mode, map, alignBytes, sizeBytes: data.endByte - data.startByte, ...uuidIn(folder) },
    owner,
    notes: padded ? [paddedNote] : [],
  };
}

/** The node that Linux writes into the descriptors, dev_to_node in memremap_pages. */
export function nodeOf(folder: string, device: string): { nid: number; notes: readonly string[] } {
  const file = join(folder, 'numa_node');
  const nid = numberIn(file);
  if (nid !== undefined && nid >= nodesMax) unreadable(file, `is ${nid}; 0 to ${nodesMax - 1} can exist`, nid);
  if (nid !== undefined && nid >= 0) return { nid, notes: [] };
  // -1: Linux takes the node of the CPU that happens to map it
  return { nid: 0, notes: [`The kernel does not tell the node of ${device}; it is taken as memory of node 0.`] };
}
