/** What a platform's physical addresses can reach: readers go by 52 bits, and Power has one less. */
import { VmemmapError } from '../errors.ts';
import { pfnLimitOf } from './geometry.ts';
import { platformOf } from './platforms.ts';
import type { Topology } from './topology.ts';

/**
 * The topology, whose memory must lie where its platform has addresses.
 * @param file what the memory was read from.
 * @throws VmemmapError DETECT_FAILED
 */
export function withinAddresses(topology: Topology, file: string): Topology {
  const platform = platformOf(topology.platform);
  const { memory, reserved = [], nomap = [] } = topology;
  const endPfn = [...memory.slice(-1), ...reserved.slice(-1), ...nomap.slice(-1)].reduce(
    (last, extent) => Math.max(last, extent.endPfn),
    0,
  );
  if (endPfn <= pfnLimitOf(platform)) return topology;
  throw new VmemmapError(
    'DETECT_FAILED',
    `${file} tells memory beyond 2^${platform.physicalAddressBits} bytes, where the addresses of ${platform.name} end; ` +
      'is it of another platform? (--platform NAME)',
    { received: file },
  );
}
