/** What the testbed needs of this machine, and which Debian packages bring what is missing. */
import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findKernel } from './kernel.mjs';

/** Exit status of what cannot run here for want of a package: neither done nor failed. */
export const statusMissing = 77;

/** Debian folders of programs for root, which PATH may lack. */
export const programPath = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;

/** @type {readonly (readonly [program: string, debianPackage: string])[]} */
const programs = [
  ['qemu-system-x86_64', 'qemu-system-x86'],
  ['busybox', 'busybox-static'],
  ['cpio', 'cpio'],
  ['depmod', 'kmod'],
  ['xz', 'xz-utils'],
  ['ndctl', 'ndctl'],
  ['daxctl', 'daxctl'],
  ['numactl', 'numactl'],
  ['mkfs.ext4', 'e2fsprogs'],
  ['mkfs.xfs', 'xfsprogs'],
];

/**
 * Where a program is.
 * @param {string} name
 */
export function findProgram(name) {
  return programPath
    .split(':')
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/**
 * Whether a program runs where there is nothing else: Debian has a busybox of either kind under one name.
 * @param {string} path
 */
function isStatic(path) {
  return !readFileSync(path).includes('/lib64/ld-linux');
}

/** Debian packages to install; those of programs that are here already are left out. */
export function missingPackages() {
  return programs
    .filter(([name]) => {
      const path = findProgram(name);
      return path === undefined || (name === 'busybox' && !isStatic(path));
    })
    .map(([, debianPackage]) => debianPackage);
}

/** Why the testbed cannot run here and what to do about it; undefined when it can. */
export function whatIsMissing() {
  // The guest runs this machine's own programs on a kernel of Debian's.
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return `the testbed runs on Linux on x86-64 only; this is ${process.platform} on ${process.arch}`;
  }
  const packages = missingPackages();
  const install = packages.length > 0 ? [`  apt-get install --no-install-recommends ${packages.join(' ')}`] : [];
  const kernel = findKernel()
    ? []
    : ['  node test/testbed/install.mjs    # unpacks the kernel of linux-image-amd64 in a cache'];
  if (install.length + kernel.length === 0) return undefined;
  return [
    `the testbed lacks ${[...packages, ...kernel.map(() => 'linux-image-amd64')].join(', ')}; on Debian, as root:`,
    ...install,
    ...kernel,
    ...(install.length > 0 ? ['node test/testbed/install.mjs does all of it.'] : []),
  ].join('\n');
}
