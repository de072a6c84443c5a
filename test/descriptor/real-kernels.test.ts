/**
 * Our descriptors against those of running kernels, all eight words. test/fixtures/descriptors has some of every kind, as QEMU's
 * monitor showed them in the memory of Debian's kernels on the testbed's machine; test/testbed/descriptors.test.ts looks at a
 * running one. What a kernel's words hold, and ours cannot, is told otherwise: pointers into the memmap are offsets here, and
 * pointers to a dev_pagemap a number. A page that waits in the allocator has no users, where one that nobody has freed yet
 * has one: its reference count is left out.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type ContentSource, contentOf } from '../../dist/src/descriptor/content.js';
import { type ProfileName, profiles } from '../../dist/src/descriptor/profiles.js';
import type { Altmap, DeviceMode, MemoryKind } from '../../dist/src/physical/topology.js';
import { type PageUse, zoneNames } from '../../dist/src/physical/zones.js';
import { asOffsets, lineOf, somePgmap, vmemmapStart } from '../support/kernel-words.js';
import { contentLanes } from '../support/reference.js';

/** Pages of one kind, as the fixtures have them. */
interface PageKind {
  readonly nid: number;
  readonly zone: number;
  readonly kind: MemoryKind;
  /** `absent`: the kernel has written nothing, as in what an altmap reserves in front of itself. */
  readonly use: PageUse | 'absent';
  /** Of its device memory. */
  readonly startPfn?: number;
  readonly mode?: DeviceMode;
  readonly compoundPages?: number;
  readonly altmap?: Altmap;
}

interface KernelDescriptor extends PageKind {
  readonly pfn: number;
  /** Eight words. */
  readonly line: string;
}

interface Fixture {
  readonly vmemmapStart: string;
  readonly groups: readonly (PageKind & { readonly descriptors: Readonly<Record<string, string>> })[];
}

function fixtureOf(release: string): Fixture {
  const file = new URL(`../fixtures/descriptors/linux-${release}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8')) as Fixture;
}

function descriptorsOf(release: string): KernelDescriptor[] {
  return fixtureOf(release)
    .groups.filter(({ use }) => use !== 'absent')
    .flatMap(({ descriptors, ...kind }) =>
      Object.entries(descriptors).map(([pfn, line]) => ({ ...kind, pfn: Number(pfn), line })),
    );
}

/** Range and segment that such a page lies in: RAM alone, and device memory with all that its altmap takes in front. */
function placeOf(page: KernelDescriptor): { range: ContentSource; startPfn: number } {
  const { pfn, nid, zone, kind, use, mode, compoundPages, altmap, startPfn = pfn } = page;
  if (kind === 'ram') return { range: { startPfn, endPfn: pfn + 1, nid, zone, kind }, startPfn };
  const firstPfn = startPfn + (altmap?.reservePages ?? 0);
  const range = {
    ...{ startPfn: firstPfn, endPfn: startPfn + 2 ** 20, nid, zone, kind, pgmap: Number(somePgmap) },
    ...(mode && { mode }),
    ...(compoundPages && { compoundPages }),
  };
  return { range, startPfn: use === 'altmap' ? firstPfn : firstPfn + (altmap?.memmapPages ?? 0) };
}

/** What we write. */
function ours(profile: ProfileName, page: KernelDescriptor): bigint[] {
  const { range, startPfn } = placeOf(page);
  const content = contentOf(profiles[profile], range, {
    startPfn,
    endPfn: range.endPfn,
    use: page.use as PageUse,
  });
  return contentLanes(content, startPfn - range.startPfn, page.pfn - range.startPfn);
}

/** What the kernel has written, in our way. */
function theirs(page: KernelDescriptor): bigint[] {
  return asOffsets(
    page.line.split(' ').map((word) => BigInt(`0x${word}`)),
    placeOf(page).range.startPfn,
  );
}

/** Without the reference count, the upper half of word 6, of a page that is free. */
function withoutUsers(words: readonly bigint[], { kind, use }: KernelDescriptor): bigint[] {
  return words.map((word, index) => (index === 6 && kind === 'ram' && use === 'present' ? word % 2n ** 32n : word));
}

function nameOf({ kind, use, mode, compoundPages = 1, altmap, nid, zone, pfn }: KernelDescriptor): string {
  const device = `${mode}, ${compoundPages} pages in a compound page, memmap ${altmap ? 'on the device' : 'in RAM'}`;
  const where = kind === 'ram' ? `node ${nid}, zone ${zoneNames[zone]}` : device;
  return `pfn 0x${pfn.toString(16)}, ${use}: ${where}`;
}

it.each(['6.1', '6.12', '7.2'])('the memmap of Linux %s began where its pointers are counted from', (release) => {
  expect(BigInt(fixtureOf(release).vmemmapStart)).toBe(vmemmapStart);
});

describe('linux-6.1 writes what Linux 6.1.192 has written', () => {
  it.each(descriptorsOf('6.1').map((page) => [nameOf(page), page] as const))('%s', (_, page) => {
    const [mine, seen] = [ours('linux-6.1', page), theirs(page)].map((words) => lineOf(withoutUsers(words, page)));
    expect(mine).toBe(seen);
  });
});

describe('linux-6.16 writes what Linux 7.2.13 has written in RAM', () => {
  const pages = descriptorsOf('7.2').filter(({ kind }) => kind === 'ram');
  it.each(pages.map((page) => [nameOf(page), page] as const))('%s', (_, page) => {
    const [mine, seen] = [ours('linux-6.16', page), theirs(page)].map((words) => lineOf(withoutUsers(words, page)));
    expect(mine).toBe(seen);
  });
});

describe('linux-6.16 writes, word by word, what Linux 6.12.117 or 7.2.13 has written', () => {
  const later = new Map(descriptorsOf('7.2').map((page) => [nameOf(page), page]));
  const both = descriptorsOf('6.12').flatMap((earlier) => {
    const page = later.get(nameOf(earlier));
    return page && earlier.kind === 'device' ? [[nameOf(page), earlier, page] as const] : [];
  });

  it('in device memory of all kinds', () => {
    expect(both.length).toBe(descriptorsOf('6.12').filter(({ kind }) => kind === 'device').length);
    expect(both.length).toBeGreaterThan(40);
  });

  it.each(both)('%s', (_, earlier, page) => {
    const seen = [theirs(earlier), theirs(page)] as const;
    for (const [index, word] of ours('linux-6.16', page).entries()) {
      expect(
        seen.map((words) => words[index]?.toString(16)),
        `word ${index}`,
      ).toContain(word.toString(16));
    }
  });
});
