/** A namespace in every mode: fromDevice has the pages that the kernel initializes, and the figures that ndctl lists. */
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import type { NamespaceTopology } from '../../dist/src/index.js';
import { type Ended, runNode } from '../support/child.js';
import { bootTimeoutMs, named, skipReason } from './skip.js';

const run = fileURLToPath(new URL('run.mjs', import.meta.url));
const script = fileURLToPath(new URL('guest/namespace.mjs', import.meta.url));

/** What `ndctl` prints of a namespace. */
interface Listed {
  readonly dev: string;
  readonly mode: string;
  readonly map?: string;
  readonly size: number;
  readonly align?: number;
  readonly uuid?: string;
}

interface Observed {
  readonly listed: Listed;
  /** Pages of each of the kernel's messages `memmap_init_zone_device initialised N pages`. */
  readonly initialised: readonly number[];
  readonly told: NamespaceTopology;
}

const modes = ['fsdax', 'devdax'].flatMap((mode) =>
  ['mem', 'dev'].flatMap((map) => ['2M', '1G'].map((align) => `${mode} ${map} ${align}`)),
);

describe.skipIf(skipReason !== undefined)(named('a namespace'), () => {
  let ended: Ended;
  let namespaces: Record<string, Observed>;
  let linked: NamespaceTopology;
  let refused: Record<string, { readonly code: string; readonly message: string }>;

  beforeAll(async () => {
    // 3 GiB, of which an alignment of 1 GiB leaves two for data
    ended = await runNode([run, '--timeout', '240', '--pmem-size', '3G', script]);
    expect(ended, ended.stderr).toMatchObject({ signal: null, status: 0, stdout: expect.stringMatching(/^\{.*\}\n$/) });
    ({ namespaces, linked, refused } = JSON.parse(ended.stdout));
  }, bootTimeoutMs);

  const observed = (which: string): Observed => namespaces[which] as Observed;
  const pages = ({ memory }: NamespaceTopology): number =>
    memory.reduce((sum, { startPfn, endPfn, altmap }) => {
      // those of an altmap are not initialized as device pages
      return sum + endPfn - startPfn - (altmap ? altmap.reservePages + altmap.memmapPages : 0);
    }, 0);

  it.each(modes)('as %s has the pages that the kernel initialized, on its node', (which) => {
    const { initialised, told } = observed(which);
    expect([pages(told)]).toEqual(initialised);
    expect(told.memory.map(({ nid, kind }) => [nid, kind])).toEqual([[1, 'device']]);
    expect(told.notes).toEqual([]);
    expect(told.nodes).toEqual([
      { nid: 0, cpus: [0, 1] },
      { nid: 1, cpus: [2, 3] },
    ]);
  });

  it('as raw has all its pages, of which the kernel initialized none', () => {
    const { initialised, told } = observed('raw');
    expect(initialised).toEqual([]);
    expect(pages(told)).toBe(3 * 2 ** 18);
    expect(told.notes).toEqual([expect.stringContaining('Linux itself has no page descriptors for a raw namespace')]);
  });

  it.each(['raw', ...modes])('as %s is described as ndctl lists it', (which) => {
    const { listed, told } = observed(which);
    const { name, mode, map, sizeBytes, alignBytes, uuid } = told.namespace;
    expect({ dev: name, mode, map, size: sizeBytes, align: alignBytes, uuid }).toEqual({
      dev: listed.dev,
      mode: listed.mode,
      map: listed.map,
      size: listed.size,
      align: listed.align,
      uuid: listed.uuid,
    });
  });

  it('is found by a link to its device', () => {
    expect(linked.memory).toEqual(observed('fsdax mem 2M').told.memory);
  });

  it.each([
    ['disabledDax', /is disabled; "daxctl enable-device dax0\.0"/],
    ['systemRam', /belongs to the driver kmem/],
    ['sector', /is in sector mode/],
    ['disabled', /does not exist; .*"ndctl enable-namespace"/],
    ['partition', /is a partition; give the whole device, \/dev\/pmem0$/],
    ['other', /is not a namespace of persistent memory/],
  ])('is refused where it has no device pages: %s', (which, message) => {
    expect(refused[which]).toEqual({ code: 'DETECT_FAILED', message: expect.stringMatching(message) });
  });
});
