/** How ranges are planned that come later: what whoever adds one must know of how the memmap was opened. Plain data. */
import { type ProfileName, profiles } from '../descriptor/profiles.ts';
import type { Topology } from '../physical/topology.ts';
import type { PlanOptions } from '../plan.ts';

/** Part of the handle: every thread that attaches plans as the opener does. */
export interface HotplugTerms {
  /** What there is to know of the machine, beside its memory. */
  readonly machine: Pick<Topology, 'zoned' | 'platform'>;
  readonly options: PlanOptions;
  /** Node of this machine for the memory of each node of the topology; see host-nodes.ts. */
  readonly hosts: ReadonlyMap<number, number>;
  /** Whether the opener has threads, which initialize whatever is added. */
  readonly hasThreads: boolean;
  /** Whether descriptors are ones until they are initialized. */
  readonly poisons: boolean;
}

/** Whether a part of a handle, which may be anything, is that. */
export function isHotplugTerms(terms: Partial<HotplugTerms> | null): terms is HotplugTerms {
  const { machine, options, hosts, hasThreads, poisons } = terms ?? {};
  return (
    typeof machine === 'object' &&
    typeof machine?.zoned === 'boolean' &&
    typeof options === 'object' &&
    Object.hasOwn(profiles, (options?.profile as ProfileName | undefined) ?? '') &&
    hosts instanceof Map &&
    typeof hasThreads === 'boolean' &&
    typeof poisons === 'boolean'
  );
}
