/**
 * The session: from when somebody opens a file that nobody has open until the last one closes it. Its line in the region says in
 * which boot of the machine it began, and of which file it told that: so that the next one knows whether the kernel has had the
 * pages of this file all along. Then a chunk that was READY still is, though it never reached the media. A copy of the file, or of
 * its file system, has the line of another one; a line that does not check out means "no"; and both cost work and lose nothing.
 */
import { fstatSync, readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { addon } from '../native.ts';
import type { RegionLayout } from './layout.ts';

/** Byte offsets in the line. */
const at = { boot: 0, device: 16, inode: 24, mount: 32, epoch: 40, checksum: 44, end: 48 } as const;

/** Where and when a session began. */
export interface Session {
  /** Sixteen bytes that the kernel makes up at each boot (random(4)), in hexadecimal; empty where it does not tell. */
  readonly boot: string;
  readonly device: bigint;
  readonly inode: bigint;
  /** The mount by which the file was opened; see `mountId` of the addon. */
  readonly mount: bigint;
  /** Epoch of the superblock that goes with it. */
  readonly epoch: number;
}

function bootId(): string {
  try {
    const text = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim().replaceAll('-', '');
    return /^[0-9a-f]{32}$/.test(text) ? text : '';
  } catch {
    return '';
  }
}

/** The session of an open file that would begin now. */
export function sessionNow(fd: number, epoch: number): Session {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return { boot: bootId(), device: dev, inode: ino, mount: BigInt(addon?.mountId(fd) ?? 0), epoch };
}

/** Whether two sessions began in the same boot of the same machine. */
export function isSameBoot(a: Session | undefined, b: Session): boolean {
  return a !== undefined && a.boot !== '' && a.boot === b.boot;
}

/** Whether the kernel has had the pages of the file since, whose sessions these are. */
export function isSameFile(a: Session | undefined, b: Session): boolean {
  return a !== undefined && isSameBoot(a, b) && a.device === b.device && a.inode === b.inode && a.mount === b.mount;
}

/** The session that a control buffer tells of; undefined when its line does not check out. */
export function readSession(control: Uint8Array, { session }: RegionLayout): Session | undefined {
  // a copy: Buffer does not read shared memory
  const bytes = Buffer.from(Uint8Array.from(control.subarray(session, session + at.end)));
  if (bytes.readUInt32LE(at.checksum) !== crc32(bytes.subarray(0, at.checksum))) return undefined;
  return {
    boot: bytes.toString('hex', at.boot, at.device),
    device: bytes.readBigUInt64LE(at.device),
    inode: bytes.readBigUInt64LE(at.inode),
    mount: bytes.readBigUInt64LE(at.mount),
    epoch: bytes.readUInt32LE(at.epoch),
  };
}

/** Writes down that a session begins. Under the locks of an opener who is alone. */
export function writeSession(control: Uint8Array, { session }: RegionLayout, now: Session): void {
  const bytes = Buffer.alloc(at.end);
  bytes.write(now.boot, at.boot, 'hex');
  bytes.writeBigUInt64LE(now.device, at.device);
  bytes.writeBigUInt64LE(now.inode, at.inode);
  bytes.writeBigUInt64LE(now.mount, at.mount);
  bytes.writeUInt32LE(now.epoch, at.epoch);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, at.checksum)), at.checksum);
  control.set(bytes, session);
}
