/** Spike counts of a layer, as in the paper's figures 1, 3 and 4, and one neuron's answer to a constant input (figure 5). */
import type { SpikingDetector } from '../detection/detector.js';
import type { Backend } from '../engine/backend.js';
import { type EnginePlan, firingLimits, NEURONS, type Neuron } from '../engine/plan.js';
import { Simulation } from '../engine/simulation.js';
import type { SpikingModel } from '../model/spiking-model.js';
import { negativeSlope } from '../network/activations.js';

/** λ of each channel ÷ λ of its layer: what a channel's largest activation becomes under layer-norm (figure 1). */
export interface NormalisedMaxima {
  layer: string;
  /** (filters). */
  values: number[];
}

/** Figure 1 from two conversions of one network at one percentile. */
export function normalisedMaxima(channelNorm: SpikingModel, layerNorm: SpikingModel): NormalisedMaxima[] {
  return channelNorm.layers.map(({ name, lambda }, i) => ({
    layer: name,
    values: Array.from(lambda, (value, channel) => value / layerNorm.layers[i]!.lambda[channel]!),
  }));
}

/** |N| of a layer's neurons after T steps, summed up per channel and as a distribution. */
export interface LayerActivity {
  layer: string;
  steps: number;
  /** Mean |N|/T, (filters): eq. 6. */
  firingRates: number[];
  /** Neurons of the chosen channel by |N|/T: (bins) from 0 to 1, the last for 1 and above. */
  histogram: number[];
}

const BINS = 50;

/** Figures 3 and 4: what a layer sends in T steps on some photos. @param channel of the distribution, from 0 */
export function layerActivity(
  detector: SpikingDetector,
  photos: readonly Uint8Array[],
  layer: string,
  channel: number,
  steps: number,
): LayerActivity {
  const stage = detector.simulation.plan.stages.find(({ name }) => name === layer);
  const filters = stage?.kind === 'convolution' ? stage.filters : 0;
  const firingRates = Array<number>(filters).fill(0);
  const histogram = Array<number>(BINS + 1).fill(0);
  for (const pixels of photos) {
    detector.simulation.begin(pixels);
    detector.simulation.advanceTo(steps);
    const { counts } = detector.simulation.state(layer);
    const share = filters / counts.length / photos.length / steps;
    for (const [i, count] of counts.entries()) {
      firingRates[i % filters]! += Math.abs(count) * share;
      if (i % filters === channel) histogram[Math.min(BINS, Math.floor((Math.abs(count) / steps) * BINS))]!++;
    }
  }
  return { layer, steps, firingRates, histogram };
}

/** A neuron with a constant input of x thresholds a step. */
export interface NeuronResponse {
  neuron: Neuron;
  x: number;
  /** leaky(x), what N/T should tend to. */
  target: number;
  /** N after each step, (T). */
  counts: number[];
}

const THETA = 2 ** 20;
const FLAT = { height: 1, width: 1, channels: 1, outHeight: 1, outWidth: 1, size: 1, stride: 1, padding: 0 };

/** Figure 5: every rule's answer to constant inputs from −1 to 1, Γ = 1, V0 = 0. The neurons are one layer's channels. */
export function neuronResponses(
  inputs: readonly number[],
  steps: number,
  backend: Backend,
): NeuronResponse[] {
  const filters = inputs.length;
  const slope = negativeSlope({ activation: 'leaky' }, 0);
  return NEURONS.flatMap((neuron) => {
    const each = (value: number) => new Int32Array(filters).fill(value);
    const common = {
      ...FLAT,
      kind: 'convolution',
      weights: new Int8Array(filters),
      startDelay: 0,
      channelwise: false,
      reach: 1,
    } as const;
    const plan: EnginePlan = {
      stages: [
        {
          ...common,
          name: 'neurons',
          input: -1,
          filters,
          bias: Int32Array.from(inputs, (x) => Math.floor(x * THETA + 0.5)),
          firing: firingLimits(neuron, 0.5, each(THETA), each(Math.floor(THETA / slope + 0.5))),
          startPotential: each(0),
          fires: true,
        },
        {
          ...common,
          name: 'output',
          input: 0,
          channels: filters,
          filters: 1,
          bias: Int32Array.of(0),
          firing: firingLimits(neuron, 0.5, Int32Array.of(THETA), Int32Array.of(THETA)),
          startPotential: Int32Array.of(0),
          fires: false,
        },
      ],
      gamma: 1,
      blockLength: 1,
    };
    const simulation = new Simulation(plan, backend);
    const counts = inputs.map(() => Array<number>(steps).fill(0));
    simulation.begin(new Uint8Array(1));
    for (let step = 1; step <= steps; step++) {
      simulation.advanceTo(step);
      for (const [i, count] of simulation.state('neurons').counts.entries()) counts[i]![step - 1] = count;
    }
    simulation.close();
    return inputs.map((x, i) => ({ neuron, x, target: x > 0 ? x : slope * x, counts: counts[i]! }));
  });
}
