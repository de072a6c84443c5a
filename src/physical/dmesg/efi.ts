/** The memory map of EFI in a boot log, which the kernel prints when it is booted with efi=debug. */
import { type ByteRun, painted } from '../byte-runs.ts';
import type { LogLine } from './lines.ts';
import { type Place, runOf, Told, type ToldRun } from './told.ts';

/** What Linux does with a descriptor; `nomap` is memory that must not be mapped, which only arm64 keeps as memory. */
export type EfiKind = 'ram' | 'nomap' | 'device' | 'soft' | 'other';

const range = 'range=\\[0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})([)\\]])';
/** x86; older kernels close it with a `)`: then the end is the first byte behind. */
const namedPattern = new RegExp(`^efi: mem(\\d+): \\[([^|\\]]{1,24})\\|([^\\]]*)\\] ${range}`);
const numberedPattern = new RegExp(`^(?:EFI|efi): mem(\\d+): type=(\\d+), attr=0x([0-9a-f]{1,16}), ${range}`);
const x86Head = /^(?:EFI|efi): mem\d+: /;
/** Everything else: `efi:   0x000000001000-0x00000007ffff [Conventional Memory|   |…|WB|  |  |  ]`. */
const plainPattern = /^(?:efi: +)?0x([0-9a-f]{8,16})-0x([0-9a-f]{8,16}) \[([^|\]]{1,24})\|([^\]]*)\]/;

/** Names as efi_md_typeattr_format prints them, in lower case and without `services`, by the numbers of the UEFI specification. */
const names: readonly string[] = [
  'reserved',
  'loader code',
  'loader data',
  'boot code',
  'boot data',
  'runtime code',
  'runtime data',
  'conventional memory',
  'unusable memory',
  'acpi reclaim memory',
  'acpi mem nvs',
  'mmio',
  'mmio port',
  'pal code',
  'persistent memory',
  'unaccepted memory',
];
const ramNames: ReadonlySet<string> = new Set([
  'loader code',
  'loader data',
  'boot code',
  'boot data',
  'conventional memory',
  'unaccepted memory',
]);
const importance: readonly EfiKind[] = ['soft', 'device', 'other', 'nomap', 'ram'];

interface Descriptor extends ToldRun, Place {
  readonly name: string;
  /** Attributes that are set, such as `WB` and `SP`. */
  readonly has: ReadonlySet<string>;
}

/** Attribute bits of the UEFI specification that decide what memory is. */
function attributesOf(bits: bigint): Set<string> {
  const known: readonly (readonly [string, bigint])[] = [
    ['WC', 0x2n],
    ['WT', 0x4n],
    ['WB', 0x8n],
    ['SP', 0x40000n],
  ];
  return new Set(known.filter(([, bit]) => (bits & bit) !== 0n).map(([name]) => name));
}

/**
 * x86 takes write-back memory that nobody needs after boot (do_add_efi_memmap); arm64 takes all that is cacheable as memory, and
 * maps none of it that it must leave alone (reserve_regions of drivers/firmware/efi/efi-init.c).
 */
function kindOf({ name, has }: Descriptor, isArm64: boolean): EfiKind {
  if (name === 'persistent memory') return 'device';
  const isFree = ramNames.has(name) || (isArm64 && name === 'acpi reclaim memory');
  if (isFree && has.has('SP')) return 'soft';
  if (isFree && has.has('WB')) return 'ram';
  return isArm64 && (has.has('WB') || has.has('WT') || has.has('WC')) ? 'nomap' : 'other';
}

/** Reads the lines of the map. */
export class EfiMap {
  readonly told: Told<Descriptor> = new Told('lines of the EFI memory map');

  /** Whether the line was one of the map. */
  take(line: LogLine): boolean {
    const { text } = line;
    const named = namedPattern.exec(text);
    const numbered = named ? null : numberedPattern.exec(text);
    if (named || numbered) {
      const [, index, type = '', attributes = '', from = '', to = '', bracket] = named ?? numbered ?? [];
      // the map may be told again, after parts of it were made special-purpose memory
      if (Number(index) === 0) this.told.restart();
      const name = numbered ? (names[Number(type)] ?? '') : type;
      this.#add(
        line,
        name,
        numbered ? attributesOf(BigInt(`0x${attributes}`)) : this.#cells(attributes),
        from,
        to,
        bracket === ')',
      );
      return true;
    }
    const plain = plainPattern.exec(text);
    if (plain) {
      const [, from = '', to = '', name = '', attributes = ''] = plain;
      this.#add(line, name, this.#cells(attributes), from, to, false);
      return true;
    }
    if (/^efi: Processing EFI memory map/.test(text)) this.told.restart();
    if (!x86Head.test(text)) return false;
    this.told.add(line, 'expected [TYPE|ATTRIBUTES] and range=[FIRST-LAST] in hexadecimal');
    return true;
  }

  #cells(attributes: string): Set<string> {
    return new Set(attributes.split('|').map((cell) => cell.trim()));
  }

  #add(line: LogLine, name: string, has: ReadonlySet<string>, from: string, to: string, endIsBehind: boolean): void {
    const run = runOf(line, from, to, { endIsBehind, isMemory: false });
    const words = name.trim().toLowerCase().replace('services ', '');
    // an entry beyond 2^52 is no memory of any machine: a window for devices
    if (typeof run !== 'string') this.told.add(line, { ...run, name: words, has });
  }

  get isTold(): boolean {
    return this.told.items.length > 0;
  }

  /** The map, sorted and without overlaps. */
  entries(isArm64: boolean): readonly (ByteRun & { readonly colour: EfiKind })[] {
    const entries = this.told.items.map((descriptor) => ({ ...descriptor, colour: kindOf(descriptor, isArm64) }));
    return painted(importance.flatMap((kind) => entries.filter(({ colour }) => colour === kind)));
  }
}
