/** The namespace in every mode that ndctl makes: what fromDevice and what the kernel say of it. Prints one JSON object. */
import { execFileSync } from 'node:child_process';
import { symlinkSync, writeFileSync } from 'node:fs';
import { fromDevice } from '../../../dist/src/index.js';

const run = (program, ...words) =>
  execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** What fromDevice says, or why it says nothing. */
function told(path) {
  try {
    return fromDevice(path);
  } catch (error) {
    return { code: error.code, message: error.message };
  }
}

/** What was set up by `setUp`: as ndctl, the kernel's messages and fromDevice tell it. */
function observed(path, setUp) {
  run('dmesg', '--clear');
  const listed = JSON.parse(setUp());
  const messages = run('dmesg').matchAll(/memmap_init_zone_device initialised (\d+) pages/g);
  return { listed, initialised: Array.from(messages, ([, pages]) => Number(pages)), told: told(path) };
}

const create = (...words) => run('ndctl', 'create-namespace', '--force', '--reconfig=namespace0.0', ...words);
const made = (path, mode, map, align) =>
  observed(path, () => create(`--mode=${mode}`, `--map=${map}`, `--align=${align}`));

writeFileSync('/sys/kernel/debug/dynamic_debug/control', 'func memmap_init_zone_device +p\n');
const namespaces = {};
const refused = {};
namespaces.raw = observed('/dev/pmem0', () => {
  run('ndctl', 'disable-namespace', 'namespace0.0');
  run('ndctl', 'enable-namespace', 'namespace0.0');
  return JSON.stringify(JSON.parse(run('ndctl', 'list', '--namespaces'))[0]);
});
for (const align of ['2M', '1G']) {
  for (const map of ['mem', 'dev']) {
    namespaces[`fsdax ${map} ${align}`] = made('/dev/pmem0', 'fsdax', map, align);
    namespaces[`devdax ${map} ${align}`] = made('/dev/dax0.0', 'devdax', map, align);
  }
}
run('daxctl', 'disable-device', 'dax0.0');
refused.disabledDax = told('/dev/dax0.0');
run('daxctl', 'reconfigure-device', '--mode=system-ram', '--no-online', 'dax0.0');
refused.systemRam = told('/dev/dax0.0');

create('--mode=sector');
refused.sector = told('/dev/pmem0s');

create('--mode=fsdax', '--map=mem');
symlinkSync('/dev/pmem0', '/mnt/by-another-name');
const linked = told('/mnt/by-another-name');
// A table with one partition, which is looked for when the disk comes.
const table = Buffer.alloc(512);
table[446 + 4] = 0x83;
table.writeUInt32LE(2048, 446 + 8);
table.writeUInt32LE(2048, 446 + 12);
table.writeUInt16LE(0xaa55, 510);
writeFileSync('/dev/pmem0', table);
run('ndctl', 'disable-namespace', 'namespace0.0');
refused.disabled = told('/dev/pmem0');
run('ndctl', 'enable-namespace', 'namespace0.0');
refused.partition = told('/dev/pmem0p1');
refused.other = told('/dev/null');
process.stdout.write(`${JSON.stringify({ namespaces, linked, refused })}\n`);
