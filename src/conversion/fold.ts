import { conversionError } from '../errors.js';
import type { FoldedParameters, Parameters } from '../network/parameters.js';

/** ε of batch-normalisation: `inside` divides by √(σ² + 1e-5), `darknet-cpu` by √σ² + 1e-6. */
export type BatchNormEpsilon = 'inside' | 'darknet-cpu';

/**
 * Folds batch-normalisation into weights and biases (Rueckauer et al. 2017, section 2.2.2):
 * w ← w·γ/σ, b ← β − μ·γ/σ, computed in float64 and rounded to float32.
 *
 * @example
 * ```ts
 * import { foldBatchNorm } from 'spiking-yolo';
 *
 * const [weights, bias] = [Float32Array.of(2), Float32Array.of(1)];
 * const batchNorm = { scale: Float32Array.of(3), mean: Float32Array.of(0.5), variance: Float32Array.of(1 - 1e-5) };
 * const folded = foldBatchNorm(new Map([['conv1', { weights, bias, batchNorm }]]));
 * console.log(folded.get('conv1').weights[0], folded.get('conv1').bias[0]); // 6 -0.5
 * ```
 */
export function foldBatchNorm(
  parameters: Parameters,
  epsilon: BatchNormEpsilon = 'inside',
): FoldedParameters {
  const folded: FoldedParameters = new Map();
  for (const [name, { weights, bias, batchNorm }] of parameters) {
    if (!batchNorm) {
      folded.set(name, { weights, bias });
      continue;
    }
    const filters = bias.length;
    const perFilter = weights.length / filters;
    const foldedWeights = new Float32Array(weights.length);
    const foldedBias = new Float32Array(filters);
    for (let filter = 0; filter < filters; filter++) {
      const variance = batchNorm.variance[filter]!;
      const deviation = epsilon === 'inside' ? Math.sqrt(variance + 1e-5) : Math.sqrt(variance) + 1e-6;
      const factor = batchNorm.scale[filter]! / deviation;
      for (let i = filter * perFilter; i < (filter + 1) * perFilter; i++)
        foldedWeights[i] = weights[i]! * factor;
      foldedBias[filter] = bias[filter]! - batchNorm.mean[filter]! * factor;
    }
    if (!foldedWeights.every(Number.isFinite) || !foldedBias.every(Number.isFinite)) {
      throw conversionError(`layer ${name}: folding batch-normalisation gives values that are not finite`);
    }
    folded.set(name, { weights: foldedWeights, bias: foldedBias });
  }
  return folded;
}
