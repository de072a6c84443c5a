/** What kind of machine this is, from what Node.js and /proc tell. */
import { readFileSync } from 'node:fs';
import type { PlatformName } from './platforms.ts';

/** What was found; `platform` is undefined for an architecture that is not known. */
export interface ThisMachine {
  readonly platform: PlatformName | undefined;
  readonly notes: readonly string[];
}

/** Key of the page size in the auxiliary vector (AT_PAGESZ). */
const pageSizeKey = 6n;
const entryBytes = 16;

/** Bytes in a page, as `getconf PAGESIZE` prints: from the auxiliary vector, pairs of 64-bit words. Undefined without /proc. */
export function readPageBytes(auxvPath = '/proc/self/auxv'): number | undefined {
  let vector: Buffer;
  try {
    vector = readFileSync(auxvPath);
  } catch {
    return undefined;
  }
  for (let at = 0; at + entryBytes <= vector.length; at += entryBytes) {
    if (vector.readBigUInt64LE(at) === pageSizeKey) return Number(vector.readBigUInt64LE(at + entryBytes / 2));
  }
  return undefined;
}

/**
 * The platform of an architecture in Node.js's words and a size of pages.
 * @param pageBytes undefined where it is not known: then the usual one of the architecture.
 */
export function platformOfHost(arch: string, pageBytes: number | undefined): ThisMachine {
  const byPage: Readonly<Record<string, Readonly<Record<number, PlatformName>>>> = {
    x64: { 4096: 'x86-64' },
    arm64: { 4096: 'arm64-4k', 16384: 'arm64-16k', 65536: 'arm64-64k' },
    ppc64: { 65536: 'power-64k' },
  };
  const ofArch = Object.hasOwn(byPage, arch) ? byPage[arch] : undefined;
  const usual = ofArch && Object.values(ofArch)[0];
  const platform = pageBytes === undefined ? usual : ofArch?.[pageBytes];
  if (platform !== undefined) return { platform, notes: [] };
  const pages = pageBytes === undefined ? '' : ` with pages of ${pageBytes} bytes`;
  return { platform, notes: [`This is a machine of the architecture ${arch}${pages}; it is taken as x86-64.`] };
}

/** The machine that this process runs on. */
export function thisMachine(): ThisMachine {
  return platformOfHost(process.arch, readPageBytes());
}
