/** What the host tells a script in the guest, line by line. */
import { openSync, readdirSync, readFileSync, readSync } from 'node:fs';

const ports = '/sys/class/virtio-ports';
let fd = -1;

/** Waits for the next line from the host. Only one process may listen. */
export function nextLine() {
  if (fd < 0) {
    const port = readdirSync(ports).find((name) => readFileSync(`${ports}/${name}/name`, 'utf8').trim() === 'in');
    fd = openSync(`/dev/${port}`, 'r');
  }
  const byte = Buffer.alloc(1);
  let line = '';
  for (;;) {
    readSync(fd, byte);
    if (byte[0] === 0x0a) return line;
    line += byte.toString('latin1');
  }
}
