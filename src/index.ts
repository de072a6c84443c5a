/** The public surface: re-exports only. */
export { type WorkerFailure, workerFailureChannel } from './background.ts';
export type { ChunkStateName } from './claims/chunk-map.ts';
export type { FaultOutcome } from './claims/claimant.ts';
export type { FaultOrder } from './claims/fault.ts';
export type { OwnerTotals } from './claims/owners.ts';
export type { Resumed } from './claims/recovery.ts';
export type { PageView } from './descriptor/page-view.ts';
export type { ProfileName } from './descriptor/profiles.ts';
export { type ErrorCode, type ErrorDetails, errorCodes, VmemmapError } from './errors.ts';
export { Memmap, type MemmapHandle, type Stats } from './memmap.ts';
export { type AddonState, addonState } from './native.ts';
export type { FailedRun } from './observe/failures.ts';
export { type DescriptorNote, type Inspection, inspectDescriptor, inspectFile, verifyFile } from './observe/inspect.ts';
export type { NodeProgress, Progress } from './observe/progress.ts';
export type { VerifyResult } from './observe/verify.ts';
export type { AttachOptions, HotplugRoom, OpenOptions } from './options.ts';
export { detect, fromIomemFile } from './physical/detect.ts';
export type { DeviceStat } from './physical/device-file.ts';
export { fromDmesgFile } from './physical/dmesg/dmesg.ts';
export type { DmesgOptions } from './physical/dmesg/told-log.ts';
export type { PfnExtent } from './physical/geometry.ts';
export {
  type FromDeviceOptions,
  fromDevice,
  type Namespace,
  type NamespaceMap,
  type NamespaceMode,
  type NamespaceTopology,
} from './physical/namespace.ts';
export { fromNdctlFile, type NdctlOptions } from './physical/ndctl.ts';
export { simulate } from './physical/simulate.ts';
export type { MemoryExtent, MemoryKind, Topology, TopologyNode, TopologySource } from './physical/topology.ts';
export type { PolicyName } from './plan.ts';
export { releaseThreads } from './pool.ts';
export type { SyncOptions } from './readiness.ts';
export type { BackingName, BackingReport } from './region/backing.ts';
export type { Durability } from './region/durability.ts';
export type { MigrateType } from './region/pageblocks.ts';
export type { RegionRange } from './region/range.ts';
export type { Residency } from './region/residency.ts';
