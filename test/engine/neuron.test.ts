import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Backend } from '../../src/engine/backend.js';
import {
  type ConvolutionStage,
  type EnginePlan,
  firingLimits,
  NEURONS,
  type Neuron,
} from '../../src/engine/plan.js';
import { referenceBackend } from '../../src/engine/reference.js';
import { Simulation } from '../../src/engine/simulation.js';
import { best } from '../support/backends.js';
import { unitConvolution } from '../support/plans.js';

/** One neuron on the image: with weight 0 its bias is z of every step. */
const neuronStage = (
  input: number,
  weight: number,
  bias: number,
  firing: Int32Array,
  startPotential = 0,
): ConvolutionStage =>
  unitConvolution({
    name: `n${input + 1}`,
    input,
    weights: Int16Array.of(weight),
    bias: Int32Array.of(bias),
    firing,
    startPotential: Int32Array.of(startPotential),
  });

/** A network of one neuron, presented and ready to run. */
function oneNeuron(
  stage: ConvolutionStage,
  gamma: number,
  blockLength = 1,
  backend: Backend = referenceBackend,
): Simulation {
  const plan: EnginePlan = {
    stages: [stage, { ...stage, name: 'head', input: 0, fires: false }],
    gamma,
    blockLength,
  };
  const simulation = new Simulation(plan, backend);
  simulation.begin(Uint8Array.of(0));
  return simulation;
}

/** The rule as docs/engine.md words it, one spike at a time, in plain numbers. */
function fireByTheBook(
  neuron: Neuron,
  rho: number,
  theta: number,
  negative: number,
  v: number,
  n: number,
): [number, number] {
  const infinite = negative === 0;
  const up = neuron === 'ibt-memory' ? (n >= 0 ? theta : negative) : theta;
  const upLimit = neuron === 'ibt-memory' ? rho * up : theta;
  if (v >= upLimit && !(neuron === 'ibt-memory' && n < 0 && infinite)) return [v - up, n + 1];
  if (neuron === 'if') return [v, n];
  if (neuron === 'signed') return !infinite && v < -theta ? [v + theta, n - 1] : [v, n];
  if (neuron === 'ibt') return !infinite && v < -negative ? [v + negative, n - 1] : [v, n];
  if (n > 0) return v < -rho * theta ? [v + theta, n - 1] : [v, n];
  return !infinite && v < -rho * negative ? [v + negative, n - 1] : [v, n];
}

const rule = fc.record({
  neuron: fc.constantFrom(...NEURONS),
  r: fc.integer({ min: 128, max: 256 }),
  theta: fc.integer({ min: 1, max: 5000 }),
  alpha: fc.constantFrom(0, 0.1, 1),
  z: fc.integer({ min: -20_000, max: 20_000 }),
  gamma: fc.constantFrom(1, 2, 4, 127),
  steps: fc.integer({ min: 1, max: 40 }),
});

describe('neuron rules', () => {
  it('follow the wording of the design at every step', () => {
    fc.assert(
      fc.property(rule, ({ neuron, r, theta, alpha, z, gamma, steps }) => {
        const negative = alpha === 0 ? 0 : Math.floor(theta / alpha + 0.5);
        const firing = firingLimits(neuron, r / 256, Int32Array.of(theta), Int32Array.of(negative));
        const stage = neuronStage(-1, 0, z, firing);
        const simulation = oneNeuron(stage, gamma, 7);
        let v = 0;
        let n = 0;
        for (let step = 1; step <= steps; step++) {
          v += z;
          for (let k = 0; k < gamma; k++) [v, n] = fireByTheBook(neuron, r / 256, theta, negative, v, n);
          simulation.advanceTo(step);
          const state = simulation.state('n0');
          expect([state.potential[0], state.counts[0]]).toEqual([v, n]);
        }
      }),
      { numRuns: 400 },
    );
  });

  it('ibt-memory at ρ ½ counts the nearest integer of leaky(Σz)/θ, halves upward, however z came about', () => {
    const small = fc.integer({ min: -200, max: 200 });
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: 3000 }).map((half) => 2 * half),
        fc.array(fc.tuple(small, small), { minLength: 1, maxLength: 9 }),
        small,
        (theta, inputs, bias) => {
          // neurons with a constant z of their own drive one whose z changes from step to step
          const channels = inputs.length;
          const limits = (filters: number) =>
            firingLimits(
              'ibt-memory',
              0.5,
              new Int32Array(filters).fill(theta),
              new Int32Array(filters).fill(10 * theta),
            );
          const first: ConvolutionStage = {
            ...neuronStage(-1, 0, 0, limits(channels)),
            filters: channels,
            weights: new Int16Array(channels),
            bias: Int32Array.from(inputs, ([z]) => z * 20),
            startPotential: new Int32Array(channels),
          };
          const weights = Int16Array.from(inputs, ([, weight]) => weight);
          const second: ConvolutionStage = { ...neuronStage(0, 0, bias, limits(1)), channels, weights };
          const head: ConvolutionStage = { ...neuronStage(1, 1, 0, limits(1)), fires: false };
          const simulation = new Simulation(
            { stages: [first, second, head], gamma: 127, blockLength: 4 },
            best,
          );
          simulation.begin(Uint8Array.of(0));
          const nearest = (sum: number) => Math.floor(sum / (sum >= 0 ? theta : 10 * theta) + 0.5) + 0;
          for (let step = 1; step <= 12; step++) {
            simulation.advanceTo(step);
            const { counts } = simulation.state('n0');
            expect([...counts]).toEqual(inputs.map(([z]) => nearest(step * z * 20)));
            const sum = step * bias + weights.reduce((total, weight, c) => total + weight * counts[c]!, 0);
            expect(simulation.state('n1').counts[0]).toBe(nearest(sum));
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it('send what V still holds in consecutive steps of one sign once the input falls silent, then nothing', () => {
    fc.assert(
      fc.property(rule, ({ neuron, r, theta, alpha, z, gamma }) => {
        const negative = alpha === 0 ? 0 : Math.floor(theta / alpha + 0.5);
        const firing = firingLimits(neuron, r / 256, Int32Array.of(theta), Int32Array.of(negative));
        // the start potential plays the part of what is left over from earlier input
        const stage = neuronStage(-1, 0, 0, firing, Math.abs(z) * 9);
        const simulation = oneNeuron(stage, gamma, 1);
        const sent: number[] = [];
        let before = 0;
        const enough = Math.ceil((Math.abs(z) * 9) / theta) + 3;
        for (let step = 1; step <= Math.min(enough, 3000); step++) {
          simulation.advanceTo(step);
          const { counts } = simulation.state('n0');
          sent.push(counts[0]! - before);
          before = counts[0]!;
        }
        const firstSilent = sent.indexOf(0);
        const burst = firstSilent < 0 ? sent : sent.slice(0, firstSilent);
        expect(burst.every((s) => Math.sign(s) === Math.sign(burst[0]!))).toBe(true);
        if (firstSilent >= 0) expect(sent.slice(firstSilent).every((s) => s === 0)).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  it('ibt-memory stays within ρ of leaky(Σz)/θ wherever a step fired fewer than Γ spikes', () => {
    fc.assert(
      fc.property(rule, ({ r, theta, z, gamma, steps }) => {
        const firing = firingLimits('ibt-memory', r / 256, Int32Array.of(theta), Int32Array.of(theta * 10));
        const stage = neuronStage(-1, 0, z, firing);
        const simulation = oneNeuron(stage, gamma, 1);
        let before = 0;
        for (let step = 1; step <= steps; step++) {
          simulation.advanceTo(step);
          const n = simulation.state('n0').counts[0]!;
          const target = step * z >= 0 ? (step * z) / theta : (step * z) / (10 * theta);
          if (Math.abs(n - before) < gamma) expect(Math.abs(n - target)).toBeLessThanOrEqual(r / 256 + 1e-9);
          before = n;
        }
      }),
      { numRuns: 200 },
    );
  });
});
