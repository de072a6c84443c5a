/** One trial of the store paths: each in turn over the same memory, given back before a first touch. */
import { pagePattern } from '../../dist/src/descriptor/content.js';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import { profiles } from '../../dist/src/descriptor/profiles.js';
import { addon, addonState, nativeKernels } from '../../dist/src/native.js';
import { kernelFor } from '../../dist/src/store-path.js';
import { gbPerSecond } from './record.mjs';
import { median, warmUp } from './trial.mjs';

const { descriptors } = JSON.parse(process.argv[2] ?? '{}');
const hugeBytes = 2 ** 21;
const piece = 32_768;
const cachedPiece = 8192;

function measure() {
  const buffer = new SharedArrayBuffer(descriptors * 64 + hugeBytes);
  const offset = addon.bytesToBoundary(new Uint8Array(buffer, 0, 1), hugeBytes);
  const words = new Uint32Array(buffer, offset, descriptors * 16);
  addon.adviseHugePages(words);
  const extent = { startPfn: 0, endPfn: descriptors, nid: 0 };
  const patterns = {
    device: pagePattern(profiles['linux-6.1'], { ...extent, zone: 4, kind: 'device', pgmap: 1 }),
    ram: pagePattern(profiles['linux-6.1'], { ...extent, zone: 2, kind: 'ram' }),
  };
  const kernels = [...nativeKernels, jsKernel];
  const time = (kernel, pattern, at, pages) => {
    const startMs = performance.now();
    for (let index = 0; index < descriptors; index += pages) kernel.fill(words, at * index * 16, pages, pattern, index);
    return performance.now() - startMs;
  };
  const times = {};
  for (let round = 0; round < 5; round++) {
    for (const [kind, pattern] of Object.entries(patterns)) {
      for (const kernel of kernels) {
        addon.discard(words);
        const told = {
          fresh: time(kernel, pattern, 1, piece),
          touched: time(kernel, pattern, 1, piece),
          cached: time(kernel, pattern, 0, cachedPiece),
        };
        for (const [condition, ms] of Object.entries(told)) {
          const name = `${condition}, ${kind}`;
          times[name] ??= {};
          times[name][kernel.storePath] ??= [];
          times[name][kernel.storePath].push(ms);
        }
      }
    }
  }
  const bytes = descriptors * 64;
  const speeds = Object.fromEntries(
    Object.entries(times).map(([condition, paths]) => [
      condition,
      Object.fromEntries(Object.entries(paths).map(([path, all]) => [path, gbPerSecond(bytes, median(all))])),
    ]),
  );
  const backing = { requested: 'huge', effective: 'huge', pageSize: hugeBytes, durability: 'none' };
  const path = (memory) => kernelFor({ backing, memory, sizeBytes: 2 ** 30 }).storePath;
  // what has just been cleared is in the cache, so that its choice is the one for fresh memory
  const chosen = Object.fromEntries(
    Object.keys(speeds).map((condition) => [condition, path(condition.startsWith('touched') ? 'touched' : 'fresh')]),
  );
  return { speeds, chosen };
}

warmUp(descriptors * 64);
const state = addonState();
process.stdout.write(JSON.stringify(state.loaded ? measure() : { skipped: state.reason }));
