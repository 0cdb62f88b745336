/**
 * Exact order statistics of float32 values in memory that does not grow with their number: a radix search over the
 * values' bits, most significant digit first. The values are offered once per digit ("pass").
 */

const DIGITS = [12, 10, 10] as const;
export const PASSES = DIGITS.length;

/** Position in descending order of the p-th percentile of n values: max(1, floor(n·(1 − p/100) + ½)). */
export const percentileRank = (n: number, percentile: number) =>
  Math.max(1, Math.floor(n * (1 - percentile / 100) + 0.5));

/** A float32's bits as an unsigned integer in the order of the values (−0 counts as 0). */
function orderedBits(bits: number): number {
  if (bits === -0x80000000) return 0x80000000;
  return bits < 0 ? ~bits >>> 0 : (bits | 0x80000000) >>> 0;
}

const scratchBits = new Int32Array(1);
const scratchFloat = new Float32Array(scratchBits.buffer);

function valueOfOrderedBits(ordered: number): number {
  scratchBits[0] = ordered >= 0x80000000 ? ordered & 0x7fffffff : ~ordered;
  return scratchFloat[0]!;
}

/** Searches, for each of several groups of values, the k-th largest and the k-th smallest at once. */
export class OrderStatistics {
  private pass = 0;
  private readonly groups: number;
  /** Count of values per group, seen in the first pass. */
  readonly count: Float64Array;
  /** Largest |value| per group. */
  readonly largestMagnitude: Float64Array;
  private histogram: Uint32Array;
  /** Per group and side (0 largest, 1 smallest): the digits found so far, and the rank left below them. */
  private readonly prefix: Float64Array;
  private readonly rank: Float64Array;
  private readonly rankOf: (count: number) => number;

  /** @param rankOf the k of a group of `count` values */
  constructor(groups: number, rankOf: (count: number) => number) {
    this.groups = groups;
    this.rankOf = rankOf;
    this.count = new Float64Array(groups);
    this.largestMagnitude = new Float64Array(groups);
    this.prefix = new Float64Array(2 * groups);
    this.rank = new Float64Array(2 * groups);
    this.histogram = new Uint32Array(groups * 2 ** DIGITS[0]);
  }

  /** Offers values (n, channels), channel c of which belongs to `groupOf(c)`. */
  add(values: Float32Array, channels: number, groupOf: (channel: number) => number): void {
    const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
    const groups = Int32Array.from({ length: channels }, (_, channel) => groupOf(channel));
    if (this.pass === 0) this.addFirst(bits, values, groups);
    else this.addLater(bits, groups);
  }

  private addFirst(bits: Int32Array, values: Float32Array, groups: Int32Array) {
    const channels = groups.length;
    const shift = 32 - DIGITS[0];
    for (let i = 0, channel = 0; i < bits.length; i++) {
      const group = groups[channel]!;
      this.histogram[group * 2 ** DIGITS[0] + (orderedBits(bits[i]!) >>> shift)]!++;
      const magnitude = Math.abs(values[i]!);
      if (magnitude > this.largestMagnitude[group]!) this.largestMagnitude[group] = magnitude;
      if (++channel === channels) channel = 0;
    }
    for (const group of groups) this.count[group]! += bits.length / channels;
  }

  private addLater(bits: Int32Array, groups: Int32Array) {
    const channels = groups.length;
    const width = DIGITS[this.pass]!;
    const bins = 2 ** width;
    const shift = 32 - DIGITS.slice(0, this.pass + 1).reduce((sum, digit) => sum + digit, 0);
    const above = shift + width;
    for (let i = 0, channel = 0; i < bits.length; i++) {
      const group = groups[channel]!;
      const ordered = orderedBits(bits[i]!);
      const head = ordered >>> above;
      const digit = (ordered >>> shift) & (bins - 1);
      if (head === this.prefix[2 * group]) this.histogram[2 * group * bins + digit]!++;
      if (head === this.prefix[2 * group + 1]) this.histogram[(2 * group + 1) * bins + digit]!++;
      if (++channel === channels) channel = 0;
    }
  }

  /** Ends a pass over all values. After {@link PASSES} passes the statistics are known. */
  endPass(): void {
    const bins = 2 ** DIGITS[this.pass]!;
    for (let group = 0; group < this.groups; group++) {
      for (const side of [0, 1]) {
        const slot = 2 * group + side;
        if (this.pass === 0) this.rank[slot] = this.rankOf(this.count[group]!);
        const start = (this.pass === 0 ? group : slot) * bins;
        let left = this.rank[slot]!;
        let digit = side === 0 ? bins - 1 : 0;
        const step = side === 0 ? -1 : 1;
        while (digit >= 0 && digit < bins && left > this.histogram[start + digit]!) {
          left -= this.histogram[start + digit]!;
          digit += step;
        }
        this.rank[slot] = left;
        this.prefix[slot] = this.prefix[slot]! * bins + digit;
      }
    }
    this.pass++;
    const nextDigit = DIGITS[this.pass];
    this.histogram = new Uint32Array(nextDigit ? 2 * this.groups * 2 ** nextDigit : 0);
  }

  /** The k-th largest value of a group. */
  kthLargest(group: number): number {
    return valueOfOrderedBits(this.prefix[2 * group]!);
  }

  /** The k-th smallest value of a group. */
  kthSmallest(group: number): number {
    return valueOfOrderedBits(this.prefix[2 * group + 1]!);
  }
}
