/** The memory map of x86 firmware in a boot log, and what the kernel changed in it. */
import { type ByteRun, painted } from '../byte-runs.ts';
import type { LogLine } from './lines.ts';
import { type Place, runOf, Told, type ToldRun } from './told.ts';

/** What Linux does with an entry: `soft` is device memory that the firmware asks to be kept from the allocator. */
export type E820Kind = 'ram' | 'device' | 'soft' | 'other';

/** An entry of the map, or a change of it. */
interface Step extends ToldRun {
  readonly does: 'add' | 'change' | 'remove';
  /** What is changed or removed; undefined: whatever is there. For `add`, undefined. */
  readonly from?: E820Kind | undefined;
  /** What it is afterwards. */
  readonly to?: E820Kind | undefined;
}

type Entry = ByteRun & { readonly colour: E820Kind };

const who = '(BIOS-[a-z0-9]{1,8}|user|extended|modified|reserve setup_data|Xen)';
const bytes = '\\[mem 0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})\\]';
const oldBytes = '([0-9a-f]{8,16}) - ([0-9a-f]{8,16})';
const entryPattern = new RegExp(`^${who}: ${bytes}\\s+(\\S.*)$`);
/** Before 3.5: the end is the first byte behind. */
const oldEntryPattern = new RegExp(`^${who}: ${oldBytes} \\((.+)\\)$`);
const entryHead = new RegExp(`^${who}: (?:\\[mem |[0-9a-f]{8})`);
const changePattern = new RegExp(`^e820: update ${bytes} (.+?) ==> (.+)$`);
const oldChangePattern = new RegExp(`^e820 update range: ${oldBytes} \\((.+?)\\) ==> \\((.+)\\)$`);
const removePattern = new RegExp(`^e820: remove ${bytes}\\s*(.*)$`);
const oldRemovePattern = new RegExp(`^e820 remove range: ${oldBytes}\\s*(?:\\((.*)\\))?$`);
const changeHead = /^e820:? (?:update|remove) /;
/** Where overlapping entries do not agree, the type with the highest number holds (e820__update_table); usable is 1. */
const importance: readonly E820Kind[] = ['soft', 'device', 'other', 'ram'];

/** What a type is, in the words of old and present kernels: `usable` has become `System RAM`. */
function kindOf(type: string): E820Kind {
  const words = type.trim().toLowerCase();
  if (words === 'usable' || words === 'system ram') return 'ram';
  if (words.startsWith('persistent')) return 'device';
  return words === 'soft reserved' ? 'soft' : 'other';
}

function change(entries: Entry[], { does, from, to, firstByte, lastByte }: Step): Entry[] {
  if (does === 'change' && from === to) return entries;
  const changed: Entry[] = [];
  for (const entry of entries) {
    const isOutside = entry.lastByte < firstByte || entry.firstByte > lastByte;
    if (isOutside || (from !== undefined && entry.colour !== from)) {
      changed.push(entry);
      continue;
    }
    const inside = { firstByte: Math.max(entry.firstByte, firstByte), lastByte: Math.min(entry.lastByte, lastByte) };
    if (entry.firstByte < inside.firstByte) changed.push({ ...entry, lastByte: inside.firstByte - 1 });
    if (to !== undefined) changed.push({ ...inside, colour: to });
    if (entry.lastByte > inside.lastByte) changed.push({ ...entry, firstByte: inside.lastByte + 1 });
  }
  return changed;
}

/** Reads the lines of the map: the last one that is told whole counts, as a user-defined one replaces that of the BIOS. */
export class E820 {
  readonly told: Told<Step & Place> = new Told('lines of e820');
  #teller = '';
  /** The kernel found its own image outside of usable memory, takes out what is there and puts usable memory in (e820_add_kernel_range). */
  #addsKernel = false;

  /** Whether the line was one of the map. */
  take(line: LogLine): boolean {
    const { text } = line;
    if (/physical RAM map:$/.test(text)) {
      this.#teller = '';
      return true;
    }
    if (/^\.text \.data \.bss are not marked as E820(?:_TYPE)?_RAM!/.test(text)) {
      this.#addsKernel = true;
      return true;
    }
    return entryHead.test(text) ? this.#takeEntry(line) : changeHead.test(text) && this.#takeChange(line);
  }

  #takeEntry(line: LogLine): true {
    const found = entryPattern.exec(line.text) ?? oldEntryPattern.exec(line.text);
    const teller = found?.[1] ?? entryHead.exec(line.text)?.[1] ?? '';
    if (teller !== this.#teller) this.told.restart();
    this.#teller = teller;
    if (found === null) {
      this.told.add(line, 'expected [mem FIRST-LAST] in hexadecimal and the type of the memory');
      return true;
    }
    const [, , from = '', to = '', type = ''] = found;
    const kind = kindOf(type);
    const run = runOf(line, from, to, { endIsBehind: !line.text.includes('[mem'), isMemory: kind !== 'other' });
    if (typeof run === 'string' && kind === 'other') return true;
    this.told.add(line, typeof run === 'string' ? run : { ...run, does: 'add', to: kind });
    return true;
  }

  #takeChange(line: LogLine): true {
    const { text } = line;
    const changed = changePattern.exec(text) ?? oldChangePattern.exec(text);
    const found = changed ?? removePattern.exec(text) ?? oldRemovePattern.exec(text);
    if (found === null) {
      this.told.add(line, 'expected [mem FIRST-LAST] in hexadecimal and the types of the memory');
      return true;
    }
    const [, first = '', last = '', type = '', newType] = found;
    const run = runOf(line, first, last, { isMemory: false, endIsBehind: !text.includes('[mem') });
    // what lies wholly beyond memory changes none
    if (typeof run !== 'string') {
      const from = type.trim() === '' ? undefined : kindOf(type);
      const to = newType === undefined ? undefined : kindOf(newType);
      this.told.add(line, { ...run, does: changed ? 'change' : 'remove', from, to });
      if (this.#addsKernel && !changed) this.told.add(line, { ...run, does: 'add', to: 'ram' });
    }
    if (!changed) this.#addsKernel = false;
    return true;
  }

  /** Whether there is a map at all. */
  get isTold(): boolean {
    return this.told.items.length > 0;
  }

  /** The map after all changes, sorted and without overlaps. */
  entries(): readonly Entry[] {
    let entries: Entry[] = [];
    for (const step of this.told.items) {
      const { does, firstByte, lastByte, to = 'other', from } = step;
      if (does === 'add') entries.push({ firstByte, lastByte, colour: to });
      // what is neither RAM nor device memory is all the same here, so its changes are passed over
      else if (from !== 'other') entries = change(entries, step);
    }
    return painted(importance.flatMap((kind) => entries.filter(({ colour }) => colour === kind)));
  }
}
