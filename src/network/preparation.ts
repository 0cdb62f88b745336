import { onnxError } from '../errors.js';
import type { Resize } from '../model/spiking-model.js';
import { IMAGE, type Network } from './network.js';
import type { FoldedParameters } from './parameters.js';

/** How a network was trained to see a photo: (byte − mean) / deviation of each channel, in its order. */
export interface Preparation {
  order: 'RGB' | 'BGR';
  /** Of the channels in that order, in bytes. */
  mean: readonly [number, number, number];
  deviation: readonly [number, number, number];
  resize: Resize;
}

/**
 * Folds the preparation into the convolutions on the image, which then take RGB / 255. Zeros around the photo are padded
 * after the mean is taken away: what it takes is summed over the taps inside the photo only, by a fourth channel that is 1
 * inside and 0 outside, where there is a mean at all.
 */
export function foldPreparation(
  network: Network,
  parameters: FoldedParameters,
  { order, mean, deviation }: Preparation,
): { network: Network; parameters: FoldedParameters } {
  const constant = mean.some((value) => value !== 0);
  const channels = constant ? 4 : 3;
  const folded: FoldedParameters = new Map(parameters);
  for (const layer of network.layers) {
    if (!layer.inputs.includes(IMAGE)) continue;
    const own = parameters.get(layer.name);
    if (!own || layer.kind !== 'convolutional' || layer.groups !== 1)
      throw onnxError(`${layer.name} takes the image itself; only a convolution of all its channels can`);
    const { weights, bias } = own;
    const taps = weights.length / 3;
    const prepared = new Float32Array(taps * channels);
    for (let tap = 0; tap < taps; tap++) {
      let taken = 0;
      for (let c = 0; c < 3; c++) {
        const weight = weights[tap * 3 + c]! / deviation[c]!;
        prepared[tap * channels + (order === 'BGR' ? 2 - c : c)] = weight * 255;
        taken += weight * mean[c]!;
      }
      if (constant) prepared[tap * channels + 3] = -taken;
    }
    folded.set(layer.name, { weights: prepared, bias });
  }
  return { network: { ...network, input: { ...network.input, channels } }, parameters: folded };
}
