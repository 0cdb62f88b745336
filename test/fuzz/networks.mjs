/** Small networks and models, made from numbers that a stream gives. */

import { quantise } from '../../dist/conversion/quantise.js';
import { planEngine } from '../../dist/engine/plan.js';
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

const regionOf = (input) => ({
  kind: 'region',
  name: 'region',
  inputs: [input],
  classes: 1,
  anchors: [[1, 1]],
});

/** A chain of convolutions and pools that ends in a region layer with six channels. */
export function makeNetwork(stream) {
  const side = 1 + stream.below(13);
  const layers = [];
  let last = 'image';
  const add = (layer) => {
    layers.push({ ...layer, inputs: [last] });
    last = layer.name;
  };
  const convolution = (name, filters, activation) => {
    const size = stream.pick([1, 2, 3, 5]);
    const padding = stream.below(size);
    add({ kind: 'convolutional', name, filters, size, stride: 1 + stream.below(2), padding, activation });
  };
  for (let i = 1 + stream.below(3); i > 0; i--) {
    convolution(`conv${layers.length}`, 1 + stream.below(70), stream.pick(['leaky', 'relu', 'linear']));
    if (stream.below(2))
      add({
        kind: 'maxpool',
        name: `pool${layers.length}`,
        size: 1 + stream.below(3),
        stride: 1 + stream.below(2),
        padding: stream.below(3),
      });
  }
  convolution('output', 6, 'linear');
  layers.push(regionOf(last));
  return { input: { height: side, width: 1 + stream.below(13), channels: 3 }, layers };
}

/** A model of that network with weights from the stream; throws if its shapes do not fit. */
export function makeModel(stream) {
  const network = makeNetwork(stream);
  const shapes = inferShapes(network);
  const parameters = new Map();
  const lambdas = new Map();
  for (const { kind, name, filters, size, inputs } of network.layers) {
    if (kind !== 'convolutional') continue;
    const { channels } = shapes.get(inputs[0]);
    const number = () => (stream.below(2001) - 1000) / 500;
    parameters.set(name, {
      weights: Float32Array.from({ length: filters * size * size * channels }, number),
      bias: Float32Array.from({ length: filters }, number),
    });
    lambdas.set(
      name,
      Float64Array.from({ length: filters }, () => 0.01 + stream.below(1000) / 100),
    );
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
  const schedule = stream.below(4) === 0 ? 'layered' : 'steps';
  const steps = 1 + stream.below(20);
  for (const layer of model.layers) if (stream.below(5) === 0) layer.startDelay = stream.below(6);
  const plan = planEngine(model, {
    neuron,
    pool: stream.pick(['exact', 'gate:avg', 'gate:exp', 'gate:fir']),
    rho: 0.5 + stream.below(129) / 256,
    gamma: stream.pick([1, 2, 4, 127]),
    v0: neuron === 'ibt-memory' ? 0 : stream.below(100) / 100,
    schedule,
    steps,
    blockLength: 1 + stream.below(20),
  });
  const method = stream.pick([undefined, 'dense', 'events', 'every-word']);
  return { plan: { ...plan, ...(method && { method }) }, steps, input: model.network.input };
}
