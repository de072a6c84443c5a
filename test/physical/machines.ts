/** Machines of real boot logs: what is known of them by hand, and the logs themselves where they are at hand. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { KernelAnswers } from '../../dist/src/physical/dmesg/answers.js';
import type { Topology } from '../../dist/src/physical/topology.js';

/** A fixture of test/fixtures/machines: which memory the machine has, and what its kernel said. */
export interface Machine {
  /** File name of the log. */
  readonly capture: string;
  readonly what: string;
  readonly release?: string;
  readonly topology: Omit<Topology, 'source' | 'notes'>;
  /** Those of a boot log; other captures have figures of their own. */
  readonly answers: KernelAnswers;
}

const fixtures = new URL('../fixtures/machines/', import.meta.url);
const captures = new URL('../../../shared/captures/', import.meta.url);

/** One fixture, by its name without `.json`. */
export function machine(name: string): Machine {
  return JSON.parse(readFileSync(new URL(`${name}.json`, fixtures), 'utf8')) as Machine;
}

/** All machines of which there is a boot log, by name. */
export const bootedMachines: readonly (readonly [string, Machine])[] = readdirSync(fixtures)
  .filter((file) => file.endsWith('.json'))
  .map((file) => [file.slice(0, -'.json'.length), machine(file.slice(0, -'.json'.length))] as const)
  .filter(([, { answers }]) => answers.earlyRanges !== undefined);

/** Why captures cannot be read; empty when they can. */
export const noCaptures: string = existsSync(captures) ? '' : `there is no folder ${fileURLToPath(captures)}`;
if (noCaptures !== '') process.stderr.write(`skipped, what is read from real captures: ${noCaptures}\n`);

/** The text of a capture. */
export function captureOf(file: string): string {
  return readFileSync(new URL(file, captures), 'utf8');
}
