/** One trial of memory: what is resident when all is ready, less the descriptors and what Node took before. */
import { readdirSync } from 'node:fs';

const { size, threads } = JSON.parse(process.argv[2] ?? '{}');
globalThis.gc();
const bare = process.memoryUsage.rss();
const tasks = () => readdirSync('/proc/self/task').length;
const before = tasks();
const { Memmap } = await import('vmemmap');
const memmap = await Memmap.open({ topology: `1x${size}:pmem`, threadsPerNode: threads });
await memmap.sync();
const descriptors = memmap.pages * 64;
const result = {
  descriptors,
  control: memmap.handle().control.byteLength,
  beyond: process.memoryUsage.rss() - bare - (memmap.residency()?.residentBytes ?? descriptors),
  started: Math.max(0, tasks() - before),
};
await memmap.close();
process.stdout.write(JSON.stringify(result));
