import { reasonOf, SpikingYoloError } from '../errors.js';
import { tableMismatch } from '../heads/table.js';
import { IMAGE, isTableHead, type Network, outputNames } from '../network/network.js';
import { hasNeurons, type NeuronLayer, operatorOf } from '../network/ops/index.js';
import type { Synapses } from '../network/ops/operator.js';
import { checkStructure, inferShapes } from '../network/shapes.js';
import { type Origin, traceWires } from '../network/wires.js';
import { dimsOfMap, outputDimsOf } from '../tensor/graph.js';
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

/** A layer of neurons: what its integers must be. */
export interface NeuronLayerFacts {
  layer: NeuronLayer;
  synapses: Synapses;
  /** Of each input the neurons that its channels come from. */
  origins: (readonly Origin[])[];
  /** True if it hears the image's bytes. */
  onImage: boolean;
  /** False for an output layer. */
  fires: boolean;
}

/** The layers that have neurons, in the network's order. */
export function neuronLayers(network: Network): NeuronLayerFacts[] {
  const shapes = inferShapes(network);
  const origins = traceWires(network, shapes);
  const outputs = new Set(outputNames(network));
  return network.layers.filter(hasNeurons).map((layer) => ({
    layer,
    synapses: operatorOf(layer).synapses!(
      layer,
      layer.inputs.map((name) => shapes.get(name)!),
    ),
    origins: layer.inputs.map((name) => origins.get(name)!),
    onImage: layer.inputs.includes(IMAGE),
    fires: !outputs.has(layer.name),
  }));
}

function checkLayer(
  layer: SpikingLayer,
  filters: number,
  perFilter: number,
  weightBits: 16 | 8,
  onImage: boolean,
) {
  const { name, weights, bias, threshold, negativeThreshold, scale, lambda, startDelay, correction } = layer;
  const where = `layer ${name}`;
  const arrays = { bias, threshold, negativeThreshold, scale, lambda, ...(correction ? { correction } : {}) };
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
    if (correction && !Number.isFinite(correction[j]))
      throw fail(`${where} channel ${j}: its correction is ${correction[j]}, not a number`);
  }
}

function checkNetwork(network: Network): void {
  for (const { name } of network.layers) {
    if (!/^[\w.-]{1,64}$/.test(name) || name === IMAGE) throw fail('a layer has a name that is not allowed');
  }
  try {
    checkStructure(network);
  } catch (error) {
    throw fail(reasonOf(error));
  }
}

/** Plans each island: what it puts out must be a map of the shape that it names. */
function checkIslands(network: Network): void {
  const shapes = inferShapes(network);
  for (const layer of network.layers) {
    if (layer.kind !== 'island') continue;
    let dims: number[];
    try {
      [dims] = outputDimsOf(
        layer.graph,
        layer.inputs.map((name) => shapes.get(name)!),
      ) as [number[]];
    } catch (error) {
      throw fail(`layer ${layer.name}: what it computes does not go together: ${reasonOf(error)}`);
    }
    if (dims.join() !== dimsOfMap(layer).join())
      throw fail(`layer ${layer.name}: it puts out ${dims.join('×')}, not ${dimsOfMap(layer).join('×')}`);
  }
}

/** Plans a tail: what it puts out must be what the heads read. */
function checkTail(network: Network): void {
  const { tail, heads, input } = network;
  if (!tail) return;
  const shapes = inferShapes(network);
  const own = tail.inputs.map((name) => shapes.get(name)!);
  let outputs: number[][];
  try {
    outputs = outputDimsOf(tail, own);
  } catch (error) {
    throw fail(`what it computes behind its output layers does not go together: ${reasonOf(error)}`);
  }
  for (const head of heads) {
    const dims = outputs[tail.outputs.indexOf(head.input)];
    const mismatch = isTableHead(head) && dims && tableMismatch(head.kind, dims, head.classes, input);
    if (mismatch || !dims) throw fail(mismatch || 'a head reads nothing');
  }
}

/** Proves the bounds of docs/engine.md for every channel; throws `MODEL`, naming layer and channel, if one fails. */
export function checkModel(model: SpikingModel): void {
  const { network, layers, classes } = model;
  checkNetwork(network);
  checkIslands(network);
  checkTail(network);
  for (const head of network.heads) {
    if (classes.length !== head.classes)
      throw fail(`${classes.length} class names for a network of ${head.classes} classes`);
  }
  const expected = neuronLayers(network);
  if (expected.length !== layers.length) {
    throw fail(`integers for ${layers.length} layers of neurons, the network has ${expected.length}`);
  }
  for (const [i, { layer, synapses, onImage }] of expected.entries()) {
    const integers = layers[i]!;
    if (integers.name !== layer.name) throw fail(`expected layer ${layer.name}, found ${integers.name}`);
    checkLayer(integers, synapses.filters, synapses.perFilter, model.provenance.weightBits, onImage);
  }
}
