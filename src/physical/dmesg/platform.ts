/** Finds out from a boot log what kind of machine it is of: its architecture, and the size of its pages. */
import { VmemmapError } from '../../errors.ts';
import { type PlatformName, platforms } from '../platforms.ts';
import type { LogLine } from './lines.ts';
import type { NodeRun } from './nodes.ts';

type Architecture = 'x86' | 'arm64' | 'power';

/** What a line gives away. The first rule that meets its line decides; names are surer than habits. */
const architectureRules: readonly (readonly [Architecture, RegExp])[] = [
  ['x86', /^(?:BIOS-e820: |BIOS-provided physical RAM map|x86\/|KERNEL supported cpus)/],
  ['power', /^(?:Node \d+ Memory:|phys_mem_size +=|Top of RAM: 0x|PowerPC |pseries|OPAL)/],
  // NODE_DATA: only arm64 had these words, before the code became common
  ['arm64', /^(?:NUMA: NODE_DATA \[mem|psci: |CPU features: |GICv\d|Booting Linux on physical CPU 0x)/],
];
/** Architectures that compilers' names in "Linux version" give away. */
const compilerRules: readonly (readonly [Architecture | 'other', RegExp])[] = [
  ['arm64', /aarch64/],
  ['power', /powerpc64|ppc64/],
  ['x86', /x86[_-]64/],
  ['other', /riscv|loongarch|s390|mips|sparc|ia64|alpha|i[3-6]86|arm-|armv/],
];
const versionPattern = /^Linux version (\S{1,64})/;
const releasePattern = /^\d+\.\d+[\w.+~-]*$/;
const zonePattern = /^(DMA|DMA32|Normal) +(?:empty|\[mem 0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})\])$/;
/** Last byte of the zone DMA on x86: the 16 MiB of ISA. */
const isaLastByte = 0xff_ffff;
/** Lines that give a number of bytes and of pages: their quotient is the size of a page. All sizes but the right one are improbable. */
const hashPattern = /hash table entries: \d+ \(order: (-?\d{1,2}), (\d{1,12}) bytes/;
const perCpuPattern = /^percpu: Embedded (\d{1,6}) pages\/cpu .*\bu(\d{1,9})\b/;
const perCpuAllocPattern = /^pcpu-alloc: .*\balloc=\d{1,6}\*(\d{1,9})\b/;
const totalPattern = /^On node (\d{1,4}) totalpages: (\d{1,15})$/;

const pageKinds: ReadonlyMap<number, string> = new Map([
  [4096, '4k'],
  [16_384, '16k'],
  [65_536, '64k'],
]);

/** What was found, and what a person should know about how. */
export interface FoundPlatform {
  readonly platform: PlatformName;
  readonly notes: readonly string[];
}

/** Collects hints line by line. */
export class PlatformHints {
  /** As in "Linux version", where the log holds that line. */
  release: string | undefined;
  /** The kernel tells its unavailable pages in one line, as it did before 5.12. */
  tellsOneTotal = false;
  /** Pages of nodes by nid, as the kernel counts them. */
  readonly totalPages: Map<number, number> = new Map();
  #architecture: Architecture | undefined;
  #compiler: Architecture | 'other' | undefined;
  #byZones: Architecture | undefined;
  #pageBytes: number | undefined;

  /** Looks at any line. */
  see({ text }: LogLine): void {
    this.#architecture ??= architectureRules.find(([, pattern]) => pattern.test(text))?.[0];
    const version = versionPattern.exec(text)?.[1];
    if (version !== undefined) this.#seeVersion(version, text);
    const [, zone, , last] = zonePattern.exec(text) ?? [];
    if (zone !== undefined) this.#seeZone(zone, last);
    const total = totalPattern.exec(text);
    if (total) this.totalPages.set(Number(total[1]), Number(total[2]));
    this.#pageBytes ??= this.#pageBytesIn(text);
    this.tellsOneTotal ||= /^(?:Zeroed struct page in unavailable ranges|Reserved but unavailable): /.test(text);
  }

  #seeVersion(version: string, text: string): void {
    if (releasePattern.test(version)) this.release = version;
    this.#compiler = compilerRules.find(([, pattern]) => pattern.test(text))?.[0];
    // distributions name kernels by the size of pages where it is not the usual one
    const named = /[+-](4|16|64)k\b/.exec(version)?.[1];
    if (named !== undefined) this.#pageBytes = Number(named) * 1024;
  }

  #seeZone(zone: string, last: string | undefined): void {
    if (zone === 'DMA' && last !== undefined) {
      this.#byZones = Number.parseInt(last, 16) === isaLastByte ? 'x86' : 'arm64';
    }
  }

  #pageBytesIn(text: string): number | undefined {
    const hash = hashPattern.exec(text);
    const perCpu = perCpuPattern.exec(text);
    const bytes = hash
      ? Number(hash[2]) / 2 ** Number(hash[1])
      : perCpu
        ? Number(perCpu[2]) / Number(perCpu[1])
        : Number(perCpuAllocPattern.exec(text)?.[1]);
    return pageKinds.has(bytes) ? bytes : undefined;
  }

  /**
   * @param forced what the caller knows better.
   * @param memory what is known of it so far: its borders and its sum by node may give the size of pages away.
   * @param file what to call the log in errors.
   * @throws VmemmapError DETECT_FAILED for a machine of another kind.
   */
  decide(forced: PlatformName | undefined, memory: readonly NodeRun[], file: string): FoundPlatform {
    if (forced !== undefined) return { platform: forced, notes: [] };
    const architecture = this.#architecture ?? this.#compiler ?? this.#byZones;
    if (architecture === 'other') {
      const what = `is the log of a machine that is none of ${Object.keys(platforms).join(', ')}`;
      throw new VmemmapError(
        'DETECT_FAILED',
        `${file} ${what}; --platform NAME reads it as one of these all the same`,
        {
          received: file,
        },
      );
    }
    if (architecture === 'x86') return { platform: 'x86-64', notes: [] };
    if (architecture === 'power') return { platform: 'power-64k', notes: [] };
    if (architecture === undefined) {
      return {
        platform: 'x86-64',
        notes: ['The log does not tell its architecture; x86-64 is assumed (--platform says otherwise).'],
      };
    }
    const told = this.#pageBytes ?? this.#countedPageBytes(memory);
    const kind = pageKinds.get(told ?? 4096) ?? '4k';
    const isCertain = told !== undefined || onlySmallPagesFit(memory);
    const note = 'The log does not tell the size of pages; 4 KiB is assumed (--platform says otherwise).';
    return { platform: `arm64-${kind}` as PlatformName, notes: isCertain ? [] : [note] };
  }

  /** Bytes of a node by its pages. */
  #countedPageBytes(memory: readonly NodeRun[]): number | undefined {
    const bytesOfNode = new Map<number, number>();
    for (const { nid, firstByte, lastByte } of memory) {
      bytesOfNode.set(nid, (bytesOfNode.get(nid) ?? 0) + lastByte + 1 - firstByte);
    }
    return [...this.totalPages]
      .map(([nid, pages]) => (bytesOfNode.get(nid) ?? 0) / pages)
      .find((bytes) => pageKinds.has(bytes));
  }
}

/** Whether some memory begins or ends where larger pages do not. */
function onlySmallPagesFit(memory: readonly NodeRun[]): boolean {
  return memory.some(({ firstByte, lastByte }) => firstByte % 16_384 !== 0 || (lastByte + 1) % 16_384 !== 0);
}
