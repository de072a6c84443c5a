/** Tells whether a step's inputs are as they were when it last ran: by time and size, and by content where those differ. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * What was known of one input file. Any difference in time or size leads to a look at the content, so that a checkout that
 * only touches files runs nothing. The change time is there because a restored backup keeps the modification time.
 * @typedef {{ mtimeMs: number, ctimeMs: number, sizeBytes: number, sha256: string }} FileFacts
 *
 * What a step leaves behind when it has succeeded: its input files, and what else it depended on.
 * @typedef {{ files: Record<string, FileFacts>, facts: Record<string, unknown> }} Stamp
 */

/**
 * The files under `inputs`, as paths from `root`: a file stands for itself, a folder for all files of those endings in it.
 * @param {string} root
 * @param {readonly string[]} inputs
 * @param {readonly string[]} endings
 * @returns {string[]}
 */
export function listFiles(root, inputs, endings) {
  /** @type {string[]} */
  const files = [];
  /** @param {string} folder */
  const walk = (folder) => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) walk(path);
      else if (endings.some((ending) => entry.name.endsWith(ending))) files.push(path);
    }
  };
  for (const input of inputs) {
    const stats = statSync(join(root, input), { throwIfNoEntry: false });
    if (stats?.isDirectory()) walk(input);
    else if (stats) files.push(input);
  }
  return files;
}

/**
 * @param {string} path
 * @returns {Omit<FileFacts, 'sha256'>}
 */
function timesOf(path) {
  const { mtimeMs, ctimeMs, size } = statSync(path);
  return { mtimeMs, ctimeMs, sizeBytes: size };
}

/**
 * Takes the facts of files before a step runs, so that a file that changes meanwhile makes the step stale again.
 * @param {string} root
 * @param {readonly string[]} files
 * @returns {Promise<Record<string, FileFacts>>}
 */
export async function takeFacts(root, files) {
  // Only here, because loading it takes longer than all the rest of a start at which nothing changed.
  const { createHash } = await import('node:crypto');
  return Object.fromEntries(
    files.map((file) => {
      const path = join(root, file);
      // Times first: a write between the two then shows as another time at the next start.
      const times = timesOf(path);
      return [file, { ...times, sha256: createHash('sha256').update(readFileSync(path)).digest('hex') }];
    }),
  );
}

/**
 * The stamp, or undefined when there is none that can be read.
 * @param {string} path
 * @returns {Stamp | undefined}
 */
export function readStamp(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    // Absent, cut short by a crash, or from another version: all mean that the step has to run.
    return undefined;
  }
}

/**
 * Writes a stamp in one move: a start at the same time sees the old one, none, or the new one.
 * @param {string} path
 * @param {Stamp} stamp
 */
export function writeStamp(path, stamp) {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify(stamp));
  renameSync(temporary, path);
}

/** @param {string} path */
export function removeStamp(path) {
  rmSync(path, { force: true });
}

/**
 * Whether files and facts are those of the stamp. Where only times changed, the stamp is brought up to date.
 * @param {string} root
 * @param {string} stampPath
 * @param {readonly string[]} files
 * @param {Record<string, unknown>} facts
 * @returns {Promise<boolean>}
 */
export async function matchesStamp(root, stampPath, files, facts) {
  const stamp = readStamp(stampPath);
  if (stamp?.files === undefined || JSON.stringify(stamp.facts) !== JSON.stringify(facts)) return false;
  if (Object.keys(stamp.files).length !== files.length) return false;
  /** @type {string[]} */
  const touched = [];
  for (const file of files) {
    const known = stamp.files[file];
    if (known === undefined) return false;
    const now = timesOf(join(root, file));
    if (now.mtimeMs !== known.mtimeMs || now.ctimeMs !== known.ctimeMs || now.sizeBytes !== known.sizeBytes) {
      touched.push(file);
    }
  }
  if (touched.length === 0) return true;
  const taken = await takeFacts(root, touched);
  if (touched.some((file) => taken[file]?.sha256 !== stamp.files[file]?.sha256)) return false;
  try {
    writeStamp(stampPath, { files: { ...stamp.files, ...taken }, facts });
  } catch {
    // On a read-only disk the contents are compared again at every start, which is slower and still right.
  }
  return true;
}
