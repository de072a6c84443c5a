/** What the resources inside of persistent memory tell: its namespaces, which of them are device-dax, and where memmaps lie. */
import { altmapOf, defaultAlignBytes } from './device-rules.ts';
import type { IomemResource } from './iomem-resource.ts';
import type { Altmap, DeviceMode } from './topology.ts';

/** Bytes that one device has page descriptors for, both ends inclusive. */
export interface DeviceUnit {
  readonly firstByte: number;
  readonly lastByte: number;
  /** Line and column of its first resource. */
  readonly line: number;
  readonly column: number;
  /** Absent where the map does not divide persistent memory. */
  readonly mode?: DeviceMode;
  readonly compoundPages?: number;
  readonly altmap?: Altmap;
}

const namespacePattern = /^namespace\d+\.\d+$/;
const daxPattern = /^dax\d+\.\d+$/;
const memmapPattern = /^Device Backed Vmemmap\b/;
const ramPattern = /^System RAM\b/;

/** Whether a resource is a device-dax device, by its name. */
export function isDax(name: string): boolean {
  return daxPattern.test(name);
}

/** Some resources and all below them, in the order of the text; those below one that `isWhole` are left out. */
function* walk(
  resources: readonly IomemResource[],
  isWhole: (resource: IomemResource) => boolean = () => false,
): Generator<IomemResource> {
  const waiting = resources.toReversed();
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    yield next;
    // one by one: a resource may have more children than a call may have arguments
    if (!isWhole(next)) for (const child of next.children.toReversed()) waiting.push(child);
  }
}

/** The first resource below one whose name is of a kind. */
function firstBelow({ children }: IomemResource, pattern: RegExp): IomemResource | undefined {
  for (const resource of walk(children)) if (pattern.test(resource.name)) return resource;
  return undefined;
}

/** Whether a driver has made RAM of it (kmem). */
export function holdsRam(resource: IomemResource): boolean {
  return firstBelow(resource, ramPattern) !== undefined;
}

/** What is in use of a namespace: itself, and the device-dax device behind its info block. */
interface Pair {
  readonly namespace?: IomemResource | undefined;
  readonly dax?: IomemResource | undefined;
}

/** Namespaces and devices in the order of the text: a device-dax device follows the namespace that it is of, or lies in it. */
function pairsIn(resources: readonly IomemResource[]): Pair[] {
  const pairs: Pair[] = [];
  const isDevice = ({ name }: IomemResource): boolean => namespacePattern.test(name) || daxPattern.test(name);
  for (const next of walk(resources, isDevice)) {
    const last = pairs.at(-1);
    if (namespacePattern.test(next.name)) pairs.push({ namespace: next, dax: firstBelow(next, daxPattern) });
    else if (daxPattern.test(next.name)) {
      const isBehind =
        last?.namespace !== undefined && last.dax === undefined && last.namespace.lastByte < next.firstByte;
      if (isBehind) pairs[pairs.length - 1] = { ...last, dax: next };
      else pairs.push({ dax: next });
    }
  }
  return pairs;
}

/**
 * The devices of a memory resource that lies below 2^52 (itself, if it is one), in the order of the text; undefined where the map
 * names none, so that it is not known how it is divided. What a driver has made RAM of is none of them.
 * @param pageBytes bytes in a page, for devices whose memmap lies inside them, and compound pages.
 */
export function devicesIn(resource: IomemResource, pageBytes: number): readonly DeviceUnit[] | undefined {
  const pairs = pairsIn([resource]);
  if (pairs.length === 0) return undefined;
  return pairs.flatMap((pair) => unitOf(pair, resource, pageBytes) ?? []);
}

function unitOf({ namespace, dax }: Pair, resource: IomemResource, pageBytes: number): DeviceUnit | undefined {
  const first = namespace ?? dax;
  if (first === undefined || (dax && holdsRam(dax))) return undefined;
  const last = dax && dax.lastByte > first.lastByte ? dax : first;
  // what sticks out is none of this memory
  if (first.firstByte < resource.firstByte || last.lastByte > resource.lastByte) return undefined;
  const memmap = namespace && firstBelow(namespace, memmapPattern);
  const hasMemmap = memmap && memmap.lastByte > first.firstByte && memmap.lastByte < last.lastByte;
  return {
    firstByte: Number(first.firstByte),
    lastByte: Number(last.lastByte),
    line: first.line,
    column: first.column,
    ...(dax ? { mode: 'devdax', compoundPages: defaultAlignBytes / pageBytes } : { mode: 'fsdax' }),
    ...(hasMemmap ? { altmap: altmapOf(Number(memmap.lastByte + 1n - first.firstByte), pageBytes) } : {}),
  };
}
