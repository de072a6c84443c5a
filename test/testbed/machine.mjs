/** One boot of the testbed: a machine with two NUMA nodes and an NVDIMM in QEMU's emulation, which runs one command. */
import { execFileSync, spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { bootImage, findKernel, moduleFiles } from './kernel.mjs';
import { findProgram, whatIsMissing } from './requirements.mjs';

/** @typedef {import('node:stream').Duplex} Duplex */

/**
 * @typedef {object} MachineOptions
 * @property {readonly string[]} command program and arguments; as root, with the host's files to read and a tmpfs over them to write.
 * @property {string} [cwd] where the command starts.
 * @property {number} [pmemBytes] size of the NVDIMM, on node 1.
 * @property {string} [pmemFile] what the NVDIMM keeps; it is made when it is not there, and stays. By default it goes with the machine.
 * @property {number} [nodeBytes] RAM of each of the two nodes.
 * @property {boolean} [prealloc] whether the host backs all RAM before the boot, so that no measurement pays for that.
 * @property {string} [qmpSocket] where a QMP socket is to be made for others.
 * @property {readonly string[]} [kernelParameters] words for the kernel's command line beside those that the machine needs.
 * @property {import('./kernel.mjs').Kernel} [kernel] another than the last that was unpacked.
 */

/**
 * @typedef {object} Ending
 * @property {number | undefined} status the command's exit status; undefined when the machine ended without it.
 * @property {boolean} started whether the command was started.
 * @property {string} kernelLog
 * @property {string} qemuLog what QEMU itself had to say.
 */

/**
 * @typedef {object} Machine
 * @property {number} pid QEMU's.
 * @property {Duplex} stdout the command's.
 * @property {Duplex} stderr the command's.
 * @property {Duplex} toGuest what is written here a command may hear: see guest/host.mjs.
 * @property {Promise<Ending>} ended resolves when QEMU is gone, and its temporary files with it.
 * @property {(line: string) => Promise<string>} monitor a command of QEMU's human monitor and its answer, e.g. `memsave ADDRESS SIZE "FILE"`.
 * @property {() => void} kill cuts the power.
 */

const gib = 2 ** 30;
/** Each node has two. */
const cpusPerNode = 2;

/** @type {Readonly<Required<Pick<MachineOptions, 'pmemBytes' | 'nodeBytes'>>>} */
export const defaults = Object.freeze({ pmemBytes: 4 * gib, nodeBytes: 3 * gib });

/** @param {string} word */
const quoted = (word) => `'${word.replaceAll("'", "'\\''")}'`;

/**
 * The file system that the kernel starts with: busybox, the modules, and the guest's first process with its job.
 * @param {string} scratch
 * @param {import('./kernel.mjs').Kernel} kernel
 * @param {readonly string[]} job
 */
function makeInitramfs(scratch, kernel, job) {
  const tree = join(scratch, 'initramfs');
  for (const folder of ['bin', 'dev', 'proc', 'sys', 'modules']) mkdirSync(join(tree, folder), { recursive: true });
  const busybox = findProgram('busybox') ?? '';
  copyFileSync(busybox, join(tree, 'bin/busybox'));
  copyFileSync(fileURLToPath(new URL('guest/init.sh', import.meta.url)), join(tree, 'init'));
  execFileSync('chmod', ['755', join(tree, 'init'), join(tree, 'bin/busybox')]);
  const names = moduleFiles(kernel).map((file) => {
    const copy = join(tree, 'modules', basename(file));
    copyFileSync(file, copy);
    // Debian compresses them since version 13.
    if (copy.endsWith('.xz')) execFileSync(busybox, ['unxz', copy]);
    return basename(file, '.xz');
  });
  writeFileSync(join(tree, 'modules/order'), `${names.join('\n')}\n`);
  writeFileSync(join(tree, 'job'), `set -- ${job.map(quoted).join(' ')}\n`);
  const list = execFileSync('find', ['.'], { cwd: tree });
  const archive = join(scratch, 'initramfs.cpio');
  execFileSync('cpio', ['--create', '--format=newc', '--quiet', `--file=${archive}`], { cwd: tree, input: list });
  return archive;
}

/**
 * @param {Omit<MachineOptions, 'command'> & typeof defaults} options
 * @param {{ kernel: string, initramfs: string, pmem: string, kernelLog: string }} files
 */
function qemuArguments({ pmemBytes, nodeBytes, prealloc = false, qmpSocket, kernelParameters = [] }, files) {
  const nodes = [0, 1].flatMap((nid) => [
    ...['-object', `memory-backend-ram,id=ram${nid},size=${nodeBytes},prealloc=${prealloc ? 'on' : 'off'}`],
    '-numa',
    `node,nodeid=${nid},cpus=${nid * cpusPerNode}-${(nid + 1) * cpusPerNode - 1},memdev=ram${nid}`,
  ]);
  // The host's end of each port is a socket that we have opened: no names, and nothing is lost when one side is slow.
  const ports = ['out', 'err', 'control', 'in'].flatMap((name, index) => [
    ...['-chardev', `socket,id=${name},fd=${3 + index}`],
    ...['-device', `virtserialport,chardev=${name},name=${name}`],
  ]);
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-accel', 'tcg,thread=multi', '-machine', 'q35,nvdimm=on', '-smp', `${2 * cpusPerNode}`],
    // Without 5-level page tables, and below without address randomization, the memmap is where it can be looked up. Without
    // ERMS, because TCG emulates "rep stosb" byte by byte: clearing a page then takes seven times as long as by other means.
    ...['-cpu', 'max,la57=off,erms=off,fsrm=off'],
    ...['-m', `size=${2 * nodeBytes}B,slots=4,maxmem=${2 * nodeBytes + pmemBytes + 4 * gib}B`],
    ...nodes,
    ...['-object', `memory-backend-file,id=pmem,share=on,mem-path=${files.pmem},size=${pmemBytes}`],
    ...['-device', 'nvdimm,memdev=pmem,id=nvdimm,node=1'],
    ...['-virtfs', 'local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap'],
    ...['-device', 'virtio-serial'],
    ...ports,
    ...['-chardev', 'socket,id=qmp,fd=7', '-mon', 'chardev=qmp,mode=control'],
    ...(qmpSocket === undefined ? [] : ['-qmp', `unix:${qmpSocket},server=on,wait=off`]),
    ...['-serial', `file:${files.kernelLog}`],
    ...['-kernel', files.kernel, '-initrd', files.initramfs],
    ...['-append', ['console=ttyS0 panic=-1 nokaslr mitigations=off', ...kernelParameters].join(' ')],
  ];
}

/**
 * Speaks QMP: one JSON object a line; an answer carries the id of its question.
 * @param {Duplex} socket
 */
function monitorOf(socket) {
  /** @type {Map<number, { resolve: (answer: string) => void, reject: (error: Error) => void }>} */
  const waiting = new Map();
  let lastId = 0;
  const lines = createInterface({ input: socket });
  // It tells its input's errors once more, and a machine that is killed resets its sockets: 'close' below says what that means.
  lines.on('error', () => {});
  lines.on('line', (line) => {
    const { id, return: answer, error } = JSON.parse(line);
    const question = waiting.get(id);
    waiting.delete(id);
    if (error) question?.reject(new Error(`QEMU's monitor: ${error.desc}`));
    else question?.resolve(answer);
  });
  socket.once('close', () => {
    for (const { reject } of waiting.values()) reject(new Error('the machine was gone before its monitor answered'));
  });
  /**
   * @param {string} execute
   * @param {Record<string, unknown>} [args]
   * @returns {Promise<string>}
   */
  const ask = (execute, args = {}) =>
    new Promise((resolve, reject) => {
      if (socket.destroyed) return reject(new Error('the machine is gone'));
      waiting.set(++lastId, { resolve, reject });
      socket.write(`${JSON.stringify({ execute, arguments: args, id: lastId })}\n`);
    });
  // QMP wants this first.
  ask('qmp_capabilities').catch(() => {});
  // The human monitor, because addresses of the kernel do not fit the integers of QMP.
  return (/** @type {string} */ line) => ask('human-monitor-command', { 'command-line': line });
}

/**
 * Starts a machine. The caller must read its stdout and stderr, and end it by `kill` when it takes too long.
 * @param {MachineOptions} options
 * @returns {Machine}
 */
export function boot(options) {
  const missing = whatIsMissing();
  const { command, cwd = process.cwd(), pmemFile, kernel = findKernel(), ...rest } = options;
  if (missing !== undefined || !kernel) throw new Error(missing);
  const scratch = mkdtempSync(join(tmpdir(), 'vmemmap-testbed-'));
  const removeScratch = () => rmSync(scratch, { recursive: true, force: true });
  try {
    const pmem = pmemFile ?? join(scratch, 'pmem');
    const settings = { ...defaults, ...rest };
    if (!existsSync(pmem)) writeFileSync(pmem, '');
    // Sparse: it takes the space of what the guest writes.
    if (statSync(pmem).size < settings.pmemBytes) truncateSync(pmem, settings.pmemBytes);
    const initramfs = makeInitramfs(scratch, kernel, [cwd, ...command]);
    const kernelLog = join(scratch, 'kernel.log');
    const words = qemuArguments(settings, {
      kernel: bootImage(kernel, findProgram('xz') ?? ''),
      initramfs,
      pmem,
      kernelLog,
    });
    // Should this process be killed, nobody else would end QEMU.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', findProgram('qemu-system-x86_64') ?? '', ...words], {
      stdio: ['ignore', ...Array.from({ length: 7 }, () => /** @type {const} */ ('pipe'))],
    });
    const kill = () => void child.kill('SIGKILL');
    const abandon = () => {
      kill();
      removeScratch();
    };
    process.once('exit', abandon);
    const sockets = /** @type {Duplex[]} */ (child.stdio.slice(3));
    const [stdout, stderr, control, toGuest, qmp] = /** @type {[Duplex, Duplex, Duplex, Duplex, Duplex]} */ (sockets);
    // A machine that is killed resets its sockets.
    for (const socket of sockets) socket.on('error', () => {});
    let said = '';
    let qemuLog = '';
    control.on('data', (bytes) => {
      said += bytes;
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (bytes) => {
        qemuLog += bytes;
      });
    }
    /** @type {Promise<Ending>} */
    const ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      // Not 'exit': the streams may still hold something then.
      child.once('close', () => {
        const status = /^status (\d+)$/m.exec(said)?.[1];
        resolve({
          status: status === undefined ? undefined : Number(status),
          started: said.startsWith('started\n'),
          kernelLog: existsSync(kernelLog) ? readFileSync(kernelLog, 'utf8') : '',
          qemuLog,
        });
      });
    }).finally(() => {
      process.off('exit', abandon);
      removeScratch();
    });
    return { pid: child.pid ?? 0, stdout, stderr, toGuest, ended, monitor: monitorOf(qmp), kill };
  } catch (error) {
    removeScratch();
    throw error;
  }
}
