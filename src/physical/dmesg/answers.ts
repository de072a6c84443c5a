/** Reads the kernel's own answers in a boot log, to be compared with what this project makes of the same memory. */
import { type PfnExtent, pagesInside } from '../geometry.ts';
import { nodesMax, type ZoneName, zones } from '../zones.ts';
import type { DeferredAnswer, KernelAnswers, NodeAnswer, UnavailableAnswer, ZoneAnswer } from './kernel-answers.ts';
import { type LogLine, logLines } from './lines.ts';
import { type DmesgOptions, readLog } from './told-log.ts';

export type { KernelAnswers } from './kernel-answers.ts';

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

const zoneWord = '(DMA32|DMA|Normal|Movable|Device)';
const count = '(\\d{1,15})';
const rangePattern = new RegExp(`^${zoneWord} +(?:empty|\\[mem 0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})\\])$`);
const setupPattern = /^Initmem setup node (\d{1,4}) (?:as memoryless|\[mem 0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})\])$/;
const totalPattern = new RegExp(`^On node (\\d{1,4}) totalpages: ${count}$`);
const zonePattern = new RegExp(`^${zoneWord} zone: ${count} pages(?:, (LIFO)| (used) for memmap| (reserved))`);
const gapPattern = new RegExp(`^On node (\\d{1,4}), zone ${zoneWord}: ${count} pages in unavailable ranges$`);
const gapsPattern = new RegExp(`^(Zeroed struct page in unavailable ranges|Reserved but unavailable): ${count} pages$`);
const builtPattern = new RegExp(`^Built \\d+ zonelists.*Total pages: ${count}$`);
const memoryPattern = new RegExp(`^Memory: ${count}K/${count}K available \\(.*?\\b${count}K reserved`);
const blockPattern = /Memory block size: (\d{1,7})MB$/;
const zoneinfoPattern = new RegExp(`^Node (\\d{1,4}), zone +${zoneWord}$`);
const zoneinfoCountPattern = new RegExp(`^(spanned|present|managed) +${count}$`);
const memmapPattern = /^memblock_alloc_exact_nid_raw: (\d{1,15}) bytes .*\bnid=(\d{1,4}) .*\bsparse_init_nid\b/;
const deferredPatterns: readonly RegExp[] = [
  /^node (?<nid>\d{1,4}) deferred pages initialised in (?<ms>\d{1,9})ms$/,
  /^node (?<nid>\d{1,4}) initialised, (?<pages>\d{1,15}) pages in (?<ms>\d{1,9})ms$/,
  /^kswapd (?<nid>\d{1,4}) initialised deferred memory in (?<ms>\d{1,9})ms$/,
];

/** Reads lines, remembering of which node or zone the ones before were. */
class AnswerReader {
  zoneRanges: Mutable<KernelAnswers>['zoneRanges'][number][] = [];
  readonly nodes: Map<number, Mutable<NodeAnswer>> = new Map();
  readonly zones: Map<string, Mutable<ZoneAnswer>> = new Map();
  readonly gaps: UnavailableAnswer['lines'][number][] = [];
  readonly deferred: DeferredAnswer[] = [];
  readonly rest: Partial<Mutable<KernelAnswers>> = {};
  readonly #pageBytes: number;
  /** Inside of "Zone ranges:". */
  #inRanges = false;
  /** Node that the lines about zones belong to. */
  #nid = 0;
  /** Zone of a /proc/zoneinfo. */
  #zoneinfo: Mutable<ZoneAnswer> | undefined;

  constructor(pageBytes: number) {
    this.#pageBytes = pageBytes;
  }

  take({ text }: LogLine): void {
    if (this.#takeRange(text) || this.#takeNode(text) || this.#takeZone(text) || this.#takeZoneinfo(text)) return;
    this.#takeTotal(text);
  }

  #extentOf(first: string, last: string): PfnExtent {
    return pagesInside(Number.parseInt(first, 16), Number.parseInt(last, 16), this.#pageBytes);
  }

  #nodeOf(nid: number): Mutable<NodeAnswer> {
    const node = this.nodes.get(nid) ?? { nid };
    if (nid < nodesMax) this.nodes.set(nid, node);
    return node;
  }

  #zoneOf(nid: number, name: string): Mutable<ZoneAnswer> {
    const key = `${nid} ${name}`;
    const zone = this.zones.get(key) ?? { nid, zone: zones[name as ZoneName] };
    if (nid < nodesMax) this.zones.set(key, zone);
    return zone;
  }

  #takeRange(text: string): boolean {
    if (text === 'Zone ranges:') {
      this.#inRanges = true;
      this.zoneRanges = [];
      return true;
    }
    const [, name, first, last] = this.#inRanges ? (rangePattern.exec(text) ?? []) : [];
    this.#inRanges = name !== undefined;
    if (name === undefined) return false;
    const extent = first && last ? this.#extentOf(first, last) : { startPfn: 0, endPfn: 0 };
    this.zoneRanges.push({ zone: zones[name as ZoneName], ...extent });
    return true;
  }

  #takeNode(text: string): boolean {
    const [, setUp, first, last] = setupPattern.exec(text) ?? [];
    if (setUp !== undefined) {
      this.#nid = Number(setUp);
      const node = this.#nodeOf(this.#nid);
      // a node without memory begins and ends at 0 in older kernels
      if (first && last && Number.parseInt(last, 16) > 0) Object.assign(node, this.#extentOf(first, last));
      return true;
    }
    const [, counted, pages] = totalPattern.exec(text) ?? [];
    if (counted !== undefined) {
      this.#nid = Number(counted);
      this.#nodeOf(this.#nid).totalPages = Number(pages);
      return true;
    }
    const [, bytes, nid] = memmapPattern.exec(text) ?? [];
    if (bytes !== undefined) {
      const node = this.#nodeOf(Number(nid));
      node.memmapBytes = (node.memmapBytes ?? 0) + Number(bytes);
    }
    return bytes !== undefined;
  }

  #takeZone(text: string): boolean {
    const [, name, pages, isPresent, isMemmap] = zonePattern.exec(text) ?? [];
    if (name !== undefined) {
      const zone = this.#zoneOf(this.#nid, name);
      if (isPresent) zone.presentPages = Number(pages);
      else if (isMemmap) zone.memmapPages = Number(pages);
      else zone.reservedPages = Number(pages);
      return true;
    }
    const [, nid, gapZone, gap] = gapPattern.exec(text) ?? [];
    if (nid === undefined) return false;
    this.gaps.push({ nid: Number(nid), zone: zones[gapZone as ZoneName], pages: Number(gap) });
    return true;
  }

  #takeZoneinfo(text: string): boolean {
    const [, nid, name] = zoneinfoPattern.exec(text) ?? [];
    if (nid !== undefined && name !== undefined) {
      this.#zoneinfo = this.#zoneOf(Number(nid), name);
      return true;
    }
    const [, what, pages] = zoneinfoCountPattern.exec(text) ?? [];
    if (what === undefined || this.#zoneinfo === undefined) return false;
    this.#zoneinfo[`${what}Pages` as 'spannedPages' | 'presentPages' | 'managedPages'] = Number(pages);
    return true;
  }

  #takeTotal(text: string): void {
    const [, words, pages] = gapsPattern.exec(text) ?? [];
    if (words !== undefined) {
      const rule = words.startsWith('Zeroed') ? 'zeroed' : 'memblock-reserved';
      this.rest.unavailable = { rule, totalPages: Number(pages), lines: [] };
      return;
    }
    const [, total] = builtPattern.exec(text) ?? [];
    if (total !== undefined) this.rest.totalPages = Number(total);
    const [, available, all, reserved] = memoryPattern.exec(text) ?? [];
    if (available !== undefined) {
      this.rest.memory = { availableKib: Number(available), totalKib: Number(all), reservedKib: Number(reserved) };
    }
    const [, block] = blockPattern.exec(text) ?? [];
    if (block !== undefined) this.rest.memoryBlockBytes = Number(block) * 2 ** 20;
    const deferred = deferredPatterns
      .map((pattern) => pattern.exec(text)?.groups)
      .find((groups) => groups !== undefined);
    if (deferred === undefined) return;
    const { nid, ms, pages: initialised } = deferred;
    const pagesOf = initialised === undefined ? {} : { pages: Number(initialised) };
    this.deferred.push({ nid: Number(nid), ms: Number(ms), ...pagesOf });
  }

  get unavailable(): UnavailableAnswer | undefined {
    const totalPages = this.gaps.reduce((sum, { pages }) => sum + pages, 0);
    return this.gaps.length > 0 ? { rule: 'per-zone', totalPages, lines: this.gaps } : this.rest.unavailable;
  }
}

/**
 * The kernel's answers in a boot log, of the same boot that the machine is read from. Text of /proc/zoneinfo in it is read, too.
 * @throws VmemmapError DMESG_SYNTAX, DETECT_FAILED: as the reader of the machine.
 */
export function readAnswers(log: string, options: DmesgOptions = {}): KernelAnswers {
  const { boot, platform, early } = readLog(log, options);
  const pageBytes = platform.pageSizeBytes;
  const reader = new AnswerReader(pageBytes);
  for (const line of logLines(log)) if (line.line >= boot.firstLine && line.line <= boot.lastLine) reader.take(line);
  const { unavailable, deferred } = reader;
  return {
    ...reader.rest,
    earlyRanges: early.map(({ nid, firstByte, lastByte }) => ({ nid, ...pagesInside(firstByte, lastByte, pageBytes) })),
    zoneRanges: reader.zoneRanges,
    nodes: [...reader.nodes.values()].sort((a, b) => a.nid - b.nid),
    zones: [...reader.zones.values()].sort((a, b) => a.nid - b.nid || a.zone - b.zone),
    ...(unavailable ? { unavailable } : {}),
    ...(deferred.length > 0 ? { deferred } : {}),
  };
}
