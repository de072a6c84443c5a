/** The guest's kernel: Debian's package, downloaded and unpacked in a cache folder, never installed. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';

/**
 * @typedef {object} Kernel
 * @property {string} image the file to boot.
 * @property {string} modules the folder that modules.dep is in.
 */

/** In the order in which the guest loads them; what they depend on goes before each. */
const wantedModules = [
  ...['virtio_pci', 'virtio_console', '9p', '9pnet_virtio', 'overlay'],
  ...['libnvdimm', 'nfit', 'nd_pmem', 'dax_pmem', 'device_dax', 'kmem', 'crc32c_generic', 'ext4', 'xfs'],
];

/** What newer kernels do otherwise, without such a module: crc32c is in their library. */
const formerModules = new Set(['crc32c_generic']);

function cacheFolder() {
  // An empty variable counts as none, as the XDG specification has it.
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'vmemmap-testbed');
}

/**
 * The last kernel that was unpacked here.
 * @returns {Kernel | undefined}
 */
export function findKernel() {
  const cache = cacheFolder();
  if (!existsSync(cache)) return undefined;
  const unpacked = readdirSync(cache)
    .filter((name) => name.startsWith('linux-image-'))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .at(-1);
  if (unpacked === undefined) return undefined;
  const [release = ''] = readdirSync(join(cache, unpacked, 'lib/modules'));
  return {
    image: join(cache, unpacked, 'boot', `vmlinuz-${release}`),
    modules: join(cache, unpacked, 'lib/modules', release),
  };
}

/**
 * Downloads the package that linux-image-amd64 stands for today and unpacks it. apt's lists must be fresh: the mirror does not
 * keep what it had before.
 */
export function fetchKernel() {
  const cache = cacheFolder();
  mkdirSync(cache, { recursive: true });
  const dependencies = execFileSync('apt-cache', ['depends', 'linux-image-amd64'], { encoding: 'utf8' });
  const name = /^ *Depends: (linux-image-\S+)$/m.exec(dependencies)?.[1];
  if (name === undefined) throw new Error('apt knows no kernel behind linux-image-amd64');
  const scratch = mkdtempSync(join(cache, '.fetch-'));
  try {
    // As root, apt would use a user of its own for the download, who may not write here.
    const asRoot = ['-o', 'APT::Sandbox::User=root'];
    execFileSync('apt-get', ['download', '-qq', ...asRoot, name], { cwd: scratch, stdio: ['ignore', 2, 2] });
    const [file = ''] = readdirSync(scratch);
    const tree = join(scratch, 'tree');
    execFileSync('dpkg', ['-x', join(scratch, file), tree], { stdio: ['ignore', 2, 2] });
    const [release = ''] = readdirSync(join(tree, 'lib/modules'));
    // Installing would have done this.
    const sbin = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` };
    execFileSync('depmod', ['-b', tree, release], { env: sbin, stdio: ['ignore', 2, 2] });
    const target = join(cache, file.replace(/\.deb$/, ''));
    rmSync(target, { recursive: true, force: true });
    // Last and at once, so that a folder of this name is whole.
    renameSync(tree, target);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Byte offsets in the head of a kernel image, as the kernel's documentation has them (Documentation/arch/x86/boot.rst). */
const head = { sectors: 0x1f1, payloadOffset: 0x248, payloadLength: 0x24c };
const xzMagic = 'fd377a585a00';

/**
 * The kernel's image with its payload unpacked, made in the cache by whoever boots first: unpacking itself takes the kernel a
 * quarter of an emulated boot. QEMU starts it by its PVH entry. Where it is packed by other means than xz, the image as it is.
 * @param {Kernel} kernel
 * @param {string} xz the program; that of busybox cannot unpack kernels.
 */
export function bootImage({ image }, xz) {
  const unpacked = `${image}.unpacked`;
  if (existsSync(unpacked)) return unpacked;
  const bytes = readFileSync(image);
  const start = (bytes.readUInt8(head.sectors) + 1) * 512 + bytes.readUInt32LE(head.payloadOffset);
  // behind what is packed stands the size of what comes out
  const end = start + bytes.readUInt32LE(head.payloadLength) - 4;
  if (bytes.toString('hex', start, start + xzMagic.length / 2) !== xzMagic) return image;
  const elf = execFileSync(xz, ['--decompress', '--stdout'], { input: bytes.subarray(start, end), maxBuffer: 2 ** 30 });
  if (elf.length !== bytes.readUInt32LE(end)) throw new Error(`${image} cannot be unpacked`);
  const scratch = `${unpacked}.${process.pid}`;
  writeFileSync(scratch, elf);
  // last and at once, so that a file of this name is whole
  renameSync(scratch, unpacked);
  return unpacked;
}

/** @param {string} path */
const moduleName = (path) =>
  basename(path)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');

/**
 * Files of the modules that the guest needs, in the order in which they can be loaded. modprobe would leave out what the kernel
 * of this machine has built in.
 * @param {Kernel} kernel
 */
export function moduleFiles({ modules }) {
  const lines = readFileSync(join(modules, 'modules.dep'), 'utf8').trim().split('\n');
  const dependencies = new Map(
    lines.map((line) => {
      const [file = '', needed = ''] = line.split(':');
      return [moduleName(file), { file, needed: needed.split(' ').filter((path) => path !== '') }];
    }),
  );
  const builtIn = new Set(readFileSync(join(modules, 'modules.builtin'), 'utf8').trim().split('\n').map(moduleName));
  /** @type {Set<string>} */
  const files = new Set();
  for (const name of wantedModules) {
    const found = dependencies.get(name);
    if (found) {
      // modules.dep names what is needed first last.
      for (const file of [...found.needed.toReversed(), found.file]) files.add(file);
    } else if (!builtIn.has(name) && !formerModules.has(name))
      throw new Error(`the kernel in ${modules} has no module ${name}`);
  }
  return [...files].map((file) => join(modules, file));
}
