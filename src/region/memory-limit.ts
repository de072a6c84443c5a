/** Refuses what would make the kernel kill somebody for want of memory. */
import { VmemmapError } from '../errors.ts';
import { descriptorSizeBytes, pageSizeBytes } from '../physical/geometry.ts';

/**
 * Compares what descriptors need with what is available: MemAvailable, or less in a memory cgroup.
 * @throws VmemmapError NO_MEMORY
 */
export function refuseTooLarge(needed: number): void {
  const available = process.availableMemory();
  if (needed <= available) return;
  const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  const fit = Math.floor(available / descriptorSizeBytes);
  throw new VmemmapError(
    'NO_MEMORY',
    `${gib(needed)} of descriptors, 64 bytes each, are to be initialized, ${gib(available)} of memory are available: room for ` +
      `a machine of ${gib(fit * pageSizeBytes)}, or ${fit} slots; ask for less, or, in a program, open with threadsPerNode 0 ` +
      'and fault only what it needs',
    { received: needed },
  );
}
