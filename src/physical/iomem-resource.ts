/** One line of a /proc/iomem, in its tree. */

/** A resource. Addresses are bigint: resources that are not memory may lie anywhere below 2^64. */
export interface IomemResource {
  /** Address of the first byte. */
  readonly firstByte: bigint;
  /** Address of the last byte, inclusive as the kernel prints it. */
  readonly lastByte: bigint;
  /** What follows the colon; may be empty. */
  readonly name: string;
  /** Line in the text, counted from 1. */
  readonly line: number;
  /** Where its addresses begin in the line, counted from 0. */
  readonly column: number;
  /** The resources that are indented deeper below this one. */
  readonly children: readonly IomemResource[];
}
