/** The policy for memory that arrives while the system runs: everything in the background, any pfn at any time. */
import type { Policy } from './policy.ts';

export const hotplug: Policy = {
  name: 'hotplug',
  upFront: () => [],
};
