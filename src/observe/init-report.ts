/** How a run of the main job went: the object that `--json` prints. Its keys are a contract that scripts rely on. */
import type { PlatformName } from '../physical/platforms.ts';
import type { MemoryKind, TopologySource } from '../physical/topology.ts';
import type { PageUse, ZoneName } from '../physical/zones.ts';
import type { BackingReport } from '../region/backing.ts';

/** A range as reports and scripts see it. */
export interface RangeReport {
  readonly nid: number;
  readonly zone: ZoneName;
  readonly kind: MemoryKind;
  readonly startPfn: number;
  readonly endPfn: number;
  readonly pages: number;
  /** How many pages are of which use; those of uses that do not occur are 0. */
  readonly uses: Readonly<Record<PageUse, number>>;
  readonly chunkPages: number;
  readonly chunks: number;
}

/** Latencies of the random faults, in microseconds; null where there were none. */
export interface FaultReport {
  readonly count: number;
  readonly seed: number;
  readonly p50Us: number | null;
  readonly p99Us: number | null;
  readonly maxUs: number | null;
  readonly claimed: number;
  readonly waited: number;
  readonly alreadyReady: number;
}

/** When a share of a node's pages was ready, in milliseconds since open was called. */
export interface Milestone {
  readonly nid: number;
  readonly share: number;
  readonly ms: number;
}

/** How a run went: the object that `--json` prints. Its keys are a contract. */
export interface InitReport {
  readonly pages: number;
  readonly ranges: readonly RangeReport[];
  readonly source: TopologySource;
  readonly notes: readonly string[];
  readonly policy: string;
  readonly profile: string;
  /** What kind of machine: it tells how large pages are. */
  readonly platform: PlatformName;
  /** Worker threads in all. */
  readonly threads: number;
  readonly storePath: string;
  readonly backing: BackingReport;
  /** Milliseconds until `open` returned: from then on any pfn can be faulted. */
  readonly openMs: number;
  /** Microseconds of one order-0 fault right after open. */
  readonly firstFaultUs: number;
  /** Milliseconds from the call of open until every descriptor was initialized. First touch: memory is fresh. */
  readonly totalMs: number;
  readonly pagesPerSecond: number;
  /** Milliseconds from the call of open until every descriptor had reached the media; null where there is none. */
  readonly durableMs: number | null;
  readonly milestones: readonly Milestone[];
  readonly faults: FaultReport;
  readonly verify: { readonly checked: number; readonly wrong: number; readonly failed: number; readonly ms: number };
  /** Chunks that were found initialized in the file, and those that were not; zeros where none was there. */
  readonly resumed: { readonly chunksKept: number; readonly chunksRedone: number };
  /** Bytes of descriptors in memory at the end, as the kernel tells; null without the addon. */
  readonly residentBytes: number | null;
  /** Most that the whole process had in memory, in bytes. */
  readonly peakResidentBytes: number;
  /** Worker threads that died or could not be loaded. */
  readonly workerFailures: number;
}
