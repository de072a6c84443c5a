/** Reserved huge pages (hugetlb): which pools the kernel has, whether they hold enough, and the command that fills them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { VmemmapError } from '../errors.ts';
import { addonState } from '../native.ts';

/** The huge pages of one size. */
export interface HugetlbPool {
  readonly pageSizeBytes: number;
  /** Pages that nobody has and nobody was promised. */
  readonly freePages: number;
  /** Pages that the kernel may add by itself when somebody maps more than are reserved (nr_overcommit_hugepages). */
  readonly surplusPages: number;
  /** Pages in the pool. */
  readonly pages: number;
}

const poolsPath = '/sys/kernel/mm/hugepages';

/** The kernel's pools, smallest pages first; none when it was built without. */
export function readHugetlbPools(path: string = poolsPath): HugetlbPool[] {
  let names: string[];
  try {
    names = readdirSync(path);
  } catch {
    return [];
  }
  return names
    .map((name) => /^hugepages-(\d+)kB$/.exec(name)?.[1])
    .filter((kib) => kib !== undefined)
    .map((kib) => {
      const read = (name: string): number => Number(readFileSync(`${path}/hugepages-${kib}kB/${name}`, 'utf8'));
      // read when they are asked for: most often the free pages of one pool are enough, and whoever opens waits meanwhile
      return {
        pageSizeBytes: Number(kib) * 1024,
        get freePages() {
          // resv_hugepages: promised to somebody who has not touched them yet
          return Math.max(0, read('free_hugepages') - read('resv_hugepages'));
        },
        get surplusPages() {
          return Math.max(0, read('nr_overcommit_hugepages') - read('surplus_hugepages'));
        },
        get pages() {
          return read('nr_hugepages');
        },
      };
    })
    .sort((a, b) => a.pageSizeBytes - b.pageSizeBytes);
}

/** A size as the kernel's hugetlb cgroup files have it in their names: 2MB, 1GB. */
function sizeName(bytes: number): string {
  const [unit, name] = bytes < 2 ** 20 ? [2 ** 10, 'KB'] : bytes < 2 ** 30 ? [2 ** 20, 'MB'] : [2 ** 30, 'GB'];
  return `${bytes / unit}${name}`;
}

/** Limits at or above this mean none: cgroup v1 tells "no limit" as the largest whole number of pages. */
const noLimitBytes = 2 ** 62;

/**
 * Whether a control group that this process is in limits its reserved huge pages. Then the kernel may refuse a page although
 * it was reserved, and does so when it is first touched (hugetlb_cgroup_charge_cgroup in mm/hugetlb_cgroup.c): by a signal,
 * unless it is asked before.
 */
export function isHugetlbLimited(pageSizeBytes: number, procRoot = '/proc', cgroupRoot = '/sys/fs/cgroup'): boolean {
  let groups: string;
  try {
    groups = readFileSync(`${procRoot}/self/cgroup`, 'utf8');
  } catch {
    return false; // a kernel without control groups
  }
  return groups.split('\n').some((line) => {
    const [, , controllers, path] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? [];
    if (path === undefined || (controllers !== '' && controllers !== 'hugetlb')) return false;
    const [mount, file] = controllers === '' ? ['', 'max'] : ['/hugetlb', 'limit_in_bytes'];
    const parts = path.split('/').filter((part) => part !== '');
    // a limit binds everybody below it
    return Array.from({ length: parts.length + 1 }, (_, depth) => parts.slice(0, depth)).some((ancestors) => {
      const folder = [`${cgroupRoot}${mount}`, ...ancestors].join('/');
      return isLimit(`${folder}/hugetlb.${sizeName(pageSizeBytes)}.${file}`);
    });
  });
}

function isLimit(path: string): boolean {
  if (!existsSync(path)) return false; // the controller is not on at this level
  try {
    const text = readFileSync(path, 'utf8').trim();
    return text !== 'max' && Number(text) < noLimitBytes;
  } catch {
    return false; // the group has gone meanwhile
  }
}

function pagesNeeded(sizesBytes: readonly number[], pageSizeBytes: number): number {
  return sizesBytes.reduce((sum, sizeBytes) => sum + Math.ceil(sizeBytes / pageSizeBytes), 0);
}

/**
 * The pool that descriptors of these sizes are taken from: the one of the largest pages that holds enough and of which each
 * range fills at least half, so that little is wasted.
 * @throws VmemmapError ADDON_MISSING; BACKING_UNAVAILABLE with the command that reserves what lacks
 */
export function chooseHugetlb(
  sizesBytes: readonly number[],
  pools: readonly HugetlbPool[] = readHugetlbPools(),
): HugetlbPool {
  const state = addonState();
  if (!state.loaded) {
    throw new VmemmapError('ADDON_MISSING', `the backing hugetlb needs the addon: ${state.reason}`);
  }
  const [smallest] = pools;
  if (smallest === undefined) {
    throw new VmemmapError('BACKING_UNAVAILABLE', `this kernel has no hugetlb (${poolsPath} is missing); use huge`);
  }
  const fits = pools.findLast((pool) => {
    const filled = pool === smallest || sizesBytes.every((sizeBytes) => sizeBytes * 2 >= pool.pageSizeBytes);
    if (!filled) return false;
    const lacking = pagesNeeded(sizesBytes, pool.pageSizeBytes) - pool.freePages;
    return lacking <= 0 || lacking <= pool.surplusPages;
  });
  if (fits) return fits;
  throw refuseHugetlb(smallest, pagesNeeded(sizesBytes, smallest.pageSizeBytes));
}

/** The error for too few reserved pages; `errno` by name, where the kernel refused although they seemed to be enough. */
export function refuseHugetlb(pool: HugetlbPool, needed: number, errno?: string): VmemmapError {
  const { pageSizeBytes, freePages, pages } = pool;
  const size = pageSizeBytes < 2 ** 30 ? `${pageSizeBytes / 2 ** 20} MiB` : `${pageSizeBytes / 2 ** 30} GiB`;
  // what others have stays theirs: as many pages must be added as lack now
  const wanted = errno === undefined ? pages + needed - freePages : pages + needed;
  return new VmemmapError(
    'BACKING_UNAVAILABLE',
    `${needed} huge pages of ${size} are needed, ${freePages} are free${errno === undefined ? '' : ` (${errno})`}; ` +
      `as root: echo ${wanted} > ${poolsPath}/hugepages-${pageSizeBytes / 1024}kB/nr_hugepages`,
    { received: freePages },
  );
}
