import { conversionError } from '../errors.js';
import { type CurveActivation, curveOf } from '../network/activations.js';

/** Where a curve's table begins and ends, and how many entries it has a unit; beyond its ends it is constant. */
const REACH = 16;
const PER_UNIT = 128;
const ENTRIES = 2 * REACH * PER_UNIT + 1;
/** Fractional bits of a table's values, of a place in it, and of counts in between. */
const VALUE_BITS = 17;
const PLACE_BITS = 15;
const COUNT_BITS = 22;
/** Rows of {@link CurveTable.factors}. */
export const FACTOR_ROWS = 6;

/**
 * A curve f as integers. A neuron whose whole input came to S sends ⌊x + ½⌋ spikes, at most 127 of either sign, with
 * x = f(a)·T/λ and a = S·λ/(θ·T). f is its asymptote above (x, or nothing) and a table g of what is left.
 */
export interface CurveTable {
  /** g at −16, −16 + 1/128, … 16, in 2^-17. */
  values: Int32Array;
  /** True if S itself is a part: f tends to x above. */
  linear: boolean;
  /**
   * Factors of each filter as pairs (m, s), meaning m / 2^s, (6, filters): S to a place in the table in 2^-15; S to counts in
   * 2^-22; a value of the table to counts in 2^-22. Each m is at most 2^22 (the last 2^28): products with sums of 32 bits are
   * whole numbers that float64 holds, and 64 bits hold every product.
   */
  factors: Int32Array;
}

/** A factor as m / 2^s with m up to 2^bits, as exact as that allows. */
function asPair(factor: number, bits: number): [number, number] {
  let shift = 0;
  let scaled = factor;
  while (scaled < 2 ** (bits - 1) && shift < 62) {
    scaled *= 2;
    shift++;
  }
  const m = Math.floor(scaled + 0.5);
  if (!(m <= 2 ** bits))
    throw conversionError(`a factor of ${factor} is beyond what the curve of a neuron can take`);
  return [m, shift];
}

/** The table of a layer's neurons for a run of T steps; throws `CONVERSION` for a λ or θ that no factor can express. */
export function curveTable(
  activation: CurveActivation,
  threshold: Int32Array,
  lambda: Float64Array,
  steps: number,
): CurveTable {
  const { f, linear } = curveOf(activation);
  const values = Int32Array.from({ length: ENTRIES }, (_, i) => {
    const a = i / PER_UNIT - REACH;
    return Math.floor((f(a) - (linear ? Math.max(a, 0) : 0)) * 2 ** VALUE_BITS + 0.5);
  });
  const filters = threshold.length;
  const factors = new Int32Array(FACTOR_ROWS * filters);
  for (let j = 0; j < filters; j++) {
    const pairs = [
      asPair((lambda[j]! / (threshold[j]! * steps)) * PER_UNIT * 2 ** PLACE_BITS, 22),
      asPair(2 ** COUNT_BITS / threshold[j]!, 22),
      asPair((steps / lambda[j]!) * 2 ** (COUNT_BITS - VALUE_BITS), 28),
    ];
    for (const [row, value] of pairs.flat().entries()) factors[row * filters + j] = value;
  }
  return { values, linear, factors };
}

/** Counts of a neuron of filter j whose input came to S, before they are clipped at ±127: the nearest, halves upward. */
export const curveCount = (curve: CurveTable, j: number, sum: number): number =>
  Math.floor((curvePart(curve, j, sum) + 128) / 256);

/** ⌊256·x⌋ of a neuron of filter j whose input came to S, where x is what its count would be if it were no whole number. */
export function curvePart({ values, linear, factors }: CurveTable, j: number, sum: number): number {
  const filters = factors.length / FACTOR_ROWS;
  const [m0, s0, m1, s1, m2, s2] = [0, 1, 2, 3, 4, 5].map((row) => BigInt(factors[row * filters + j]!)) as [
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
  ];
  const s = BigInt(sum);
  const last = (values.length - 1) << PLACE_BITS;
  const place = Number((s * m0) >> s0) + last / 2;
  const inside = Math.min(Math.max(place, 0), last - 1);
  const index = inside >> PLACE_BITS;
  const fraction = inside & (2 ** PLACE_BITS - 1);
  const [low, high] = [values[index]!, values[index + 1]!];
  const value = low + Math.floor(((high - low) * fraction) / 2 ** PLACE_BITS);
  const above = linear && sum > 0 ? (s * m1) >> s1 : 0n;
  return Number((above + ((BigInt(value) * m2) >> s2)) >> BigInt(COUNT_BITS - 8));
}
