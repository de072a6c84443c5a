/**
 * What is written: a pattern, that is a 64-byte template and a 64-byte step, each eight little-endian u64 lanes.
 * Descriptor number i of a range is `template[lane] + step[lane] × i` in every lane, modulo 2^64. The step is zero but for
 * self-pointers and slot numbers, so that initializing is copying.
 */
import type { PfnExtent } from '../physical/geometry.ts';
import type { MemoryKind } from '../physical/topology.ts';
import { descriptorFields, descriptorLanes, descriptorWords, fieldOffset, patternWords } from './layout.ts';
import { fieldMask, type KernelProfile, placeBits, selfPointerStep } from './profiles.ts';

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

/**
 * A part's descriptors in one period, as a pattern without steps: template + step × period in every lane, modulo 2^64.
 * @param period below 2^20, so that doubles hold what one half carries into the other
 * @param into is overwritten
 */
export function atPeriod(pattern: Uint32Array, period: number, into: Pattern): Pattern {
  for (let word = 0; word < descriptorWords; word += 2) {
    const low = (pattern[word] as number) + (pattern[descriptorWords + word] as number) * period;
    const highStep = Math.imul(pattern[descriptorWords + word + 1] as number, period);
    into[word] = low;
    into[word + 1] = (pattern[word + 1] as number) + highStep + Math.floor(low / 2 ** 32);
  }
  return into;
}

/** What decides the descriptors of a range. */
export interface PatternSource extends PfnExtent {
  readonly nid: number;
  /** Zone number as in Linux: 0 DMA … 4 Device. */
  readonly zone: number;
  readonly kind: MemoryKind;
  /** Number of the dev_pagemap, 1 or more, for device memory. */
  readonly pgmap?: number;
}

/** The pattern of a range's page descriptors: __init_single_page and __init_zone_device_page of mm/mm_init.c. */
export function pagePattern(profile: KernelProfile, source: PatternSource): Pattern {
  const pattern: Pattern = new Uint32Array(patternWords);
  const lanes = new BigUint64Array(pattern.buffer);
  const fields = new DataView(pattern.buffer);
  const isDevice = source.kind === 'device';
  lanes[0] =
    placeBits(profile.node, source.nid) |
    placeBits(profile.zone, source.zone) |
    fieldMask(profile.lastCpupid) |
    (isDevice ? 1n << BigInt(profile.reservedBit) : 0n);
  fields.setInt32(fieldOffset('mapcount'), profile.mapcount, true);
  fields.setInt32(fieldOffset('refcount'), profile.refcount[source.kind], true);
  if (isDevice) {
    fields.setBigUint64(fieldOffset('pgmap'), BigInt(source.pgmap ?? 0), true);
  } else {
    // An empty list points to itself. The memmap is shared by threads and may outlive a process, so the pointer is
    // stored as the offset from the start of the range's memmap instead of an address.
    const self = BigInt(fieldOffset('lru_next'));
    for (const name of ['lru_next', 'lru_prev']) {
      const lane = fieldOffset(name) / 8;
      lanes[lane] = self;
      lanes[descriptorLanes + lane] = BigInt(selfPointerStep);
    }
  }
  return pattern;
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

/** Names and sizes for whoever compares the addon with this table. */
export function layoutFacts(): Record<string, number> {
  const facts: Record<string, number> = { lanes: descriptorLanes };
  for (const field of descriptorFields) facts[`offset_${field.name}`] = field.offset;
  return facts;
}
