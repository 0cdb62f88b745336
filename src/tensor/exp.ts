/** The exponential and what is made of it, in sums and products of float64 alone: the same bits in every JavaScript engine. */

/** ln 2 in two parts: the first has 32 bits, so that its product with an exponent is exact. */
const LN2_HIGH = 0xb17217f7 / 2 ** 32;
const LN2_LOW = 1.9082149292705877e-10;

/** 2^k for k from −1022 to 1023, by doubling and halving. */
const POWERS = new Float64Array(2046);
POWERS[1022] = 1;
for (let k = 1; k <= 1023; k++) POWERS[1022 + k] = POWERS[1021 + k]! * 2;
for (let k = 1; k <= 1022; k++) POWERS[1022 - k] = POWERS[1023 - k]! / 2;

/** 1/n!. */
const INVERSE_FACTORIALS = new Float64Array(14).fill(1);
for (let n = 1, factorial = 1; n < 14; n++) {
  factorial *= n;
  INVERSE_FACTORIALS[n] = 1 / factorial;
}
const [, , F2, F3, F4, F5, F6, F7, F8, F9, F10, F11, F12, F13] = INVERSE_FACTORIALS as unknown as number[];

/** e^x, within 2 units in the last place: 2^k·e^r with |r| ≤ ln 2 / 2, e^r by its series. */
export function exp(x: number): number {
  if (!(x < 709.79)) return Number.isNaN(x) ? x : Number.POSITIVE_INFINITY;
  if (x < -745.2) return 0;
  const k = Math.floor(x * Math.LOG2E + 0.5);
  const high = x - k * LN2_HIGH;
  const low = k * LN2_LOW;
  const r = high - low;
  const s = r * r;
  const q = s * s;
  const odd = F3! + s * F5! + q * (F7! + s * F9! + q * (F11! + s * F13!));
  const even = F2! + s * F4! + q * (F6! + s * F8! + q * (F10! + s * F12!));
  const y = 1 + (high - (low - s * (even + r * odd)));
  if (k > 1023) return y * POWERS[2045]! * 2;
  if (k >= -1021) return y * POWERS[1022 + k]!;
  return y * POWERS[1022 + k + 1000]! * POWERS[22]!;
}

/** σ(x) = 1 / (1 + e^−x). */
export const logistic = (x: number): number => 1 / (1 + exp(-x));

export const tanh = (x: number): number => {
  const e = exp(-2 * Math.abs(x));
  const value = (1 - e) / (1 + e);
  return x < 0 ? -value : value;
};

/** x·tanh(ln(1 + e^x)). */
export function mish(x: number): number {
  if (x > 30) return x;
  const e = exp(x);
  const n = e * (e + 2);
  return (x * n) / (n + 2);
}
