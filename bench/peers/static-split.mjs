/**
 * Peer: what one writes with node:worker_threads alone. A SharedArrayBuffer, as many workers as CPUs, each with its share of
 * the records; done when all have told so. Starting the threads counts, as it does for ours.
 */

import { createInterface } from 'node:readline';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { warmUp } from '../support/trial.mjs';

function initialize(words, template) {
  for (let at = 0; at < words.length; at += 16) for (let word = 0; word < 16; word++) words[at + word] = template[word];
}

if (isMainThread) {
  const { pages, threads, warmBytes, onDemand = false } = JSON.parse(process.argv[2] ?? '{}');
  const template = Uint32Array.from([0xc0001000, 0x6007fff, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xffffffff, 1, 0, 0]);
  if (!onDemand) warmUp(warmBytes);
  const startMs = performance.now();
  const buffer = new SharedArrayBuffer(pages * 64);
  const workers = Array.from({ length: threads }, (_, index) => {
    const first = Math.floor((pages * index) / threads);
    const end = Math.floor((pages * (index + 1)) / threads);
    return new Worker(new URL(import.meta.url), { workerData: { buffer, template, first, end } });
  });
  const round = () => Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
  await round();
  const firstMs = performance.now() - startMs;
  if (onDemand) {
    for await (const _ of createInterface({ input: process.stdin })) {
      const startMs = performance.now();
      const again = round();
      for (const worker of workers) worker.postMessage('again');
      await again;
      process.stdout.write(`${JSON.stringify({ ms: performance.now() - startMs })}\n`);
    }
  } else process.stdout.write(JSON.stringify({ firstMs }));
  process.exit();
} else {
  const { buffer, template, first, end } = workerData;
  const words = new Uint32Array(buffer, first * 64, (end - first) * 16);
  const work = () => {
    initialize(words, template);
    parentPort.postMessage('done');
  };
  parentPort.on('message', work);
  work();
}
