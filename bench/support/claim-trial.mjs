/** One trial of claiming: threads race for the same chunks; each chunk must be won once. */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { ChunkMap } from '../../dist/src/claims/chunk-map.js';

function race({ buffer, chunks, tag, gate, threads }) {
  const map = new ChunkMap(new Int32Array(buffer), 0, chunks);
  const go = new Int32Array(gate);
  Atomics.add(go, 0, 1);
  while (Atomics.load(go, 0) < threads);
  const startMs = performance.now();
  let won = 0;
  for (let chunk = 0; chunk < chunks; chunk++) {
    if (!map.claim(chunk, tag)) continue;
    map.publish(chunk, tag);
    won++;
  }
  return { won, ms: performance.now() - startMs };
}

if (isMainThread) {
  const { threads, tiny } = JSON.parse(process.argv[2] ?? '{}');
  const chunks = tiny ? 2 ** 14 : 2 ** 20;
  const run = async () => {
    const shared = { buffer: new SharedArrayBuffer(chunks * 4), chunks, gate: new SharedArrayBuffer(4), threads };
    const others = Array.from(
      { length: threads - 1 },
      (_, index) => new Worker(new URL(import.meta.url), { workerData: { ...shared, tag: index + 2 } }),
    );
    const told = others.map((worker) => new Promise((resolve) => worker.once('message', resolve)));
    await Promise.all(others.map((worker) => new Promise((resolve) => worker.once('online', resolve))));
    const mine = race({ ...shared, tag: 1 });
    return [mine, ...(await Promise.all(told))];
  };
  await run();
  const results = await run();
  const won = results.reduce((sum, result) => sum + result.won, 0);
  const words = new Int32Array(new SharedArrayBuffer(chunks * 4));
  let exchangeMs = 0;
  for (let round = 0; round < 3; round++) {
    const startMs = performance.now();
    for (let i = 0; i < chunks; i++) Atomics.compareExchange(words, i, round, round + 1);
    exchangeMs = performance.now() - startMs;
  }
  const wonNs = (Math.max(...results.map(({ ms }) => ms)) * 1e6) / chunks;
  process.stdout.write(
    JSON.stringify({ wonNs, exchangeNs: (exchangeMs * 1e6) / chunks, twicePercent: ((won - chunks) / chunks) * 100 }),
  );
} else {
  parentPort.postMessage(race(workerData));
}
