/** One trial of responsiveness: requests one by one, a millisecond apart, each a fault on a random slot. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Memmap } from 'vmemmap';
import { percentile, sorted, warmUp } from './trial.mjs';

const { slots, isReady, ms } = JSON.parse(process.argv[2] ?? '{}');
warmUp(slots * 64);
const startMs = performance.now();
const table = await Memmap.open({ slots, indexWord: 0 });
if (isReady) await table.ready;
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
const latenciesUs = [];
const untilMs = performance.now() + ms;
while (isReady ? performance.now() < untilMs : table.state === 'active') {
  const slot = Math.floor(Math.random() * slots);
  const before = performance.now();
  await table.faultAsync(slot);
  latenciesUs.push((performance.now() - before) * 1000);
  await sleep(1);
}
delay.disable();
const readyMs = performance.now() - startMs;
const { threads } = table.stats().workers;
const { pageSize } = table.backing;
const { chunkPages } = table.ranges[0];
await table.close();
// the sampling timer itself adds its resolution of 1 ms to every delay; it is taken off
const delayMs = (ns) => Math.max(0, ns / 1e6 - 1);
const latencies = sorted(latenciesUs);
process.stdout.write(
  JSON.stringify({
    delayP50Ms: delayMs(delay.percentile(50)),
    delayP99Ms: delayMs(delay.percentile(99)),
    delayMaxMs: delayMs(delay.max),
    faultP50Us: percentile(latencies, 0.5) ?? 0,
    faultP99Us: percentile(latencies, 0.99) ?? 0,
    readyMs,
    threads,
    pageSize,
    chunkPages,
  }),
);
