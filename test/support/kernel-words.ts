/** Descriptors as a kernel has them in its memory, told in the way of a vmemmap's, so that both can be compared word by word. */

/** Where x86-64 has the memmap without KASLR and with four levels of page tables (VMEMMAP_START). */
export const vmemmapStart = 0xffff_ea00_0000_0000n;
const vmemmapEnd: bigint = vmemmapStart + 2n ** 40n;
/** The direct map, which a dev_pagemap lies in: PAGE_OFFSET, up to where vmalloc begins. */
const directMap = { start: 0xffff_8880_0000_0000n, end: 0xffff_c880_0000_0000n };
const descriptorBytes = 64n;

/** A pointer to a dev_pagemap, told by a number that is the same for all. */
export const somePgmap = 1n;

/** Address of a page frame's descriptor. */
export function descriptorAddress(pfn: number): bigint {
  return vmemmapStart + BigInt(pfn) * descriptorBytes;
}

/**
 * Words with pointers into the memmap as offsets from the descriptor of the range's first page frame, as a vmemmap stores them,
 * and with {@link somePgmap} for a pointer to a dev_pagemap.
 */
export function asOffsets(words: readonly bigint[], rangeStartPfn: number): bigint[] {
  return words.map((word) => {
    if (word >= directMap.start && word < directMap.end) return somePgmap;
    return word >= vmemmapStart && word < vmemmapEnd ? word - descriptorAddress(rangeStartPfn) : word;
  });
}

/** As people write them: eight hexadecimal u64. */
export function lineOf(words: readonly bigint[]): string {
  return words.map((word) => word.toString(16).padStart(16, '0')).join(' ');
}
