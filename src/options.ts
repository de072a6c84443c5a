/** What `open` may be told: one table of defaults, and every option checked where it comes in. */
import { lstatSync } from 'node:fs';
import { defaultProfile, type ProfileName, profiles } from './descriptor/profiles.ts';
import { detect, readAllowedCpus } from './physical/detect.ts';
import { descriptorSizeBytes, pfnLimit, pfnOfByte, physicalAddressBits, rangePagesMax } from './physical/geometry.ts';
import { platformOf } from './physical/platforms.ts';
import { simulate } from './physical/simulate.ts';
import { cpusMax } from './physical/sysfs.ts';
import type { Topology } from './physical/topology.ts';
import type { ChunkPages, PolicyName, TableRecords } from './plan.ts';
import { policies } from './policy/policies.ts';
import { type BackingName, backingNames, type MemoryBackingName } from './region/backing.ts';
import { type Durability, durabilities } from './region/durability.ts';
import type { FileKind } from './region/file.ts';
import { hotRangesMax, threadsMax } from './region/layout.ts';

/** Options of `Memmap.open`; all may be left out. */
export interface OpenOptions {
  /** The machine: a topology, or a SPEC of a simulated one such as `2x64GiB`. Default: this machine's own memory map. */
  topology?: Topology | string;
  /** Instead of a topology: a table of so many 64-byte records, numbered from 0 and addressed as if they were pfns. */
  slots?: number;
  /** With `slots`: the 64 bytes that each record starts with. Default: zeros. */
  template?: Uint8Array;
  /** With `slots`: which of the record's sixteen 32-bit words receives its number, 0 to 15. Default: none. */
  indexWord?: number;
  /**
   * Where the descriptors live. Default `huge`, which falls back to `shared` and says so in `memmap.backing`; with `file` the
   * kind of file that it is.
   */
  backing?: BackingName;
  /**
   * The file of the backing `file`, which is made when it is not there, or the device of `devdax`. Other processes may have it
   * open; what it holds must be the memmap that the other options describe.
   */
  file?: string;
  /** With `file`: what must be had. Default: the best that the file offers; `memmap.backing` tells which. */
  durability?: Durability;
  /** With `file`: starts over, and loses what the file holds. */
  rebuild?: boolean;
  /**
   * Stores the tail descriptors of compound pages (device-dax in units of 2 MiB or 1 GiB, its memmap in RAM) once, as Linux does:
   * the same memory is mapped for all of them, and what is stored into one stands in the others. With the backings `huge` and
   * `shared`; refused where nothing can be shared. Default false.
   */
  shareTails?: boolean;
  /** When chunks are initialized. Default `hotplug`. */
  policy?: PolicyName;
  /**
   * Worker threads for each node that has memory, 0 to 512, and at most 512 in all. 0: no background at all.
   * Default: one per CPU of the node; a CPU that several simulated nodes share counts once.
   */
  threadsPerNode?: number;
  /**
   * Pages in a chunk, rounded up to pageblocks (512), or `'1/1024'` of each range. A chunk is what one fault initializes.
   * Default: 4,096.
   */
  chunkPages?: ChunkPages;
  /**
   * Bytes of RAM in the zone Movable, from the top of each node as the kernel's `movablecore=` spreads them; rounded up to the
   * largest blocks of the buddy allocator (4 MiB). Default: none.
   */
  movable?: number;
  /**
   * Room for memory that comes while the memmap is in use, by `addRange`: for so many ranges (1 to 4,096) of at most so many pages
   * each (1 to 2^28). As Linux keeps address space for the memmap of all memory there might be, it is address space alone: memory
   * comes when it is used. Default: none. Not in files.
   */
  hotplug?: HotplugRoom;
  /** Kernel whose descriptors are written. Default `linux-6.1`. */
  profile?: ProfileName;
  /**
   * Fills descriptors with ones until they are initialized, as debug kernels do, so that reading one too early shows: see
   * `PageView.isPoisoned`. Costs `open` the time in which one thread writes all of them, and their memory at once. Tails that are
   * stored once lose it together. Default false.
   */
  poison?: boolean;
  /** Cancels the background when aborted; faults go on working. */
  signal?: AbortSignal;
}

/** Room for ranges that come later. */
export interface HotplugRoom {
  ranges: number;
  pages: number;
}

/** What `Memmap.attach` may be told about a file. */
export interface AttachOptions extends Pick<OpenOptions, 'backing' | 'durability' | 'signal'> {
  /** A file that `open` has made, or a device-dax device. */
  file: string;
  /** Worker threads of this process for each node that has memory; default 0: others initialize, and faults do. */
  threadsPerNode?: number;
}

/** Options after checking, with defaults. */
export interface Settings {
  readonly topology: Topology;
  readonly table: TableRecords | undefined;
  /** A backing in memory, or a file. */
  readonly backing: MemoryBackingName | FileSettings;
  readonly policy: PolicyName;
  readonly threadsPerNode: number | undefined;
  readonly chunkPages: ChunkPages | undefined;
  readonly movablePages: number | undefined;
  readonly hotplug: Readonly<HotplugRoom> | undefined;
  readonly profile: ProfileName;
  readonly sharesTails: boolean;
  readonly poison: boolean;
  readonly signal: AbortSignal | undefined;
}

/** The file of a memmap, after checking. */
export interface FileSettings {
  readonly path: string;
  readonly kind: FileKind;
  readonly durability: Durability | undefined;
  readonly rebuild: boolean;
}

/** The defaults that are constants, told once. */
export const defaults: Readonly<{
  backing: MemoryBackingName;
  policy: PolicyName;
  profile: ProfileName;
}> = Object.freeze({
  backing: 'huge',
  policy: 'hotplug',
  profile: defaultProfile,
});

/** An option that is a number. */
type NumberOption =
  | 'slots'
  | 'indexWord'
  | 'threadsPerNode'
  | 'chunkPages'
  | 'movable'
  | 'hotplug.ranges'
  | 'hotplug.pages';

/** Bounds of the options that are numbers, both inclusive, told once. */
export const bounds: Readonly<Record<NumberOption, readonly [min: number, max: number]>> = {
  slots: [1, pfnLimit],
  indexWord: [0, descriptorSizeBytes / Uint32Array.BYTES_PER_ELEMENT - 1],
  threadsPerNode: [0, threadsMax],
  chunkPages: [1, rangePagesMax],
  movable: [0, 2 ** physicalAddressBits],
  'hotplug.ranges': [1, hotRangesMax],
  'hotplug.pages': [1, rangePagesMax],
};

const known: ReadonlySet<string> = new Set([
  'topology',
  'slots',
  'template',
  'indexWord',
  'backing',
  'file',
  'durability',
  'rebuild',
  'shareTails',
  'policy',
  'threadsPerNode',
  'chunkPages',
  'movable',
  'hotplug',
  'profile',
  'poison',
  'signal',
] satisfies (keyof OpenOptions)[]);

/** Checks options. @throws TypeError or RangeError that names the option @throws VmemmapError from reading the machine */
export function checkOptions(options: OpenOptions): Settings {
  if (typeof options !== 'object' || options === null) throw new TypeError('options must be an object');
  for (const name of Object.keys(options)) if (!known.has(name)) throw new TypeError(`unknown option: ${name}`);
  const { signal, policy = defaults.policy, profile = defaults.profile, poison = false } = options;
  checkSignal(signal);
  if (typeof poison !== 'boolean') throw new TypeError('poison must be true or false');
  const movableBytes = checkMovable(options);
  const settings: Omit<Settings, 'topology' | 'movablePages'> = {
    table: checkTable(options),
    backing: checkBacking(options),
    policy: oneOf('policy', policy, Object.keys(policies) as PolicyName[]),
    threadsPerNode: wholeNumber('threadsPerNode', options.threadsPerNode),
    chunkPages: options.chunkPages === '1/1024' ? '1/1024' : wholeNumber('chunkPages', options.chunkPages),
    hotplug: checkHotplug(options),
    profile: oneOf('profile', profile, Object.keys(profiles) as ProfileName[]),
    sharesTails: checkShareTails(options),
    poison,
    signal,
  };
  // last: it may have to read the machine
  const topology = checkTopology(options);
  const movablePages =
    movableBytes === undefined ? undefined : pfnOfByte(movableBytes, platformOf(topology.platform).pageSizeBytes);
  return { ...settings, topology, movablePages };
}

function checkMovable({ movable, slots }: OpenOptions): number | undefined {
  if (movable !== undefined && slots !== undefined) throw new TypeError('movable goes with a topology, not with slots');
  return wholeNumber('movable', movable);
}

/** Whether these are options, and not a handle. */
export function isAttachOptions(from: unknown): from is AttachOptions {
  return typeof from === 'object' && from !== null && 'file' in from && !('kind' in from);
}

/** Checks the options of `attach`. @throws TypeError or RangeError that names the option */
export function checkAttachOptions(options: AttachOptions): {
  file: FileSettings;
  settings: { threadsPerNode: number; signal: AbortSignal | undefined };
} {
  const allowed = ['file', 'backing', 'durability', 'signal', 'threadsPerNode'];
  for (const name of Object.keys(options)) if (!allowed.includes(name)) throw new TypeError(`unknown option: ${name}`);
  const { signal, threadsPerNode = 0, ...rest } = options;
  const file = checkBacking(rest);
  // only left out, or undefined, does it make no file of the rest
  if (typeof file !== 'object') throw new TypeError('file must be a path');
  return {
    file,
    settings: {
      threadsPerNode: wholeNumber('threadsPerNode', threadsPerNode) as number,
      signal: checkSignal(signal),
    },
  };
}

function checkSignal(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  throw new TypeError('signal must be an AbortSignal');
}

function checkHotplug({ hotplug, file }: OpenOptions): HotplugRoom | undefined {
  if (hotplug === undefined) return undefined;
  if (typeof hotplug !== 'object' || hotplug === null) throw new TypeError('hotplug must be { ranges, pages }');
  for (const name of Object.keys(hotplug)) {
    if (name !== 'ranges' && name !== 'pages') throw new TypeError(`unknown option: hotplug.${name}`);
  }
  if (file !== undefined) throw new TypeError('hotplug does not go with file: ranges are added to memmaps in memory');
  const { ranges, pages } = hotplug;
  if (ranges === undefined || pages === undefined) throw new TypeError('hotplug needs both ranges and pages');
  wholeNumber('hotplug.ranges', ranges);
  wholeNumber('hotplug.pages', pages);
  return { ranges, pages };
}

/** Which backing, and of a file which one and how. @throws TypeError */
export function checkBacking(
  options: Pick<OpenOptions, 'backing' | 'file' | 'durability' | 'rebuild'>,
): Settings['backing'] {
  const { file, durability, rebuild = false } = options;
  if (typeof rebuild !== 'boolean') throw new TypeError('rebuild must be true or false');
  if (file === undefined) {
    const { backing: asked = defaults.backing } = options;
    const backing = oneOf('backing', asked, backingNames);
    if (backing === 'file' || backing === 'devdax') throw new TypeError(`the backing ${backing} needs file, a path`);
    if (durability !== undefined || rebuild) throw new TypeError('durability and rebuild go with file');
    return backing;
  }
  if (typeof file !== 'string' || file === '' || file.includes('\0')) throw new TypeError('file must be a path');
  const { backing: kind = isDevice(file) ? 'devdax' : 'file' } = options;
  if (kind !== 'file' && kind !== 'devdax') throw new TypeError('file goes with the backings file and devdax');
  if (durability !== undefined) oneOf('durability', durability, durabilities);
  return { path: file, kind, durability, rebuild };
}

/** Whether tails are to be shared. @throws TypeError */
export function checkShareTails({ shareTails = false, backing = defaults.backing, file }: OpenOptions): boolean {
  if (typeof shareTails !== 'boolean') throw new TypeError('shareTails must be true or false');
  if (shareTails && (file !== undefined || (backing !== 'huge' && backing !== 'shared'))) {
    throw new TypeError('shareTails goes with the backings huge and shared');
  }
  return shareTails;
}

function isDevice(path: string): boolean {
  try {
    return lstatSync(path).isCharacterDevice();
  } catch {
    // what is wrong with it is told when it is opened
    return false;
  }
}

function checkTopology(options: OpenOptions): Topology {
  const { topology, slots } = options;
  if (slots !== undefined) {
    if (topology !== undefined) throw new TypeError('give either topology or slots, not both');
    return tableTopology(wholeNumber('slots', slots) as number);
  }
  if (topology === undefined) return detect();
  if (typeof topology === 'string') return simulate(topology, readAllowedCpus());
  const { nodes, memory }: Partial<Topology> = topology ?? {};
  if (!Array.isArray(nodes) || !Array.isArray(memory)) {
    throw new TypeError('topology must be a Topology or a SPEC such as "2x64GiB"');
  }
  const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null;
  if (!memory.every(isObject)) throw new TypeError('topology.memory must hold MemoryExtent objects');
  for (const [index, node] of nodes.entries()) {
    const { nid, cpus }: Partial<Topology['nodes'][number]> = node ?? {};
    const sound =
      Number.isInteger(nid) &&
      nodes.findIndex((other) => other?.nid === nid) === index &&
      Array.isArray(cpus) &&
      cpus.every((cpu) => Number.isInteger(cpu) && cpu >= 0 && cpu < cpusMax);
    if (!sound) {
      throw new TypeError(
        `topology.nodes[${index}] must have a nid of its own and cpus, a list of 0 to ${cpusMax - 1}`,
      );
    }
  }
  return topology;
}

/** A table of records: one node with all CPUs, one run of memory, no zones. */
function tableTopology(slots: number): Topology {
  return {
    source: 'table',
    nodes: [{ nid: 0, cpus: readAllowedCpus() }],
    memory: [{ nid: 0, kind: 'ram', startPfn: 0, endPfn: slots }],
    zoned: false,
    notes: [],
  };
}

function checkTable({ slots, template, indexWord }: OpenOptions): TableRecords | undefined {
  if (slots === undefined) {
    if (template !== undefined || indexWord !== undefined) throw new TypeError('template and indexWord go with slots');
    return undefined;
  }
  if (template !== undefined && (!(template instanceof Uint8Array) || template.length !== descriptorSizeBytes)) {
    throw new TypeError(`template must be a Uint8Array of ${descriptorSizeBytes} bytes`);
  }
  const word = wholeNumber('indexWord', indexWord);
  if (word !== undefined && slots > 2 ** 32) {
    throw new RangeError('with indexWord a table has at most 2^32 slots: a word holds no larger number');
  }
  return {
    template: template ?? new Uint8Array(descriptorSizeBytes),
    ...(word === undefined ? {} : { indexWord: word }),
  };
}

function oneOf<T extends string>(name: string, value: T, choices: readonly T[]): T {
  if (choices.includes(value)) return value;
  throw new TypeError(`${name} must be ${choices.join(' or ')}, not ${String(value)}`);
}

function wholeNumber(name: NumberOption, value: number | undefined): number | undefined {
  const [min, max] = bounds[name];
  if (value === undefined || (Number.isInteger(value) && value >= min && value <= max)) return value;
  throw new RangeError(`${name} must be a whole number from ${min} to ${max}, not ${String(value)}`);
}
