/** The steps of the set-up in their order: packages, compiled TypeScript, the native addon. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { listFiles } from './stamp.mjs';
import { findHeaders, findNodeGyp, findNpm, missingBuildTools, runNode, SetupError } from './tools.mjs';

/**
 * @typedef {object} Step
 * @property {string} name
 * @property {string} stamp where its stamp lies: beside what it makes, so that both are removed together.
 * @property {(root: string) => string[]} files its inputs.
 * @property {(root: string) => Record<string, unknown>} facts what else it depends on.
 * @property {(root: string) => boolean} isComplete whether what it makes is there.
 * @property {(root: string, log: (line: string) => void) => Promise<void>} run
 */

/**
 * Whether node_modules already holds what the lock file asks for, because somebody ran npm: then there is nothing to do.
 * @param {string} root
 */
function isInstalled(root) {
  const installedPath = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(installedPath)) return false;
  const installed = JSON.parse(readFileSync(installedPath, 'utf8')).packages;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(wanted).every(
    ([path, entry]) =>
      // '' is the project itself; optional ones may be for other machines.
      path === '' || (installed[path] ? installed[path].version === entry.version : entry.optional === true),
  );
}

/** @type {Step} */
const packages = {
  name: 'packages',
  stamp: 'node_modules/.setup.json',
  files: (root) => listFiles(root, ['package-lock.json'], []),
  // Some packages hold programs for one kind of machine, and a folder may be shared between two.
  facts: () => ({ platform: process.platform, arch: process.arch }),
  isComplete: (root) => existsSync(join(root, 'node_modules/.package-lock.json')),
  async run(root, log) {
    if (isInstalled(root)) return;
    const npm = findNpm();
    if (npm === undefined) throw new SetupError('npm was not found beside Node.js; run `npm ci` by hand');
    log('installing packages…');
    // Development packages whatever NODE_ENV says: the compiler is one. The level, because .npmrc makes npm silent.
    await runNode('npm ci', npm, ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: root,
      advice:
        'Can the npm registry that your npm is set up for be reached? After a change of dependencies, see .setup/complete-lock.mjs.',
    });
  },
};

const sourceFolders = ['src', 'workers'];
const outputEndings = ['.js', '.js.map', '.d.ts', '.d.ts.map'];

/** @param {string} root */
const sources = (root) => listFiles(root, sourceFolders, ['.ts']);

/**
 * Removes what was compiled from files that are gone: a worker or a test could still load it.
 * @param {string} root
 */
function removeOrphans(root) {
  const wanted = new Set(
    sources(root).flatMap((source) => outputEndings.map((ending) => `dist/${source.replace(/\.ts$/, ending)}`)),
  );
  const present = listFiles(
    root,
    sourceFolders.map((folder) => `dist/${folder}`),
    outputEndings,
  );
  for (const output of present) if (!wanted.has(output)) rmSync(join(root, output));
}

/** The worker in one file that needs no module loader: see workers/worker.ts. */
const workerBundle = 'dist/workers/worker.cjs';

/** @param {string} root */
const isCompiled = (root) =>
  sources(root).every((source) => existsSync(join(root, 'dist', source.replace(/\.ts$/, '.js'))));

/** @type {Step} */
const dist = {
  name: 'dist',
  stamp: 'dist/.setup.json',
  // The lock file, because it names the compiler's version.
  files: (root) => [...sources(root), ...listFiles(root, ['tsconfig.json', 'package-lock.json'], [])],
  facts: () => ({}),
  isComplete: (root) => isCompiled(root) && existsSync(join(root, workerBundle)),
  async run(root, log) {
    log('compiling TypeScript…');
    // The compiler believes its notes of the last run: it would not write again what was deleted since.
    if (!isCompiled(root)) rmSync(join(root, 'dist/.tsbuildinfo'), { force: true });
    removeOrphans(root);
    await runNode(
      'tsc',
      join(root, 'node_modules/typescript/bin/tsc'),
      ['--project', 'tsconfig.json', '--pretty', 'false'],
      {
        cwd: root,
        advice: 'Correct these errors; if they are not yours: rm -rf dist node_modules, and try again.',
      },
    );
    const bundled = ['dist/workers/worker.js', '--format', 'cjs', '--platform', 'node', '--file', workerBundle];
    await runNode('rolldown', join(root, 'node_modules/rolldown/bin/cli.mjs'), [...bundled, '--log-level', 'warn'], {
      cwd: root,
      advice: 'The worker is bundled from dist/workers/worker.js.',
    });
    // The addon's copy of the layout follows the table at once; that it was committed, too, is checked elsewhere.
    await runNode('writing the C++ header', join(root, '.setup/generate-header.mjs'), [], {
      cwd: root,
      advice: 'The header is made from src/descriptor/layout.ts.',
    });
  },
};

const addonBinary = 'build/Release/vmemmap.node';
const onlyLinux = 'Linux';

/**
 * What keeps the addon from being built here; nothing once it is there.
 * @param {string} root
 */
function addonObstacles(root) {
  if (process.platform !== 'linux') return [onlyLinux];
  return existsSync(join(root, addonBinary)) ? [] : missingBuildTools();
}

/** @type {Step} */
const addon = {
  name: 'addon',
  stamp: 'build/.setup.json',
  files: (root) =>
    listFiles(root, ['native', 'binding.gyp'], ['.cc', '.h']).filter((file) => !file.startsWith('native/test/')),
  // Not the version of Node.js: one Node-API binary serves them all. The obstacles are looked up at every start as long as
  // there are some, so that a compiler that was installed is used.
  facts: (root) => ({ platform: process.platform, arch: process.arch, obstacles: addonObstacles(root) }),
  // Without it everything but files and tuning works, so that not having it is complete, too, if it was told.
  isComplete: () => true,
  async run(root, log) {
    // Never leave one that was made from other sources.
    rmSync(join(root, addonBinary), { force: true });
    const obstacles = addonObstacles(root);
    if (obstacles.length > 0) {
      const what = obstacles[0] === onlyLinux ? 'it needs Linux' : `${obstacles.join(', ')} not found`;
      log(`the native addon is not built: ${what}; the JavaScript kernel does its work`);
      return;
    }
    log('building the native addon…');
    const [nodeGyp, headers] = [findNodeGyp(), findHeaders()];
    if (nodeGyp === undefined || headers === undefined) throw new SetupError('build tools vanished during the set-up');
    await runNode('node-gyp', nodeGyp, ['configure', 'build', `--nodedir=${headers}`, '--loglevel=error'], {
      cwd: root,
      advice: 'VMEMMAP_ADDON=off goes on without the addon.',
      // npm's silence would silence node-gyp's errors as well.
      env: { npm_config_loglevel: 'error' },
    });
  },
};

/** @type {Step} */
const roofline = {
  name: 'roofline',
  stamp: 'build/.roofline.json',
  files: (root) => listFiles(root, ['bench', 'native', 'binding.gyp'], ['.cc', '.h']),
  facts: () => ({ platform: process.platform, arch: process.arch }),
  isComplete: (root) => existsSync(join(root, 'build/Release/roofline')),
  async run(root, log) {
    const missing = process.platform === 'linux' ? missingBuildTools() : [onlyLinux];
    const [nodeGyp, headers] = [findNodeGyp(), findHeaders()];
    if (missing.length > 0 || nodeGyp === undefined || headers === undefined) {
      throw new SetupError(`the roofline cannot be built: ${missing.join(', ') || 'node-gyp'} not found`);
    }
    log('building the roofline…');
    const common = { cwd: root, advice: 'It is made from bench/roofline.cc.', env: { npm_config_loglevel: 'error' } };
    const configure = ['configure', `--nodedir=${headers}`, '--loglevel=error', '--', '-Dbench=1'];
    await runNode('node-gyp', nodeGyp, configure, common);
    await runNode('node-gyp', nodeGyp, ['build', 'roofline', '--loglevel=error'], common);
  },
};

/** Carried out always. @type {readonly Step[]} */
export const steps = [packages, dist, addon];

/** Carried out when they are named. @type {readonly Step[]} */
export const optionalSteps = [roofline];
