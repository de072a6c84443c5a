/** Reads text in the format of /proc/iomem, from the kernel or from anybody, into a tree of resources and extents of memory. */
import { VmemmapError } from '../errors.ts';
import { pointAt, type RefuseLine } from './caret.ts';
import { physicalAddressBits } from './geometry.ts';
import { isDax } from './iomem-devices.ts';
import { type IomemExtent, type MemoryBytes, memoryExtentsOf, reservedExtentsOf } from './iomem-memory.ts';
import type { IomemResource } from './iomem-resource.ts';
import { type Platform, platforms } from './platforms.ts';
import type { MemoryKind, ReservedExtent } from './topology.ts';

/** A memory map. */
export interface IomemMap {
  /** The resources without a parent, in the order of the text. */
  readonly resources: readonly IomemResource[];
  /** Whole pages of memory, sorted by pfn, without overlaps, on x86 without page 0; empty when the addresses are hidden. */
  readonly memoryExtents: readonly IomemExtent[];
  /** What is reserved inside of RAM: the kernel's image, a crash kernel. Sorted by pfn, without overlaps. */
  readonly reserved: readonly ReservedExtent[];
  /** There are resources, and every address reads as zero: what the kernel shows to a reader without CAP_SYS_ADMIN. */
  readonly addressesHidden: boolean;
}

/** A resource that may still get children, while it is on the path from the top to the line that is being read. */
interface OpenResource {
  readonly indentColumns: number;
  readonly children: IomemResource[];
  /** The nearest memory resource at or above it. */
  readonly memory: MemoryBytes | undefined;
}

const memoryEnd = 2n ** BigInt(physicalAddressBits);
/** Significant hexadecimal digits of a 64-bit address. */
const addressDigitsMax = 16;
/** Lines of a map at most: real ones have some thousands. */
const linesMax = 131_072;
/** Columns to which a tab jumps; only the order of indentations counts, so it matters only where tabs and blanks mix. */
const tabColumns = 8;

/** Which names are memory: IORES_DESC_NONE with "System RAM" (also "(kmem)", "(virtio_mem)"), and both kinds of pmem. */
function memoryKindOf(name: string, isInMemory: boolean): MemoryKind | undefined {
  // a device-dax device that is not of persistent memory: soft reserved memory, or a region of CXL
  if (isDax(name) && !isInMemory) return 'device';
  if (/^System RAM( \(.*\))?$/.test(name)) return 'ram';
  if (/^Persistent Memory( \(legacy\))?$/.test(name)) return 'device';
  return undefined;
}

function columnsOf(indent: string): number {
  let columns = 0;
  for (const character of indent) columns += character === '\t' ? tabColumns - (columns % tabColumns) : 1;
  return columns;
}

/**
 * Reads a memory map in the format of /proc/iomem (kernel/resource.c, r_show). Blank lines and lines that begin with `#` are
 * passed over; deeper indentation, by any amount, means "inside the line above", so that text indented as a whole is accepted.
 * The kernel lists "System RAM" and "Persistent Memory" at any depth; RAM inside persistent memory is RAM. Anything that
 * would leave open which pages there are, such as memory listed twice, is refused.
 * @param file what to call the text in errors.
 * @param platform of the machine: its page size, and on x86 no page 0.
 * @throws VmemmapError IOMEM_SYNTAX that names file, line and column.
 */
export function parseIomem(text: string, file = '/proc/iomem', platform: Platform = platforms['x86-64']): IomemMap {
  const lines = text.split(/\r?\n/);
  const refuse: RefuseLine = (line, column, problem) => {
    throw new VmemmapError(
      'IOMEM_SYNTAX',
      `${file}, line ${line}, column ${column + 1}: ${problem}\n${pointAt(lines[line - 1] ?? '', column)}\n` +
        'Example: 100000000-87fffffff : System RAM',
      { received: file },
    );
  };

  const resources: IomemResource[] = [];
  const memory: MemoryBytes[] = [];
  const open: OpenResource[] = [];
  let addressesHidden = true;
  for (const [index, lineText] of lines.entries()) {
    if (/^[ \t]*(#|$)/.test(lineText)) continue;
    if (index >= linesMax) refuse(index + 1, 0, `expected at most ${linesMax} lines`);
    const { indentColumns, resource } = readLine(lineText, index + 1, refuse);
    while ((open.at(-1)?.indentColumns ?? -1) >= indentColumns) open.pop();
    const parent = open.at(-1);
    (parent?.children ?? resources).push(resource);
    const own = memoryOf(resource, parent?.memory, refuse);
    if (own) memory.push(own);
    open.push({ indentColumns, children: resource.children, memory: own ?? parent?.memory });
    addressesHidden &&= resource.lastByte === 0n;
  }
  addressesHidden &&= resources.length > 0;
  if (addressesHidden) return { resources, memoryExtents: [], reserved: [], addressesHidden };
  const memoryExtents = memoryExtentsOf(memory, refuse, platform);
  return { resources, memoryExtents, reserved: reservedExtentsOf(memory, platform), addressesHidden };
}

interface ReadLine {
  readonly indentColumns: number;
  readonly resource: IomemResource & { readonly children: IomemResource[] };
}

/** Reads `start-end : name` step by step, so that a refusal can point at the very character. */
function readLine(text: string, line: number, refuse: RefuseLine): ReadLine {
  let column = 0;
  const take = (pattern: RegExp, expected: string): string => {
    pattern.lastIndex = column;
    const found = pattern.exec(text)?.[0] ?? refuse(line, column, `expected ${expected}`);
    column += found.length;
    return found;
  };
  const address = (which: string): bigint => {
    const at = column;
    const digits = take(/[0-9a-f]+/iy, `${which} in hexadecimal digits`).replace(/^0+(?=.)/, '');
    if (digits.length > addressDigitsMax) refuse(line, at, 'expected an address below 2^64');
    return BigInt(`0x${digits}`);
  };

  const indentColumns = columnsOf(take(/[ \t]*/y, 'indentation'));
  const start = column;
  const firstByte = address('the first address');
  take(/-/y, '"-" between the first and the last address');
  const lastStart = column;
  const lastByte = address('the last address');
  take(/[ \t]*:/y, '" : " and a name behind the addresses');
  if (lastByte < firstByte) refuse(line, lastStart, 'expected a last address that is not below the first');
  const name = text.slice(column).trim();
  return { indentColumns, resource: { firstByte, lastByte, name, line, column: start, children: [] } };
}

/** The resource as memory, once it is certain that its bytes mean one thing only. */
function memoryOf(
  resource: IomemResource,
  inside: MemoryBytes | undefined,
  refuse: RefuseLine,
): MemoryBytes | undefined {
  const kind = memoryKindOf(resource.name, inside !== undefined);
  if (kind === undefined) return undefined;
  const { line, column } = resource;
  if (resource.lastByte >= memoryEnd) {
    refuse(line, column, `expected memory below 2^${physicalAddressBits}, where physical addresses end`);
  }
  // exact: below 2^52
  const own = {
    kind,
    resource,
    firstByte: Number(resource.firstByte),
    lastByte: Number(resource.lastByte),
    line,
    column,
    inside,
  };
  if (inside && (own.firstByte < inside.firstByte || own.lastByte > inside.lastByte)) {
    refuse(line, column, `expected memory that lies inside that of line ${inside.line}, below which it is indented`);
  }
  if (inside?.kind === 'ram' && kind === 'device') {
    refuse(line, column, `expected no persistent memory inside the RAM of line ${inside.line}`);
  }
  return own;
}
