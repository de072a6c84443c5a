/** Whether the tests that need the testbed run: they take a minute and packages that not everybody has. */
import { whatIsMissing } from './requirements.mjs';

const wanted = process.env['VMEMMAP_TESTBED'] === '1';

/** Asked for without what it needs they run, and fail by telling what is missing. */
export const skipReason: string | undefined = wanted
  ? undefined
  : `VMEMMAP_TESTBED=1 is not set${whatIsMissing() === undefined ? '' : ', and node test/testbed/install.mjs is to be run first'}`;

if (skipReason !== undefined) process.stderr.write(`skipped, the testbed: ${skipReason}\n`);

/** The name with the reason, where a reader of the output looks for it. */
export function named(name: string): string {
  return skipReason === undefined ? name : `${name} (skipped: ${skipReason})`;
}

/** A boot takes ten seconds, and very much longer on a machine that is busy. */
export const bootTimeoutMs = 300_000;
