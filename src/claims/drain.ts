/** The drain: what a background worker does until nothing is left. */
import type { RegionRange } from '../region/region.ts';
import { isInitialized, payloadOf, stateOf } from './chunk-map.ts';
import type { Claimant } from './claimant.ts';
import { isPaused, isStopped } from './orders.ts';

/**
 * `complete`: every chunk of the region is initialized or failed. `paused`: to be begun again after a resume; the thread is
 * free for others meanwhile. `cancelled`: the region was cancelled or closed.
 */
export type DrainOutcome = 'complete' | 'paused' | 'cancelled';

/** How long a drain waits for a chunk that another thread holds before it looks around. */
const lookAroundMs = 100;

/**
 * Claims and initializes chunk after chunk, first those of node `nid`, then those of the nodes behind it and, last, before it;
 * then waits for chunks that others hold: when it returns `complete`, nothing is left.
 */
export function drain(claimant: Claimant, nid: number): DrainOutcome {
  const { ranges } = claimant.region;
  const own = ranges.filter((range) => range.nid === nid);
  const lastOwn = own.at(-1)?.index ?? -1;
  const others = ranges.filter((range) => range.nid !== nid);
  // begun at different places, those who help do not all help the same node
  const behind = others.filter(({ index }) => index > lastOwn);
  const before = others.filter(({ index }) => index < lastOwn);
  for (const range of [...own, ...behind, ...before]) {
    const outcome = drainRange(claimant, range);
    if (outcome !== 'complete') return outcome;
  }
  // What is left was claimed by a fault, by another drain, or by a thread that died after the cursor had passed.
  for (const range of ranges) {
    const outcome = finishRange(claimant, range);
    if (outcome !== 'complete') return outcome;
  }
  return 'complete';
}

function drainRange(claimant: Claimant, range: RegionRange): DrainOutcome {
  const { control } = claimant.region;
  for (;;) {
    const order = orderOf(claimant);
    if (order !== undefined) return order;
    // relaxed would do: the cursor only tells where to look, the chunk word decides who may write
    const chunk = Atomics.add(control, range.drainCursor, 1);
    if (chunk >= range.chunks) return 'complete';
    claimant.tryInitialize(range, chunk, 'chunksByDrain');
  }
}

function finishRange(claimant: Claimant, range: RegionRange): DrainOutcome {
  for (let chunk = 0; chunk < range.chunks; chunk++) {
    const number = range.firstChunk + chunk;
    for (;;) {
      const word = claimant.chunks.load(number);
      if (isInitialized(word) || stateOf(word) === 'failed') break;
      const order = orderOf(claimant);
      if (order !== undefined) return order;
      if (stateOf(word) === 'free') claimant.tryInitialize(range, chunk, 'chunksByDrain');
      else if (claimant.owners.isDead(payloadOf(word))) claimant.releaseDead(number, word);
      else claimant.chunks.wait(number, word, lookAroundMs);
    }
  }
  return 'complete';
}

/** What the drain has been told to do instead of going on. */
function orderOf({ region }: Claimant): 'cancelled' | 'paused' | undefined {
  if (isStopped(region)) return 'cancelled';
  return isPaused(region) ? 'paused' : undefined;
}
