/** How a layer-synchronous count goes over the wire (docs/engine.md). */
export type Coding = 'count' | 'phase';
export const CODINGS: readonly Coding[] = ['count', 'phase'];

/**
 * The signed digits of a count in canonical form, lowest first: −1, 0 or 1 each, no two neighbours but 0, Σ d_k·2^k = N.
 *
 * @example
 * ```ts
 * import { signedDigits } from 'spiking-yolo';
 *
 * console.log(signedDigits(7)); // [ -1, 0, 0, 1 ]
 * ```
 */
export function signedDigits(count: number): number[] {
  const digits: number[] = [];
  for (let rest = count; rest !== 0; ) {
    // the digit that leaves a multiple of 4, so that the next one is 0
    const digit = rest % 2 === 0 ? 0 : rest % 4 === 1 || rest % 4 === -3 ? 1 : -1;
    digits.push(digit);
    rest = (rest - digit) / 2;
  }
  return digits;
}

const DIGITS_OF = Uint8Array.from({ length: 255 }, (_, n) => signedDigits(n).filter((d) => d !== 0).length);

/** Digits of a count, or of its change, that are not 0, up to ±254: the spikes that it is sent as. */
export const digitsOf = (count: number): number => DIGITS_OF[Math.abs(count)]!;
