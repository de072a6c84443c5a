/**
 * What runs in a pool's worker thread: pinned once when it is made, then one long task after another. It is bundled into one
 * CommonJS file, worker.cjs: that loads in 2 ms where thirty ES modules take 20, and a thread that is terminated just as it
 * loads ES modules takes the whole process down with it (seen with Node 20: IsGraphAsync, ExecuteAsyncModule).
 */
import { constants, getPriority, setPriority } from 'node:os';
import { workerData } from 'node:worker_threads';
import { Claimant } from '../src/claims/claimant.ts';
import { drain } from '../src/claims/drain.ts';
import { isClosedHandle } from '../src/claims/orders.ts';
import { VmemmapError } from '../src/errors.ts';
import { addon } from '../src/native.ts';
import { verifyShare } from '../src/observe/verify.ts';
import { Region } from '../src/region/region.ts';
import type { WorkerData, WorkerReply, WorkerTask } from './messages.ts';

/**
 * Whoever faults, and the event loop, go before the background where they share a CPU: it cuts the event loop's delay by half
 * (`npm run bench -- responsiveness`) and costs the background nothing on CPUs that are idle otherwise.
 */
const niceness = 10;
try {
  // On Linux a thread has a niceness of its own, inherited from whoever made it, and 0 is the calling thread (setpriority(2)).
  // piscina's niceIncrement does the same through a package whose loading takes each thread 3 ms.
  setPriority(0, Math.min(constants.priority.PRIORITY_LOW, getPriority(0) + niceness));
} catch {
  // a sandbox may forbid it; it is a courtesy, and no reason not to work
}

const { cpus } = workerData as WorkerData;
const pinErrno = addon && cpus.length > 0 ? addon.pinThread(cpus) : 0;

/** Runs one task. Never throws: see {@link WorkerReply}. */
export default function run(task: WorkerTask): WorkerReply {
  // Sequentially consistent, and that is needed: partner of the load in Drain.hasBegun. Stored before we look for orders.
  Atomics.store(task.started, 0, 1);
  try {
    return task.kind === 'drain' ? runDrain(task) : runVerify(task);
  } catch (error) {
    return {
      kind: 'error',
      code: error instanceof VmemmapError ? error.code : undefined,
      message: error instanceof Error ? error.message : String(error),
    };
  } finally {
    // piscina parks an idle thread inside the function that still holds its last message: without this an idle thread would
    // keep the buffers of a memmap that was closed long ago.
    for (const key of Object.keys(task)) delete (task as unknown as Record<string, unknown>)[key];
  }
}

function runDrain(task: WorkerTask & { kind: 'drain' }): WorkerReply {
  // Loaded too late, or behind the tasks of others: whoever closed did not wait for us, and a file is unmapped by now. Who
  // closes after this look sees that we have begun, and waits.
  if (isClosedHandle(task.handle)) return { kind: 'drain', outcome: 'cancelled', pinErrno };
  const claimant = new Claimant(Region.attach(task.handle));
  try {
    return { kind: 'drain', outcome: drain(claimant, task.nid), pinErrno };
  } finally {
    // close waits for us
    claimant.leave(true);
  }
}

function runVerify(task: WorkerTask & { kind: 'verify' }): WorkerReply {
  const region = Region.attach(task.handle);
  return { kind: 'verify', ...verifyShare(region, task.ranges, task.cursor) };
}
