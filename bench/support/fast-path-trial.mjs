/** One trial of the fast path. */
import { Bench } from 'tinybench';
import { Memmap } from 'vmemmap';

const { tiny } = JSON.parse(process.argv[2] ?? '{}');
const memmap = await Memmap.open({ topology: '1x16GiB:pmem' });
await memmap.sync();
// attached, it never asked for `ready`: it knows chunk by chunk what it has seen
const attached = Memmap.attach(memmap.handle());
const { startPfn } = memmap.ranges[0];
const calls = 2 ** 16;
const random = Uint32Array.from({ length: calls }, () => startPfn + Math.floor(Math.random() * memmap.pages));
const ascending = Uint32Array.from({ length: calls }, (_, index) => startPfn + index);
for (const pfn of random) attached.fault(pfn);

/** Results go here, so that nothing is optimized away. */
let sink = 0;
const loops = {
  empty: () => {
    let sum = 0;
    for (let i = 0; i < calls; i++) sum += random[i];
    sink += sum;
  },
  randomOffset: () => {
    let sum = 0;
    for (let i = 0; i < calls; i++) sum += memmap.offsetOf(random[i]);
    sink += sum;
  },
  randomFault: () => {
    let sum = 0;
    for (let i = 0; i < calls; i++) {
      memmap.fault(random[i]);
      sum += memmap.offsetOf(random[i]);
    }
    sink += sum;
  },
  ascendingOffset: () => {
    let sum = 0;
    for (let i = 0; i < calls; i++) sum += memmap.offsetOf(ascending[i]);
    sink += sum;
  },
  ascendingFault: () => {
    let sum = 0;
    for (let i = 0; i < calls; i++) {
      memmap.fault(ascending[i]);
      sum += memmap.offsetOf(ascending[i]);
    }
    sink += sum;
  },
  seenFault: () => {
    let sum = 0;
    for (let i = 0; i < calls; i++) {
      attached.fault(random[i]);
      sum += memmap.offsetOf(random[i]);
    }
    sink += sum;
  },
};
const bench = new Bench({ time: tiny ? 20 : 300, warmupTime: tiny ? 20 : 200 });
for (const [name, loop] of Object.entries(loops)) bench.add(name, loop);
await bench.run();
const ns = Object.fromEntries(bench.tasks.map(({ name, result }) => [name, (result.latency.p50 * 1e6) / calls]));
for (const name of Object.keys(ns)) if (name !== 'empty') ns[name] -= ns.empty;
await attached.close();
await memmap.close();
process.stdout.write(JSON.stringify({ ...ns, isUsed: sink !== 0 }));
process.exit();
