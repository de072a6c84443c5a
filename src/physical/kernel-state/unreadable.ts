/** Refuses what the running kernel shows, or does not show. */
import { VmemmapError } from '../../errors.ts';

/** What may be done about most of it. */
const asRoot = 'run as root on the machine itself, not in a container';

/** @throws VmemmapError KERNEL_UNREADABLE for a file that cannot be opened or read. */
export function cannotRead(path: string, cause: unknown): never {
  const { code, message } = cause as NodeJS.ErrnoException;
  const what =
    code === 'ENOENT'
      ? `${path} does not exist: /proc is not mounted, or the kernel was built without it`
      : `${path} cannot be read: ${message}`;
  throw new VmemmapError('KERNEL_UNREADABLE', `${what}; ${asRoot}`, { cause, received: path });
}

/** @throws VmemmapError KERNEL_UNREADABLE for a file that shows its contents to root only. */
export function hidesAddresses(path: string): never {
  throw new VmemmapError('KERNEL_UNREADABLE', `${path} shows its addresses only to root; ${asRoot}`, {
    received: path,
  });
}

/** @throws VmemmapError KERNEL_UNREADABLE for a file that says what cannot be. */
export function makesNoSense(path: string, problem: string, received?: unknown): never {
  throw new VmemmapError('KERNEL_UNREADABLE', `${path} ${problem}; is it the kernel's own?`, { received });
}
