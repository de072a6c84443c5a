/** From a device file to the folder in sysfs that tells about the device. */
import { realpathSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { VmemmapError } from '../errors.ts';

/** What is asked of a device file. */
export type DeviceStat = Pick<Stats, 'rdev' | 'isBlockDevice' | 'isCharacterDevice'>;

/** A device in sysfs. */
export interface DeviceFolder {
  /** Whether it is a block device; a character device otherwise. */
  readonly block: boolean;
  /** Its folder, all links followed. */
  readonly at: string;
}

/** Where to look for the right device: a part of what errors say. */
export const listIt: string = '"ndctl list" tells the namespaces and their devices';

/** @throws VmemmapError DETECT_FAILED: `path` and `problem`, which says what to do. */
export function refuse(path: string, problem: string, cause?: unknown): never {
  throw new VmemmapError('DETECT_FAILED', `${path} ${problem}`, { received: path, cause });
}

/** A link's target, all links followed, or undefined when there is none. */
export function targetOf(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

/** `major:minor` as sysfs spells it. Linux has majors of 12 bits and minors of 20, encoded as in new_encode_dev. */
function deviceNumber(rdev: number): string {
  const major = (rdev >>> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xf_ff00);
  return `${major}:${minor}`;
}

function statOrRefuse(path: string, statOf: (path: string) => DeviceStat): DeviceStat {
  try {
    return statOf(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') {
      const enable = '"ndctl enable-namespace" brings back that of a disabled one';
      refuse(path, `does not exist; ${listIt}, and ${enable}`, cause);
    }
    const reason = cause instanceof Error ? `: ${cause.message}` : '';
    return refuse(path, `cannot be looked up${reason}; give a device that you may read, or run as root`, cause);
  }
}

/**
 * The folder of a device in sysfs. It is found by the device's number and not by its name, so that links in /dev/disk and
 * devices that somebody has named otherwise are as good as /dev/pmem0.
 * @param statOf tells a device file, symbolic links followed.
 * @throws VmemmapError DETECT_FAILED when there is none, it is no device, or sysfs does not have it.
 */
export function folderOf(path: string, sysRoot: string, statOf: (path: string) => DeviceStat = statSync): DeviceFolder {
  const stat = statOrRefuse(path, statOf);
  const block = stat.isBlockDevice();
  if (!block && !stat.isCharacterDevice()) {
    refuse(path, `is no device; give the one of a namespace, such as /dev/pmem0 or /dev/dax0.0 (${listIt})`);
  }
  const number = deviceNumber(stat.rdev);
  const link = join(sysRoot, 'dev', block ? 'block' : 'char', number);
  const at = targetOf(link) ?? refuse(path, `is device ${number}, which is not in sysfs: ${link}; mount sysfs there`);
  return { block, at };
}
