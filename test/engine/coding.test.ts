import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { withInputSize } from '../../src/conversion/convert.js';
import { digitsOf, signedDigits } from '../../src/engine/coding.js';
import { type ConvolutionStage, DEFAULT_RUN_OPTIONS, planEngine } from '../../src/engine/plan.js';
import { referenceBackend } from '../../src/engine/reference.js';
import { Simulation } from '../../src/engine/simulation.js';
import { decodeModel } from '../../src/model/model-file.js';
import { fastBackends } from '../support/backends.js';
import { randomNumbers } from '../support/plans.js';
import { root } from '../support/shared.js';

const SIDE = 64;
/** A count reaches ±127, its highest digit 2^7. */
const DIGIT_STEPS = 8;
const lite = withInputSize(
  decodeModel(new Uint8Array(readFileSync(`${root}models/tiny-yolo-lite-voc.safetensors`))),
  SIDE,
);
const random = randomNumbers(3);
const pixels = Uint8Array.from({ length: SIDE * SIDE * 3 }, () => random() * 256);
const phase = { ...DEFAULT_RUN_OPTIONS, schedule: 'layered', coding: 'phase' } as const;

describe('signed digits', () => {
  it('make up the count, no two beside each other, and no fewer would do', () => {
    // fewest digits ±2^k that make up each number, found by trying all
    const fewest = new Map([[0, 0]]);
    for (let used = 1; used <= 4; used++)
      for (const [sum, digits] of [...fewest])
        for (let k = 0; k <= DIGIT_STEPS; k++)
          for (const next of [sum + 2 ** k, sum - 2 ** k])
            if (digits === used - 1 && !fewest.has(next)) fewest.set(next, used);
    for (let count = -127; count <= 127; count++) {
      const digits = signedDigits(count);
      expect(digits.reduce((sum, digit, k) => sum + digit * 2 ** k, 0)).toBe(count);
      expect(digits.length).toBeLessThanOrEqual(DIGIT_STEPS);
      for (const [k, digit] of digits.entries()) if (digit !== 0) expect(digits[k + 1] ?? 0).toBe(0);
      expect(digitsOf(count)).toBe(digits.filter((digit) => digit !== 0).length);
      expect(digitsOf(count)).toBe(fewest.get(count));
    }
  });

  it('make up any whole number', () => {
    fc.assert(
      fc.property(fc.integer({ min: -254, max: 254 }), (count) => {
        expect(signedDigits(count).reduce((sum, digit, k) => sum + digit * 2 ** k, 0)).toBe(count);
      }),
    );
  });
});

/** Σ over the steps of 2^k times what the digits of step k bring to each neuron, and how many synapses they reached. */
function sendDigits(stage: ConvolutionStage, counts: Int32Array) {
  const { height, width, channels, outHeight, outWidth, filters, size, stride, padding, weights } = stage;
  const digits = Array.from(counts, signedDigits);
  const sums = new Float64Array(outHeight * outWidth * filters);
  let reached = 0;
  for (let k = 0; k < DIGIT_STEPS; k++) {
    for (let out = 0; out < outHeight * outWidth; out++) {
      for (let tap = 0; tap < size * size; tap++) {
        const y = Math.floor(out / outWidth) * stride - padding + Math.floor(tap / size);
        const x = (out % outWidth) * stride - padding + (tap % size);
        if (y < 0 || y >= height || x < 0 || x >= width) continue;
        for (let c = 0; c < channels; c++) {
          const digit = digits[(y * width + x) * channels + c]![k] ?? 0;
          if (digit === 0) continue;
          reached += filters;
          for (let j = 0; j < filters; j++)
            sums[out * filters + j]! += 2 ** k * digit * weights[(j * size * size + tap) * channels + c]!;
        }
      }
    }
  }
  return { sums, reached };
}

describe('the coding phase', () => {
  const plan = planEngine(lite, phase);
  const run = (backend = referenceBackend, of = plan) => {
    const simulation = new Simulation(of, backend);
    simulation.begin(pixels);
    simulation.advanceTo(phase.steps);
    return simulation;
  };

  it('ends at the same potentials, digit by digit, and costs what is sent', () => {
    const simulation = run();
    const { perStage, spikes } = simulation.statistics();
    let sent: Int32Array | undefined;
    let compared = 0;
    let all = 0;
    for (const stage of plan.stages) {
      if (stage.kind === 'pool') {
        sent = pooled(stage, sent!);
        continue;
      }
      if (stage.kind !== 'convolution') throw new Error('the network has other stages');
      const statistics = perStage.find(({ name }) => name === stage.name)!;
      const state = stage.fires ? simulation.state(stage.name) : undefined;
      if (stage.input >= 0) {
        const { sums, reached } = sendDigits(stage, sent!);
        expect(statistics.synapticOperations).toBe(reached);
        const layer = lite.layers.find(({ name }) => name === stage.name)!;
        const output = stage.fires ? undefined : simulation.outputPotential(stage.name);
        for (const [i, sum] of sums.entries()) {
          const j = i % stage.filters;
          const whole = sum + phase.steps * stage.bias[j]!;
          const n = state?.counts[i] ?? 0;
          const taken = n * (n > 0 ? layer.threshold[j]! : layer.negativeThreshold[j]!);
          expect(output ? output[i] : state!.potential[i]! + taken).toBe(whole);
          compared++;
        }
      }
      if (!state) continue;
      const digits = state.counts.reduce((sum, count) => sum + digitsOf(count), 0);
      expect(statistics.spikes).toBe(digits);
      all += digits;
      sent = state.counts;
    }
    expect(compared).toBeGreaterThan(10_000);
    expect(spikes).toBe(all);
    simulation.close();
  });

  it('leaves operations as NeuroBench counts them: those of inputs that are not 0', () => {
    const simulation = run();
    const { accumulates, multiplyAccumulates, silentActivations, activations } =
      simulation.effectiveOperations();
    let [operations, silent, neurons] = [0, 0, 0];
    let sent: Int32Array | undefined;
    for (const stage of plan.stages) {
      if (stage.kind === 'pool') sent = pooled(stage, sent!);
      if (stage.kind !== 'convolution') continue;
      // ones in place of the counts that are not 0: each reaches what it reaches, in one step
      if (stage.input >= 0)
        operations += sendDigits(
          stage,
          sent!.map((count) => Number(count !== 0)),
        ).reached;
      if (!stage.fires) continue;
      sent = simulation.state(stage.name).counts;
      neurons += sent.length;
      silent += sent.filter((count) => count === 0).length;
    }
    expect(accumulates + multiplyAccumulates).toBe(operations);
    // counts of more than one spike are no accumulates
    expect(accumulates).toBe(0);
    expect([silentActivations, activations]).toEqual([silent, neurons]);
    simulation.close();
  });

  it('changes no spike, and costs the same on every back-end', () => {
    const counted = run(referenceBackend, planEngine(lite, { ...phase, coding: 'count' }));
    const expected = run();
    expect(expected.checksum()).toBe(counted.checksum());
    expect(expected.statistics().spikes).toBeLessThan(counted.statistics().spikes);
    for (const backend of fastBackends) {
      const simulation = run(backend);
      expect(simulation.statistics(), backend.isa).toEqual(expected.statistics());
      expect(simulation.checksum()).toBe(counted.checksum());
      simulation.close();
    }
  });

  it('is of a layer-synchronous run only', () => {
    expect(() => planEngine(lite, { ...phase, schedule: 'steps' })).toThrow(/takes the schedule layered/);
  });
});

/** Maxima of a pool's windows. */
function pooled(
  {
    height,
    width,
    channels,
    outHeight,
    outWidth,
    size,
    stride,
    offset,
  }: {
    height: number;
    width: number;
    channels: number;
    outHeight: number;
    outWidth: number;
    size: number;
    stride: number;
    offset: number;
  },
  counts: Int32Array,
): Int32Array {
  const maxima = new Int32Array(outHeight * outWidth * channels).fill(-128);
  for (let i = 0; i < maxima.length; i++) {
    const [cell, c] = [Math.floor(i / channels), i % channels];
    for (let tap = 0; tap < size * size; tap++) {
      const y = Math.floor(cell / outWidth) * stride - offset + Math.floor(tap / size);
      const x = (cell % outWidth) * stride - offset + (tap % size);
      if (y < 0 || y >= height || x < 0 || x >= width) continue;
      maxima[i] = Math.max(maxima[i]!, counts[(y * width + x) * channels + c]!);
    }
  }
  return maxima;
}
