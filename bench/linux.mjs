/**
 * Ours beside Linux's own initializers, in one boot of the testbed's machine (test/testbed): the memmap of persistent memory, and
 * boot RAM that was deferred. Options: --json, --tiny (checks that the benchmark runs), --rounds N, --pmem-gib N.
 * Exit status 77 when the testbed cannot run here; it says what to install.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    tiny: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    'pmem-gib': { type: 'string' },
  },
});
const rounds = values.rounds ?? (values.tiny ? '1' : '5');
const pmemGib = values['pmem-gib'] ?? (values.tiny ? '1' : '16');

const root = fileURLToPath(new URL('..', import.meta.url));
const machine = ['test/testbed/run.mjs', '--prealloc', '--timeout', '300', '--pmem-size', `${pmemGib}G`];

function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

function firstLine(program, ...words) {
  try {
    return execFileSync(program, words, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split(
      '\n',
    )[0];
  } catch {
    return 'unknown';
  }
}

function measure() {
  const words = [...machine, 'bench/linux-guest.mjs', '--rounds', rounds, '--pmem-gib', pmemGib];
  const { status, stdout } = spawnSync(process.execPath, words, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  // What went wrong was told on stderr.
  if (status !== 0) process.exit(status ?? 1);
  return JSON.parse(stdout);
}

function figuresOf({ kernel, node, deferred, device, ram }) {
  const qemu = /version ([\d.]+)/.exec(firstLine('qemu-system-x86_64', '--version'))?.[1] ?? '';
  const common =
    `first touch, memory that the host has backed; median of ${rounds} rounds, a fresh process each; guest Linux ${kernel}, ` +
    `QEMU ${qemu} TCG, 2 nodes of 2 CPUs on ${cpus().length} × ${cpus()[0]?.model}, Node ${node}, ` +
    `commit ${firstLine('git', 'rev-parse', '--short', 'HEAD')}, ${new Date().toISOString().slice(0, 10)}`;
  const nsPerPage = (ms, pages) => (ms * 1e6) / pages;
  const figure = (name, unit, ours, peer, peerValue, conditions) => ({
    ...{ name, unit, ours, peer, peerValue, ratio: peerValue / ours },
    conditions: `${conditions}; ${common}`,
  });

  const pages = device[0].ours.running.pages;
  const ofOurs = (samples, kind, key) => median(samples.map(({ ours }) => ours[kind][key]));
  const ofLinux = (key) => median(device.map(({ linux }) => nsPerPage(linux[key], linux.pages)));
  const sizes = (samples) =>
    [...new Set(samples.flatMap(({ ours }) => [ours.fresh.pageSize, ours.running.pageSize]))].join(' or ');
  const onDevice = `${pages} device pages, node 1; ours 2 threads, ${sizes(device)} B pages, Linux 1 thread, 2097152 B pages`;
  const deferredPages = deferred.reduce((sum, node) => sum + node.pages, 0);
  // Both nodes are at it at once, for Linux as for us.
  const deferredMs = Math.max(...deferred.map(({ ms }) => ms));
  const nodes = deferred.map(({ nid, pages, ms }) => `node ${nid} ${pages} pages in ${ms} ms`).join(', ');
  const onRam =
    `${deferredPages} RAM pages of two nodes; ours 2 threads per node, ${sizes(ram)} B pages, Linux at boot, once, up to 2 threads ` +
    `per node, memory mapped before, pages put in free lists: ${nodes}`;
  const oursNs = (samples, kind) => nsPerPage(ofOurs(samples, kind, 'readyMs'), samples[0].ours[kind].pages);
  const [mapAndInit, init, boot] = ['memremap_pages', 'memmap_init_zone_device', 'deferred_init_memmap'];
  const ns = 'ns/page';
  const [running, fresh] = ['threads running', 'threads started, too'];
  return [
    figure(`pmem, ${running}`, ns, oursNs(device, 'running'), mapAndInit, ofLinux('mapMs'), onDevice),
    figure(
      'pmem, mapped before',
      ns,
      oursNs(device, 'again'),
      init,
      ofLinux('initMs'),
      `${onDevice}, mapped before for both`,
    ),
    figure(`pmem, ${fresh}`, ns, oursNs(device, 'fresh'), mapAndInit, ofLinux('mapMs'), onDevice),
    figure(
      ...['pmem, until a page is usable', 'ms', ofOurs(device, 'running', 'usableMs'), mapAndInit],
      ...[median(device.map(({ linux }) => linux.mapMs)), onDevice],
    ),
    figure('boot RAM, mapped before', ns, oursNs(ram, 'again'), boot, nsPerPage(deferredMs, deferredPages), onRam),
    figure(`boot RAM, ${running}`, ns, oursNs(ram, 'running'), boot, nsPerPage(deferredMs, deferredPages), onRam),
    figure(`boot RAM, ${fresh}`, ns, oursNs(ram, 'fresh'), boot, nsPerPage(deferredMs, deferredPages), onRam),
  ];
}

const figures = figuresOf(measure());
if (values.json) process.stdout.write(`${JSON.stringify(figures)}\n`);
else {
  const row = (...cells) =>
    `  ${cells[0].padEnd(32)}${cells[1].padStart(16)}${cells[2].padStart(16)}  ${cells[3].padStart(6)}  ${cells[4]}\n`;
  process.stdout.write(
    `Ours beside Linux's own initializers, in an emulated machine\n${row('', 'ours', 'Linux', 'ratio', '')}`,
  );
  for (const { name, unit, ours, peer, peerValue, ratio } of figures) {
    const [mine, theirs] = [ours, peerValue].map((value) => `${value.toFixed(1)} ${unit}`);
    process.stdout.write(row(name, mine, theirs, ratio.toFixed(2), peer));
  }
  for (const conditions of new Set(figures.map((figure) => figure.conditions)))
    process.stdout.write(`  ${conditions}\n`);
}
