/** Reads device memory from a listing of ndctl or daxctl, at the addresses of a /proc/iomem where there is one. */
import { VmemmapError } from '../errors.ts';
import { withinAddresses } from './address-limit.ts';
import { pointAt, type RefuseLine } from './caret.ts';
import { readIomemFile } from './detect.ts';
import { altmapOf, compoundPagesOf, type DataLayout, dataStart, wholeBytesOf } from './device-rules.ts';
import { pagesInside, physicalAddressBits, roundUp } from './geometry.ts';
import type { IomemMap } from './iomem.ts';
import type { IomemResource } from './iomem-resource.ts';
import { readJson } from './json-text.ts';
import { type ListedDevice, type Listing, readListing } from './ndctl-list.ts';
import { type Platform, type PlatformName, platforms } from './platforms.ts';
import { withSharedCpus } from './simulate.ts';
import { readTextFile } from './text-file.ts';
import type { MemoryExtent, Topology } from './topology.ts';

/** What the caller knows about a listing. */
export interface NdctlOptions {
  /** Default x86-64. */
  readonly platform?: PlatformName | undefined;
  /** A file in the format of /proc/iomem of the same machine: its RAM, and the addresses of its devices. */
  readonly iomemPath?: string | undefined;
}

/** Where memory is laid out for which nothing tells an address: above the RAM of most machines. */
const baseByte: number = 2 ** 38;
/** Bytes of a listing at most. */
const listingBytesMax: number = 64 * 2 ** 20;
const byteLimit = 2 ** physicalAddressBits;

function refuser(text: string, file: string): RefuseLine {
  return (line, column, problem) => {
    const shown = text.split('\n', line)[line - 1] ?? '';
    throw new VmemmapError(
      'NDCTL_SYNTAX',
      `${file}, line ${line}, column ${column + 1}: ${problem}\n${pointAt(shown, column)}\n` +
        'Example: [{"dev":"namespace0.0","mode":"fsdax","map":"dev","size":1054867456,"align":2097152,"numa_node":0}]',
      { received: file },
    );
  };
}

/** Bytes of a device, half-open, and where its data begins. */
interface Location {
  readonly startByte: number;
  readonly dataByte: number;
  readonly endByte: number;
}

function layoutOf({ map, alignBytes }: ListedDevice, pageBytes: number): DataLayout | undefined {
  return map === undefined ? undefined : { map, alignBytes, pageBytes };
}

/** Where a device lies whose first byte is known: its end is that of its data. */
function locate(device: ListedDevice, startByte: number, pageBytes: number, wholeBytes?: number): Location {
  const layout = layoutOf(device, pageBytes);
  if (layout === undefined) return { startByte, dataByte: startByte, endByte: startByte + device.sizeBytes };
  const dataByte = dataStart(startByte, wholeBytes ?? wholeBytesOf(device.sizeBytes, layout), layout);
  return { startByte, dataByte, endByte: dataByte + device.sizeBytes };
}

/** All resources of a map by name; of those with one name, the first. */
function resourcesByName(iomem: IomemMap): Map<string, IomemResource> {
  const named = new Map<string, IomemResource>();
  const waiting = iomem.resources.toReversed();
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (!named.has(next.name)) named.set(next.name, next);
    for (const child of next.children.toReversed()) waiting.push(child);
  }
  return named;
}

/** Finds where the devices of a listing lie. */
class Locator {
  readonly notes: string[] = [];
  readonly #named: Map<string, IomemResource> | undefined;
  readonly #iomemPath: string;
  readonly #pageBytes: number;
  readonly #refuse: RefuseLine;
  #nextByte = baseByte;
  #guesses = 0;

  constructor(iomem: IomemMap | undefined, iomemPath: string, pageBytes: number, refuse: RefuseLine) {
    this.#named = iomem && resourcesByName(iomem);
    this.#iomemPath = iomemPath;
    this.#pageBytes = pageBytes;
    this.#refuse = refuse;
  }

  find(device: ListedDevice): Location {
    const found = this.#named ? this.#inMap(device, this.#named) : this.#withoutMap(device);
    if (found.endByte <= byteLimit) return found;
    return this.#refuse(device.line, device.column, `expected ${device.name} to end below 2^${physicalAddressBits}`);
  }

  #inMap(device: ListedDevice, named: Map<string, IomemResource>): Location {
    const { name, chardev } = device;
    const resource = named.get(name);
    if (resource === undefined || resource.lastByte >= BigInt(byteLimit)) {
      const where = `expected ${name} to be in ${this.#iomemPath}`;
      return this.#refuse(device.line, device.column, `${where}; are both of the same machine, and is it enabled?`);
    }
    const startByte = Number(resource.firstByte);
    // a device-dax device has a resource of its own, where its data is
    const dax = chardev === undefined || chardev === name ? undefined : named.get(chardev);
    if (dax && dax.firstByte > resource.firstByte && dax.lastByte < BigInt(byteLimit)) {
      const dataByte = Number(dax.firstByte);
      return { startByte, dataByte, endByte: dataByte + device.sizeBytes };
    }
    // the resource of a devdax namespace ends where its data begins
    const wholeBytes = device.mode === 'devdax' ? undefined : Number(resource.lastByte) + 1 - startByte;
    return locate(device, startByte, this.#pageBytes, wholeBytes);
  }

  #withoutMap(device: ListedDevice): Location {
    if (device.startByte !== undefined) return locate(device, device.startByte, this.#pageBytes);
    this.#guesses++;
    const layout = layoutOf(device, this.#pageBytes);
    const startByte = roundUp(this.#nextByte, Math.max(device.alignBytes, 2 ** 21));
    const wholeBytes = layout ? wholeBytesOf(device.sizeBytes, layout) : device.sizeBytes;
    this.#nextByte = startByte + wholeBytes;
    return locate(device, startByte, this.#pageBytes, wholeBytes);
  }

  /** What was guessed. */
  finalNotes(): string[] {
    const from = `0x${baseByte.toString(16)}`;
    const note = `The listing does not tell addresses; its memory is laid out from ${from} on (--iomem FILE tells them).`;
    return this.#guesses > 0 ? [note] : [];
  }
}

const collator = new Intl.Collator('en', { numeric: true });

/** By region and number, as they mostly lie in memory. */
function byName(a: ListedDevice, b: ListedDevice): number {
  return collator.compare(a.name, b.name);
}

/** A device as an extent of memory. */
function extentOf(device: ListedDevice, at: Location, nid: number, pageBytes: number): MemoryExtent {
  const { mode, map, alignBytes, isUnmovable } = device;
  const pages = pagesInside(at.startByte, at.endByte - 1, pageBytes);
  if (mode === 'system-ram') return { nid, kind: 'ram', ...pages, ...(isUnmovable ? {} : { movable: true }) };
  return {
    nid,
    kind: 'device',
    mode,
    ...compoundPagesOf(mode, alignBytes, pageBytes, undefined),
    ...(map === 'dev' ? { altmap: altmapOf(at.dataByte - at.startByte, pageBytes) } : {}),
    ...pages,
  };
}

/** RAM of the map: of kmem on the node that the listing tells, all else on node 0. */
function ramOf(iomem: IomemMap, devices: readonly MemoryExtent[]): MemoryExtent[] {
  const kmem = devices.filter(({ kind }) => kind === 'ram').sort((a, b) => a.startPfn - b.startPfn);
  let next = 0;
  return iomem.memoryExtents
    .filter(({ kind }) => kind === 'ram')
    .map(({ startPfn, endPfn, isKmem }): MemoryExtent => {
      while ((kmem[next]?.endPfn ?? Number.POSITIVE_INFINITY) <= startPfn) next++;
      const device = kmem[next];
      const told = isKmem && device && device.startPfn < endPfn ? device : undefined;
      const movable = told ? told.movable === true : isKmem === true;
      return { nid: told?.nid ?? 0, kind: 'ram', startPfn, endPfn, ...(movable ? { movable } : {}) };
    });
}

/**
 * The devices that are not RAM of kmem, which the map has already: listed as such or, as ndctl lists them without -D, as devdax.
 */
function withoutKmem<Device extends MemoryExtent>(devices: readonly Device[], iomem: IomemMap): Device[] {
  const kmem = iomem.memoryExtents.filter(({ isKmem }) => isKmem === true);
  let next = 0;
  return devices
    .filter(({ kind }) => kind === 'device')
    .sort((a, b) => a.startPfn - b.startPfn)
    .filter(({ mode, startPfn, endPfn }) => {
      while ((kmem[next]?.endPfn ?? Number.POSITIVE_INFINITY) <= startPfn) next++;
      return mode !== 'devdax' || (kmem[next]?.startPfn ?? Number.POSITIVE_INFINITY) >= endPfn;
    });
}

/** Refuses what overlaps: sorted memory, and who told it. */
function checkApart(memory: readonly (MemoryExtent & { readonly device?: ListedDevice })[], refuse: RefuseLine): void {
  for (const [index, extent] of memory.entries()) {
    const previous = memory[index - 1];
    if (previous === undefined || previous.endPfn <= extent.startPfn) continue;
    const { line = 1, column = 0, name = '' } = extent.device ?? previous.device ?? {};
    refuse(line, column, `expected ${name} to overlap neither RAM nor another device`);
  }
}

/**
 * The device memory that a text lists, as `ndctl list` or `daxctl list` print it with any options but -u, and the RAM of `iomem`.
 * Pages, altmap and compound pages follow from the sizes by Linux's rules.
 * @param text JSON: a namespace, an array of them, or regions and buses that hold them.
 * @param cpus CPUs of this machine that may initialize the memmap; the nodes share them.
 * @throws VmemmapError NDCTL_SYNTAX that names file, line and column; DETECT_FAILED when no device has page descriptors.
 */
export function readNdctl(
  text: string,
  cpus: readonly number[],
  options: NdctlOptions & { readonly file?: string; readonly iomem?: IomemMap | undefined } = {},
): Topology {
  const { file = 'the listing', iomem, iomemPath = 'the memory map' } = options;
  const platform: Platform = platforms[options.platform ?? 'x86-64'];
  const pageBytes = platform.pageSizeBytes;
  const refuse = refuser(text, file);
  const listing: Listing = readListing(readJson(text, refuse), refuse, pageBytes);
  if (listing.devices.length === 0) {
    const what = 'lists no device with page descriptors (fsdax, devdax or system-ram); give what "ndctl list" prints';
    throw new VmemmapError('DETECT_FAILED', `${file} ${what}`, { received: file });
  }
  const locator = new Locator(iomem, iomemPath, pageBytes, refuse);
  const unplaced = listing.devices.filter(({ nid }) => nid === undefined).length;
  const devices = listing.devices.toSorted(byName).map((device) => {
    const extent = extentOf(device, locator.find(device), device.nid ?? 0, pageBytes);
    return { ...extent, device };
  });
  const ram = iomem ? ramOf(iomem, devices) : [];
  const own = iomem ? withoutKmem(devices, iomem) : devices;
  const sorted: (MemoryExtent & { readonly device?: ListedDevice })[] = [...ram, ...own].sort(
    (a, b) => a.startPfn - b.startPfn,
  );
  checkApart(sorted, refuse);
  let pgmap = 0;
  const memory = sorted.map(({ device: _, ...extent }): MemoryExtent => {
    return extent.kind === 'device' ? { ...extent, pgmap: ++pgmap } : extent;
  });
  const nids = [...new Set(memory.map(({ nid }) => nid))].sort((a, b) => a - b);
  const nodeNote = `The node of ${unplaced} devices is not listed (list with -v for it); they are on node 0.`;
  const topology: Topology = {
    source: 'ndctl',
    nodes: withSharedCpus(nids, cpus),
    memory,
    zoned: true,
    ...(options.platform ? { platform: options.platform } : {}),
    ...(iomem && iomem.reserved.length > 0 ? { reserved: iomem.reserved } : {}),
    notes: [
      ...listing.notes,
      ...locator.finalNotes(),
      ...(unplaced > 0 ? [nodeNote] : []),
      ...(iomem ? ['A memory map does not tell nodes, so its RAM is on node 0.'] : []),
    ],
  };
  return withinAddresses(topology, file);
}

/**
 * The device memory that a file lists: see {@link readNdctl}.
 * @throws VmemmapError NDCTL_SYNTAX, IOMEM_SYNTAX, DETECT_FAILED; the latter also when a file cannot be read.
 */
export function fromNdctlFile(path: string, cpus: readonly number[], options: NdctlOptions = {}): Topology {
  const platform = platforms[options.platform ?? 'x86-64'];
  const text = readTextFile(path, listingBytesMax);
  const iomem = options.iomemPath === undefined ? undefined : readIomemFile(options.iomemPath, platform);
  return readNdctl(text, cpus, { ...options, file: path, iomem });
}
