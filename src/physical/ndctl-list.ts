/** Reads what `ndctl list` and `daxctl list` print into devices, before it is known where they lie. */
import type { RefuseLine } from './caret.ts';
import { defaultAlignBytes, isAlignment, type NamespaceMap } from './device-rules.ts';
import { physicalAddressBits } from './geometry.ts';
import type { JsonPlace, JsonValue } from './json-text.ts';
import { nodesMax } from './zones.ts';

/** A namespace, or a device-dax device that is of none. */
export interface ListedDevice extends JsonPlace {
  /** Such as `namespace0.0` or `dax0.0`. */
  readonly name: string;
  /** The device-dax device of a namespace. */
  readonly chardev: string | undefined;
  readonly mode: 'fsdax' | 'devdax' | 'system-ram';
  /** Undefined: it has no info block, so that all of it is data. */
  readonly map: NamespaceMap | undefined;
  readonly alignBytes: number;
  /** Bytes of data. */
  readonly sizeBytes: number;
  /** Node of the descriptors, as far as the listing tells. */
  readonly nid: number | undefined;
  /** Address of its first byte, or undefined. */
  readonly startByte: number | undefined;
  /** RAM of kmem that is not in the zone Movable. */
  readonly isUnmovable: boolean;
}

/** A listing. */
export interface Listing {
  readonly devices: readonly ListedDevice[];
  readonly notes: readonly string[];
}

/** What objects around one tell of it. */
interface Around {
  readonly nid: number | undefined;
}

type Members = ReadonlyMap<string, JsonValue>;

const byteLimit = 2 ** physicalAddressBits;
const devicesMax = 65_536;
/** Names of modes, those of ndctl before version 60, too. */
const modes: ReadonlyMap<string, ListedDevice['mode']> = new Map([
  ['fsdax', 'fsdax'],
  ['memory', 'fsdax'],
  ['devdax', 'devdax'],
  ['dax', 'devdax'],
  ['system-ram', 'system-ram'],
]);

/** Modes in which Linux has no page descriptors, or others than those of its drivers for device memory. */
const bareModes: ReadonlySet<string> = new Set(['raw', 'sector', 'safe', 'famfs', 'unknown']);

/** Reads the members of one object; what is wrong is refused at its place. */
class ObjectReader {
  readonly members: Members;
  readonly #place: JsonPlace;
  readonly #refuse: RefuseLine;

  constructor(place: JsonPlace, members: Members, refuse: RefuseLine) {
    this.#place = place;
    this.members = members;
    this.#refuse = refuse;
  }

  fail(problem: string, name?: string): never {
    const { line, column } = (name === undefined ? undefined : this.members.get(name)) ?? this.#place;
    return this.#refuse(line, column, problem);
  }

  text(name: string): string | undefined {
    const value = this.members.get(name);
    if (value === undefined) return undefined;
    return value.kind === 'string' ? value.value : this.fail(`expected "${name}" to be a text`, name);
  }

  /** A whole number; with -u those that are not rounded are texts such as "0x4000000000". */
  number(name: string, max: number): number | undefined {
    const value = this.members.get(name);
    if (value === undefined) return undefined;
    const hex = value.kind === 'string' && /^0x[0-9a-f]{1,16}$/i.test(value.value) ? Number(value.value) : Number.NaN;
    const number = value.kind === 'number' ? value.value : hex;
    if (Number.isSafeInteger(number) && number >= -1 && number <= max) return number;
    const rounded = value.kind === 'string' ? '; list without -u (--human), which rounds' : '';
    return this.fail(`expected "${name}" to be a whole number up to ${max}${rounded}`, name);
  }

  flag(name: string): boolean | undefined {
    const value = this.members.get(name);
    return value?.kind === 'boolean' ? value.value : undefined;
  }

  /** A node; -1 is none. */
  node(name: string): number | undefined {
    const nid = this.number(name, nodesMax - 1);
    return nid === -1 ? undefined : nid;
  }
}

/** Walks through a listing, whatever was asked of ndctl: buses, regions and namespaces may lie inside each other. */
class ListReader {
  readonly devices: ListedDevice[] = [];
  /** Devices without page descriptors, by what they are. */
  readonly passed: Map<string, number> = new Map();
  readonly #refuse: RefuseLine;
  readonly #pageBytes: number;

  constructor(refuse: RefuseLine, pageBytes: number) {
    this.#refuse = refuse;
    this.#pageBytes = pageBytes;
  }

  visit(value: JsonValue, around: Around): void {
    if (value.kind === 'array') for (const item of value.items) this.visit(item, around);
    if (value.kind !== 'object') return;
    const object = new ObjectReader(value, value.members, this.#refuse);
    const isNamespace = /^namespace\d+\.\d+$/.test(this.#nameIn(value.members, 'dev'));
    if (isNamespace || /^dax\d+\.\d+$/.test(this.#nameIn(value.members, 'chardev'))) {
      this.#take(value, object, isNamespace, around);
      return;
    }
    const nid = object.node('numa_node') ?? around.nid;
    for (const member of value.members.values()) this.visit(member, { nid });
  }

  #nameIn(members: Members, name: string): string {
    const value = members.get(name);
    return value?.kind === 'string' ? value.value : '';
  }

  #pass(what: string): void {
    this.passed.set(what, (this.passed.get(what) ?? 0) + 1);
  }

  /** The device-dax device that a verbose listing tells inside of its namespace. */
  #daxOf(members: Members): (JsonPlace & { readonly kind: 'object'; readonly members: Members }) | undefined {
    const region = members.get('daxregion');
    const devices = region?.kind === 'object' ? region.members.get('devices') : undefined;
    const [device] = devices?.kind === 'array' ? devices.items : [];
    return device?.kind === 'object' ? device : undefined;
  }

  #take(place: JsonPlace, object: ObjectReader, isNamespace: boolean, around: Around): void {
    if (this.devices.length >= devicesMax) object.fail(`expected at most ${devicesMax} devices`);
    const word = object.text('mode') ?? object.fail('expected a "mode": fsdax, devdax, raw, sector or system-ram');
    const mode = modes.get(word);
    if (mode === undefined || object.text('state') === 'disabled') {
      this.#pass(mode ? 'disabled' : bareModes.has(word) ? `in the mode ${word}` : 'in an unknown mode');
      return;
    }
    const dax = isNamespace ? this.#daxOf(object.members) : undefined;
    if (dax && this.#nameIn(dax.members, 'mode') === 'system-ram' && this.#nameIn(dax.members, 'chardev') !== '') {
      // kmem has the data, and nobody has descriptors for the rest
      this.#take(dax, new ObjectReader(dax, dax.members, this.#refuse), false, around);
      return;
    }
    const alignBytes = object.number('align', byteLimit) ?? defaultAlignBytes;
    if (!isAlignment(alignBytes, this.#pageBytes)) {
      object.fail(`expected "align" to be a power of two from ${this.#pageBytes} to 2^30`, 'align');
    }
    const sizeBytes = object.number('size', byteLimit) ?? object.fail('expected a "size" in bytes');
    if (sizeBytes < this.#pageBytes)
      object.fail(`expected "size" to be at least a page, ${this.#pageBytes} bytes`, 'size');
    const nid = mode === 'system-ram' ? object.node('target_node') : object.node('numa_node');
    const startByte = object.number('resource', byteLimit - 1);
    this.devices.push({
      line: place.line,
      column: place.column,
      name: this.#nameIn(object.members, isNamespace ? 'dev' : 'chardev'),
      chardev: object.text('chardev') ?? (dax && this.#nameIn(dax.members, 'chardev')),
      mode,
      map: isNamespace ? this.#mapOf(object, mode) : undefined,
      alignBytes,
      sizeBytes,
      nid: nid ?? around.nid,
      startByte: startByte === -1 ? undefined : startByte,
      isUnmovable: object.flag('movable') === false,
    });
  }

  #mapOf(object: ObjectReader, mode: ListedDevice['mode']): NamespaceMap | undefined {
    const map = object.text('map') ?? 'mem';
    // without an info block there is neither an alignment nor a uuid of one (nd_namespace_io that Linux maps as it is)
    const isBare = mode === 'fsdax' && map === 'mem' && !object.members.has('align');
    if (map === 'mem' || map === 'dev') return isBare ? undefined : map;
    return object.fail('expected "map" to be "mem" or "dev"', 'map');
  }
}

/**
 * The devices of a listing that have page descriptors, in its order.
 * @param refuse told where the listing makes no sense.
 * @param pageBytes bytes in a page.
 */
export function readListing(listing: JsonValue, refuse: RefuseLine, pageBytes: number): Listing {
  const reader = new ListReader(refuse, pageBytes);
  reader.visit(listing, { nid: undefined });
  const notes = [...reader.passed].map(
    ([what, count]) => `${count} devices of the listing are ${what} and have no page descriptors; they are left out.`,
  );
  return { devices: reader.devices, notes };
}
