/** What kernels of different age make of page frames: each border of an age on both sides. */
import { describe, expect, it } from 'vitest';
import { kernelRules, machineZones } from '../../dist/src/physical/kernel-rules.js';
import { type PlatformName, platformOf, platforms } from '../../dist/src/physical/platforms.js';

const rulesOf = (platform: PlatformName, release: string): ReturnType<typeof kernelRules> =>
  kernelRules(platforms[platform], release);

describe('a release', () => {
  it.each([
    ['2.6.32', 'memblock-reserved'],
    ['4.8', 'memblock-reserved'],
    ['4.19.19.mx64.244', 'memblock-reserved'],
    ['4.19.999', 'memblock-reserved'],
    ['4.20', 'zeroed'],
    ['4.20.0-rc1', 'zeroed'],
    ['5.4.0-rc4-next-20191021', 'zeroed'],
    ['5.5.19', 'zeroed'],
    ['5.6', 'zeroed-with-tail'],
    ['5.10.23', 'zeroed-with-tail'],
    ['5.10.24', 'per-zone'],
    ['5.10.0', 'zeroed-with-tail'],
    ['5.11.0-rc4-00015-g45dfb8a5659a', 'zeroed-with-tail'],
    ['5.11.6', 'zeroed-with-tail'],
    ['5.11.7', 'per-zone'],
    ['5.12.0-rc1', 'per-zone'],
    ['6.1', 'per-zone'],
    ['6.18.34+rpt-rpi-2712', 'per-zone'],
    ['10.0', 'per-zone'],
  ])('%s counts unavailable pages as %s', (release, rule) => {
    expect(rulesOf('x86-64', release)).toMatchObject({ release, unavailable: rule, nomapIsHole: rule !== 'per-zone' });
  });

  it.each([
    ['5.10.0-8-amd64', 'per-zone'],
    ['5.11.0-1028-azure', 'per-zone'],
    ['5.11.0-38-generic', 'per-zone'],
    // neither a number of a package, nor a distribution's kernel of that age
    ['5.10.0-01370-g71c5f03154ac', 'zeroed-with-tail'],
    ['5.8.0-63-generic', 'zeroed-with-tail'],
    ['5.9.0-5-amd64', 'zeroed-with-tail'],
    ['5.4.0-91-generic', 'zeroed'],
  ])('of a distribution, which does not tell the patch level, %s: %s', (release, rule) => {
    expect(rulesOf('x86-64', release).unavailable).toBe(rule);
  });

  it.each(['', 'linux-6.1', '6', 'v6.1', '6.', '.1', ' 6.1', '1234.1'])('%j is refused', (release) => {
    expect(() => rulesOf('x86-64', release)).toThrow(
      new RangeError(
        `release must begin with the version of a kernel, such as 6.1 or 5.11.0-rc4, not ${JSON.stringify(release)}`,
      ),
    );
  });
});

describe('sections', () => {
  it.each([
    ['x86-64', '2.6', 32_768],
    ['x86-64', '6.1', 32_768],
    ['arm64-4k', '5.11', 262_144],
    ['arm64-4k', '5.12', 32_768],
    ['arm64-16k', '5.11', 65_536],
    ['arm64-16k', '5.12', 8192],
    ['arm64-64k', '5.11', 16_384],
    ['arm64-64k', '5.12', 8192],
    ['power-64k', '4.8', 256],
    ['power-64k', '6.1', 256],
  ] as const)('of %s with Linux %s have %i pages', (platform, release, pages) => {
    expect(rulesOf(platform, release).sectionPages).toBe(pages);
  });

  it.each([
    ['x86-64', '4.8', 'section'],
    ['power-64k', '4.8', 'section'],
    ['arm64-4k', '5.13.19', 'mapped-pageblock'],
    ['arm64-4k', '5.14', 'memory-pageblock'],
    ['arm64-4k', '5.15.0-rc1', 'section'],
    ['arm64-64k', '5.13', 'mapped-pageblock'],
  ] as const)('of %s with Linux %s: what is valid is told by %s', (platform, release, validity) => {
    expect(rulesOf(platform, release).validity).toBe(validity);
  });

  it('hold whole pageblocks, and a range whole sections', () => {
    for (const { sectionPages, pageblockPages, maxOrderPages } of Object.values(platforms)) {
      expect(sectionPages % pageblockPages).toBe(0);
      expect(sectionPages % maxOrderPages).toBe(0);
      expect(maxOrderPages % pageblockPages).toBe(0);
      expect(2 ** 28 % sectionPages).toBe(0);
    }
  });
});

it('a page descriptor took 56 bytes with 4.0, and 64 later', () => {
  expect([rulesOf('x86-64', '4.0').structPageBytes, rulesOf('x86-64', '4.1').structPageBytes]).toEqual([56, 64]);
});

describe('zones of a machine', () => {
  const GiB = 2 ** 30;
  const MiB = 2 ** 20;
  /** Zones in bytes; what is empty is left out. */
  const zonesOf = (platform: PlatformName, release: string, startByte: number, endByte: number): unknown => {
    const { pageSizeBytes } = platforms[platform];
    const memory = { startPfn: startByte / pageSizeBytes, endPfn: endByte / pageSizeBytes };
    const names = ['DMA', 'DMA32', 'Normal'];
    return Object.fromEntries(
      machineZones(rulesOf(platform, release), memory).flatMap(({ startPfn, endPfn }, zone) =>
        startPfn < endPfn ? [[names[zone], [startPfn * pageSizeBytes, endPfn * pageSizeBytes]]] : [],
      ),
    );
  };

  it('of x86 end at 16 MiB and at 4 GiB', () => {
    expect(zonesOf('x86-64', '6.1', 4096, 64 * GiB)).toEqual({
      DMA: [4096, 16 * MiB],
      DMA32: [16 * MiB, 4 * GiB],
      Normal: [4 * GiB, 64 * GiB],
    });
    expect(zonesOf('x86-64', '6.1', 4096, 4 * GiB)).toEqual({ DMA: [4096, 16 * MiB], DMA32: [16 * MiB, 4 * GiB] });
    expect(zonesOf('x86-64', '6.1', 4096, 2 * MiB)).toEqual({ DMA: [4096, 2 * MiB] });
    expect(zonesOf('x86-64', '6.1', 8 * GiB, 9 * GiB)).toEqual({ Normal: [8 * GiB, 9 * GiB] });
  });

  it('of arm64 are one of 4 GiB, first DMA and then DMA32, counted from where memory starts, until 5.5', () => {
    const start = 34 * GiB;
    const low = [start, 36 * GiB];
    expect(zonesOf('arm64-4k', '4.15', start, 64 * GiB)).toEqual({ DMA: low, Normal: [36 * GiB, 64 * GiB] });
    expect(zonesOf('arm64-4k', '4.16', start, 64 * GiB)).toEqual({ DMA32: low, Normal: [36 * GiB, 64 * GiB] });
    expect(zonesOf('arm64-4k', '5.4.200', start, 64 * GiB)).toEqual({ DMA32: low, Normal: [36 * GiB, 64 * GiB] });
  });

  it('of arm64 have a DMA of 1 GiB from 5.5 to 5.10, and in linux-next before', () => {
    const wanted = { DMA: [0x802f0000, 0xc0000000], DMA32: [0xc0000000, 4 * GiB], Normal: [4 * GiB, 64 * GiB] };
    for (const release of ['5.4.0-rc4-next-20191021', '5.5', '5.10']) {
      expect(zonesOf('arm64-64k', release, 0x802f0000, 64 * GiB)).toEqual(wanted);
    }
    expect(zonesOf('arm64-64k', '5.10', 34.5 * GiB, 64 * GiB)).toEqual({
      DMA: [34.5 * GiB, 35 * GiB],
      DMA32: [35 * GiB, 36 * GiB],
      Normal: [36 * GiB, 64 * GiB],
    });
  });

  it('of arm64 have a DMA of 4 GiB since, and in 5.11 that is counted from where memory starts', () => {
    for (const release of ['5.11', '5.12', '6.12', '6.17.0-rc2']) {
      expect(zonesOf('arm64-4k', release, 0x802f0000, 64 * GiB)).toEqual({
        DMA: [0x802f0000, 4 * GiB],
        Normal: [4 * GiB, 64 * GiB],
      });
    }
    expect(zonesOf('arm64-4k', '5.11', 34 * GiB, 64 * GiB)).toEqual({
      DMA: [34 * GiB, 36 * GiB],
      Normal: [36 * GiB, 64 * GiB],
    });
  });

  it('of arm64 are all DMA where memory starts beyond 4 GiB, since 5.12', () => {
    expect(zonesOf('arm64-4k', '5.12', 4 * GiB, 64 * GiB)).toEqual({ DMA: [4 * GiB, 64 * GiB] });
    expect(zonesOf('arm64-4k', '5.12', 4 * GiB - 4096, 64 * GiB)).toEqual({
      DMA: [4 * GiB - 4096, 4 * GiB],
      Normal: [4 * GiB, 64 * GiB],
    });
  });

  it('of Power are one, DMA until 5.0 and Normal since', () => {
    expect(zonesOf('power-64k', '4.20', 0, 2 ** 50)).toEqual({ DMA: [0, 2 ** 50] });
    expect(zonesOf('power-64k', '5.0', 0, 2 ** 50)).toEqual({ Normal: [0, 2 ** 50] });
  });
});

describe('platforms', () => {
  it('have ids of their own, and x86-64 is the default', () => {
    const ids = Object.values(platforms).map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(platformOf()).toBe(platforms['x86-64']);
    expect(platformOf('arm64-16k')).toBe(platforms['arm64-16k']);
  });

  it.each(['toString', 'arm64', ''])('that do not exist are refused: %j', (name) => {
    expect(() => platformOf(name as PlatformName)).toThrow(
      new RangeError(`topology.platform must be ${Object.keys(platforms).join(' or ')}, not ${JSON.stringify(name)}`),
    );
  });
});
