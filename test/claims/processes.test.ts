/** Claims between processes: whoever faults a chunk of another process waits for it, and takes it over when that is gone. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Memmap } from '../../dist/src/index.js';
import { named, skipReason } from '../native/built-addon.js';
import { Folder } from '../native/mapped.js';
import { FileUser, small } from '../support/files.js';

let folder: Folder;
let path: string;
beforeEach(() => {
  folder = new Folder();
  path = folder.newPath();
});
afterEach(() => folder[Symbol.dispose]());

/** A process that has claimed the chunks 2 and 3, and publishes each when it is told its number. */
async function claiming(): Promise<FileUser> {
  const user = new FileUser(`
    const memmap = await Memmap.attach({ file: ${JSON.stringify(path)} });
    const { Region } = await inside('region/region.js');
    const { Claimant } = await inside('claims/claimant.js');
    const region = Region.attach(memmap.handle());
    const { chunks, tag, kernel } = new Claimant(region);
    say(chunks.claim(2, tag, 4));
    for (;;) {
      const chunk = Number(await told());
      region.ranges[0].sumOverChunkContent(chunk, chunk + 1, kernel.fill);
      chunks.publish(chunk, tag);
      say('published');
    }`);
  expect(await user.hear()).toBe('2');
  return user;
}

describe.skipIf(skipReason !== undefined)(named('a fault on a chunk that another process has claimed'), () => {
  it('waits for it, and for no other', async () => {
    await using memmap = await Memmap.open({ ...small(), file: path });
    await using user = await claiming();
    expect(memmap.fault(4 * 512)).toBe('claimed');
    expect(memmap.isInitialized(2 * 512)).toBe(false);
    const fault = memmap.faultAsync(2 * 512);
    user.tell('2');
    expect(await fault).toBe('waited');
    expect(await memmap.verify()).toEqual({ checked: 1024, wrong: 0, firstWrongPfn: -1, failed: 0 });
  });

  it('that blocks its thread is woken by the other process', async () => {
    await using memmap = await Memmap.open({ ...small(), file: path });
    await using user = await claiming();
    user.tell('3');
    // there are some milliseconds until it is published; most often this thread sleeps by then
    expect(['waited', 'ready']).toContain(memmap.fault(3 * 512));
    expect(await user.hear()).toBe('published');
    expect(memmap.stats().chunks).toMatchObject({ claimed: 1, ready: 1 });
  });

  it('takes it over when that process was killed', async () => {
    await using memmap = await Memmap.open({ ...small(), file: path });
    const user = await claiming();
    await user.kill();
    expect(memmap.fault(2 * 512)).toBe('claimed');
    expect(await memmap.faultAsync(3 * 512)).toBe('claimed');
    expect(memmap.stats().totals).toMatchObject({ claimsReleased: 2, chunksByFault: 2 });
    expect(await memmap.verify()).toEqual({ checked: 1024, wrong: 0, firstWrongPfn: -1, failed: 0 });
  });

  it('finds it free when the next process with the slot of the killed one has come', async () => {
    await using memmap = await Memmap.open({ ...small(), file: path });
    const user = await claiming();
    await user.kill();
    expect(memmap.stats().chunks).toMatchObject({ claimed: 2 });
    await using next = await Memmap.attach({ file: path });
    expect(next.handle().file?.process).toBe(2);
    expect(memmap.stats().chunks).toMatchObject({ claimed: 0, free: 8 });
    expect([memmap.fault(2 * 512), next.fault(3 * 512)]).toEqual(['claimed', 'claimed']);
    expect(memmap.stats().totals.faultsWaited).toBe(0);
  });

  it('is a fault on a free chunk for who opens the file when nobody has it', async () => {
    const first = await Memmap.open({ ...small(), file: path });
    const user = await claiming();
    await first.close();
    await user.kill();
    await using memmap = await Memmap.open({ ...small(), file: path });
    expect(memmap.resumed).toEqual({ chunksKept: 0, chunksRedone: 8 });
    expect(memmap.fault(2 * 512)).toBe('claimed');
  });

  it('does not keep this process from closing: only claims of its own are waited for', async () => {
    const memmap = await Memmap.open({ ...small(), file: path });
    await using user = await claiming();
    memmap.fault(0);
    await memmap.close();
    user.tell('2');
    expect(await user.hear()).toBe('published');
    await using again = await Memmap.attach({ file: path });
    expect(again.stats().chunks).toMatchObject({ claimed: 1, free: 5 });
  });
});

describe.skipIf(skipReason !== undefined)(named('processes that drain one file together'), () => {
  it('write every chunk once, although some are killed in the middle', async () => {
    const chunks = 2048;
    await using memmap = await Memmap.open({ ...small(chunks), file: path });
    const statements = `
      const memmap = await Memmap.attach({ file: ${JSON.stringify(path)}, threadsPerNode: 1 });
      say('begun');
      await memmap.ready;
      say(JSON.stringify(await memmap.verify()));
      await memmap.close();
      process.exit(0);`;
    const users = Array.from({ length: 4 }, () => new FileUser(statements));
    for (const user of users) expect(await user.hear()).toBe('begun');
    await Promise.all(users.slice(2).map((user) => user.kill()));
    for (const user of users.slice(0, 2)) {
      expect(await user.hear()).toBe(JSON.stringify({ checked: chunks * 512, wrong: 0, firstWrongPfn: -1, failed: 0 }));
      expect(await user.ended()).toBe(0);
    }
    expect(memmap.progressNow()).toMatchObject({ pagesReady: chunks * 512 });
    await memmap.sync();
    const { chunksByDrain, chunksByFault } = memmap.stats().totals;
    // who was killed between counting and publishing is counted twice
    expect(chunksByDrain + chunksByFault).toBeGreaterThanOrEqual(chunks);
  });
});
