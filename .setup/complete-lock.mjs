/**
 * Completes package-lock.json after a change of dependencies: run it by hand behind `npm install`.
 *
 * A registry that mirrors only the packages which somebody asked for does not know the programs that a package offers for
 * other machines. npm 11 leaves those out of the lock file that it writes, and then `npm ci` refuses that very file ("Missing:
 * … from lock file"). An entry with the version and the kind of machine satisfies it; such an entry has no checksum, and npm
 * looks at it only on that kind of machine.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const lockPath = fileURLToPath(new URL('../package-lock.json', import.meta.url));

/** How all packages of this sort are named: `binding-linux-arm64-musl`. Without a libc, Linux means glibc. */
const machineName =
  /-(?<os>aix|android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win32)-(?<cpu>arm64|arm|ia32|ppc64|riscv64|s390x|x64)(?:-(?<abi>\w+))?$/;

/**
 * An entry with its keys in the order that npm gives them, so that its next run changes nothing.
 * @param {string} name
 * @param {string} version
 * @param {boolean} isDev
 */
function entryFor(name, version, isDev) {
  const { os, cpu, abi = '' } = machineName.exec(name)?.groups ?? {};
  if (os === undefined || cpu === undefined) throw new Error(`${name} does not tell what machine it is for`);
  if (!/^\d+\.\d+\.\d+$/.test(version)) throw new Error(`${name} ${version}: which version is that?`);
  return {
    version,
    cpu: [cpu],
    ...(isDev ? { dev: true } : {}),
    ...(os === 'linux' ? { libc: [abi.startsWith('musl') ? 'musl' : 'glibc'] } : {}),
    optional: true,
    os: [os],
  };
}

const lock = JSON.parse(readFileSync(lockPath, 'utf8'));
/** @type {string[]} */
const added = [];
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (lock.packages[key] !== undefined || lock.packages[`${path}/${key}`] !== undefined) continue;
    lock.packages[key] = entryFor(name, version, entry.dev === true);
    added.push(name);
  }
}
if (added.length > 0) {
  const byPath = new Intl.Collator('en').compare;
  lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => byPath(a, b)));
  writeFileSync(lockPath, `${JSON.stringify(lock, null, 2)}\n`);
}
process.stderr.write(`vmemmap: package-lock.json: ${added.length} entries added\n`);
