/** The making of a file, and what a crash leaves of that. */
import { chunkState } from '../../dist/src/claims/chunk-map.js';
import { seededRandom } from '../../dist/src/observe/random.js';
import type { Persistence } from '../../dist/src/region/durability.js';
import { isFree } from '../../dist/src/region/file-header.js';
import { type ControlWriter, writeControl, writerOverMemory } from '../../dist/src/region/file-making.js';
import { superblockSizeBytes } from '../../dist/src/region/layout.js';
import { encodeSuperblock } from '../../dist/src/region/superblock.js';
import { oldChunks, planOf, seed, seen } from './crash-plays.js';
import { type LossBytes, Losses } from './losses.js';
import { freshParts, type Ground, groundOf, Stage } from './media.js';

/** What stands where a file is made. */
const sites = ['an empty file', 'an old region', 'zeros', 'garbage'] as const;
type Site = (typeof sites)[number];

/** What is wrong with a file whose making is interrupted, if anything is. */
export function makingFault(
  site: Site,
  durability: Persistence['durability'],
  lossBytes: LossBytes,
  make: typeof writeControl = writeControl,
  defect?: (sound: ControlWriter) => ControlWriter,
): string | undefined {
  const plan = planOf(oldChunks, 4, 2);
  const ground = groundOf(plan, durability);
  const whole: Ground = { ...ground, used: [[0, ground.layout.controlSizeBytes / 4]] };
  const parts = freshParts(whole).slice(0, 1);
  const words = parts[0]?.words as Uint32Array<SharedArrayBuffer>;
  if (site === 'an empty file' || site === 'zeros') words.fill(0);
  else if (site === 'garbage') words.fill(0x5eed_5eed);
  else words.fill(chunkState.durable, ground.layout.chunkWords / 4);
  const old = Uint32Array.from(words);
  const stage = new Stage(whole, [...parts, ...freshParts(whole).slice(1)], 'plain');
  const { header } = encodeSuperblock(plan, 'hotplug');
  const memory = writerOverMemory({ buffer: words.buffer, byteOffset: 0 }, ground.layout, stage.region.persistence);
  let resized = Number.POSITIVE_INFINITY;
  const heard: ControlWriter = {
    write(bytes, offset) {
      memory.write(bytes, offset);
      stage.plainStores(0, 0, words.length);
    },
    resize() {
      // a device keeps its size
      if (durability === 'msync') resized = stage.events.length;
    },
    persist: () => memory.persist(),
  };
  stage.record(() => make(defect?.(heard) ?? heard, header, ground.layout, site === 'an empty file'));
  const options = { lossBytes, combinationsMax: 512, samples: 20, random: seededRandom(seed), ...whole };
  const losses = new Losses(stage.parts, stage.initial, { ...options, read: whole.used }, new Set());
  const made = Uint32Array.from(words);
  let fault: string | undefined;
  for (let moment = 0; moment <= stage.events.length && !fault; moment++) {
    const event = stage.events[moment - 1];
    if (event) losses.add(event, moment - 1);
    losses.visit(moment, '', (image) => {
      seen.recovered++;
      fault ??= fileFault(image.parts[0] as Uint32Array, { site, old, made, isResized: moment >= resized });
      if (fault) fault += `; ${image.describe()}`;
    });
  }
  seen.made += losses.made;
  return fault;
}

/** A file must be what it was, or unfinished, or whole: judged as whoever opens it does, and then word by word. */
function fileFault(
  found: Uint32Array,
  { site, old, made, isResized }: { site: Site; old: Uint32Array; made: Uint32Array; isResized: boolean },
): string | undefined {
  const isAll = (wanted: Uint32Array): boolean => found.every((word, at) => word === wanted[at]);
  const isEmpty = site === 'an empty file' && found[0] === 0;
  // its size may have reached the media before its bytes: then it is a file of zeros, which nobody dares to take
  if (isEmpty && isResized) return 'it is a file of zeros';
  // and where it was cut off an old region is none any more
  if (isEmpty || (isAll(old) && !isResized) || isAll(made)) return undefined;
  const first = Uint8Array.from(new Uint8Array(found.buffer, found.byteOffset, superblockSizeBytes));
  return isFree({ kind: 'file' }, first)
    ? undefined
    : 'it is neither what it was nor whole, and not marked as unfinished';
}
