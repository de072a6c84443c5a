/** The addon as the set-up built it, loaded directly, for tests of the binary itself. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Addon } from '../../dist/src/native.js';

const require = createRequire(import.meta.url);

/** For threads that load it by themselves. */
export const loaderPath: string = require.resolve('node-gyp-build');
export const projectRoot: string = fileURLToPath(new URL('../..', import.meta.url));

function load(): Addon | string {
  if (process.env['VMEMMAP_ADDON'] === 'off') return 'VMEMMAP_ADDON=off';
  try {
    return require(loaderPath)(projectRoot) as Addon;
  } catch (error) {
    return (error as Error).message;
  }
}

const loaded = load();

/** Why the tests of the addon are skipped; undefined when they run. */
export const skipReason: string | undefined = typeof loaded === 'string' ? loaded : undefined;
if (skipReason !== undefined) process.stderr.write(`the tests of the addon are skipped: ${skipReason}\n`);

/** A name of tests that carries the reason why they are skipped, if they are. */
export function named(what: string): string {
  return skipReason === undefined ? what : `${what} (${skipReason})`;
}

/** Only to be used by tests that are skipped when {@link skipReason} is set. */
export const addon = (typeof loaded === 'string' ? {} : loaded) as Addon;

/** The same functions, for calls that the types forbid. */
export const untyped = addon as unknown as Record<keyof Addon, (...args: unknown[]) => unknown>;
