import { describe, expect, it } from 'vitest';
import { curveTable } from '../../src/engine/curve.js';
import {
  type ConvolutionStage,
  type EnginePlan,
  firingLimits,
  NEURONS,
  streamPlan,
} from '../../src/engine/plan.js';
import { referenceBackend } from '../../src/engine/reference.js';
import { Simulation } from '../../src/engine/simulation.js';
import type { CurveActivation } from '../../src/network/activations.js';
import { fastBackends } from '../support/backends.js';
import { randomNumbers, unitConvolution } from '../support/plans.js';

const FILTERS = 64;
const CELLS = 8192;
const STEPS = 60;

/**
 * Neurons that each hear one byte, which fire once, in the last of 60 steps: so many sums that some are nearer to the border between two
 * counts than float32 can tell.
 */
function plan(
  random: () => number,
  bits: 16 | 8,
  fields: (threshold: Int32Array) => Partial<ConvolutionStage>,
  cells = CELLS,
): EnginePlan {
  const threshold = Int32Array.from({ length: FILTERS }, () => 6_000_000 + Math.floor(random() * 2_000_000));
  const weights = new (bits === 8 ? Int8Array : Int16Array)(FILTERS).map(
    () => 1 + Math.floor(random() * (bits === 8 ? 126 : 30_000)),
  );
  const shape = { height: 1, width: cells, outHeight: 1, outWidth: cells, filters: FILTERS };
  const bias = threshold.map((theta) => Math.floor((random() - 0.5) * 2 * theta));
  const neurons = unitConvolution({
    ...{ ...shape, name: 'neurons', input: -1, weights, bias },
    startPotential: new Int32Array(FILTERS),
    startDelay: STEPS - 1,
    firing: firingLimits('ibt-memory', 0.5, threshold, threshold),
    ...fields(threshold),
  });
  const output = unitConvolution({
    ...{ ...shape, name: 'output', input: 0, channels: FILTERS, filters: 1, fires: false },
    weights: weights.slice().fill(1),
  });
  return { stages: [neurons, output], gamma: 127, blockLength: STEPS - 1 };
}

function expectEqual(each: EnginePlan, random: () => number, cells = CELLS, pictures = 1): void {
  const pixels = Array.from({ length: pictures }, () =>
    Uint8Array.from({ length: cells }, () => Math.floor(random() * 256)),
  );
  const checksums = [referenceBackend, ...fastBackends].map((backend) => {
    const simulation = new Simulation(each, backend);
    const found = pixels.map((picture) => {
      simulation.begin(picture);
      simulation.advanceTo(STEPS);
      const { spikes, clipped } = simulation.statistics();
      return `${simulation.checksum()} ${spikes} ${clipped}`;
    });
    simulation.close();
    return found.join();
  });
  expect(new Set(checksums).size).toBe(1);
}

describe('neurons that fire once send the same where a sum lies at the border between two counts', () => {
  it.each(['silu', 'hardswish', 'mish', 'relu6', 'elu'] as CurveActivation[])('%s', (activation) => {
    const random = randomNumbers(activation.length);
    for (const bits of [8, 16] as const)
      expectEqual(
        plan(random, bits, (threshold) => ({
          curve: curveTable(
            activation,
            threshold,
            Float64Array.from(threshold, () => 0.05 + random() * 4),
            STEPS,
          ),
        })),
        random,
      );
  });

  it.each(NEURONS)('%s', (neuron) => {
    const random = randomNumbers(neuron.length);
    for (const bits of [8, 16] as const)
      for (const statesOnDemand of [false, true])
        expectEqual(
          {
            ...plan(random, bits, (threshold) => ({
              firing: firingLimits(
                neuron,
                0.5,
                threshold,
                threshold.map((theta) => theta * (1 + Math.floor(random() * 4))),
              ),
            })),
            statesOnDemand,
          },
          random,
        );
  });

  it.each([0.5, 0.75, 1])('in a stream that holds %f', (hold) => {
    const random = randomNumbers(hold * 4);
    for (const bits of [8, 16] as const)
      for (const slope of [1, 3, undefined]) {
        const network = plan(
          random,
          bits,
          (threshold) => ({
            firing: firingLimits(
              'ibt-memory',
              0.5,
              threshold,
              threshold.map((theta) => (slope === undefined ? 0 : theta * slope)),
            ),
          }),
          64,
        );
        // a pixel of 100 brings each neuron to within a step of the border between two counts
        const neurons = network.stages[0] as ConvolutionStage;
        for (const [f, theta] of neurons.firing.subarray(2 * FILTERS, 3 * FILTERS).entries()) {
          const border = (Math.floor(random() * 60) - 0.5) * (random() < 0.5 ? theta : -theta * (slope ?? 1));
          neurons.bias[f] = Math.max(Math.round(border / STEPS), -(2 ** 22)) - 100 * neurons.weights[f]!;
        }
        // pixels of 99 to 102
        expectEqual(streamPlan(network, hold), () => 0.388 + random() * 0.012, 64, 3);
      }
  });

  it('and where V would leave its limits', () => {
    const random = randomNumbers(5);
    const [cells, senderCount] = [512, 144];
    const shape = { height: 1, width: cells, outHeight: 1, outWidth: cells, startDelay: STEPS - 1 };
    // whole bytes up to Γ, which all neurons of the second layer hear with the greatest weight of one sign
    const senders = unitConvolution({
      ...{
        ...shape,
        name: 'senders',
        input: -1,
        filters: senderCount,
        weights: new Int16Array(senderCount).fill(1),
      },
      bias: new Int32Array(senderCount),
      startPotential: new Int32Array(senderCount),
      firing: firingLimits(
        'ibt-memory',
        0.5,
        new Int32Array(senderCount).fill(100),
        new Int32Array(senderCount).fill(100),
      ),
    });
    const threshold = Int32Array.from({ length: FILTERS }, () => Math.floor((1 + random()) * 2 ** 24));
    const sign = (filter: number) => (filter % 2 ? -1 : 1);
    const neurons = unitConvolution({
      ...{ ...shape, name: 'neurons', input: 0, channels: senderCount, filters: FILTERS },
      weights: Int16Array.from(
        { length: FILTERS * senderCount },
        (_, i) => 32639 * sign(Math.floor(i / senderCount)),
      ),
      bias: Int32Array.from(threshold, (_, f) => sign(f) * 2 ** 23),
      startPotential: new Int32Array(FILTERS),
      firing: firingLimits('ibt-memory', 0.5, threshold, threshold),
    });
    const output = unitConvolution({
      ...{ ...shape, name: 'output', input: 1, channels: FILTERS, startDelay: 0, fires: false },
      weights: new Int16Array(FILTERS).fill(1),
    });
    for (const statesOnDemand of [false, true]) {
      const plan = { stages: [senders, neurons, output], gamma: 127, blockLength: STEPS - 1, statesOnDemand };
      expectEqual(plan, random, cells);
      const simulation = new Simulation(plan, referenceBackend);
      simulation.begin(new Uint8Array(cells).fill(255));
      simulation.advanceTo(STEPS);
      const { counts } = simulation.state('neurons');
      // 2^30 holds fewer amounts than what came in
      for (let i = 0; i < counts.length; i++)
        expect(Math.abs(counts[i]!)).toBe(Math.floor(2 ** 30 / threshold[i % FILTERS]! + 0.5));
      simulation.close();
    }
  });
});
