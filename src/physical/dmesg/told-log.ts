/** What both readers of a boot log begin with, the one of the machine and the one of the kernel's answers: which boot, and which pages. */
import type { RefuseLine } from '../caret.ts';
import { type Platform, type PlatformName, platforms } from '../platforms.ts';
import { type Boot, lastBoot } from './boots.ts';
import { type Collected, collect } from './collected.ts';
import type { EarlyRun } from './early.ts';
import { checkLength, refuser } from './lines.ts';

/** What the caller knows about a log. */
export interface DmesgOptions {
  /** What to call the log in errors. */
  readonly file?: string | undefined;
  /** Architecture and page size, where they are known better than the log tells. */
  readonly platform?: PlatformName | undefined;
}

/** A log whose boot, platform and early ranges are known. */
export interface ToldLog {
  /** As errors call it. */
  readonly file: string;
  readonly refuse: RefuseLine;
  readonly boot: Boot;
  readonly told: Collected;
  readonly platform: Platform;
  /** What had to be guessed of the platform. */
  readonly platformNotes: readonly string[];
  /** "Early memory node ranges"; empty where the log does not hold them. */
  readonly early: readonly EarlyRun[];
}

/** @throws VmemmapError DMESG_SYNTAX, DETECT_FAILED when the machine is of no known platform */
export function readLog(log: string, { file = 'the boot log', platform: wanted }: DmesgOptions): ToldLog {
  const refuse = refuser(log, file);
  checkLength(log, refuse);
  const boot = lastBoot(log);
  const told = collect(log, boot);
  // the early ranges are read in pages, and where nothing else tells how large these are, the ranges do
  const { platform: first } = told.hints.decide(wanted, [], file);
  const early = told.early.isTold ? told.early.runs(platforms[first].pageSizeBytes, refuse) : [];
  const { platform, notes } = told.hints.decide(wanted, early, file);
  return { file, refuse, boot, told, platform: platforms[platform], platformNotes: notes, early };
}
