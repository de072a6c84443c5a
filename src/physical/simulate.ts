/** Makes up a machine from a short description, such as `8x3TiB:pmem`: eight nodes of persistent memory, 3 TiB each. */
import { VmemmapError } from '../errors.ts';
import { pointAt } from './caret.ts';
import { pfnLimitOf } from './geometry.ts';
import { type Platform, type PlatformName, platformOf } from './platforms.ts';
import type { MemoryExtent, Topology, TopologyNode } from './topology.ts';
import { nodesMax } from './zones.ts';

/** Digits and point of a size at most: 4 PiB in KiB needs 13 digits, and a hostile SPEC should not cost a long division. */
const numberLengthMax = 64;

/** Units with their full names and as Linux's memparse spells them, in lower case. All are powers of two. */
const unitBytes: Readonly<Record<string, bigint>> = {
  k: 2n ** 10n,
  kib: 2n ** 10n,
  m: 2n ** 20n,
  mib: 2n ** 20n,
  g: 2n ** 30n,
  gib: 2n ** 30n,
  t: 2n ** 40n,
  tib: 2n ** 40n,
  p: 2n ** 50n,
  pib: 2n ** 50n,
};

interface SimulatedKind extends Pick<MemoryExtent, 'kind' | 'mode'> {
  /** Bytes in a compound page, a multiple of every page size. */
  readonly compoundBytes?: number;
}

/** What memory of a kind is beside its place, in lower case; `devdax` and `devdax1g` come in compound pages of 2 MiB and 1 GiB. */
const kinds: Readonly<Record<string, SimulatedKind>> = {
  ram: { kind: 'ram' },
  pmem: { kind: 'device' },
  devdax: { kind: 'device', mode: 'devdax', compoundBytes: 2 * 2 ** 20 },
  devdax1g: { kind: 'device', mode: 'devdax', compoundBytes: 2 ** 30 },
};

const kindText = '"ram", "pmem", "devdax" or "devdax1g"';

/** One item of a SPEC, and where it begins for what must be said about it later. */
interface Item {
  readonly column: number;
  readonly count: number;
  readonly pages: number;
  readonly memory: SimulatedKind;
}

function refuse(spec: string, column: number, problem: string): never {
  throw new VmemmapError(
    'SPEC_SYNTAX',
    `the machine to simulate, column ${column + 1}: ${problem}\n${pointAt(spec, column)}\n` +
      'Example: 8x3TiB:pmem or 2x16GiB,2x64GiB:pmem (COUNTxSIZE[:ram|:pmem|:devdax|:devdax1g], one node each)',
    { received: spec },
  );
}

/** Reads a SPEC from left to right; every refusal names the column where reading stopped. */
class SpecReader {
  readonly spec: string;
  column = 0;

  constructor(spec: string) {
    this.spec = spec;
  }

  /** The text that `pattern` (sticky) matches here, or undefined without moving. */
  maybe(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.column;
    const text = pattern.exec(this.spec)?.[0];
    this.column += text?.length ?? 0;
    return text;
  }

  expect(pattern: RegExp, what: string): string {
    return this.maybe(pattern) ?? refuse(this.spec, this.column, `expected ${what}`);
  }
}

/** Bytes of a size such as `4GiB` or `512M`, whole and in the units of a SPEC; undefined for what is none, or above 2^53. */
export function bytesOfSize(text: string): number | undefined {
  const [, digits = '', word = ''] = /^(\d{1,16})([a-z]{0,3})$/i.exec(text) ?? [];
  const unit = word === '' ? 1n : unitBytes[word.toLowerCase()];
  const bytes = digits === '' || unit === undefined ? Number.NaN : Number(BigInt(digits) * unit);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Bytes as pages, exactly: a size is a decimal fraction of a power of two, so floating point would not do. */
function sizePages(reader: SpecReader, target: Platform): number {
  const { pageSizeBytes: pageBytes } = target;
  const sizeColumn = reader.column;
  const text = reader.expect(/\d+(?:\.\d+)?/y, 'a size in decimal digits');
  if (text.length > numberLengthMax) refuse(reader.spec, sizeColumn, `expected at most ${numberLengthMax} digits`);
  const unitColumn = reader.column;
  const unitText = 'a unit: KiB, MiB, GiB, TiB or PiB (or K, M, G, T, P)';
  const word = reader.expect(/[a-z]+/iy, unitText).toLowerCase();
  const unit = Object.hasOwn(unitBytes, word) ? unitBytes[word] : undefined;
  if (unit === undefined) refuse(reader.spec, unitColumn, `expected ${unitText}`);

  const [whole = '', fraction = ''] = text.split('.');
  const scaled = BigInt(whole + fraction) * unit;
  const denominator = 10n ** BigInt(fraction.length) * BigInt(pageBytes);
  const pageText = `${pageBytes / 1024} KiB`;
  if (scaled === 0n) refuse(reader.spec, sizeColumn, `expected at least one page, ${pageText}`);
  if (scaled % denominator !== 0n) refuse(reader.spec, sizeColumn, `expected a multiple of ${pageText}`);
  const pages = scaled / denominator;
  if (pages > BigInt(pfnLimitOf(target))) {
    refuse(reader.spec, sizeColumn, `expected at most ${reachOf(target)}: ${endOf(target)}`);
  }
  return Number(pages);
}

/** How much memory a platform's addresses reach, and where they end. */
const reachOf = ({ physicalAddressBits }: Platform): string => `${2 ** (physicalAddressBits - 50)} PiB`;
const endOf = ({ physicalAddressBits }: Platform): string => `addresses end at 2^${physicalAddressBits}`;

const itemEnd = 'a comma and the next nodes, or the end';

function readItem(reader: SpecReader, target: Platform): Item {
  const { column } = reader;
  const count = Number(reader.expect(/\d+/y, 'a number of nodes'));
  if (count < 1 || count > nodesMax) refuse(reader.spec, column, `expected 1 to ${nodesMax} nodes`);
  reader.expect(/x/iy, '"x" between the number of nodes and their size');
  const pages = sizePages(reader, target);
  if (reader.maybe(/:/y) === undefined) {
    reader.expect(/(?=,|$)/y, `":ram", ":pmem", ":devdax", ":devdax1g", ${itemEnd}`);
    return { column, count, pages, memory: { kind: 'ram' } };
  }
  const kindColumn = reader.column;
  const word = reader.expect(/[a-z][a-z\d]*/iy, kindText).toLowerCase();
  const memory = Object.hasOwn(kinds, word) ? kinds[word] : undefined;
  if (memory === undefined) refuse(reader.spec, kindColumn, `expected ${kindText}`);
  reader.expect(/(?=,|$)/y, itemEnd);
  return { column, count, pages, memory };
}

function readSpec(spec: string, target: Platform): Item[] {
  const reader = new SpecReader(spec);
  const items: Item[] = [];
  do items.push(readItem(reader, target));
  while (reader.maybe(/,/y) !== undefined);
  return items;
}

/** CPUs of `machineCpus` for each of some nodes: see {@link cpuShare}. */
export function withSharedCpus(nids: readonly number[], machineCpus: readonly number[]): TopologyNode[] {
  return nids.map((nid, index) => ({ nid, cpus: cpuShare(machineCpus, index, nids.length) }));
}

/**
 * CPUs of one of `nodeCount` nodes: contiguous parts whose lengths differ by at most one, or a single CPU each, round robin,
 * when there are fewer CPUs than nodes.
 */
function cpuShare(machineCpus: readonly number[], index: number, nodeCount: number): number[] {
  const count = machineCpus.length;
  if (count === 0) return [];
  if (count < nodeCount) return [machineCpus[index % count] as number];
  return machineCpus.slice(Math.floor((index * count) / nodeCount), Math.floor(((index + 1) * count) / nodeCount));
}

/**
 * The machine that SPEC describes. Its nodes lie one behind the other from address 0 without holes, so it has exactly the
 * pages that were asked for, and it has zones as a real one.
 * @param spec comma-separated `COUNTxSIZE[:ram|:pmem|:devdax|:devdax1g]`: COUNT nodes of SIZE each. SIZE is a decimal number with KiB, MiB, GiB,
 * TiB or PiB (or K, M, G, T, P), in any case, and comes out at whole pages. At most 1024 nodes and 4 PiB in all.
 * @param machineCpus CPUs of the real machine, which are shared out over the simulated nodes.
 * @param options `platform`: default x86-64.
 * @throws VmemmapError SPEC_SYNTAX with a caret under the place.
 */
export function simulate(
  spec: string,
  machineCpus: readonly number[],
  options: { readonly platform?: PlatformName } = {},
): Topology {
  const { platform } = options;
  const target = platformOf(platform);
  const { pageSizeBytes: pageBytes } = target;
  const items = readSpec(spec, target);
  const memory: MemoryExtent[] = [];
  let startPfn = 0;
  let pgmaps = 0;
  for (const { column, count, pages, memory: kind } of items) {
    const { compoundBytes = pageBytes, ...what } = kind;
    const compoundPages = compoundBytes / pageBytes;
    if (startPfn % compoundPages !== 0 || pages % compoundPages !== 0) {
      refuse(spec, column, `expected nodes that begin and end at a multiple of ${compoundBytes / 2 ** 20} MiB`);
    }
    if (memory.length + count > nodesMax) refuse(spec, column, `expected at most ${nodesMax} nodes in all`);
    if (startPfn + count * pages > pfnLimitOf(target)) {
      refuse(spec, column, `expected at most ${reachOf(target)} in all: ${endOf(target)}`);
    }
    for (let index = 0; index < count; index++) {
      const compound = compoundPages > 1 ? { compoundPages } : {};
      const extent = { nid: memory.length, ...what, ...compound, startPfn, endPfn: startPfn + pages };
      memory.push(kind.kind === 'device' ? { ...extent, pgmap: ++pgmaps } : extent);
      startPfn += pages;
    }
  }
  const nodes = withSharedCpus(
    memory.map(({ nid }) => nid),
    machineCpus,
  );
  const shared = machineCpus.length > 0 && machineCpus.length < nodes.length;
  const notes = shared ? [`${nodes.length} simulated nodes share ${machineCpus.length} CPUs of this machine.`] : [];
  return {
    source: 'simulated',
    nodes,
    memory,
    zoned: true,
    ...(platform ? { platform } : {}),
    notes,
  };
}
