/** A user's own thread: attaches to a memmap by its handle and does what it is asked. */
import { parentPort, workerData } from 'node:worker_threads';
import { Memmap } from '../../dist/src/index.js';

const memmap = Memmap.attach(workerData.handle);

const deeds = {
  fault: (pfn, order) => memmap.fault(pfn, order),
  faultAsync: (pfn, order) => memmap.faultAsync(pfn, order),
  flags: (pfn) => memmap.page(pfn).flags,
  migrateType: (pfn) => memmap.migrateType(pfn),
  // sets one type after the other, each again and again
  setMigrateTypes: (pfn, types, rounds) => {
    for (let i = 0; i < rounds; i++) for (const type of types) memmap.setMigrateType(pfn, type);
  },
  grow: (nid, pages) => memmap.grow(nid, pages),
  ready: () => memmap.ready,
  state: () => memmap.state,
  pause: () => memmap.pause(),
  resume: () => memmap.resume(),
  verify: () => memmap.verify(),
  addRange: (extent) => memmap.addRange(extent).length,
  removeRange: (pfn) => memmap.removeRange(pfn),
  close: () => memmap.close(),
};

parentPort.on('message', async ([name, ...words]) => {
  try {
    parentPort.postMessage({ result: await deeds[name](...words) });
  } catch (error) {
    parentPort.postMessage({ code: error.code ?? error.name });
  }
  if (name === 'close') parentPort.close();
});
parentPort.postMessage({ result: 'attached' });
