/**
 * Brings a clone to where its commands can run: installs, compiles and builds what is missing or out of date, and nothing
 * else. Prints to stderr only. Run alone (`npm run build`) it takes the names of steps, all by default.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { matchesStamp, removeStamp, takeFacts, writeStamp } from './stamp.mjs';
import { steps as allSteps, optionalSteps } from './steps.mjs';
import { SetupError } from './tools.mjs';

/** @typedef {import('./steps.mjs').Step} Step */

const projectRoot = fileURLToPath(new URL('..', import.meta.url));

/** @param {string} line */
function logToStderr(line) {
  process.stderr.write(`vmemmap: ${line}\n`);
}

/**
 * @param {string} root
 * @param {Step} step
 */
async function isFresh(root, step) {
  return (
    step.isComplete(root) && (await matchesStamp(root, join(root, step.stamp), step.files(root), step.facts(root)))
  );
}

/**
 * @param {string} root
 * @param {Step} step
 * @param {(line: string) => void} log
 */
async function carryOut(root, step, log) {
  const stampPath = join(root, step.stamp);
  // Gone before the first change: a start in the middle of it must wait and not run half of the old and half of the new.
  removeStamp(stampPath);
  const files = await takeFacts(root, step.files(root));
  await step.run(root, log);
  // Facts are taken behind the run, which may have changed them: an addon that is there needs no compiler any more.
  writeStamp(stampPath, { files, facts: step.facts(root) });
}

/** @param {string} root */
function checkNode(root) {
  /** @type {string} */
  const wanted = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.node;
  const [major = 0, minor = 0] = wanted.replace('>=', '').split('.').map(Number);
  const [thisMajor = 0, thisMinor = 0] = process.versions.node.split('.').map(Number);
  if (thisMajor > major || (thisMajor === major && thisMinor >= minor)) return;
  throw new SetupError(`Node.js ${wanted} is needed; this is ${process.versions.node}`);
}

/**
 * Carries out the steps that are stale, in order, and waits for another set-up of this folder. Throws a SetupError.
 * @param {{ root?: string, steps?: readonly Step[], log?: (line: string) => void }} [options]
 * @returns {Promise<void>}
 */
export async function ensure({ root = projectRoot, steps = allSteps, log = logToStderr } = {}) {
  checkNode(root);
  const wanted = steps.filter((step) => step.name !== 'addon' || process.env['VMEMMAP_ADDON'] !== 'off');
  let fresh = true;
  for (const step of wanted) fresh &&= await isFresh(root, step);
  if (fresh) return;
  const { withLock } = await import('./lock.mjs');
  await withLock(join(root, 'build/.setup-lock'), log, async () => {
    // Looked at again: whoever held the lock before has probably done it.
    for (const step of wanted) if (!(await isFresh(root, step))) await carryOut(root, step, log);
  });
}

/**
 * Whether the file system did not let us write.
 * @param {unknown} error
 * @returns {error is NodeJS.ErrnoException}
 */
function isRefusal(error) {
  return error instanceof Error && 'code' in error && ['EACCES', 'EROFS', 'ENOSPC'].includes(String(error.code));
}

/**
 * As `ensure`, for programs: a failure is told on stderr and ends the process with status 1.
 * @param {readonly string[]} [names] the steps that are needed; by default all but the optional ones.
 * @returns {Promise<void>}
 */
export async function setUp(names = []) {
  const known = [...allSteps, ...optionalSteps];
  try {
    const unknown = names.find((name) => !known.some((step) => step.name === name));
    if (unknown !== undefined) {
      throw new SetupError(`no step is called ${unknown}; there are ${known.map((step) => step.name).join(', ')}`);
    }
    await ensure(names.length === 0 ? {} : { steps: known.filter((step) => names.includes(step.name)) });
  } catch (error) {
    if (error instanceof SetupError) logToStderr(error.message);
    else if (isRefusal(error))
      logToStderr(`set-up failed: ${error.message}; this folder must be writable and have space`);
    else logToStderr(`set-up failed: ${error instanceof Error ? error.stack : error}`);
    process.exit(1);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await setUp(process.argv.slice(2));
