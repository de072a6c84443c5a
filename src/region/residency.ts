/** What the kernel really mapped: read back from /proc/self/smaps, not assumed from what was asked for. */
import { readFileSync } from 'node:fs';
import { addon } from '../native.ts';
import { pageSizeBytes } from '../physical/geometry.ts';
import { dataAlignmentBytes } from './layout.ts';
import type { Region } from './region.ts';

/** How much of the descriptors is in memory, and in which pages. */
export interface Residency {
  /** Bytes in memory. */
  readonly residentBytes: number;
  /** Bytes of them that huge pages map. */
  readonly hugeBytes: number;
  /** Page size that maps most of what is in memory, in bytes. */
  readonly pageSize: number;
}

/**
 * Reads the residency of a region's descriptors; costs the kernel a walk through the process's page tables, so not for hot
 * paths. Undefined without the addon, which knows the addresses, or without /proc.
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
      const field = /^(Rss|AnonHugePages|ShmemPmdMapped|FilePmdMapped): +(\d+) kB/.exec(line);
      if (field?.[1] === 'Rss') residentBytes += Number(field[2]) * 1024;
      else if (field) hugeBytes += Number(field[2]) * 1024;
    }
  }
  return { residentBytes, hugeBytes, pageSize: hugeBytes * 2 > residentBytes ? dataAlignmentBytes : pageSizeBytes };
}
