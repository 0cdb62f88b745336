import { describe, expect, it } from 'vitest';
import type { EnginePlan } from '../../src/engine/plan.js';
import {
  annEnergyOf,
  annEnergyWithMemory,
  breakEven,
  energyOf,
  energyWithMemory,
  fixedWork,
} from '../../src/evaluation/work.js';
import { unitConvolution } from '../support/plans.js';

/** Image 4×4×1 → conv 3×3, pad 1, 2 filters → pool 2/2 → conv 1×1, 3 filters, the output. */
function plan(startDelay = 0): EnginePlan {
  const weights = new Int8Array(0);
  const first = { height: 4, width: 4, outHeight: 4, outWidth: 4, filters: 2, size: 3, padding: 1 };
  const last = { height: 2, width: 2, channels: 2, outHeight: 2, outWidth: 2, filters: 3, fires: false };
  return {
    stages: [
      unitConvolution({ name: 'conv1', input: -1, weights, ...first, startDelay }),
      {
        kind: 'pool',
        name: 'pool',
        input: 0,
        height: 4,
        width: 4,
        channels: 2,
        outHeight: 2,
        outWidth: 2,
        size: 2,
        stride: 2,
        offset: 0,
        rule: 'exact',
      },
      unitConvolution({ name: 'conv2', input: 1, weights, ...last }),
    ],
    gamma: 1,
    blockLength: 8,
  };
}

describe('work that no spike decides', () => {
  it('is counted by hand on a small network', () => {
    // 3×3 on 4×4, padded: rows reached 2+3+3+2 = 10, columns 10, 1 channel, 2 filters
    expect(fixedWork(plan(), 7)).toEqual({
      islandOperations: 0,
      tailOperations: 0,
      imageMultiplications: 10 * 10 * 2,
      otherMultiplications: 4 * 2 * 3,
      additions: 0,
      neuronUpdates: 32 * 7,
      // 4 windows of 4 cells need 3 comparisons each, in 2 channels
      poolComparisons: 4 * 3 * 2 * 7,
    });
  });

  it('leaves out the steps in which a layer may not fire', () => {
    const { neuronUpdates, poolComparisons } = fixedWork(plan(6), 7);
    expect([neuronUpdates, poolComparisons]).toEqual([32, 24]);
  });

  it('a pool at the border compares real cells only', () => {
    const small = plan();
    const pool = {
      ...small.stages[1]!,
      size: 2,
      stride: 1,
      outHeight: 4,
      outWidth: 4,
    } as EnginePlan['stages'][0];
    // windows of 2×2, at the last row and column 2, 2 and 1: (7 · 7 − 16) comparisons in 2 channels
    expect(fixedWork({ ...small, stages: [small.stages[0]!, pool] }, 1).poolComparisons).toBe(66);
  });
});

describe('energy', () => {
  const work = fixedWork(plan(), 10);

  it('is the model of the paper’s field', () => {
    expect(annEnergyOf(work)).toEqual({
      energyPicojoules: 4.6 * 224,
      integerEnergyPicojoules: expect.closeTo(0.3 * 224, 9),
    });
    expect(energyOf(work, 50)).toEqual({
      energyPicojoules: 4.6 * 200 + 0.9 * 50,
      integerEnergyPicojoules: 0.3 * 200 + 0.1 * 50,
      neuronUpdateEnergyPicojoules: expect.closeTo(0.9 * 320, 9),
    });
  });

  it('breaks even at 5.1 spikes, with integers at 3', () => {
    expect(breakEven('float')).toBeCloseTo(5.11, 2);
    expect(breakEven('integer')).toBeCloseTo(3, 9);
    for (const [model, name] of [
      ['float', 'energyPicojoules'],
      ['integer', 'integerEnergyPicojoules'],
    ] as const) {
      const sops = breakEven(model) * work.otherMultiplications;
      expect(energyOf(work, sops)[name]).toBeCloseTo(annEnergyOf(work)[name], 6);
    }
  });
});

describe('energy with memory', () => {
  // layer 1: 200 multiply-accumulates, the other layer 24; 32 neurons
  const work = fixedWork(plan(6), 7);

  it('is counted by hand', () => {
    const traffic = { synapticOperations: 10, spikes: 5, weightBytes: 1 };
    const arithmetic = 4.6 * 200 + 0.9 * 10 + 0.9 * 32;
    const bytes = 8 * 200 + (1 + 8) * 10 + 8 * 32 + 8 * 5;
    expect(energyWithMemory(work, traffic)).toBeCloseTo(arithmetic + 2.5 * bytes, 9);
    expect(annEnergyWithMemory(work)).toBeCloseTo((4.6 + 2.5 * 8) * 224, 9);
  });
});
