/** Peer: one loop in one thread over a typed array, sixteen words a descriptor. */
import { warmUp } from '../support/trial.mjs';

const { pages, warmBytes } = JSON.parse(process.argv[2] ?? '{}');

function initialize(words, template) {
  for (let at = 0; at < words.length; at += 16) for (let word = 0; word < 16; word++) words[at + word] = template[word];
}

const template = Uint32Array.from([0xc0001000, 0x6007fff, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xffffffff, 1, 0, 0]);
warmUp(warmBytes);
const startMs = performance.now();
const words = new Uint32Array(new SharedArrayBuffer(pages * 64));
initialize(words, template);
const firstMs = performance.now() - startMs;
process.stdout.write(JSON.stringify({ firstMs }));
