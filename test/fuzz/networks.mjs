/** Small networks and models, made from numbers that a stream gives. */

import { quantise } from '../../dist/conversion/quantise.js';
import { possibleSchedules } from '../../dist/detection/settings.js';
import { planEngine, streamPlan } from '../../dist/engine/plan.js';
import { hasNeurons } from '../../dist/network/ops/index.js';
import { inferShapes } from '../../dist/network/shapes.js';

/** Numbers read from bytes, zeros after their end. */
export class Stream {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }
  byte() {
    return this.bytes[this.at++] ?? 0;
  }
  below(n) {
    return (this.byte() * 256 + this.byte()) % n;
  }
  pick(array) {
    return array[this.below(array.length)];
  }
}

/** The shape of a layer's output; undefined if the layers do not fit together. */
function shapeOf(layers, side, name) {
  try {
    const input = { height: side, width: side, channels: 3 };
    const { height, width, channels } = inferShapes({ input, layers, heads: [] }).get(name);
    return { height, width, channels };
  } catch {
    return undefined;
  }
}

/** A graph of every kind of layer that ends in one or two heads with six channels. */
export function makeNetwork(stream) {
  const side = 1 + stream.below(13);
  const layers = [];
  let last = 'image';
  const add = (layer) => {
    layers.push({ inputs: [last], ...layer });
    last = layer.name;
  };
  const name = (kind) => `${kind}${layers.length}`;
  const convolution = (called, filters, activation, groups = 1) => {
    const size = stream.pick([1, 2, 3, 5]);
    const kernel = { size, stride: 1 + stream.below(2), padding: stream.below(size) };
    add({ kind: 'convolutional', name: called, filters, ...kernel, groups, activation });
  };
  const bent = stream.below(4) === 0;
  const activation = () =>
    stream.pick(['leaky', 'relu', 'linear', ...(bent ? ['silu', 'relu6', 'elu'] : [])]);
  for (let i = 1 + stream.below(3); i > 0; i--) {
    const filters = 1 + stream.below(70);
    convolution(name('conv'), filters, activation());
    if (stream.below(2)) convolution(name('depthwise'), filters, activation(), filters);
    if (stream.below(2))
      add({
        kind: 'add',
        name: name('add'),
        inputs: [last, stream.below(2) ? last : layers[0].name],
        activation: activation(),
      });
    if (bent && stream.below(3) === 0) {
      // a gate by the map's mean: its shape is that of the layer before it, if the layers fit at all
      const shape = shapeOf(layers, side, last);
      const node = (op, inputs, output) => ({ op, inputs, outputs: [output], attributes: {} });
      const nodes = [
        node('GlobalAveragePool', [last], 'mean'),
        node('Sigmoid', ['mean'], 'gate'),
        node('Mul', [last, 'gate'], 'out'),
      ];
      const graph = { inputs: [last], nodes, constants: {}, outputs: ['out'] };
      if (shape) add({ kind: 'island', name: name('island'), graph, ...shape });
    }
    if (stream.below(3) === 0) add({ kind: 'upsample', name: name('upsample'), scale: 1 + stream.below(2) });
    if (stream.below(3) === 0) {
      const runs = [
        { input: 0, first: stream.below(filters), count: 1 + stream.below(3) },
        { input: 1, first: 0, count: 1 },
      ];
      add({ kind: 'wiring', name: name('wiring'), inputs: [last, last], runs });
    }
    if (stream.below(2))
      add({
        kind: 'maxpool',
        name: name('pool'),
        size: 1 + stream.below(3),
        stride: 1 + stream.below(2),
        padding: stream.below(3),
      });
  }
  const body = last;
  convolution('output', 6, 'linear');
  const head = { classes: 1, anchors: [[1, 1]] };
  const heads = [{ kind: 'region', input: 'output', ...head, softmax: stream.below(2) === 1 }];
  if (stream.below(2)) {
    last = body;
    convolution('second', 6, 'linear');
    heads.push({ kind: 'yolo', input: 'second', ...head, scaleXY: 1.05 });
  }
  return {
    input: { height: side, width: stream.below(3) ? side : 1 + stream.below(13), channels: 3 },
    layers,
    heads,
  };
}

/** A model of that network with weights from the stream; throws if its shapes do not fit. */
export function makeModel(stream) {
  const network = makeNetwork(stream);
  const shapes = inferShapes(network);
  const parameters = new Map();
  const lambdas = new Map();
  for (const layer of network.layers) {
    const { kind, name, filters, size, groups, inputs } = layer;
    const length = shapes.get(name).channels;
    if (hasNeurons(layer))
      lambdas.set(
        name,
        Float64Array.from({ length }, () => 0.01 + stream.below(1000) / 100),
      );
    if (kind !== 'convolutional') continue;
    const heard = shapes.get(inputs[0]).channels / groups;
    const number = () => (stream.below(2001) - 1000) / 500;
    parameters.set(name, {
      weights: Float32Array.from({ length: filters * size * size * heard }, number),
      bias: Float32Array.from({ length: filters }, number),
    });
  }
  return {
    network,
    layers: quantise(network, parameters, lambdas, stream.pick([16, 8])),
    classes: ['thing'],
    resize: 'stretch',
    provenance: {
      norm: 'channel',
      percentile: 99,
      weightBits: 16,
      preset: 'default',
      calibrationPhotos: 1,
      cfgSha256: '0'.repeat(64),
      weightsSha256: '0'.repeat(64),
    },
  };
}

/** A plan of such a model and the steps to run, with any choices that are allowed. */
export function makePlan(stream) {
  const model = makeModel(stream);
  const neuron = stream.pick(['ibt-memory', 'ibt', 'signed', 'if']);
  const usual = possibleSchedules(model.network).at(-1);
  const schedule = stream.below(4) === 0 ? 'layered' : usual;
  const steps = 1 + stream.below(20);
  for (const layer of model.layers) if (stream.below(5) === 0) layer.startDelay = stream.below(6);
  const plan = planEngine(model, {
    neuron,
    pool: stream.pick(['exact', 'gate:avg', 'gate:exp', 'gate:fir']),
    rho: 0.5 + stream.below(129) / 256,
    gamma: stream.pick([1, 2, 4, 127]),
    v0: neuron === 'ibt-memory' ? 0 : stream.below(100) / 100,
    schedule,
    coding: 'count',
    steps,
    blockLength: 1 + stream.below(20),
  });
  plan.statesOnDemand = stream.pick([true, false]);
  const method = stream.pick([undefined, 'dense', 'events', 'every-word']);
  const made = { ...plan, ...(method && { method }), coding: stream.pick(['count', 'phase']) };
  const { input } = model.network;
  if (stream.below(2)) return { plan: made, steps, input };
  // a stream, if this network can be one
  try {
    return { plan: streamPlan(made, (128 + stream.below(129)) / 256), steps, input };
  } catch {
    return { plan: made, steps, input };
  }
}
