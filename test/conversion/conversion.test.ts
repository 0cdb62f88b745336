import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { floorLambdas, lowerMedianOfPositive } from '../../src/conversion/calibrate.js';
import { convertNetwork, DEFAULT_CONVERSION } from '../../src/conversion/convert.js';
import { OrderStatistics, PASSES, percentileRank } from '../../src/conversion/percentile.js';
import { dequantise, quantise, roundHalfUp } from '../../src/conversion/quantise.js';
import { referenceBackend } from '../../src/engine/reference.js';
import { loadDarknet } from '../../src/formats/darknet/load.js';
import { decodePhoto } from '../../src/image/read-photo.js';
import { resizePhoto } from '../../src/image/resize.js';
import { boundViolation } from '../../src/model/bounds.js';
import { encodeModel } from '../../src/model/model-file.js';
import type { Network } from '../../src/network/network.js';
import { fastBackends } from '../support/backends.js';
import { randomNumbers } from '../support/plans.js';
import { lite, root } from '../support/shared.js';

describe('order statistics', () => {
  it('are those of sorting, for any floats, groups and percentile', () => {
    const value = fc.oneof(
      fc.float({ noNaN: true, noDefaultInfinity: true }),
      fc.constantFrom(0, -0, 1, -1, 2 ** -149),
    );
    fc.assert(
      fc.property(
        fc.array(fc.array(value, { minLength: 3, maxLength: 3 }), { minLength: 1, maxLength: 60 }),
        fc.double({ min: 0.1, max: 100, noNaN: true }),
        fc.boolean(),
        (rows, percentile, grouped) => {
          const groups = grouped ? 1 : 3;
          const statistics = new OrderStatistics(groups, (count) => percentileRank(count, percentile));
          for (let pass = 0; pass < PASSES; pass++) {
            for (const row of rows)
              statistics.add(Float32Array.from(row), 3, (channel) => (grouped ? 0 : channel));
            statistics.endPass();
          }
          for (let group = 0; group < groups; group++) {
            const values = rows.flatMap((row) => (grouped ? row : [row[group]!])).map(Math.fround);
            const sorted = values.toSorted((a, b) => b - a);
            const k = percentileRank(values.length, percentile);
            expect(statistics.kthLargest(group) + 0).toBe(sorted[k - 1]! + 0);
            expect(-statistics.kthSmallest(group) + 0).toBe(
              values.map((v) => -v).sort((a, b) => b - a)[k - 1]! + 0,
            );
            expect(statistics.largestMagnitude[group]).toBe(Math.max(...values.map(Math.abs)));
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it('rank as the design says', () => {
    expect([
      percentileRank(1000, 99),
      percentileRank(49, 99),
      percentileRank(50, 99),
      percentileRank(10, 100),
    ]).toEqual([10, 1, 1, 1]);
    expect(percentileRank(150, 99)).toBe(2);
  });
});

describe('λ', () => {
  it('is floored at 1/256 of the lower median, which dead channels take', () => {
    expect(lowerMedianOfPositive([4, 0, 1, 3, 2])).toBe(2);
    expect(lowerMedianOfPositive([0, -1])).toBe(1);
    expect([...floorLambdas([4, 0.001, 0, 2], [4, 0.1, 0, 2])]).toEqual([4, 2 / 256, 2, 2]);
  });
});

const network: Network = {
  input: { height: 4, width: 4, channels: 3 },
  layers: [
    {
      kind: 'convolutional',
      name: 'a',
      inputs: ['image'],
      filters: 3,
      size: 3,
      stride: 1,
      padding: 1,
      groups: 1,
      activation: 'leaky',
    },
    {
      kind: 'convolutional',
      name: 'b',
      inputs: ['a'],
      filters: 2,
      size: 3,
      stride: 1,
      padding: 1,
      groups: 1,
      activation: 'relu',
    },
    {
      kind: 'convolutional',
      name: 'c',
      inputs: ['b'],
      filters: 6,
      size: 1,
      stride: 1,
      padding: 0,
      groups: 1,
      activation: 'linear',
    },
  ],
  heads: [{ kind: 'region', input: 'c', classes: 1, anchors: [[1, 1]], softmax: true }],
};

const randomParameters = (seed: number) => {
  const random = randomNumbers(seed);
  const floats = (count: number) =>
    Float32Array.from({ length: count }, () => (random() - 0.5) * 4 * random());
  const lambda = (count: number) => Float64Array.from({ length: count }, () => 0.5 + 4 * random());
  return {
    parameters: new Map([
      ['a', { weights: floats(81), bias: floats(3) }],
      ['b', { weights: floats(54), bias: floats(2) }],
      ['c', { weights: floats(12), bias: floats(6) }],
    ]),
    lambdas: new Map([
      ['a', lambda(3)],
      ['b', lambda(2)],
      ['c', lambda(6)],
    ]),
  };
};

describe('quantisation', () => {
  it('takes the largest scale within the bounds, and rounds eq. 5 at that scale', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e9 }),
        fc.constantFrom(8 as const, 16 as const),
        (seed, bits) => {
          const { parameters, lambdas } = randomParameters(seed);
          const layers = quantise(network, parameters, lambdas, bits);
          const slopes = [0.1, 0, undefined];
          for (const [index, layer] of layers.entries()) {
            const { weights, bias } = parameters.get(layer.name)!;
            const perFilter = weights.length / bias.length;
            const previous = index === 0 ? undefined : lambdas.get(layers[index - 1]!.name)!;
            const unit = index === 0 ? 255 : 1;
            for (let j = 0; j < bias.length; j++) {
              const atScale = (s: number) => ({
                weights: Array.from(weights.subarray(j * perFilter, (j + 1) * perFilter), (w, i) =>
                  roundHalfUp(((w * (previous?.[i % previous.length] ?? 1)) / layer.lambda[j]!) * s),
                ),
                bias: roundHalfUp(unit * (bias[j]! / layer.lambda[j]!) * s),
                threshold: unit * s,
                negativeThreshold: slopes[index] ? roundHalfUp((unit * s) / slopes[index]!) : 0,
              });
              const s = layer.scale[j]!;
              expect(boundViolation(atScale(s), bits, index === 0)).toBeUndefined();
              expect(boundViolation(atScale(s + 1), bits, index === 0)).toBeDefined();
              const expected = atScale(s);
              expect(
                Array.from(layer.weights.subarray(j * perFilter, (j + 1) * perFilter), (w) => w + 0),
              ).toEqual(expected.weights.map((w) => w + 0));
              expect([layer.bias[j]! + 0, layer.threshold[j], layer.negativeThreshold[j]]).toEqual([
                expected.bias + 0,
                expected.threshold,
                expected.negativeThreshold,
              ]);
            }
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it('is undone within half a unit of the scale', () => {
    const { parameters, lambdas } = randomParameters(5);
    const layers = quantise(network, parameters, lambdas, 16);
    const back = dequantise(network, layers);
    for (const [index, { name, scale, lambda }] of layers.entries()) {
      const previous = index === 0 ? undefined : layers[index - 1]!.lambda;
      const { weights } = parameters.get(name)!;
      const perFilter = weights.length / scale.length;
      back.get(name)!.weights.forEach((w, i) => {
        const j = Math.floor(i / perFilter);
        const unit = (0.5 / scale[j]!) * (lambda[j]! / (previous?.[i % previous.length] ?? 1));
        expect(Math.abs(w - weights[i]!)).toBeLessThanOrEqual(unit * (1 + 1e-5) + 1e-7);
      });
    }
  });

  it('takes the slope that a layer names', () => {
    const { parameters, lambdas } = randomParameters(7);
    const layers = network.layers.map((layer) =>
      layer.name === 'a' ? { ...layer, activation: 'leaky' as const, slope: 0.25 } : layer,
    ) as typeof network.layers;
    const [first] = quantise({ ...network, layers }, parameters, lambdas, 16);
    expect(first!.negativeThreshold).toEqual(first!.threshold.map((theta) => 4 * theta));
    expect(first!.threshold[0]).toBeGreaterThan(0);
  });

  it('names the channel for which no scale exists', () => {
    const { parameters, lambdas } = randomParameters(6);
    lambdas.get('b')![1] = 1e-9;
    expect(() => quantise(network, parameters, lambdas, 16)).toThrow(
      expect.objectContaining({ code: 'CONVERSION', message: expect.stringMatching(/layer b channel 1/) }),
    );
  });
});

describe('conversion', () => {
  it('gives the same bytes on every back-end', async () => {
    const trained = await loadDarknet(lite);
    // a smaller input keeps the reference quick
    const small = {
      ...trained,
      network: { ...trained.network, input: { height: 64, width: 64, channels: 3 } },
    };
    const photo = await decodePhoto(new Uint8Array(readFileSync(`${root}samples/cat.jpg`)));
    const photos = async function* () {
      yield resizePhoto('stretch', photo, 64, 64);
    };
    const files = [];
    for (const backend of [referenceBackend, ...fastBackends]) {
      files.push(
        encodeModel(
          await convertNetwork(small, photos, { ...DEFAULT_CONVERSION, resize: 'stretch' }, backend),
        ),
      );
    }
    for (const file of files.slice(1)) expect(file).toEqual(files[0]);
  });

  it('refuses to calibrate without a photo', async () => {
    const trained = await loadDarknet(lite);
    const none = async function* (): AsyncGenerator<Uint8Array> {};
    await expect(convertNetwork(trained, none, DEFAULT_CONVERSION, fastBackends[0]!)).rejects.toMatchObject({
      code: 'CONVERSION',
    });
  });
});
