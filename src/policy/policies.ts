/** All policies by name. */
import type { PolicyName } from '../plan.ts';
import { boot } from './boot.ts';
import { hotplug } from './hotplug.ts';
import type { Policy } from './policy.ts';

export const policies: Readonly<Record<PolicyName, Policy>> = { boot, hotplug };
