/**
 * Runs a script inside the testbed's machine: `node test/testbed/run.mjs [OPTIONS] SCRIPT [ARGUMENT…]`. Its output and its exit
 * status are the script's. Besides: 2 wrong usage; 77 packages are missing; 124 the time is over; 125 the machine failed.
 */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { boot, defaults } from './machine.mjs';
import { statusMissing, whatIsMissing } from './requirements.mjs';

const status = { usage: 2, timeOut: 124, machine: 125 };
const kernelLogLinesMax = 40;

const usage = `node test/testbed/run.mjs [OPTIONS] SCRIPT [ARGUMENT…]
  --timeout SECONDS   when the machine is killed (default 120)
  --pmem-size SIZE    of the NVDIMM on node 1, e.g. 16G (default 4G)
  --keep-pmem FILE    what the NVDIMM keeps; made when it is not there
  --node-memory SIZE  RAM of each of the two nodes (default 3G)
  --prealloc          lets the host back all RAM before the boot: for measurements
  --kernel-log FILE   writes the kernel's messages there
  --kernel WORDS      further words for the kernel's command line
  --qmp SOCKET        makes a QMP socket there
SCRIPT ending in .mjs runs by Node.js, any other by bash.
`;

/**
 * @param {string} message
 * @param {number} exitStatus
 * @returns {never}
 */
function fail(message, exitStatus) {
  process.stderr.write(`vmemmap: ${message}\n`);
  process.exit(exitStatus);
}

/** @param {string} text */
function bytes(text) {
  const [, count, unit] =
    /^([1-9]\d*)([MG])$/.exec(text) ?? fail(`not a size, such as 512M or 4G: ${text}`, status.usage);
  return Number(count) * 2 ** (unit === 'G' ? 30 : 20);
}

function readArguments() {
  const words = process.argv.slice(2);
  /** @type {import('node:util').ParseArgsConfig['options'] & {}} */
  const options = {
    help: { type: 'boolean' },
    prealloc: { type: 'boolean' },
    timeout: { type: 'string' },
    'pmem-size': { type: 'string' },
    'keep-pmem': { type: 'string' },
    'node-memory': { type: 'string' },
    'kernel-log': { type: 'string' },
    kernel: { type: 'string' },
    qmp: { type: 'string' },
  };
  // Our options end at the script; what follows is its own.
  const { tokens } = parseArgs({ args: words, options, strict: false, allowPositionals: true, tokens: true });
  const script = tokens.find((token) => token.kind === 'positional')?.index ?? words.length;
  try {
    const { values } = parseArgs({ args: words.slice(0, script), options });
    return { values: /** @type {Record<string, string | undefined>} */ (values), command: words.slice(script) };
  } catch (error) {
    return fail(`${/** @type {Error} */ (error).message}\n${usage}`, status.usage);
  }
}

const { values, command } = readArguments();
if (values['help']) {
  process.stdout.write(usage);
  process.exit();
}
const [script, ...scriptArguments] = command;
if (script === undefined) fail(`no script was named\n${usage}`, status.usage);
const timeoutSeconds = Number(values['timeout'] ?? 120);
if (!(timeoutSeconds > 0)) fail(`not a number of seconds: ${values['timeout']}`, status.usage);
const pmemBytes = values['pmem-size'] ? bytes(values['pmem-size']) : defaults.pmemBytes;
const nodeBytes = values['node-memory'] ? bytes(values['node-memory']) : defaults.nodeBytes;

const missing = whatIsMissing();
if (missing !== undefined) fail(missing, statusMissing);
// The guest cannot build anything: it would go to its tmpfs.
const { setUp } = await import('../../.setup/ensure.mjs');
await setUp();

for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  // Leaving ends the machine.
  process.once(signal, () => process.exit(status.machine));
}
const machine = boot({
  command: [script.endsWith('.mjs') ? process.execPath : '/bin/bash', resolve(script), ...scriptArguments],
  pmemBytes,
  nodeBytes,
  prealloc: values['prealloc'] !== undefined,
  ...(values['keep-pmem'] === undefined ? {} : { pmemFile: resolve(values['keep-pmem']) }),
  kernelParameters: (values['kernel'] ?? '').split(' ').filter((word) => word !== ''),
  ...(values['qmp'] === undefined ? {} : { qmpSocket: resolve(values['qmp']) }),
});
machine.stdout.pipe(process.stdout, { end: false });
machine.stderr.pipe(process.stderr, { end: false });
let timedOut = false;
const timer = setTimeout(() => {
  timedOut = true;
  machine.kill();
}, timeoutSeconds * 1000);
const ending = await machine.ended;
clearTimeout(timer);
if (values['kernel-log'] !== undefined) writeFileSync(values['kernel-log'], ending.kernelLog);

if (ending.status !== undefined) process.exitCode = ending.status;
else {
  const during = ending.started ? 'while the script ran' : 'before the script began';
  const messages = ending.kernelLog.trimEnd().split('\n').slice(-kernelLogLinesMax).join('\n');
  const panic = /Kernel panic.*/.exec(ending.kernelLog)?.[0];
  process.stderr.write(`${ending.qemuLog}${messages}\n`);
  if (timedOut) {
    const what = ending.started ? 'the script has not ended' : 'the guest has not begun the script';
    fail(`${what} in ${timeoutSeconds} s; the machine was killed`, status.timeOut);
  }
  fail(`the machine ended ${during}: ${panic ?? 'no exit status came'}; its last messages are above`, status.machine);
}
