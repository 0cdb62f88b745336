import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Backend, FloatConvolution } from '../../src/engine/backend.js';
import { type ConvolutionStage, type EnginePlan, firingLimits, METHODS } from '../../src/engine/plan.js';
import { referenceBackend } from '../../src/engine/reference.js';
import { type RunStatistics, Simulation } from '../../src/engine/simulation.js';
import { fastBackends } from '../support/backends.js';
import { type RandomCase, randomCase, randomNumbers, relay } from '../support/plans.js';

/** Everything that can be observed of a run, at two steps of it. */
function observe(backend: Backend, plan: EnginePlan, { pixels, steps, threads }: RandomCase) {
  const simulation = new Simulation(plan, backend, threads);
  // a second run on the same network must not remember the first
  simulation.begin(pixels.map((value) => 255 - value));
  simulation.advanceTo(1);
  simulation.begin(pixels);
  const seen: unknown[] = [];
  for (const step of [Math.ceil(steps / 2), steps]) {
    simulation.advanceTo(step);
    for (const stage of plan.stages) {
      if (stage.kind === 'island') seen.push([stage.name, simulation.state(stage.name)]);
      if (stage.kind !== 'convolution') continue;
      const { name, fires } = stage;
      const factors = Float64Array.from({ length: stage.filters }, (_, j) => 1 / (j + 3));
      seen.push([name, fires ? simulation.state(name) : simulation.outputPotential(name)]);
      if (!fires) seen.push(simulation.outputPotential(name, undefined, factors));
    }
    seen.push(simulation.statistics(), simulation.checksum());
  }
  simulation.close();
  return seen;
}

describe.each(fastBackends.map((backend) => [`${backend.name} ${backend.isa}`, backend] as const))(
  '%s',
  (_, backend) => {
    it('equals the reference bit for bit on random networks', () => {
      fc.assert(
        fc.property(randomCase, (random) => {
          expect(observe(backend, random.plan, random)).toEqual(
            observe(referenceBackend, random.plan, random),
          );
        }),
        { numRuns: 400 },
      );
    });

    it.each([1, 2, 3, 4, 5, 8, 15, 16, 17, 64, 127])(
      'equals the reference where every product is as large as it can be, Γ %i',
      (gamma) => {
        // 80 neurons that send Γ spikes, all up or all down, at every step, into weights of the greatest magnitude
        const theta = 1000;
        const random = randomNumbers(gamma);
        const greatest = (same: boolean, length: number) =>
          Int8Array.from({ length }, () => (same || random() < 0.5 ? 127 : -127));
        for (const [sign, same] of [
          [1, true],
          [-1, true],
          [1, false],
          [-1, false],
        ] as const) {
          const each = (length: number, value: number) => new Int32Array(length).fill(value);
          const sender = {
            filters: 80,
            weights: new Int8Array(80),
            bias: each(80, sign * theta * (gamma + 1)),
            firing: firingLimits('signed', 0.5, each(80, theta), each(80, theta)),
          };
          const receiver = {
            filters: 48,
            weights: greatest(same, 48 * 9 * 80),
            firing: firingLimits('ibt', 0.5, each(48, 2 ** 23), each(48, 2 ** 23)),
          };
          const plan: EnginePlan = { stages: relay([3, 3], sender, receiver), gamma, blockLength: 8 };
          const largest = { plan, pixels: new Uint8Array(9), steps: 8, threads: 1, blockLengths: [8] };
          const expected = observe(referenceBackend, plan, largest);
          for (const method of ['dense', 'events'] as const)
            expect(observe(backend, { ...plan, method }, largest)).toEqual(expected);
        }
      },
    );

    it.each(METHODS)('equals the reference in layers of many channels, by %s', (method) => {
      // one kernel position's weights are more than the first cache holds, and few of the words are not silent
      const channels = 2304;
      const random = randomNumbers(7);
      const each = (length: number, value: () => number) => Int32Array.from({ length }, value);
      for (const weights of [Int8Array, Int16Array]) {
        const numbers = new weights(80 * 9 * channels);
        for (let i = 0; i < numbers.length; i++)
          numbers[i] = Math.floor(random() * 255 - 127) * (weights === Int8Array ? 1 : 4);
        const sender = {
          filters: channels,
          weights: new weights(channels),
          bias: each(channels, () => Math.floor(random() ** 4 * 1000)),
          startPotential: each(channels, () => Math.floor(random() * 1000)),
          firing: firingLimits('ibt', 0.5, new Int32Array(channels).fill(1000), new Int32Array(channels)),
        };
        const receiver = {
          filters: 80,
          weights: numbers,
          firing: firingLimits(
            'ibt',
            0.5,
            each(80, () => 3000),
            each(80, () => 30_000),
          ),
        };
        const stages = relay([2, 3], sender, receiver);
        const plan: EnginePlan = { stages, gamma: 1, blockLength: 9, method };
        const wide = { plan, pixels: new Uint8Array(6), steps: 11, threads: 2, blockLengths: [9] };
        const expected = observe(referenceBackend, plan, wide);
        expect((expected.at(-2) as RunStatistics).perStage[1]!.spikes).toBeGreaterThan(0);
        expect(observe(backend, plan, wide)).toEqual(expected);
      }
    });

    it('gives the same floats as the reference on random convolutions', () => {
      fc.assert(
        fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => {
          const random = randomNumbers(seed);
          const whole = (min: number, max: number) => min + Math.floor(random() * (max - min + 1));
          const size = [1, 3, 5][whole(0, 2)]!;
          const [height, width, channels] = [whole(5, 12), whole(5, 12), whole(1, 19)];
          const [stride, padding, channelwise] = [whole(1, 2), whole(0, size >> 1), random() < 0.4];
          const filters = channelwise ? channels : whole(1, 35);
          const floats = (count: number) =>
            Float32Array.from({ length: count }, () => (random() - 0.5) * 10 ** whole(-3, 3));
          const convolution: FloatConvolution = {
            height,
            width,
            channels,
            filters,
            size,
            stride,
            padding,
            outHeight: Math.floor((height + 2 * padding - size) / stride) + 1,
            outWidth: Math.floor((width + 2 * padding - size) / stride) + 1,
            channelwise,
            weights: floats(filters * size * size * (channelwise ? 1 : channels)),
            bias: floats(filters),
            slope: Math.fround(0.1),
          };
          const input = floats(height * width * channels);
          const outputs = [backend, referenceBackend].map((each) => {
            const output = new Float32Array(convolution.outHeight * convolution.outWidth * filters);
            each.floatKernels([convolution]).convolve(0, input, output);
            return new Int32Array(output.buffer);
          });
          expect(outputs[0]).toEqual(outputs[1]);
        }),
        { numRuns: 60 },
      );
    });
  },
);

describe('reference', () => {
  it('gives the same results for every block length', () => {
    fc.assert(
      fc.property(randomCase, (random) => {
        const [first, ...others] = random.blockLengths.map((blockLength) =>
          observe(referenceBackend, { ...random.plan, blockLength }, random),
        );
        for (const other of others) expect(other).toEqual(first);
      }),
      { numRuns: 60 },
    );
  });

  it('reads out a potential that is linear in the counts', () => {
    fc.assert(
      fc.property(randomCase, ({ plan, pixels, steps }) => {
        const simulation = new Simulation(plan, referenceBackend);
        simulation.begin(pixels);
        simulation.advanceTo(steps);
        const head = plan.stages.at(-1) as ConvolutionStage;
        const source = plan.stages[head.input];
        if (source?.kind !== 'convolution') return;
        const { counts } = simulation.state(source.name);
        const potential = simulation.outputPotential(head.name);
        const at = (y: number, x: number, j: number) => {
          let sum = BigInt(steps) * BigInt(head.bias[j]!);
          for (let ky = 0; ky < head.size; ky++) {
            for (let kx = 0; kx < head.size; kx++) {
              const row = y * head.stride - head.padding + ky;
              const column = x * head.stride - head.padding + kx;
              if (row < 0 || row >= head.height || column < 0 || column >= head.width) continue;
              for (let c = 0; c < head.channels; c++) {
                const weight = head.weights[((j * head.size + ky) * head.size + kx) * head.channels + c]!;
                sum += BigInt(weight) * BigInt(counts[(row * head.width + column) * head.channels + c]!);
              }
            }
          }
          return Number(sum);
        };
        const expected = Float64Array.from(potential, (_, i) => {
          const cell = Math.floor(i / head.filters);
          return at(Math.floor(cell / head.outWidth), cell % head.outWidth, i % head.filters);
        });
        expect(potential).toEqual(expected);
        const factors = Float64Array.from({ length: head.filters }, (_, j) => 1 / (j + 3));
        expect(simulation.outputPotential(head.name, undefined, factors)).toEqual(
          expected.map((value, i) => value * factors[i % head.filters]!),
        );
      }),
      { numRuns: 40 },
    );
  });
});
