/**
 * What is written, and how it is told to the init kernels. A pattern is a 64-byte template and a 64-byte step, each eight
 * little-endian u64 lanes: descriptor number i of a range is `template[lane] + step[lane] × i` in every lane, modulo 2^64. The
 * step is zero but for self-pointers and slot numbers, so that initializing is copying.
 */
import { descriptorWords, patternWords } from './layout.ts';

/** 32 words: the template, then the step. On little-endian machines only (x86-64, arm64, Power in LE mode). */
export type Pattern = Uint32Array<ArrayBuffer>;

/** What is written into a part of the pages that repeat. */
export interface ContentPart {
  /** Number of its first page in a period. It ends where the next part begins, or the period. */
  readonly at: number;
  readonly pattern: Pattern;
}

/**
 * What is written into a segment. With a period of 1, one part: descriptor number i of the *range* is template + step × i.
 * With a longer one, the pages of a compound page: all descriptors of a part in period k of the *segment* are
 * template + step × k.
 */
export interface Content {
  /** Pages after which the parts repeat. */
  readonly periodPages: number;
  /** Sorted by `at`; the first is at 0. */
  readonly parts: readonly ContentPart[];
}

/** Every descriptor the same pattern. */
export function plainContent(pattern: Pattern): Content {
  return { periodPages: 1, parts: [{ at: 0, pattern }] };
}

/** Whether two contents write the same. */
export function sameContent(a: Content, b: Content): boolean {
  return (
    a.periodPages === b.periodPages &&
    a.parts.length === b.parts.length &&
    a.parts.every(({ at, pattern }, index) => {
      const other = b.parts[index] as ContentPart;
      return at === other.at && pattern.every((word, i) => word === other.pattern[i]);
    })
  );
}

/** Parts that a period may have: what the addon takes. */
export const partsMax = 8;

/** Words in front of the parts of a packed content: pages of a period, and the number of the segment's first descriptor. */
const packedHeadWords = 2;
/** Words of a part in it: where it begins, and its pattern. */
const packedPartWords: number = 1 + patternWords;

/**
 * A content as init kernels take it, all in one array, so that a run of many periods is one call: its pattern when that is all
 * there is to it; else `[period, start, …]` and 33 words for each part, its place and its pattern. The lengths differ.
 * @param startIndex number in the range of the segment's first descriptor, from which periods are counted
 */
export function packContent({ periodPages, parts }: Content, startIndex: number): Uint32Array<ArrayBuffer> {
  if (periodPages === 1) return (parts[0] as ContentPart).pattern;
  const packed = new Uint32Array(packedHeadWords + parts.length * packedPartWords);
  packed.set([periodPages, startIndex]);
  parts.forEach(({ at, pattern }, part) => {
    packed.set([at, ...pattern], packedHeadWords + part * packedPartWords);
  });
  return packed;
}

/** Whether this is a packed content with a period, and not a pattern. */
export function isPacked(content: Uint32Array): boolean {
  return content.length !== patternWords;
}

/**
 * The part of a packed content that descriptor `index` of the range belongs to, as a pattern without steps.
 * @param into is overwritten, but for its steps, which are zeros
 * @returns how many descriptors from this one on are the same
 */
export function pieceAt(packed: Uint32Array, index: number, into: Pattern): number {
  const periodPages = packed[0] as number;
  const fromStart = index - (packed[1] as number);
  const inPeriod = fromStart % periodPages;
  let part = packed.length - packedPartWords;
  let end = periodPages;
  while ((packed[part] as number) > inPeriod) {
    end = packed[part] as number;
    part -= packedPartWords;
  }
  atPeriod(packed, part + 1, (fromStart - inPeriod) / periodPages, into);
  return end - inPeriod;
}

/**
 * template + step × period of the pattern at word `at`, in every lane, modulo 2^64.
 * @param period below 2^20 where a low word steps by 2^32, so that doubles hold what one half carries into the other
 */
function atPeriod(packed: Uint32Array, at: number, period: number, into: Pattern): void {
  for (let word = 0; word < descriptorWords; word += 2) {
    const step = at + descriptorWords + word;
    const low = (packed[at + word] as number) + (packed[step] as number) * period;
    const highStep = Math.imul(packed[step + 1] as number, period);
    into[word] = low;
    into[word + 1] = (packed[at + word + 1] as number) + highStep + Math.floor(low / 2 ** 32);
  }
}

/**
 * The pattern of a user's own table of 64-byte records.
 * @param template 64 bytes that every record starts with.
 * @param indexWord which of the sixteen 32-bit words receives the record's number; none when undefined.
 * @param startSlot number of the range's first record.
 */
export function tablePattern(template: Uint8Array, indexWord: number | undefined, startSlot: number): Pattern {
  const pattern: Pattern = new Uint32Array(patternWords);
  new Uint8Array(pattern.buffer).set(template);
  if (indexWord !== undefined) {
    pattern[indexWord] = startSlot;
    pattern[descriptorWords + indexWord] = 1;
  }
  return pattern;
}
