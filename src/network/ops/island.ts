import { conversionError } from '../../errors.js';
import { isTensorGraph, type Program, planGraph, runOnMaps } from '../../tensor/graph.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { IslandLayer } from '../network.js';
import { isWholeNumber, type Operator } from './operator.js';

/** Graphs with their numbers in place, for the float network's passes. */
const programs = new WeakMap<IslandLayer, Program>();

/**
 * What is neither neuron nor wiring (docs/engine.md): its output is rounded to counts as a neuron's is, so that it has a λ;
 * no weights of its own are integers.
 */
export const island: Operator<IslandLayer> = {
  isValid: ({ inputs, graph, height, width, channels }) =>
    isTensorGraph(graph) &&
    graph.outputs.length === 1 &&
    inputs.length >= 1 &&
    inputs.length <= 16 &&
    inputs.length === graph.inputs.length &&
    inputs.every((name, i) => name === graph.inputs[i]) &&
    isWholeNumber(height, 1, 8192) &&
    isWholeNumber(width, 1, 8192) &&
    isWholeNumber(channels, 1, 65536),

  shape({ graph, height, width, channels }, inputs) {
    if (inputs.length !== graph.inputs.length)
      throw conversionError(`it takes ${graph.inputs.length} maps, not ${inputs.length}`);
    return { height, width, channels };
  },

  synapses: ({ channels }) => ({
    filters: channels,
    heard: 0,
    perFilter: 0,
    wireOf: () => ({ input: 0, channel: 0 }),
  }),

  forward(layer, inputs, output) {
    let program = programs.get(layer);
    if (!program) {
      program = planGraph(
        layer.graph,
        inputs.map(({ height, width, channels }) => [1, channels, height, width]),
      );
      programs.set(layer, program);
    }
    const [{ values }] = runOnMaps(
      program,
      inputs.map((input) => input.values),
    ) as [Tensor];
    const { channels } = output;
    const cells = output.height * output.width;
    for (let c = 0; c < channels; c++)
      for (let cell = 0; cell < cells; cell++) output.values[cell * channels + c] = values[c * cells + cell]!;
  },
};
