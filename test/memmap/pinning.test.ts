/** Worker threads run on the CPUs of their node, and behind whoever faults. */
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, expect, it } from 'vitest';
import { addonState, Memmap, releaseThreads, type Topology } from '../../dist/src/index.js';
import { readAllowedCpus } from '../../dist/src/physical/detect.js';
import { machine, ram } from '../support/regions.js';

afterAll(releaseThreads);

/** CPU list and nice value of every thread of this process. */
function threads(): { cpus: string; nice: number }[] {
  return readdirSync('/proc/self/task').map((tid) => {
    const status = readFileSync(`/proc/self/task/${tid}/status`, 'utf8');
    const stat = readFileSync(`/proc/self/task/${tid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { cpus: /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? '', nice: Number(fields[19 - 3]) };
  });
}

const cpus = readAllowedCpus();
const addon = addonState();
const skipped = !addon.loaded ? addon.reason : cpus.length < 2 ? 'this process may use one CPU only' : '';
if (skipped !== '') process.stderr.write(`skipped, pinning: ${skipped}\n`);

it.skipIf(skipped !== '')(`each node's threads are pinned to its CPUs, and niced ${skipped}`, async () => {
  const [first, second] = cpus as [number, number];
  const topology: Topology = {
    ...machine(ram(0, 2 ** 16, 0), ram(2 ** 16, 2 ** 16, 1), ram(2 ** 17, 512, 2)),
    nodes: [
      { nid: 0, cpus: [first] },
      { nid: 1, cpus: [second] },
      { nid: 2, cpus: [] }, // no CPUs of its own: its thread may run anywhere
    ],
  };
  await using memmap = await Memmap.open({ topology, threadsPerNode: 1 });
  await memmap.verify(); // every thread has begun
  const niced = threads().filter(({ nice }) => nice === 10);
  const everywhere = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  expect(niced.map(({ cpus }) => cpus).sort()).toEqual([String(first), String(second), everywhere].sort());
});
