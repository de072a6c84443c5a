/** Finds npm, node-gyp, headers and a compiler on this machine, and runs them; nothing here goes to stdout or the network. */
import { accessSync, constants, existsSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

/** Where this Node.js is installed: `bin/node` lies in it. */
const nodePrefix = dirname(dirname(process.execPath));

/** A set-up that failed: the message is for people and says what to do. */
export class SetupError extends Error {}

/** @type {readonly NodeJS.Signals[]} */
const interruptions = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Runs a Node.js program and keeps what it prints, for the case that it fails: stdout belongs to the command alone.
 * @param {string} what what it does, for the message when it fails.
 * @param {string} script
 * @param {readonly string[]} args
 * @param {{ cwd: string, advice: string, env?: Record<string, string> }} options
 * @returns {Promise<void>}
 */
export async function runNode(what, script, args, { cwd, advice, env = {} }) {
  const { spawn } = await import('node:child_process');
  const child = spawn(process.execPath, [script, ...args], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const keep = (/** @type {string} */ text) => {
    output += text;
  };
  // Whoever interrupts the set-up must not leave npm behind, still writing where the next set-up begins.
  /** @type {string | undefined} */
  let interruption;
  const interrupt = (/** @type {NodeJS.Signals} */ signal) => {
    interruption = signal;
    child.kill('SIGTERM');
  };
  for (const signal of interruptions) process.on(signal, interrupt);
  child.stdout.setEncoding('utf8').on('data', keep);
  child.stderr.setEncoding('utf8').on('data', keep);
  /** @type {string} */
  const outcome = await new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (status, signal) =>
      resolve(status === 0 ? '' : signal ? `killed by ${signal}` : `exit status ${status}`),
    );
  });
  for (const signal of interruptions) process.off(signal, interrupt);
  if (interruption !== undefined) throw new SetupError(`interrupted (${interruption}); start again to go on`);
  if (outcome === '') return;
  throw new SetupError(`${what} failed (${outcome})${excerpt(output)}\n${advice}`);
}

/**
 * The part of a tool's output that tells: npm says first what is wrong and compilers and make last.
 * @param {string} output
 */
function excerpt(output) {
  const [headLines, tailLines] = [10, 20];
  const lines = output.trim().split('\n');
  if (lines.length > headLines + tailLines) lines.splice(headLines, lines.length - headLines - tailLines, '…');
  return output.trim() === '' ? '' : `:\n${lines.join('\n')}`;
}

/**
 * The first path that exists.
 * @param {readonly (string | undefined)[]} paths
 * @returns {string | undefined}
 */
function firstPresent(paths) {
  return paths.find((path) => path !== undefined && path !== '' && existsSync(path));
}

/**
 * Where a program is that the shell would run.
 * @param {string} program
 * @returns {string | undefined}
 */
function inPath(program) {
  const folders = program.includes('/') ? [''] : (process.env['PATH'] ?? '').split(delimiter);
  return folders
    .map((folder) => join(folder, program))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** Folders that npm may lie in: the one that runs us, and where distributions and installers put it. */
function npmFolders() {
  const { npm_execpath: running } = process.env;
  const installed = inPath('npm');
  const programs = [running, installed && realpathSync(installed)];
  return [
    ...programs.flatMap((program) => (program?.endsWith('npm-cli.js') ? [dirname(dirname(program))] : [])),
    join(nodePrefix, 'lib/node_modules/npm'),
    join(nodePrefix, 'share/nodejs/npm'),
  ];
}

/**
 * npm's program, to be run by Node.js.
 * @returns {string | undefined}
 */
export function findNpm() {
  return firstPresent(npmFolders().map((folder) => join(folder, 'bin/npm-cli.js')));
}

/**
 * The node-gyp that npm brings along.
 * @returns {string | undefined}
 */
export function findNodeGyp() {
  return firstPresent([
    process.env['npm_config_node_gyp'],
    ...npmFolders().map((folder) => join(folder, 'node_modules/node-gyp/bin/node-gyp.js')),
    join(nodePrefix, 'share/nodejs/node-gyp/bin/node-gyp.js'),
  ]);
}

/**
 * A folder for node-gyp's --nodedir. Without one node-gyp would download headers, so it is never run without.
 * @returns {string | undefined}
 */
export function findHeaders() {
  const folders = [
    process.env['npm_config_nodedir'],
    nodePrefix,
    // Debian's libnode-dev.
    '/usr/include/nodejs',
    '/usr',
    // What an earlier node-gyp has downloaded for this very version.
    join(homedir(), '.cache/node-gyp', process.versions.node),
  ];
  return folders.find(
    (folder) =>
      folder !== undefined &&
      // An installation, or a source tree.
      (existsSync(join(folder, 'include/node/node_api.h')) || existsSync(join(folder, 'src/node_api.h'))),
  );
}

/**
 * What the addon cannot be built without and what is not here, as a person should read it. Cheap: it looks and starts nothing.
 * @returns {string[]}
 */
export function missingBuildTools() {
  // CXX may hold options behind the program: "ccache g++".
  const compiler = process.env['CXX']?.trim().split(/\s+/)[0] || 'g++';
  const python = process.env['npm_config_python'] || process.env['PYTHON'] || 'python3';
  const programs = [compiler, 'make', python].filter((program) => inPath(program) === undefined);
  return [
    ...(programs.length > 0 ? [`${programs.join(', ')} (on Debian: apt-get install g++ make python3)`] : []),
    ...(findHeaders() ? [] : ['the headers of Node.js (npm_config_nodedir may name where include/node is)']),
    ...(findNodeGyp() ? [] : ['node-gyp (comes with npm)']),
  ];
}
