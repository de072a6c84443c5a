/** What a kernel said that it made of its memory, as far as a boot log holds it. */
import type { PfnExtent } from '../geometry.ts';

/** One zone of one node, as "On node N totalpages" and /proc/zoneinfo tell it; only what was printed is there. */
export interface ZoneAnswer {
  readonly nid: number;
  /** Zone number as in Linux. */
  readonly zone: number;
  /** `spanned` of /proc/zoneinfo. */
  readonly spannedPages?: number;
  /** `present` of /proc/zoneinfo, and the pages before `LIFO batch`. */
  readonly presentPages?: number;
  /** `managed` of /proc/zoneinfo. */
  readonly managedPages?: number;
  /** `pages used for memmap`. */
  readonly memmapPages?: number;
  /** `pages reserved`. */
  readonly reservedPages?: number;
}

/** One node. */
export interface NodeAnswer {
  readonly nid: number;
  /** As in "Initmem setup node"; absent for a node without memory. */
  readonly startPfn?: number;
  readonly endPfn?: number;
  readonly totalPages?: number;
  /** Memory that its memmap takes, where memblock=debug was given. */
  readonly memmapBytes?: number;
}

/** Pages that exist in sections with memory, and are none: by the rule that the kernel has. */
export interface UnavailableAnswer {
  /** `memblock-reserved`: 4.19; `zeroed`: 4.20 to 5.11; `per-zone`: since 5.12. */
  readonly rule: 'memblock-reserved' | 'zeroed' | 'per-zone';
  readonly totalPages: number;
  /** Line by line, for `per-zone` only. */
  readonly lines: readonly { readonly nid: number; readonly zone: number; readonly pages: number }[];
}

/** What a node took to initialize the rest of its descriptors. */
export interface DeferredAnswer {
  readonly nid: number;
  readonly ms: number;
  /** Told by older kernels. */
  readonly pages?: number;
}

/** What the log holds; what it does not is absent, or empty. */
export interface KernelAnswers {
  /** "Early memory node ranges", line by line. */
  readonly earlyRanges: readonly (PfnExtent & { readonly nid: number })[];
  /** "Zone ranges"; `[0, 0)` for one that is empty. */
  readonly zoneRanges: readonly (PfnExtent & { readonly zone: number })[];
  /** By nid. */
  readonly nodes: readonly NodeAnswer[];
  /** By nid and zone. */
  readonly zones: readonly ZoneAnswer[];
  readonly unavailable?: UnavailableAnswer;
  /** "Total pages" of "Built N zonelists". */
  readonly totalPages?: number;
  /** "Memory: availableK/totalK available (…, reservedK reserved". */
  readonly memory?: { readonly availableKib: number; readonly totalKib: number; readonly reservedKib: number };
  /** "Memory block size". */
  readonly memoryBlockBytes?: number;
  readonly deferred?: readonly DeferredAnswer[];
}
