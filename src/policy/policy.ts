/** What a policy is: when chunks are initialized, over the same claims as every other policy. */
import type { Faults } from '../claims/fault.ts';
import type { PfnExtent } from '../physical/geometry.ts';
import type { PlannedMemmap, PolicyName } from '../plan.ts';
import type { Region } from '../region/region.ts';

/** A policy. Everything that it does not decide is the same for all. */
export interface Policy {
  readonly name: PolicyName;
  /** What must be initialized before `open` returns. */
  upFront(ranges: readonly PlannedMemmap[]): PfnExtent[];
  /**
   * Hands an allocator the next run of initialized pages of a node, at most `pages` long; undefined when the node has no
   * more. Absent where the policy has no allocator to feed.
   */
  grow?(faults: Faults, region: Region, nid: number, pages: number): PfnExtent | undefined;
}
