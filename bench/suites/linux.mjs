/** Linux's own initializers, in the emulated machine of test/testbed, on the same number of pages. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { conditions } from '../support/record.mjs';

export const title = "Beside Linux's own initializers, in an emulated machine";

/** Exit status of the testbed where it lacks packages. */
const statusMissing = 77;

/** @param {{ tiny: boolean, trials: number }} settings */
export function run({ tiny, trials }) {
  const script = fileURLToPath(new URL('../linux.mjs', import.meta.url));
  const words = [script, '--json', ...(tiny ? ['--tiny'] : ['--rounds', String(trials)])];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (status === statusMissing) return { skipped: stderr.trim() };
  if (status !== 0) throw new Error(`bench/linux.mjs failed (exit status ${status}):\n${stderr}`);
  return JSON.parse(stdout).map((figure) => ({
    suite: 'linux',
    ...figure,
    conditions: conditions('linux', figure.conditions),
  }));
}
