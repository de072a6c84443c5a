/** Reserved huge pages (hugetlb): which pools the kernel has, whether they hold enough, and the command that fills them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { VmemmapError } from '../errors.ts';
import { addonState } from '../native.ts';
import { parseCpulist } from '../physical/sysfs.ts';

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
      const count = (name: string): number => Number(readFileSync(`${path}/hugepages-${kib}kB/${name}`, 'utf8'));
      // read when they are asked for: most often the free pages of one pool are enough, and whoever opens waits meanwhile
      return {
        pageSizeBytes: Number(kib) * 1024,
        get freePages() {
          // resv_hugepages: promised to somebody who has not touched them yet
          return Math.max(0, count('free_hugepages') - count('resv_hugepages'));
        },
        get surplusPages() {
          return Math.max(0, count('nr_overcommit_hugepages') - count('surplus_hugepages'));
        },
        get pages() {
          return count('nr_hugepages');
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
 * Whether the kernel may refuse this process a huge page although it was reserved: because a control group limits them, or
 * because the process may not use all nodes (reservations are made for the machine as a whole, see hugetlb_acct_memory in
 * mm/hugetlb.c). It does so when the page is first touched, by a signal, unless it is asked before.
 */
export function isHugetlbLimited(
  pageSizeBytes: number,
  { procRoot = '/proc', sysRoot = '/sys' }: { procRoot?: string; sysRoot?: string } = {},
): boolean {
  return isConfined(procRoot, sysRoot) || isGroupLimited(pageSizeBytes, procRoot, `${sysRoot}/fs/cgroup`);
}

/** Whether some node that has memory is none of the process's. */
function isConfined(procRoot: string, sysRoot: string): boolean {
  const withMemory = parseCpulist(read(`${sysRoot}/devices/system/node/has_memory`)?.trim() ?? '0');
  if (withMemory.length < 2) return false; // the only one, or a kernel without nodes
  const list = /^Mems_allowed_list:\s*(\S+)$/m.exec(read(`${procRoot}/self/status`) ?? '')?.[1];
  if (list === undefined) return false;
  const allowed = new Set(parseCpulist(list));
  return withMemory.some((nid) => !allowed.has(nid));
}

function isGroupLimited(pageSizeBytes: number, procRoot: string, cgroupRoot: string): boolean {
  return (read(`${procRoot}/self/cgroup`) ?? '').split('\n').some((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) return false;
    // where distributions mount the one hierarchy of the second version, alone or beside those of the first
    const [mounts, file] =
      controllers === ''
        ? [['', '/unified'], 'max']
        : [controllers.split(',').includes('hugetlb') ? [`/${controllers}`, '/hugetlb'] : [], 'limit_in_bytes'];
    const parts = path.split('/').filter((part) => part !== '');
    // a limit binds everybody below it
    const groups = Array.from({ length: parts.length + 1 }, (_, depth) => ['', ...parts.slice(0, depth)].join('/'));
    return mounts.some((mount) =>
      groups.some((group) => isLimit(`${cgroupRoot}${mount}${group}/hugetlb.${sizeName(pageSizeBytes)}.${file}`)),
    );
  });
}

/** Whether a file holds a limit: the controller may not be on at its level. */
function isLimit(path: string): boolean {
  const text = read(path)?.trim();
  return text !== undefined && text !== 'max' && Number(text) < noLimitBytes;
}

/** What a file holds; undefined when it is not there. Most are not, and an error would cost more than looking first. */
function read(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // it has gone meanwhile, or is not for us
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
