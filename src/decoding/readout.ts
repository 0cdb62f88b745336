import { usageError } from '../errors.js';

/** `vmem`: from the potential; `count`: from the whole spikes it amounts to (paper section 4.2). */
export type Decoder = 'vmem' | 'count';
export const DECODERS: readonly Decoder[] = ['vmem', 'count'];

/** A read-out delay d is 0, or lies after every start delay and before the last step. */
export function checkReadoutDelay(delay: number, steps: number, startDelays: readonly number[]): void {
  const longest = Math.max(0, ...startDelays);
  const valid = Number.isInteger(delay) && (delay === 0 || (delay > longest && delay < steps));
  if (!valid) {
    throw usageError(
      `the read-out delay is ${delay}; expected 0 or a whole number above every start delay (${longest}) and below the number of steps (${steps})`,
    );
  }
}

/** λ / (steps·θ) of each channel, (C), kept for the next read-out of the same layer: what a potential times it is under `vmem`. */
export function factorsOf(steps: number, threshold: Int32Array, lambda: Float64Array): Float64Array {
  const known = factors.get(lambda);
  if (known?.steps === steps && known.threshold === threshold) return known.values;
  const values = lambda.map((value, j) => value / (steps * threshold[j]!));
  factors.set(lambda, { steps, threshold, values });
  return values;
}

const factors = new WeakMap<Float64Array, { steps: number; threshold: Int32Array; values: Float64Array }>();

/**
 * The output map in the float network's units, (H, W, C):
 * `vmem` (V_T − V_d) · (λ / ((T − d)·θ)), `count` trunc((V_T − V_d)/θ) / (T − d) · λ.
 *
 * @param potential V_T, exact; @param delayed V_d, or undefined for d = 0
 * @param steps T − d; @param threshold θ, (C); @param lambda λ, (C)
 * @param target where the map goes, a new one if it is not given; it may be `potential` itself
 *
 * @example
 * ```ts
 * import { decodePotential } from 'spiking-yolo';
 *
 * const [potential, theta, lambda] = [Float64Array.of(250), Int32Array.of(100), Float64Array.of(2)];
 * console.log(decodePotential('vmem', potential, undefined, 10, theta, lambda)[0]); // 0.5
 * console.log(decodePotential('count', potential, undefined, 10, theta, lambda)[0]); // 0.4
 * ```
 */
export function decodePotential(
  decoder: Decoder,
  potential: Float64Array,
  delayed: Float64Array | undefined,
  steps: number,
  threshold: Int32Array,
  lambda: Float64Array,
  target: Float64Array = new Float64Array(potential.length),
): Float64Array {
  const channels = threshold.length;
  if (decoder === 'vmem') {
    const factors = factorsOf(steps, threshold, lambda);
    for (let cell = 0; cell < potential.length; cell += channels) {
      if (delayed === undefined) {
        for (let j = 0; j < channels; j++) target[cell + j] = potential[cell + j]! * factors[j]!;
      } else {
        for (let j = 0; j < channels; j++)
          target[cell + j] = (potential[cell + j]! - delayed[cell + j]!) * factors[j]!;
      }
    }
    return target;
  }
  for (let cell = 0; cell < potential.length; cell += channels) {
    for (let j = 0; j < channels; j++) {
      const difference = potential[cell + j]! - (delayed ? delayed[cell + j]! : 0);
      target[cell + j] = (Math.trunc(difference / threshold[j]!) / steps) * lambda[j]!;
    }
  }
  return target;
}
