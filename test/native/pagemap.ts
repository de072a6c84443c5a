/** Which pages of this process are in memory, as the kernel tells it. */
import { closeSync, openSync, readSync } from 'node:fs';

/** Whether the page that holds `address` is in memory: bit 63 of its entry in /proc/self/pagemap. */
export function isPresent(address: bigint): boolean {
  const file = openSync('/proc/self/pagemap', 'r');
  try {
    const entry = Buffer.alloc(8);
    readSync(file, entry, 0, 8, (address / 4096n) * 8n);
    return entry.readBigUInt64LE() >> 63n === 1n;
  } finally {
    closeSync(file);
  }
}
