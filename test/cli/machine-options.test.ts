/** The option for movable memory, and machines of other platforms, as commands that plan zones use them. */
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import {
  addMachineOptions,
  addMovableOption,
  type MachineFlags,
  type MovableFlags,
  machineOf,
} from '../../dist/src/cli/machine-options.js';

function parsed(...words: string[]): { flags: MachineFlags & MovableFlags; command: Command } {
  const command = addMovableOption(addMachineOptions(new Command('test')))
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  command.parse(words, { from: 'user' });
  return { flags: command.opts(), command };
}

describe('--movable', () => {
  it.each([
    ['4GiB', 2 ** 32],
    ['512M', 2 ** 29],
    ['4096', 4096],
    ['0', 0],
    ['4p', 2 ** 52],
  ])('%s is %d bytes', (text, bytes) => {
    expect(parsed('--movable', text).flags.movable).toBe(bytes);
  });

  it.each(['', 'x', '-1', '1.5GiB', '4GiBs', '5p', '99999999999999999999', '4 GiB', '1e3', '1toString'])(
    '%j is refused',
    (text) => {
      expect(() => parsed('--movable', text)).toThrow(/It must be a size such as 4GiB or 512M, at most 4 PiB/);
    },
  );

  it('is absent where nothing is said', () => {
    expect(parsed().flags).toEqual({});
  });
});

describe('--platform', () => {
  it('makes a simulated machine of its pages', () => {
    const { flags, command } = parsed('--simulate', '1x1GiB', '--platform', 'arm64-64k');
    expect(machineOf(flags, command)).toMatchObject({
      platform: 'arm64-64k',
      memory: [{ startPfn: 0, endPfn: 2 ** 14 }],
    });
    const odd = parsed('--simulate', '1x4KiB', '--platform', 'arm64-64k');
    expect(() => machineOf(odd.flags, odd.command)).toThrow('expected a multiple of 64 KiB');
  });

  it('is one of those known', () => {
    expect(() => parsed('--platform', 'riscv')).toThrow(
      /Allowed choices are x86-64, arm64-4k, arm64-16k, arm64-64k, power-64k/,
    );
  });
});

it('without a source the machine is this one', () => {
  const { flags, command } = parsed();
  expect(machineOf(flags, command).source).toMatch(/^(iomem|sysfs-blocks)$/);
});
