import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { curveCount, curveTable } from '../../src/engine/curve.js';
import { referenceBackend } from '../../src/engine/reference.js';
import { Simulation } from '../../src/engine/simulation.js';
import { type CurveActivation, curveOf } from '../../src/network/activations.js';
import { unitConvolution } from '../support/plans.js';

const CURVES: CurveActivation[] = ['silu', 'hardswish', 'mish', 'relu6', 'elu'];

/** What a curve's neuron should send, in real numbers, before it is rounded. */
const exact = (curve: CurveActivation, sum: number, theta: number, lambda: number, steps: number) =>
  (curveOf(curve).f((sum * lambda) / (theta * steps)) * steps) / lambda;

const cases = fc.record({
  curve: fc.constantFrom(...CURVES),
  theta: fc.integer({ min: 100, max: 2 ** 23 }),
  lambda: fc.double({ min: 0.05, max: 40, noNaN: true }),
  steps: fc.integer({ min: 1, max: 127 }),
  count: fc.double({ min: -130, max: 130, noNaN: true }),
});

describe('the counts of neurons whose activation is a curve', () => {
  it('are f’s to a hundredth of a count, and to the nearest count but where that is a toss', () => {
    let [tried, apart] = [0, 0];
    fc.assert(
      fc.property(cases, ({ curve, theta, lambda, steps, count }) => {
        const sum = Math.floor(count * theta);
        const wanted = exact(curve, sum, theta, lambda, steps);
        if (Math.abs(wanted) > 1000) return;
        const table = curveTable(curve, Int32Array.of(theta), Float64Array.of(lambda), steps);
        const given = curveCount(table, 0, sum);
        tried++;
        if (given !== Math.floor(wanted + 0.5)) apart++;
        // a table's step of 1/128 bends by less than 2^-14 at most; what is left is 1/256 of a count
        expect(Math.abs(given - wanted)).toBeLessThanOrEqual(0.5 + 0.005 + (steps / lambda) * 2 ** -13);
      }),
      { numRuns: 5_000 },
    );
    expect(tried).toBeGreaterThan(3_000);
    expect(apart / tried).toBeLessThan(0.05);
  });

  it('follow the asymptotes far outside the table', () => {
    const table = (curve: CurveActivation) => curveTable(curve, Int32Array.of(1000), Float64Array.of(50), 16);
    // a = S·λ/(θ·T): 100 is above 16
    expect(curveCount(table('silu'), 0, 32_000)).toBe(32);
    expect(curveCount(table('silu'), 0, -32_000)).toBe(0);
    expect(Math.abs(curveCount(table('mish'), 0, 2 ** 37) / (2 ** 37 / 1000) - 1)).toBeLessThan(2 ** -22);
    expect(curveCount(table('relu6'), 0, 2 ** 37)).toBe(Math.round((6 * 16) / 50));
    expect(curveCount(table('elu'), 0, -(2 ** 37))).toBe(0);
  });

  it('take no factor that cannot be expressed', () => {
    const table = (theta: number, lambda: number) => () =>
      curveTable('silu', Int32Array.of(theta), Float64Array.of(lambda), 1);
    expect(table(1, 1)).not.toThrow();
    expect(table(1, 100)).toThrow(expect.objectContaining({ code: 'CONVERSION' }));
    expect(table(1000, 1e-12)).toThrow(expect.objectContaining({ code: 'CONVERSION' }));
  });
});

describe('a neuron whose activation is a curve', () => {
  it.each([1, 2, 16])('fires once, in step %i, and never again', (steps) => {
    const theta = Int32Array.of(100);
    const stage = {
      weights: Int16Array.of(1),
      startDelay: steps - 1,
      curve: curveTable('silu', theta, Float64Array.of(8), steps),
    };
    const output = unitConvolution({ name: 'out', input: 0, weights: Int16Array.of(1), fires: false });
    const plan = {
      stages: [unitConvolution({ name: 'bent', input: -1, ...stage }), output],
      gamma: 127,
      blockLength: 8,
    };
    const simulation = new Simulation(plan, referenceBackend);
    simulation.begin(Uint8Array.of(80));
    if (steps > 1) {
      simulation.advanceTo(steps - 1);
      expect(simulation.state('bent').counts).toEqual(Int32Array.of(0));
    }
    simulation.advanceTo(steps);
    const count = Math.round(exact('silu', 80 * steps, 100, 8, steps));
    expect(count).toBeGreaterThan(0);
    expect(simulation.state('bent').counts).toEqual(Int32Array.of(count));
    expect(simulation.state('bent').potential).toEqual(Int32Array.of(80 * steps));
    simulation.advanceTo(steps + 5);
    expect(simulation.state('bent').counts).toEqual(Int32Array.of(count));
    expect(simulation.statistics().spikes).toBe(count);
    expect(simulation.outputPotential('out')).toEqual(Float64Array.of(count));
    simulation.close();
  });
});
