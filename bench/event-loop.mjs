/**
 * How responsive a service stays while its table is initialized in the background: the event loop's delay, and the latency of
 * faultAsync, beside the same load on a table that is ready. One fresh process per trial, interleaved; medians are told.
 * Options: --json, --tiny (checks that the benchmark runs), --trials N.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Memmap } from 'vmemmap';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    tiny: { type: 'boolean', default: false },
    trials: { type: 'string', default: '5' },
    slots: { type: 'string', default: String(2 ** 26) },
    trial: { type: 'string' },
  },
});

/** Chunks of 4096 records, 256 KiB: what a request has to initialize at most. */
const chunkPages = 4096;

function percentile(sorted, share) {
  return sorted[Math.ceil(share * sorted.length) - 1];
}

/** One process: requests one by one, a millisecond apart, each a fault on a random slot, until the background has ended. */
async function trial(kind) {
  const slots = Number(values.slots);
  const startMs = performance.now();
  const table = await Memmap.open({ slots, indexWord: 0, chunkPages });
  if (kind === 'ready') await table.ready;
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const latenciesUs = [];
  const untilMs = performance.now() + Number(values.tiny ? 20 : 1000);
  while (kind === 'ready' ? performance.now() < untilMs : table.state === 'active') {
    const slot = Math.floor(Math.random() * slots);
    const before = performance.now();
    await table.faultAsync(slot);
    latenciesUs.push((performance.now() - before) * 1000);
    await sleep(1);
  }
  delay.disable();
  const readyMs = performance.now() - startMs;
  latenciesUs.sort((a, b) => a - b);
  const { threads } = table.stats().workers;
  const pageSize = table.residency()?.pageSize ?? 4096;
  await table.close();
  // the sampling timer itself adds its resolution of 1 ms to every delay; it is taken off
  const ms = (ns) => Math.max(0, ns / 1e6 - 1);
  return {
    delayP50Ms: ms(delay.percentile(50)),
    delayP99Ms: ms(delay.percentile(99)),
    delayMaxMs: ms(delay.max),
    faultP50Us: percentile(latenciesUs, 0.5) ?? 0,
    faultP99Us: percentile(latenciesUs, 0.99) ?? 0,
    requests: latenciesUs.length,
    readyMs,
    threads,
    pageSize,
  };
}

function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

function commit() {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown';
  }
}

function run() {
  const slots = values.tiny ? 2 ** 18 : Number(values.slots);
  const trials = values.tiny ? 1 : Number(values.trials);
  const results = { background: [], ready: [] };
  for (let i = 0; i < trials; i++) {
    for (const kind of ['background', 'ready']) {
      const args = [
        fileURLToPath(import.meta.url),
        '--trial',
        kind,
        '--slots',
        String(slots),
        ...(values.tiny ? ['--tiny'] : []),
      ];
      results[kind].push(JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })));
    }
  }
  const of = (kind, key) => median(results[kind].map((result) => result[key]));
  const { threads, pageSize } = results.background[0];
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  const conditions =
    `${slots} slots, chunks of ${chunkPages}, ${threads} threads, first touch, ${pageSize} B pages, median of ${trials} fresh ` +
    `processes; vmemmap ${version} ${commit()}, Node ${process.version}, Linux ${release()}, ${cpus().length} × ${cpus()[0]?.model}, ` +
    new Date().toISOString().slice(0, 10);
  const figures = [
    ['event loop delay, median', 'ms', 'delayP50Ms'],
    ['event loop delay, 99 %', 'ms', 'delayP99Ms'],
    ['event loop delay, longest', 'ms', 'delayMaxMs'],
    ['faultAsync, median', 'µs', 'faultP50Us'],
    ['faultAsync, 99 %', 'µs', 'faultP99Us'],
  ].map(([name, unit, key]) => {
    const ours = of('background', key);
    const peerValue = of('ready', key);
    return { name, unit, ours, peer: 'the same load on a ready table', peerValue, ratio: ours / peerValue, conditions };
  });
  if (values.json) {
    process.stdout.write(`${JSON.stringify(figures)}\n`);
    return;
  }
  const lines = figures.map(
    ({ name, unit, ours, peerValue }) =>
      `  ${name.padEnd(26)} ${ours.toFixed(2).padStart(9)} ${unit}   ${peerValue.toFixed(2).padStart(9)} ${unit}`,
  );
  const head = `  ${''.padEnd(26)} ${'background'.padStart(12)}   ${'ready'.padStart(12)}`;
  const ready = `  everything ready after ${of('background', 'readyMs').toFixed(0)} ms`;
  process.stdout.write(
    `Responsiveness of a service while its table is initialized\n${head}\n${lines.join('\n')}\n${ready}\n  ${conditions}\n`,
  );
}

if (values.trial) process.stdout.write(JSON.stringify(await trial(values.trial)));
else run();
