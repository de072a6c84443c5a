/** What tests of listings of ndctl share. */
import { parseIomem } from '../../dist/src/physical/iomem.js';
import { readNdctl } from '../../dist/src/physical/ndctl.js';
import type { Topology } from '../../dist/src/physical/topology.js';

/** Bytes. */
export const mib: number = 2 ** 20;

/** The machine of a listing, which errors call `list.json`, beside a memory map. */
export function told(value: unknown, iomem?: string): Topology {
  const map = iomem === undefined ? undefined : parseIomem(iomem);
  return readNdctl(JSON.stringify(value), [0, 1], { file: 'list.json', iomem: map });
}

/** A namespace of 1 GiB on node 1 with map=mem, or another one. */
export function namespace(changes: object = {}): object {
  return { dev: 'namespace0.0', mode: 'fsdax', map: 'mem', size: 1022 * mib, align: 2 * mib, numa_node: 1, ...changes };
}
