/**
 * Descriptors word by word against those of a running kernel, which QEMU's monitor reads from its memory. All eight words are
 * compared, but for pointers: those into the memmap are addresses there and offsets here, and a dev_pagemap has a number here.
 *
 * Of RAM only such pages can be compared as the kernel has not used yet: what is reserved, and what is in holes, in all words;
 * `kept`, what the kernel reserved for itself while it booted, of which the plan does not know, without that one flag; and what
 * is free, without the reference count, which freeing takes to 0. Whoever had a free page before leaves its list and index as it
 * used them, so that all the rest is compared only where the list is still empty: there nobody had it. Of device memory, which
 * nobody maps here, all pages can be compared.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { asOffsets, descriptorAddress, lineOf, somePgmap } from '../support/kernel-words.js';
import { boot } from './machine.mjs';
import { bootTimeoutMs, named, skipReason } from './skip.js';

const script = fileURLToPath(new URL('guest/descriptors.mjs', import.meta.url));
const cwd = fileURLToPath(new URL('../..', import.meta.url));
const descriptorBytes = 64;
/** PG_reserved of Linux 6.1. */
const reservedBit = 1n << 12n;

interface Told {
  readonly kind: string;
  readonly pfn: number;
  readonly rangeStartPfn: number;
  readonly words: readonly string[];
}

interface Step {
  readonly step: string;
  readonly descriptors: readonly Told[];
  readonly startPfn?: number;
  readonly altmap?: { readonly reservePages: number; readonly memmapPages: number };
}

/** A page frame's descriptor, ours and the kernel's in our way. */
interface Pair {
  readonly kind: string;
  readonly pfn: number;
  readonly ours: string;
  readonly theirs: string;
  /** The kernel's second word as it is. */
  readonly pointer: bigint;
}

/** What the media holds before the kernel writes descriptors on it: where it writes none, this stays. */
const filler = 0xa5;
/** Where the first of them lie: an altmap hands out huge pages, and the first begins there, for all that it reserves less. */
const memmapByte: number = 2 ** 21;
const reservePages = 2;

/** Words of a page that was freed which are as they were: flags, mapping, private, _mapcount, memcg_data. */
const keptWhenFreed = [0, 3, 5, 6, 7];

/** Words as both have them, where one kind of page is compared in part. */
function compared(kind: string, words: readonly bigint[]): string {
  if (kind === 'kept') return lineOf(words.map((word, index) => (index === 0 ? word | reservedBit : word)));
  if (kind !== 'free' && kind !== 'used') return lineOf(words);
  const withoutUsers = words.map((word, index) => (index === 6 ? word % 2n ** 32n : word));
  return lineOf(kind === 'free' ? withoutUsers : keptWhenFreed.map((index) => withoutUsers[index] as bigint));
}

describe.skipIf(skipReason !== undefined)(named('descriptors of a running kernel'), () => {
  const scratch = mkdtempSync(join(tmpdir(), 'vmemmap-words-'));
  const steps = new Map<string, readonly Pair[]>();
  const reserves = new Map<string, string[]>();

  beforeAll(async () => {
    const pmemFile = join(scratch, 'pmem');
    const fd = openSync(pmemFile, 'w');
    writeSync(fd, Buffer.alloc(reservePages * descriptorBytes, filler), 0, undefined, memmapByte);
    closeSync(fd);
    const machine = boot({
      command: [process.execPath, script],
      cwd,
      pmemFile,
      kernelParameters: ['crashkernel=64M'],
    });
    const timer = setTimeout(machine.kill, bootTimeoutMs - 10_000);
    let stderr = '';
    machine.stderr.on('data', (text) => {
      stderr += text;
    });
    const wordsAt = async (pfn: number): Promise<bigint[]> => {
      const file = join(scratch, 'words');
      const address = `0x${descriptorAddress(pfn).toString(16)}`;
      expect(await machine.monitor(`memsave ${address} ${descriptorBytes} "${file}"`)).toBe('');
      return Array.from(new BigUint64Array(new Uint8Array(readFileSync(file)).buffer));
    };
    for await (const line of createInterface({ input: machine.stdout })) {
      const { step, descriptors, startPfn = 0, altmap } = JSON.parse(line) as Step;
      const pairs: Pair[] = [];
      for (const { kind: picked, pfn, rangeStartPfn, words } of descriptors) {
        const ours = words.map((word) => BigInt(`0x${word}`));
        const raw = await wordsAt(pfn);
        const [, pointer = 0n] = raw;
        const kind = picked === 'free' && pointer !== descriptorAddress(pfn) + 8n ? 'used' : picked;
        const theirs = asOffsets(raw, rangeStartPfn);
        pairs.push({ kind, pfn, ours: compared(kind, ours), theirs: compared(kind, theirs), pointer });
      }
      steps.set(step, pairs);
      const reserve: string[] = [];
      for (let page = 0; page < (altmap?.reservePages ?? 0); page++)
        reserve.push(lineOf(await wordsAt(startPfn + page)));
      reserves.set(step, reserve);
      machine.toGuest.write('go on\n');
    }
    const { status, kernelLog } = await machine.ended;
    clearTimeout(timer);
    expect(status, `${stderr}\n${kernelLog.slice(-2000)}`).toBe(0);
  }, bootTimeoutMs);

  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  /** Pairs of a kind; those that differ, and how many there are. */
  function differing(step: string, kind: string): { count: number; pairs: Pair[] } {
    const pairs = (steps.get(step) ?? []).filter((pair) => pair.kind === kind);
    return { count: pairs.length, pairs: pairs.filter(({ ours, theirs }) => ours !== theirs) };
  }

  it.each([
    ['reserved', 'is reserved by name, as a crash kernel', 4],
    ['unavailable', 'is in holes of sections with memory', 4],
    ['kept', 'the kernel kept for itself, but for PG_reserved', 12],
    ['free', 'is free and was never used, but for the reference count', 8],
    ['used', 'is free and was used, in flags, mapping, private, _mapcount and memcg_data', 0],
  ])('are ours in RAM that %s: %s', (kind, _, least) => {
    const { count, pairs } = differing('RAM', kind);
    expect(pairs).toEqual([]);
    expect(count).toBeGreaterThanOrEqual(least);
  });

  const single = [
    ['fsdax mem 2M', ['device']],
    ['fsdax dev 2M', ['altmap', 'device']],
    ['devdax mem 4K', ['device']],
  ] as const;
  const compound = ['head', 'first tail', 'tail'] as const;
  const kinds = [
    ...single,
    ...(['2M', '1G'] as const).flatMap((align) => [
      [`devdax mem ${align}`, compound] as const,
      [`devdax dev ${align}`, ['altmap', ...compound]] as const,
    ]),
  ];
  describe.each(kinds)('are ours in device memory, %s', (step, names) => {
    it.each(names.map((name) => [name]))('%s', (kind) => {
      const { count, pairs } = differing(step, kind);
      expect(pairs).toEqual([]);
      expect(count).toBeGreaterThanOrEqual(3);
    });

    it('and there are no others', () => {
      expect([...new Set(steps.get(step)?.map(({ kind }) => kind))]).toEqual(names);
    });
  });

  it('point to one dev_pagemap from all that has its own, heads and single pages', () => {
    for (const pairs of [...steps].flatMap(([step, list]) => (step === 'RAM' ? [] : [list]))) {
      const pgmaps = pairs.filter(({ kind }) => kind === 'head' || kind === 'device').map(({ pointer }) => pointer);
      expect(new Set(pgmaps).size).toBe(1);
      expect(asOffsets(pgmaps.slice(0, 1), 0)).toEqual([somePgmap]);
    }
  });

  it.each(['fsdax dev 2M', 'devdax dev 2M', 'devdax dev 1G'])(
    'are not written at all for what an altmap reserves (%s), for which we have none',
    (step) => {
      const untouched = lineOf(Array<bigint>(descriptorBytes / 8).fill(BigInt(`0x${filler.toString(16).repeat(8)}`)));
      expect(reserves.get(step)).toEqual([untouched, untouched]);
    },
  );
});
