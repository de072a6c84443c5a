/**
 * `npm run bench`: runs the suites one after another, or those that are named, and prints tables, or with --json one list of
 * records (support/record.mjs). Options: --json, --out FILE (writes the list, too), --trials N, --threads N, --tiny (checks
 * that every suite runs).
 */
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { formatTable } from './support/record.mjs';

/** In this order; a suite that cannot run here gives the reason as `skipped`. */
const names = [
  'first-touch',
  'reinit',
  'first-usable',
  'fault-latency',
  'fast-path',
  'claim',
  'heap',
  'overhead',
  'responsiveness',
  'store-paths',
  'scaling',
  'chunk-study',
  'linux',
  'numa',
  'pmem',
  'plan',
  'shared-tails',
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    out: { type: 'string' },
    tiny: { type: 'boolean', default: false },
    trials: { type: 'string' },
    threads: { type: 'string', default: String(availableParallelism()) },
  },
});

function refuse(text) {
  process.stderr.write(`bench: ${text}\n`);
  process.exit(2);
}

const unknown = positionals.find((name) => !names.includes(name));
if (unknown) refuse(`no suite is called ${unknown}; there are ${names.join(', ')}`);
const trials = Number(values.trials ?? (values.tiny ? 1 : 5));
const threads = Number(values.threads);
if (!(Number.isInteger(trials) && trials > 0)) refuse('--trials must be a whole number above 0');
if (!(Number.isInteger(threads) && threads > 0)) refuse('--threads must be a whole number above 0');

const results = [];
for (const name of positionals.length > 0 ? positionals : names) {
  const suite = await import(`./suites/${name}.mjs`);
  const startMs = performance.now();
  const told = await suite.run({ tiny: values.tiny, trials, threads });
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  if (told.skipped) {
    process.stderr.write(`bench: ${name} skipped: ${told.skipped}\n`);
    continue;
  }
  results.push(...told);
  if (values.json) process.stderr.write(`bench: ${name} done in ${seconds} s\n`);
  else process.stdout.write(`${suite.title}\n${formatTable(told)}\n\n`);
}
const list = JSON.stringify(results, null, 1);
if (values.json) process.stdout.write(`${list}\n`);
if (values.out) writeFileSync(values.out, `${list}\n`);
