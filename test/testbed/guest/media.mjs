/** Persistent memory as guest scripts want it: a namespace, a file system on it, mounted as they say. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';

const mountPoint = '/mnt/pmem0';

/** @typedef {'ext4' | 'xfs'} FileSystem */

/** @type {Readonly<Record<FileSystem, readonly string[]>>} */
const makers = {
  // small file systems would get smaller blocks, which cannot be mapped
  ext4: ['mkfs.ext4', '-q', '-F', '-b', '4096'],
  // Linux 6.1 has no DAX beside shared extents; allocations on borders of huge pages
  xfs: ['mkfs.xfs', '-q', '-f', '-m', 'reflink=0', '-d', 'su=2m,sw=1'],
};

/**
 * Runs a program, whose output nobody wants unless it fails.
 * @param {string} program
 * @param {...string} words
 */
export function run(program, ...words) {
  execFileSync(program, words, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/**
 * Makes the namespace anew. @returns the file of the device
 * @param {'fsdax' | 'devdax'} mode
 * @param {'mem' | 'dev'} map where its memmap lies.
 * @param {'4K' | '2M' | '1G'} align
 */
export function makeNamespace(mode, map = 'mem', align = '2M') {
  run('ndctl', 'create-namespace', '-f', '-e', 'namespace0.0', '-m', mode, '-M', map, '-a', align);
  return mode === 'fsdax' ? '/dev/pmem0' : '/dev/dax0.0';
}

/** @param {FileSystem} fileSystem */
export function makeFileSystem(fileSystem) {
  const [program = '', ...words] = makers[fileSystem];
  run(program, ...words, '/dev/pmem0');
}

/**
 * Mounts the file system. @returns a path for a memmap in it
 * @param {'always' | 'never'} dax
 */
export function mount(dax) {
  mkdirSync(mountPoint, { recursive: true });
  run('mount', '-o', `dax=${dax}`, '/dev/pmem0', mountPoint);
  return `${mountPoint}/memmap`;
}

export function unmount() {
  run('umount', mountPoint);
}
