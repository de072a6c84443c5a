/** What `vmemmap compare` says in the guest, with the NVDIMM in every mode that matters. Prints one JSON object. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { compareMachine } from '../../../dist/src/observe/compare.js';
import { makeNamespace } from './media.mjs';

const cli = fileURLToPath(new URL('../../../dist/src/cli/main.js', import.meta.url));

function run(program, ...words) {
  const { status, stdout, stderr } = spawnSync(program, words, { encoding: 'utf8' });
  return { status, stdout, stderr };
}

const modes = [
  ['fsdax', 'mem', '2M'],
  ['fsdax', 'dev', '2M'],
  ['devdax', 'mem', '2M'],
  ['devdax', 'dev', '1G'],
];
const told = {
  text: run(process.execPath, cli, 'compare'),
  withoutRoot: run('setpriv', '--reuid=65534', '--clear-groups', process.execPath, cli, 'compare'),
  withoutLog: await compareMachine({ kmsgPath: '/dev/no-such-log' }),
  modes: { raw: await compareMachine() },
};
for (const [mode, map, align] of modes) {
  makeNamespace(mode, map, align);
  told.modes[`${mode} ${map} ${align}`] = await compareMachine();
}
told.json = run(process.execPath, cli, 'compare', '--json');
process.stdout.write(`${JSON.stringify(told)}\n`);
