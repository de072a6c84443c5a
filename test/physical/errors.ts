/** What tests of refusals share: the VmemmapError that a call throws, and nothing but that. */
import { VmemmapError } from '../../dist/src/errors.js';

/** The VmemmapError that `call` throws; anything else that happens is rethrown or told. */
export function refusalOf(call: () => unknown): VmemmapError {
  try {
    call();
  } catch (error) {
    if (error instanceof VmemmapError) return error;
    throw error;
  }
  throw new Error('the call was expected to throw and did not');
}

/** Calls; a VmemmapError with one of the codes is as good as a result, anything else is thrown on. */
export function orRefused<Result>(call: () => Result, ...codes: string[]): Result | undefined {
  try {
    return call();
  } catch (error) {
    if (error instanceof VmemmapError && codes.includes(error.code)) return undefined;
    throw error;
  }
}
