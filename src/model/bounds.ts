import { SpikingYoloError } from '../errors.js';
import { IMAGE, type Network, type RegionLayer } from '../network/network.js';
import { inferShapes } from '../network/shapes.js';
import {
  greatestInput,
  type SpikingLayer,
  type SpikingModel,
  SUM_LIMIT,
  THRESHOLD_LIMIT,
  WEIGHT_LIMIT,
} from './spiking-model.js';

/** The integers of one channel; the bounds of docs/engine.md make every overflow impossible. */
export interface ChannelIntegers {
  weights: ArrayLike<number>;
  bias: number;
  threshold: number;
  negativeThreshold: number;
}

/** What breaks the bounds of docs/engine.md in a channel, or undefined if nothing does. */
export function boundViolation(
  { weights, bias, threshold, negativeThreshold }: ChannelIntegers,
  weightBits: 16 | 8,
  onImage: boolean,
): string | undefined {
  let largest = 0;
  let sum = 0;
  for (let i = 0; i < weights.length; i++) {
    const magnitude = Math.abs(weights[i]!);
    if (magnitude > largest) largest = magnitude;
    sum += magnitude;
  }
  const limit = WEIGHT_LIMIT[weightBits];
  if (!(largest <= limit)) return `a weight is ±${largest}, above ${limit}`;
  if (!(threshold >= 1 && threshold <= THRESHOLD_LIMIT))
    return `its threshold is ${threshold}, not in 1..2^23`;
  if (!(negativeThreshold >= 0 && negativeThreshold <= THRESHOLD_LIMIT)) {
    return `its negative threshold is ${negativeThreshold}, not in 0..2^23`;
  }
  if (!(Math.abs(bias) <= THRESHOLD_LIMIT)) return `its bias is ${bias}, beyond ±2^23`;
  const reach = greatestInput(onImage) * sum + Math.abs(bias);
  if (!(reach < SUM_LIMIT)) return `its input can reach ${reach} in a step, which is not below 2^30`;
  return undefined;
}

const fail = (message: string) => new SpikingYoloError('MODEL', message);

/** The convolutions of a network with the sizes their integers must have. */
export function convolutionSizes(network: Network) {
  const shapes = inferShapes(network);
  return network.layers.flatMap((layer) => {
    if (layer.kind !== 'convolutional') return [];
    const { channels } = shapes.get(layer.inputs[0]!)!;
    return [{ layer, channels, perFilter: layer.size ** 2 * channels, onImage: layer.inputs[0] === IMAGE }];
  });
}

function checkLayer(
  layer: SpikingLayer,
  filters: number,
  perFilter: number,
  weightBits: 16 | 8,
  onImage: boolean,
) {
  const { name, weights, bias, threshold, negativeThreshold, scale, lambda, startDelay } = layer;
  const where = `layer ${name}`;
  const arrays = { bias, threshold, negativeThreshold, scale, lambda };
  for (const [what, array] of Object.entries(arrays)) {
    if (array.length !== filters)
      throw fail(`${where}: ${what} has ${array.length} values, expected ${filters}`);
  }
  if (weights.length !== filters * perFilter) {
    throw fail(`${where}: weights has ${weights.length} values, expected ${filters * perFilter}`);
  }
  if (!(weights instanceof (weightBits === 8 ? Int8Array : Int16Array))) {
    throw fail(`${where}: weights are not ${weightBits}-bit integers`);
  }
  if (!(Number.isInteger(startDelay) && startDelay >= 0 && startDelay <= 1_000_000)) {
    throw fail(`${where}: start delay is ${startDelay}, expected 0..1000000`);
  }
  for (let j = 0; j < filters; j++) {
    const violation = boundViolation(
      {
        weights: weights.subarray(j * perFilter, (j + 1) * perFilter),
        bias: bias[j]!,
        threshold: threshold[j]!,
        negativeThreshold: negativeThreshold[j]!,
      },
      weightBits,
      onImage,
    );
    if (violation) throw fail(`${where} channel ${j}: ${violation}`);
    if (!(scale[j]! >= 1)) throw fail(`${where} channel ${j}: its scale is ${scale[j]}, below 1`);
    if (!(lambda[j]! > 0 && lambda[j]! < Number.POSITIVE_INFINITY)) {
      throw fail(`${where} channel ${j}: λ is ${lambda[j]}, not a positive number`);
    }
  }
}

/** The networks that the engine runs: convolutions and pools, then a linear convolution, then a region layer. */
function checkStructure(network: Network): void {
  const { layers } = network;
  const [head, region] = layers.slice(-2);
  if (region?.kind !== 'region') throw fail('the last layer is not a region layer');
  if (head?.kind !== 'convolutional' || head.activation !== 'linear' || region.inputs[0] !== head.name) {
    throw fail('the region layer must follow a linear convolution');
  }
  for (const layer of layers) {
    if (!/^[\w.-]{1,64}$/.test(layer.name) || layer.name === IMAGE)
      throw fail('a layer has a name that is not allowed');
    if (layer.kind === 'region' && layer !== region)
      throw fail(`layer ${layer.name}: only the last layer may be a region layer`);
    if (layer.kind === 'maxpool' && layer.inputs[0] === IMAGE)
      throw fail(`layer ${layer.name}: a pool on the image`);
  }
}

/** Proves the bounds of docs/engine.md for every channel; throws `MODEL`, naming layer and channel, if one fails. */
export function checkModel(model: SpikingModel): void {
  checkStructure(model.network);
  const sizes = convolutionSizes(model.network);
  const head = model.network.layers.at(-1) as RegionLayer;
  if (model.classes.length !== head.classes) {
    throw fail(`${model.classes.length} class names for a network of ${head.classes} classes`);
  }
  if (sizes.length !== model.layers.length) {
    throw fail(`integers for ${model.layers.length} convolutions, the network has ${sizes.length}`);
  }
  for (const [i, { layer, perFilter, onImage }] of sizes.entries()) {
    const integers = model.layers[i]!;
    if (integers.name !== layer.name) throw fail(`expected layer ${layer.name}, found ${integers.name}`);
    checkLayer(integers, layer.filters, perFilter, model.provenance.weightBits, onImage);
  }
}
