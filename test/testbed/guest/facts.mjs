/** What vmemmap finds in the guest, as one JSON object; says a word on stderr, and ends with a status of its own. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { addonState, detect, Memmap } from '../../../dist/src/index.js';
import { makeNamespace } from './media.mjs';

const cli = fileURLToPath(new URL('../../../dist/src/cli/main.js', import.meta.url));

/** Of every thread that gives way to others, as workers do: where it may run, and where it ran last. */
function workers() {
  return readdirSync('/proc/self/task')
    .map((tid) => {
      const stat = readFileSync(`/proc/self/task/${tid}/stat`, 'utf8');
      const status = readFileSync(`/proc/self/task/${tid}/status`, 'utf8');
      // The name of the program stands in parentheses and may hold blanks; fields are counted from 1, this is behind the second.
      const fields = stat
        .slice(stat.lastIndexOf(')') + 2)
        .split(' ')
        .map(Number);
      const [, allowed] = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status) ?? [];
      return { nice: fields[19 - 3], allowed, lastCpu: fields[39 - 3] };
    })
    .filter(({ nice }) => nice === 10);
}

// without a driver of its own persistent memory has no descriptors
makeNamespace('fsdax');
const words = ['init', '--detect', '--verify', '--json'];
const init = JSON.parse(execFileSync(process.execPath, [cli, ...words], { encoding: 'utf8' }));
const memmap = await Memmap.open({});
await memmap.verify(); // every thread has begun
const facts = {
  cwd: process.cwd(),
  args: process.argv.slice(2),
  addon: addonState(),
  nodes: detect().nodes,
  init,
  workers: workers(),
};
await memmap.close();
process.stdout.write(`${JSON.stringify(facts)}\n`);
process.stderr.write('told on stderr\n');
process.exitCode = 7;
