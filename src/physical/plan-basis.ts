/** What everything that is planned of a machine is computed from: its topology, checked, with the rules of a kernel. */
import { type BootMemory, bootMemory } from './boot-memory.ts';
import { checkTopology } from './check-topology.ts';
import { type Holes, holesOf } from './holes.ts';
import { defaultRelease, type KernelRules, kernelRules } from './kernel-rules.ts';
import { platformOf } from './platforms.ts';
import type { Topology } from './topology.ts';

/** What the plan of a machine depends on beside its topology. */
export interface PlanRules {
  /** Default: those of the default profile's release. */
  readonly rules?: KernelRules | undefined;
  /** Pages that the zone Movable is to have in all, as with `movablecore=`. Default: none. */
  readonly movablePages?: number | undefined;
}

/** What is computed from a topology once. */
export interface PlanBasis {
  readonly topology: Topology;
  readonly rules: KernelRules;
  readonly boot: BootMemory;
  readonly holes: Holes;
}

/** @throws RangeError when the topology, or the rules for it, cannot be */
export function planBasis(topology: Topology, options: PlanRules = {}): PlanBasis {
  checkTopology(topology);
  const platform = platformOf(topology.platform);
  const { rules = kernelRules(platform, defaultRelease), movablePages = 0 } = options;
  if (rules.platform !== platform) {
    throw new RangeError(`rules are those of ${rules.platform.name}, and the topology is one of ${platform.name}`);
  }
  if (!Number.isSafeInteger(movablePages) || movablePages < 0) {
    throw new RangeError(`movablePages must be a whole number from 0 on, not ${movablePages}`);
  }
  const boot = bootMemory(topology, rules, movablePages);
  return { topology, rules, boot, holes: holesOf(boot, topology, rules) };
}
