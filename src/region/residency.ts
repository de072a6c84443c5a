/** What the kernel really mapped: read back from /proc/self/smaps, not assumed from what was asked for. */
import { readFileSync } from 'node:fs';
import { addon } from '../native.ts';
import { hugePageSizeBytes, pageSizeBytes } from '../physical/geometry.ts';
import type { BackingReport } from './backing.ts';
import type { Region } from './region.ts';

/** How much of the descriptors is in memory, and in which pages. */
export interface Residency {
  /** Bytes in memory. */
  readonly residentBytes: number;
  /** Bytes of them that huge pages map, transparent or reserved. */
  readonly hugeBytes: number;
  /** Page size that maps most of what is in memory, in bytes. */
  readonly pageSize: number;
}

/**
 * Reads the residency of a region's descriptors; costs the kernel a walk through the process's page tables, so not for hot
 * paths. Linux 6.1 leaves out huge pages that automatic NUMA balancing watches at that moment (smaps_pmd_entry follows no
 * entry that is made inaccessible for it). Undefined without the addon, which knows the addresses, or without /proc.
 */
export function readResidency(region: Region): Residency | undefined {
  if (!addon) return undefined;
  const wanted = region.ranges.map((range) => {
    const start = addon?.addressOf(range.words) ?? 0n;
    return { start, end: start + BigInt(range.words.byteLength) };
  });
  let text: string;
  try {
    text = readFileSync('/proc/self/smaps', 'latin1');
  } catch {
    return undefined;
  }
  let residentBytes = 0;
  let hugeBytes = 0;
  let counts = false;
  for (const line of text.split('\n')) {
    const area = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (area) {
      const start = BigInt(`0x${area[1]}`);
      const end = BigInt(`0x${area[2]}`);
      counts = wanted.some((range) => range.start < end && start < range.end);
    } else if (counts) {
      const field = /^(Rss|AnonHugePages|ShmemPmdMapped|FilePmdMapped|Private_Hugetlb|Shared_Hugetlb): +(\d+) kB/.exec(
        line,
      );
      if (!field) continue;
      const bytes = Number(field[2]) * 1024;
      // reserved huge pages do not count as Rss
      if (field[1] === 'Rss' || field[1]?.endsWith('_Hugetlb')) residentBytes += bytes;
      if (field[1] !== 'Rss') hugeBytes += bytes;
    }
  }
  const { backing } = region.handle;
  const hugeSize = backing.effective === 'hugetlb' ? backing.pageSize : hugePageSizeBytes;
  return { residentBytes, hugeBytes, pageSize: hugeBytes * 2 > residentBytes ? hugeSize : pageSizeBytes };
}

/** The report of a region's backing with what the kernel really gave, as far as anything is in memory and can be seen. */
export function effectiveBacking(region: Region): BackingReport {
  const { backing } = region.handle;
  const residency = readResidency(region);
  // what maps a device is no page of memory, and counts as none
  if (!residency || residency.residentBytes === 0 || backing.effective === 'devdax') return backing;
  const { pageSize } = residency;
  if (backing.effective !== 'huge' || pageSize === backing.pageSize) return { ...backing, pageSize };
  const hugeMiB = Math.round(residency.hugeBytes / 2 ** 20);
  const why = backing.sharedTails ? 'blocks of shared tails are smaller' : 'memory is short or fragmented';
  const reason = `the kernel gave huge pages for ${hugeMiB} of ${Math.round(residency.residentBytes / 2 ** 20)} MiB: ${why}`;
  return { ...backing, effective: 'shared', pageSize, reason };
}
