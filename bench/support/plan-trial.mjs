/** One trial of planning: a machine is planned for the first time in the process, and then again and again. */
import { planMachine } from '../../dist/src/physical/machine-plan.js';
import { median } from './trial.mjs';

const { machine, tiny } = JSON.parse(process.argv[2] ?? '{}');
const TiB = 2 ** 28;

/** Extents of RAM, each `pages` long, one every `stride` pages. */
function extents(most, stride, pages, nidOf) {
  const count = tiny ? most / 100 : most;
  return Array.from({ length: Math.floor(count) }, (_, index) => {
    const startPfn = index * stride + (index % 7);
    return { nid: nidOf(index, count), kind: 'ram', startPfn, endPfn: startPfn + pages };
  });
}

const memories = {
  // a hole below 4 GiB, as there always is, and memory that ends off a section
  nodes: () => [
    { nid: 0, kind: 'ram', startPfn: 1, endPfn: 0x9f },
    { nid: 0, kind: 'ram', startPfn: 0x100, endPfn: 0xbff80 },
    ...Array.from({ length: 16 }, (_, nid) => {
      return { nid, kind: 'ram', startPfn: nid * 4 * TiB + 0x100000, endPfn: (nid + 1) * 4 * TiB + 0xffc80 };
    }),
  ],
  extents: () => extents(100_000, 4096, 2048, (index, count) => Math.floor((index * 16) / count)),
  // each ends in the middle of a section whose rest is of the next one's node
  scattered: () => extents(32_768, 171_000, 100_000, (index) => index % 16),
};

const nodes = Array.from({ length: 16 }, (_, nid) => ({ nid, cpus: [] }));
const topology = { source: 'iomem-file', nodes, memory: memories[machine](), zoned: true, notes: [] };
const text = JSON.stringify(topology);

/** Milliseconds of the first call, and the median of nine later ones. */
function timed(call) {
  const times = Array.from({ length: 10 }, () => {
    globalThis.gc();
    const startMs = performance.now();
    call();
    return performance.now() - startMs;
  });
  return [times[0], median(times.slice(1))];
}

const [firstMs, laterMs] = timed(() => planMachine(topology));
const [parseFirstMs, parseLaterMs] = timed(() => JSON.parse(text));
const { ranges } = planMachine(topology);
const segments = ranges.reduce((sum, range) => sum + range.segments.length, 0);
process.stdout.write(JSON.stringify({ firstMs, laterMs, parseFirstMs, parseLaterMs, ranges: ranges.length, segments }));
