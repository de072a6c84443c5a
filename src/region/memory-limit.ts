/** Refuses what would make the kernel kill somebody for want of memory. */
import { VmemmapError } from '../errors.ts';
import { descriptorSizeBytes } from '../physical/geometry.ts';

/**
 * Compares what so many descriptors need with what is available: MemAvailable, or less in a memory cgroup.
 * @throws VmemmapError NO_MEMORY
 */
export function refuseTooLarge(pages: number): void {
  const needed = pages * descriptorSizeBytes;
  const available = process.availableMemory();
  if (needed <= available) return;
  const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  throw new VmemmapError(
    'NO_MEMORY',
    `${gib(needed)} of descriptors are to be initialized, ${gib(available)} of memory are available; describe a smaller ` +
      'machine; a program may also open with threadsPerNode 0 and fault only what it needs',
    { received: needed },
  );
}
