/** Where a platform's addresses end: what lies beyond is refused where it is read. */
import { describe, expect, it } from 'vitest';
import { withinAddresses } from '../../dist/src/physical/address-limit.js';
import { platforms } from '../../dist/src/physical/platforms.js';
import type { Topology } from '../../dist/src/physical/topology.js';
import { machine, ram } from '../support/regions.js';
import { refusalOf } from './errors.js';

const limit = 2 ** 51 / platforms['power-64k'].pageSizeBytes;
const power = (endPfn: number): Topology => ({ ...machine(ram(endPfn - 16, 16)), platform: 'power-64k' });

describe('memory', () => {
  it('may end where the addresses of its platform end, and no page further', () => {
    expect(withinAddresses(power(limit), 'boot.log')).toEqual(power(limit));
    expect(refusalOf(() => withinAddresses(power(limit + 1), 'boot.log'))).toMatchObject({
      code: 'DETECT_FAILED',
      message:
        'boot.log tells memory beyond 2^51 bytes, where the addresses of power-64k end; is it of another platform? (--platform NAME)',
      received: 'boot.log',
    });
  });

  it('that is reserved or not to be mapped counts, too', () => {
    const beyond = { startPfn: limit, endPfn: limit + 1 };
    const reserved = { ...power(limit), reserved: [{ ...beyond, what: 'firmware' }] };
    expect(refusalOf(() => withinAddresses(reserved, 'boot.log')).code).toBe('DETECT_FAILED');
    expect(refusalOf(() => withinAddresses({ ...power(limit), nomap: [beyond] }, 'boot.log')).code).toBe(
      'DETECT_FAILED',
    );
  });
});
