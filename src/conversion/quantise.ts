import { conversionError } from '../errors.js';
import { boundViolation, neuronLayers } from '../model/bounds.js';
import { inputScale, type SpikingLayer, THRESHOLD_LIMIT } from '../model/spiking-model.js';
import { negativeSlope } from '../network/activations.js';
import { IMAGE, type Network } from '../network/network.js';
import { activatedOf } from '../network/ops/index.js';
import type { FoldedParameters } from '../network/parameters.js';

/** floor(x + ½) in float64: the one rounding rule of docs/engine.md. */
export const roundHalfUp = (x: number) => Math.floor(x + 0.5);

/** λ of each channel by layer name, (filters). */
export type Lambdas = Map<string, Float64Array>;

interface Channel {
  /** w′ of eq. 5, (size, size, channels). */
  weights: Float64Array;
  bias: number;
  slope: number;
  fires: boolean;
  onImage: boolean;
  /** Places of the weights of a channel that is 255 wherever there is a photo (see foldPreparation). */
  constant: readonly number[];
}

/** The integers of a channel at scale s (docs/engine.md). */
function atScale({ weights, bias, slope, fires, onImage, constant }: Channel, s: number) {
  const unit = inputScale(onImage);
  const rounded = weights.map((w) => roundHalfUp(w * s));
  // what rounding takes from the constant channel goes into the bias: only at borders a rest is left
  const rest = constant.reduce((sum, i) => sum + weights[i]! * s - rounded[i]!, 0);
  return {
    weights: rounded,
    bias: roundHalfUp(unit * (bias * s + rest)),
    threshold: unit * s,
    negativeThreshold: fires && slope > 0 ? roundHalfUp((unit * s) / slope) : 0,
  };
}

/** Places of the fourth channel's weights. */
const everyFourth = (perFilter: number) => Array.from({ length: perFilter / 4 }, (_, tap) => 4 * tap + 3);

/** The largest s ≥ 1 within the bounds, found by bisection (all of them grow with s); undefined if there is none. */
function largestScale(channel: Channel, weightBits: 16 | 8): number | undefined {
  const fits = (s: number) => !boundViolation(atScale(channel, s), weightBits, channel.onImage);
  if (!fits(1)) return undefined;
  let good = 1;
  let bad = THRESHOLD_LIMIT + 1;
  while (bad - good > 1) {
    const middle = Math.floor((good + bad) / 2);
    if (fits(middle)) good = middle;
    else bad = middle;
  }
  return good;
}

/**
 * Normalises channel-wise (paper eq. 4/5: w ← w·λ_prev/λ, b ← b/λ) and quantises to integers.
 * Throws `CONVERSION`, naming the channel, where no scale satisfies the bounds of docs/engine.md.
 *
 * @example
 * ```ts
 * import { quantise } from 'spiking-yolo';
 *
 * const size = { filters: 1, size: 1, stride: 1, padding: 0, groups: 1 };
 * const layer = { kind: 'convolutional', name: 'out', inputs: ['image'], ...size, activation: 'linear' };
 * const network = { input: { height: 4, width: 4, channels: 1 }, layers: [layer], heads: [] };
 * const parameters = new Map([['out', { weights: Float32Array.of(0.5), bias: Float32Array.of(0) }]]);
 * const [converted] = quantise(network, parameters, new Map([['out', Float64Array.of(2)]]), 8);
 * console.log((converted.weights[0] / converted.scale[0]).toFixed(2)); // 0.25
 * ```
 */
export function quantise(
  network: Network,
  parameters: FoldedParameters,
  lambdas: Lambdas,
  weightBits: 16 | 8,
): SpikingLayer[] {
  return neuronLayers(network).map(({ layer, synapses, origins, onImage, fires }) => {
    const { filters, perFilter, wireOf, weightOf } = synapses;
    const lambda = lambdas.get(layer.name)!;
    const trained = parameters.get(layer.name);
    const activated = activatedOf(layer);
    const result: SpikingLayer = {
      name: layer.name,
      weights: new (weightBits === 8 ? Int8Array : Int16Array)(filters * perFilter),
      bias: new Int32Array(filters),
      threshold: new Int32Array(filters),
      negativeThreshold: new Int32Array(filters),
      scale: new Int32Array(filters),
      lambda,
      startDelay: 0,
    };
    for (let j = 0; j < filters; j++) {
      const normalised = new Float64Array(perFilter);
      for (let i = 0; i < perFilter; i++) {
        const { input, channel } = wireOf(j, i);
        const origin = origins[input]![channel]!;
        const arriving = origin.layer === IMAGE ? 1 : lambdas.get(origin.layer)![origin.channel]!;
        const weight = weightOf ? weightOf(j, i) : trained!.weights[j * perFilter + i]!;
        normalised[i] = (weight * arriving) / lambda[j]!;
      }
      const channel: Channel = {
        weights: normalised,
        bias: (trained?.bias[j] ?? 0) / lambda[j]!,
        slope: negativeSlope(activated, j),
        fires,
        onImage,
        constant: onImage && synapses.heard === 4 ? everyFourth(perFilter) : [],
      };
      // an island has no integers
      const s = perFilter === 0 ? 1 : largestScale(channel, weightBits);
      if (s === undefined) {
        throw conversionError(
          `layer ${layer.name} channel ${j}: no integer scale satisfies the bounds of the integer engine (λ is ${lambda[j]}); ${boundViolation(atScale(channel, 1), weightBits, onImage)} at scale 1`,
        );
      }
      const integers = atScale(channel, s);
      result.weights.set(integers.weights, j * perFilter);
      result.bias[j] = integers.bias;
      result.threshold[j] = integers.threshold;
      result.negativeThreshold[j] = integers.negativeThreshold;
      result.scale[j] = s;
    }
    return result;
  });
}

/**
 * The float parameters that a model's integers stand for: W/s with λ undone, without what tuning has added to the biases.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { decodeModel, dequantise } from 'spiking-yolo';
 *
 * const { network, layers } = decodeModel(readFileSync('models/tiny-yolo-lite-voc.safetensors'));
 * console.log(dequantise(network, layers).get('conv1').weights.length); // 432
 * ```
 */
export function dequantise(network: Network, layers: readonly SpikingLayer[]): FoldedParameters {
  const folded: FoldedParameters = new Map();
  const byName = new Map(layers.map((layer) => [layer.name, layer]));
  for (const { layer, synapses, origins, onImage } of neuronLayers(network)) {
    if (layer.kind !== 'convolutional') continue;
    const { weights, bias, scale, lambda, correction } = byName.get(layer.name)!;
    const { perFilter, wireOf } = synapses;
    const unit = inputScale(onImage);
    folded.set(layer.name, {
      weights: Float32Array.from(weights, (weight, at) => {
        const j = Math.floor(at / perFilter);
        const { input, channel } = wireOf(j, at % perFilter);
        const origin = origins[input]![channel]!;
        const arriving = origin.layer === IMAGE ? 1 : byName.get(origin.layer)!.lambda[origin.channel]!;
        return ((weight / scale[j]!) * lambda[j]!) / arriving;
      }),
      bias: Float32Array.from(
        bias,
        (value, j) => (value / (unit * scale[j]!)) * lambda[j]! - (correction?.[j] ?? 0),
      ),
    });
  }
  return folded;
}
