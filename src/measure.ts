/** The main job, measured: opens a memmap, faults at random while the background runs, verifies, and tells how it went. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultOutcome } from './claims/claimant.ts';
import type { FaultOrder } from './claims/fault.ts';
import { VmemmapError } from './errors.ts';
import { Memmap } from './memmap.ts';
import type { FaultReport, InitReport, Milestone } from './observe/init-report.ts';
import { rangeReport } from './observe/inspect.ts';
import type { Progress } from './observe/progress.ts';
import { seededRandom } from './observe/random.ts';
import { nothingVerified, type VerifyResult } from './observe/verify.ts';
import { checkOptions, type OpenOptions } from './options.ts';
import { roundDown } from './physical/geometry.ts';
import { platformOf } from './physical/platforms.ts';

/** What to do beside initializing. */
export interface MeasureOptions {
  /** Random foreground faults while the background runs. */
  readonly faults: number;
  /** Seed of the faults. */
  readonly seed: number;
  readonly verify: boolean;
  /** Told when the memmap is open, before the first fault. */
  readonly onOpen?: (memmap: Memmap) => void;
  /** Told from time to time how far it is. */
  readonly onProgress?: (progress: Progress) => void;
}

const progressIntervalMs = 25;
/** Pause between two faults while the background runs: their cost is to be seen, not to do the background's work. */
const faultIntervalMs = 1;
/** Shares of a node that are told. */
const shares: readonly number[] = [0.25, 0.5, 0.75, 1];

/** Options of a memmap of page descriptors: a table of the user's own records has nothing to report about a machine. */
export type MachineOptions = Omit<OpenOptions, 'slots' | 'template' | 'indexWord'>;

/**
 * Opens, faults, waits, verifies and closes.
 * @throws VmemmapError VERIFY_WRONG, or CHUNK_FAILED for what was verified, with the report as `received` @throws the reason of `options.signal` when it is aborted
 */
export async function measureInit(options: MachineOptions, measure: MeasureOptions): Promise<InitReport> {
  // read beforehand: how long the machine's files take is no part of openMs
  const { topology, profile, signal } = checkOptions(options);
  const startMs = performance.now();
  const memmap = await Memmap.open({ ...options, topology });
  const openMs = performance.now() - startMs;
  try {
    measure.onOpen?.(memmap);
    const random = seededRandom(measure.seed);
    const first = timeFault(memmap, randomPfn(memmap, random), 0);
    const watched = watch(memmap, measure, startMs);
    const readyAt = memmap.ready.then(() => performance.now());
    readyAt.catch(() => {});
    const faults = await faultAtRandom(memmap, measure, random, signal);
    await memmap.sync(signal ? { signal } : {});
    const totalMs = (await readyAt) - startMs;
    // what is in a file is done when it is on the media
    const durableMs = await durableAt(memmap, signal, startMs);
    const milestones = await watched;
    const verifyStartMs = performance.now();
    const verified = measure.verify ? await unlessAborted(memmap.verify(), signal) : nothingVerified;
    const verifyMs = performance.now() - verifyStartMs;
    const residency = memmap.residency();
    const stats = memmap.stats();
    const report: InitReport = {
      pages: memmap.pages,
      ranges: memmap.ranges.map(rangeReport),
      source: topology.source,
      notes: topology.notes,
      policy: memmap.policy,
      profile,
      platform: platformOf(topology.platform).name,
      threads: stats.workers.threads,
      storePath: stats.storePath,
      backing: memmap.backing,
      openMs,
      firstFaultUs: first.us,
      totalMs,
      pagesPerSecond: memmap.pages / (totalMs / 1000),
      durableMs,
      milestones,
      faults,
      verify: { checked: verified.checked, wrong: verified.wrong, failed: verified.failed, ms: verifyMs },
      resumed: memmap.resumed,
      residentBytes: residency?.residentBytes ?? null,
      peakResidentBytes: process.resourceUsage().maxRSS * 1024,
      workerFailures: stats.workers.failures.length,
    };
    refuseBad(verified, report);
    return report;
  } finally {
    await memmap.close();
  }
}

/** @throws VmemmapError VERIFY_WRONG, CHUNK_FAILED, both with the report as `received` */
function refuseBad({ wrong, checked, failed, firstWrongPfn }: VerifyResult, report: InitReport): void {
  if (wrong > 0) {
    // what was kept in a file may have been changed by its users since
    const why = report.resumed.chunksKept > 0 ? 'what a user has changed differs, too' : 'please report it';
    const what = `${wrong} of ${checked} descriptors are wrong, the first at pfn ${firstWrongPfn}; ${why}`;
    throw new VmemmapError('VERIFY_WRONG', what, { received: report });
  }
  if (failed > 0) {
    const what = `${failed} descriptors cannot be read; see the kernel's log for errors of the media`;
    throw new VmemmapError('CHUNK_FAILED', what, { received: report });
  }
}

/** When all was on the media, in milliseconds since `startMs`; null where there is none. */
async function durableAt(memmap: Memmap, signal: AbortSignal | undefined, startMs: number): Promise<number | null> {
  if (memmap.durability === 'none') return null;
  await unlessAborted(memmap.durable, signal);
  return performance.now() - startMs;
}

/** What was promised, or the signal's reason as soon as it is aborted. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  signal.throwIfAborted();
  let abort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Notes when each node's shares were ready, by looking every 25 ms. */
async function watch(memmap: Memmap, { onProgress }: MeasureOptions, startMs: number): Promise<Milestone[]> {
  const milestones: Milestone[] = [];
  const reached = new Map<number, number>();
  for await (const progress of memmap.progress({ intervalMs: progressIntervalMs })) {
    const ms = performance.now() - startMs;
    onProgress?.(progress);
    for (const { nid, pages, pagesReady } of progress.nodes) {
      let next = reached.get(nid) ?? 0;
      for (; next < shares.length && pagesReady >= pages * (shares[next] as number); next++) {
        milestones.push({ nid, share: shares[next] as number, ms });
      }
      reached.set(nid, next);
    }
  }
  return milestones;
}

/** A pfn that exists, each equally likely. */
function randomPfn(memmap: Memmap, random: () => number): number {
  let page = Math.floor(random() * memmap.pages);
  for (const range of memmap.ranges) {
    if (page < range.pages) return range.startPfn + page;
    page -= range.pages;
  }
  throw new RangeError('the topology has no memory');
}

/** Most faults are of 4 KiB, some of 2 MiB, few of 1 GiB; large ones are aligned as the kernel's are. */
function randomOrder(random: () => number): FaultOrder {
  const draw = random();
  return draw < 0.9 ? 0 : draw < 0.99 ? 9 : 18;
}

function timeFault(memmap: Memmap, pfn: number, order: FaultOrder): { us: number; outcome: FaultOutcome } {
  const startMs = performance.now();
  const outcome = memmap.fault(pfn, order);
  return { us: (performance.now() - startMs) * 1000, outcome };
}

/** Faults until the number is reached, or the background has failed: whoever waits for it then is told why. */
async function faultAtRandom(
  memmap: Memmap,
  { faults, seed }: MeasureOptions,
  random: () => number,
  signal: AbortSignal | undefined,
): Promise<FaultReport> {
  const latenciesUs = new Float64Array(faults);
  const outcomes: Record<FaultOutcome, number> = { ready: 0, claimed: 0, waited: 0 };
  let background = 'active' as 'active' | 'ready' | 'failed';
  const ended = (outcome: 'ready' | 'failed') => (): void => {
    background = outcome;
  };
  memmap.ready.then(ended('ready'), ended('failed'));
  for (let i = 0; i < faults && background !== 'failed'; i++) {
    const pfn = randomPfn(memmap, random);
    const order = randomOrder(random);
    const aligned = Math.max(roundDown(pfn, 2 ** order), memmap.rangeOf(pfn).startPfn);
    const { us, outcome } = timeFault(memmap, aligned, order);
    latenciesUs[i] = us;
    outcomes[outcome]++;
    if (background === 'active') await sleep(faultIntervalMs);
    signal?.throwIfAborted();
  }
  latenciesUs.sort();
  const percentile = (share: number): number | null => latenciesUs[Math.ceil(share * faults) - 1] ?? null;
  return {
    count: faults,
    seed,
    p50Us: percentile(0.5),
    p99Us: percentile(0.99),
    maxUs: percentile(1),
    claimed: outcomes.claimed,
    waited: outcomes.waited,
    alreadyReady: outcomes.ready,
  };
}
