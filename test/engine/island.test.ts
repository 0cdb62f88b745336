import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Island } from '../../src/engine/island.js';
import type { IslandStage } from '../../src/engine/plan.js';
import { compute } from '../../src/tensor/operators.js';
import { fastBackends } from '../support/backends.js';
import { randomCase, randomNumbers } from '../support/plans.js';

/** 1/x of two channels over two cells; an input's count stands for ½ and ¼, an output's for 1 and 1/8. */
const stage: IslandStage = {
  kind: 'island',
  name: 'inverse',
  inputs: [0],
  outHeight: 1,
  outWidth: 2,
  channels: 2,
  graph: {
    inputs: ['x'],
    nodes: [{ op: 'Reciprocal', inputs: ['x'], outputs: ['y'], attributes: {} }],
    constants: {},
    outputs: ['y'],
  },
  inputDims: [[1, 2, 1, 2]],
  inputFactors: [Float64Array.of(0.5, 0.25)],
  outputFactors: Float64Array.of(1, 8),
  operations: 4,
  startDelay: 3,
};

describe('an island', () => {
  it('takes counts for what they stand for and sends the nearest counts, halves upward, at most 127', () => {
    const island = new Island(stage, {});
    const counts = (...input: number[]) => {
      island.inputs[0]!.set(input);
      island.run();
      return [...island.counts];
    };
    // 2/3 → 1, 32/10 → 3, 2/−4 = −½ → 0, 32/−64 = −½ → 0; cells first, channels within
    expect(counts(3, 10, -4, -64)).toEqual([1, 3, 0, 0]);
    expect(counts(4, 64, -3, -60)).toEqual([1, 1, -1, -1]);
    expect(island.statistics).toEqual({ spikes: 8, synapticOperations: 0, clipped: 0 });
    // 1/0 is clipped from either side
    expect(counts(0, 1, 1, -0)).toEqual([127, 32, 2, 127]);
    expect(island.statistics.clipped).toBe(2);
    island.begin();
    expect([...island.counts, island.statistics.spikes]).toEqual([0, 0, 0, 0, 0]);
  });

  it('sends nothing for what is no number', () => {
    const graph = {
      ...stage.graph,
      nodes: [{ op: 'Sub', inputs: ['x', 'x'], outputs: ['z'], attributes: {} }].concat([
        { op: 'Div', inputs: ['z', 'z'], outputs: ['y'], attributes: {} },
      ]),
    };
    const island = new Island({ ...stage, graph }, {});
    island.inputs[0]!.fill(5);
    island.run();
    expect([...island.counts]).toEqual([0, 0, 0, 0]);
    expect(island.statistics).toEqual({ spikes: 0, synapticOperations: 0, clipped: 4 });
  });
});

/** Numbers of many magnitudes, and those that arithmetic treats apart. */
const UNUSUAL = [0, -0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, Number.MIN_VALUE];

describe.each(
  fastBackends.filter(({ name }) => name === 'native').map((backend) => [backend.isa, backend] as const),
)('products of matrices on %s', (_, backend) => {
  it('are the same to the bit, whatever their shapes', () => {
    const { plan } = fc.sample(randomCase, 1)[0]!;
    const extent = fc.integer({ min: 1, max: 40 });
    const [first, threads] = [fc.integer({ min: 0, max: 5 }), fc.integer({ min: 1, max: 3 })];
    fc.assert(
      fc.property(
        fc.tuple(extent, extent, extent),
        first,
        threads,
        fc.nat(),
        ([rows, inner, columns], at, threads, seed) => {
          const random = randomNumbers(seed);
          const matrix = (count: number) =>
            Float64Array.from({ length: at + count }, () =>
              random() < 0.002
                ? UNUSUAL[Math.floor(random() * UNUSUAL.length)]!
                : (random() - 0.5) * 2 ** (random() * 60 - 30),
            );
          const [left, right] = [matrix(rows * inner), matrix(inner * columns)];
          const [expected] = compute(
            'MatMul',
            [
              { dims: [rows, inner], values: left.subarray(at) },
              { dims: [inner, columns], values: right.subarray(at) },
            ],
            {},
          );
          const out = new Float64Array(at + rows * columns + 1).fill(7);
          const instance = backend.instantiate(plan, threads);
          instance.multiply!(left, at, right, at, out, at, rows, inner, columns);
          expect(out.subarray(at, -1)).toEqual(expected!.values);
          expect([...out.subarray(0, at), out.at(-1)]).toEqual(new Array(at + 1).fill(7));
          instance.close();
        },
      ),
      { numRuns: 60 },
    );
  });
});
