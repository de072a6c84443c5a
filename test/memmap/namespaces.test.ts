/** Processes that cannot see each other by their numbers share a file: the living keep their claims, the killed lose them. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Memmap } from '../../dist/src/index.js';
import { skipReason } from '../native/built-addon.js';
import { inTime, Peer, Place, stuckIn, until, Watch, whyNotWithin } from '../support/processes.js';
import { machine, ram } from '../support/regions.js';

/** 64 chunks of a pageblock. */
const options = { topology: machine(ram(0, 2 ** 15)), chunkPages: 512, threadsPerNode: 0 } as const;

/** A group that nobody here is in, so that root is not shown everything for its group. */
const hiding =
  'mount -t proc -o hidepid=2,gid=65534 proc /proc && exec setpriv --bounding-set=-all --inh-caps=-all "$@"';

/** Commands that run a process where the numbers of others mean something else, or nothing. */
const places: [what: string, within: string[]][] = [
  ['another pid namespace', ['unshare', '--pid', '--fork', '--mount-proc']],
  ['another pid namespace with the /proc of this one', ['unshare', '--pid', '--fork']],
  ['another time namespace', ['unshare', '--time', '--boottime', '100000', '--fork']],
  ['a place whose /proc hides the processes of others', ['unshare', '--mount', 'sh', '-c', hiding, 'sh']],
];

let place: Place;
let file: string;
const peers: Peer[] = [];

beforeEach(() => {
  place = new Place('/dev/shm');
  file = place.newFile();
});

afterEach(async () => {
  await Promise.all(peers.splice(0).map((peer) => peer.kill()));
  place[Symbol.dispose]();
});

async function open(within: readonly string[] = []): Promise<Peer> {
  const peer = await Peer.start(within);
  peers.push(peer);
  await peer.do('open', { ...options, file });
  return peer;
}

function whyNot(...commands: readonly string[][]): string | undefined {
  return skipReason ?? commands.map(whyNotWithin).find((reason) => reason !== undefined);
}

function named(what: string, reason: string | undefined): string {
  return reason === undefined ? what : `${what} (${reason})`;
}

/** One holds a claim, and the other one can neither have it nor the owner slot behind it; then it is published. */
async function expectNothingStolen(holder: Peer, other: Peer): Promise<void> {
  expect(await holder.do('hold', 3, 6)).toBe(3);
  using watch = new Watch(file);
  expect(await other.do('reapDead')).toBe(0);
  const owners = watch.owners.length;
  await expect(other.do('settle', 3, 100)).rejects.toMatchObject({ code: 'FAULT_TIMEOUT' });
  expect(await other.do('reapDead')).toBe(0);
  expect([watch.claimed, watch.owners.length]).toEqual([3, owners]);
  const settled = other.do('settle', 5);
  await until('waiting', () => watch.sleepers > 0);
  await holder.do('publish', 3, 6);
  expect(await settled).toBe('waited');
  expect((await other.do<{ totals: object }>('stats')).totals).toMatchObject({ claimsReleased: 0 });
}

/** One is killed with a claim, and the other one does it. */
async function expectTakenOver(killed: Peer, other: Peer, first = 10): Promise<void> {
  expect(await killed.do('hold', first, first + 3)).toBe(3);
  const settled = other.do('settle', first + 1);
  using watch = new Watch(file);
  await until('waiting', () => watch.sleepers > 0);
  await killed.kill();
  expect(await settled).toBe('claimed');
  expect(await other.do('settle', first)).toBe('claimed');
}

for (const [what, within] of places) {
  const reason = whyNot(within);
  describe.skipIf(reason !== undefined)(named(`a process in ${what}`, reason), () => {
    it('that lives keeps its claims, as those outside keep theirs', async () => {
      const [inside, outside] = [await open(within), await open()];
      await expectNothingStolen(inside, outside);
    });

    it('does not take the claims of one outside that lives', async () => {
      const [inside, outside] = [await open(within), await open()];
      await expectNothingStolen(outside, inside);
    });

    it('that is killed loses them to others, and they to it', async () => {
      const [inside, outside] = [await open(within), await open()];
      await expectTakenOver(inside, outside);
      const next = await open(within);
      await expectTakenOver(outside, next, 20);
      await using memmap = await Memmap.open({ ...options, file, threadsPerNode: 1 });
      await inTime('ready', memmap.ready, stuckIn(file));
      expect(await memmap.verify()).toMatchObject({ checked: 2 ** 15, wrong: 0 });
    });
  });
}

const nsenter = ['nsenter', `--target=${process.pid}`, '--pid', '--'];
const notShared = whyNot(places[0]?.[1] as string[], nsenter);

describe.skipIf(notShared !== undefined)(
  named('two processes in one pid namespace, one with a /proc of another', notShared),
  () => {
    async function openBoth(): Promise<[Peer, Peer]> {
      const own = await open(places[0]?.[1]);
      return [own, await open(['nsenter', `--target=${own.pid}`, '--pid', '--'])];
    }

    it('do not take the claims of each other', async () => {
      const [own, entered] = await openBoth();
      await expectNothingStolen(own, entered);
    });

    it('do not take the claims of each other, seen from the other side', async () => {
      const [own, entered] = await openBoth();
      await expectNothingStolen(entered, own);
    });

    it('take over from each other when killed', async () => {
      const [own, entered] = await openBoth();
      await expectTakenOver(entered, own);
    });
  },
);
