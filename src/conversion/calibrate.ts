import { conversionError } from '../errors.js';
import type { Normalisation } from '../model/spiking-model.js';
import type { FloatNetwork } from '../network/float-network.js';
import { hasNeurons } from '../network/ops/index.js';
import { inferShapes } from '../network/shapes.js';
import { OrderStatistics, PASSES, percentileRank } from './percentile.js';
import type { Lambdas } from './quantise.js';

/** How λ is found from the float network's activations (docs/engine.md; paper eq. 4/5 and section 3.2). */
export interface CalibrationOptions {
  norm: Normalisation;
  /** p of P_p, 0 < p ≤ 100. */
  percentile: number;
  /** True for the paper's λ: P_p(a) alone, without the terms for negative and for rare large activations. */
  positiveOnly: boolean;
}

/** Photos as the network takes them: (height, width, 3) bytes. Called once per pass, in the same order each time. */
export type CalibrationPhotos = () => AsyncIterable<Uint8Array>;

/** Smallest λ, as a part of the layer's lower median. */
const FLOOR = 1 / 256;
/** Smallest λ, as a part of the largest |a| of the channel. */
const OUTLIER = 1 / 16;

/** The lower median of the positive values; 1 if there are none. */
export function lowerMedianOfPositive(values: readonly number[]): number {
  const positive = values.filter((value) => value > 0).sort((a, b) => a - b);
  return positive[Math.ceil(positive.length / 2) - 1] ?? 1;
}

/** λ of each channel from the other terms: floored at 1/256 of the layer's lower median, which dead channels take. */
export function floorLambdas(terms: readonly number[], largest: ArrayLike<number>): Float64Array {
  const median = lowerMedianOfPositive(terms);
  return Float64Array.from(terms, (term, channel) =>
    largest[channel] === 0 ? median : Math.max(term, median * FLOOR),
  );
}

/**
 * Finds λ over all pixels of all photos, after the activation and before the pool, zeros included:
 * λ_j = max(P_p(a_j), P_p(−a_j), max|a_j|/16, λ̃/256), as exact order statistics.
 * Throws `CONVERSION` if there is no photo or an activation is not finite.
 *
 * @example
 * ```ts
 * import { calibrate, createFloatNetwork, loadDarknet, readResized, selectBackend } from 'spiking-yolo';
 *
 * const trained = await loadDarknet({
 *   cfg: 'models/darknet/tiny-yolo-lite-voc.cfg',
 *   weights: 'models/darknet/tiny-yolo-lite-voc.weights',
 *   names: 'models/darknet/voc.names',
 * });
 * const { width, height } = trained.network.input;
 * const floatNetwork = createFloatNetwork(trained.network, trained.parameters, selectBackend().backend);
 * const photos = () => readResized(['samples/cat.jpg'], 'stretch', width, height);
 * const { lambdas } = await calibrate(floatNetwork, photos, { norm: 'channel', percentile: 99, positiveOnly: false });
 * console.log(lambdas.get('conv1').length); // 16
 * ```
 */
export async function calibrate(
  floatNetwork: FloatNetwork,
  photos: CalibrationPhotos,
  { norm, percentile, positiveOnly }: CalibrationOptions,
  onPhoto?: (done: number, pass: number) => void,
): Promise<{ lambdas: Lambdas; photoCount: number }> {
  const shapes = inferShapes(floatNetwork.network);
  const sizes = floatNetwork.network.layers
    .filter(hasNeurons)
    .map(({ name }) => ({ name, filters: shapes.get(name)!.channels }));
  const byName = new Map(
    sizes.map(({ name, filters }) => [
      name,
      new OrderStatistics(norm === 'channel' ? filters : 1, (count) => percentileRank(count, percentile)),
    ]),
  );
  let photoCount = 0;
  for (let pass = 0; pass < PASSES; pass++) {
    let done = 0;
    for await (const pixels of photos()) {
      floatNetwork.forward(pixels, (layer, activation) => {
        byName
          .get(layer.name)!

          .add(
            activation,
            shapes.get(layer.name)!.channels,
            norm === 'channel' ? (channel) => channel : () => 0,
          );
      });
      done++;
      onPhoto?.(done, pass);
    }
    if (done === 0) throw conversionError('calibration needs at least one photo');
    if (pass > 0 && done !== photoCount)
      throw conversionError('the calibration photos changed while they were read');
    photoCount = done;
    for (const statistics of byName.values()) statistics.endPass();
  }
  const lambdas: Lambdas = new Map();
  for (const { name, filters } of sizes) {
    const statistics = byName.get(name)!;
    if (statistics.largestMagnitude.some((value) => !Number.isFinite(value))) {
      throw conversionError(`layer ${name}: an activation of the float network is not finite`);
    }
    if (norm === 'none') {
      lambdas.set(name, new Float64Array(filters).fill(1));
      continue;
    }
    const terms = Array.from(statistics.largestMagnitude, (largest, group) => {
      const high = statistics.kthLargest(group);
      return positiveOnly ? high : Math.max(high, -statistics.kthSmallest(group), largest * OUTLIER);
    });
    const found = floorLambdas(terms, statistics.largestMagnitude);
    lambdas.set(name, norm === 'channel' ? found : new Float64Array(filters).fill(found[0]!));
  }
  return { lambdas, photoCount };
}
