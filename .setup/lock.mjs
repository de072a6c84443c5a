/** Lets one set-up of this folder work at a time, and takes over from one that died. */
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

const pollMs = 100;
/** After this long a start that waits says so; a set-up that is about done is not worth a line. */
const silentWaitMs = 1000;
/** Breaking a lock takes microseconds; whoever has been at it for this long has died there. */
const breakerMsMax = 10_000;

/** @param {unknown} error */
const codeOf = (error) => /** @type {NodeJS.ErrnoException} */ (error).code;

/**
 * When a process started, in clock ticks since boot: with its pid that names it for good, as pids come round again.
 * Empty where there is no /proc.
 * @param {number} pid
 */
function startOf(pid) {
  try {
    // The name of the program stands in parentheses and may hold blanks; the start time is the 20th field behind it.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

/**
 * @param {string} path
 * @returns {boolean} whether the file is ours now; false when it was there already.
 */
function create(path) {
  try {
    writeFileSync(path, `${process.pid} ${startOf(process.pid)}`, { flag: 'wx' });
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/**
 * The process that holds a lock: its pid, 0 when it is unknown, and undefined when there is no lock.
 * @param {string} path
 */
function holderOf(path) {
  try {
    const [pid = '0', start = ''] = readFileSync(path, 'utf8').split(' ');
    return { pid: Number(pid), start };
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * @param {string} path
 * @returns {boolean} whether the lock is there and its holder is not.
 */
function isStale(path) {
  const holder = holderOf(path);
  if (holder === undefined) return false;
  // Empty: its holder is between creating and writing it, or died there.
  if (!(holder.pid > 0)) return ageMs(path) > breakerMsMax;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    // EPERM: somebody else's process, but it lives.
    if (codeOf(error) === 'ESRCH') return true;
  }
  return holder.start !== '' && startOf(holder.pid) !== holder.start;
}

/** @param {string} path */
function ageMs(path) {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats ? Date.now() - stats.mtimeMs : 0;
}

/**
 * Removes a stale lock. Two that find it stale must not both remove it, or the second would remove the lock that the first
 * has taken since: so only the holder of a second lock looks again and removes.
 * @param {string} path
 */
function breakStale(path) {
  const breaker = `${path}.breaker`;
  if (!create(breaker)) {
    if (ageMs(breaker) > breakerMsMax) rmSync(breaker, { force: true });
    return;
  }
  try {
    if (isStale(path)) rmSync(path, { force: true });
  } finally {
    rmSync(breaker, { force: true });
  }
}

/**
 * Runs `work` while nobody else does.
 * @param {string} path where the lock is; the folder is made.
 * @param {(line: string) => void} log
 * @param {() => Promise<void>} work
 */
export async function withLock(path, log, work) {
  mkdirSync(dirname(path), { recursive: true });
  const startMs = Date.now();
  let told = false;
  while (!create(path)) {
    if (isStale(path)) breakStale(path);
    if (!told && Date.now() - startMs > silentWaitMs) {
      told = true;
      log(`waiting for another set-up (process ${holderOf(path)?.pid ?? 'unknown'})…`);
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  try {
    await work();
  } finally {
    rmSync(path, { force: true });
  }
}
