import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EnginePlan, PoolStage } from '../../src/engine/plan.js';
import { Simulation } from '../../src/engine/simulation.js';
import { fastBackends } from '../support/backends.js';
import { randomCase } from '../support/plans.js';

/** Counts of a pool's outputs, seen through a 1×1 convolution with weight 1 that does not fire. */
function poolCounts(plan: EnginePlan, index: number): EnginePlan {
  const pool = plan.stages[index] as PoolStage;
  const { channels, outHeight, outWidth } = pool;
  const identity = new Int16Array(channels * channels);
  for (let c = 0; c < channels; c++) identity[c * channels + c] = 1;
  return {
    ...plan,
    stages: [
      ...plan.stages.slice(0, index + 1),
      {
        kind: 'convolution',
        name: 'probe',
        input: index,
        height: outHeight,
        width: outWidth,
        channels,
        outHeight,
        outWidth,
        filters: channels,
        size: 1,
        stride: 1,
        padding: 0,
        channelwise: false,
        reach: channels,
        weights: identity,
        bias: new Int32Array(channels),
        firing: new Int32Array(8 * channels).fill(1),
        startPotential: new Int32Array(channels),
        startDelay: 0,
        fires: false,
      },
    ],
  };
}

describe.each(fastBackends.map((backend) => [`${backend.name} ${backend.isa}`, backend] as const))(
  'exact pool, %s',
  (_, backend) => {
    it('has sent the window’s largest cumulative count at every step', () => {
      let checked = 0;
      fc.assert(
        fc.property(randomCase, ({ plan, pixels, steps }) => {
          const index = plan.stages.findIndex((stage) => stage.kind === 'pool');
          const pool = plan.stages[index] as PoolStage | undefined;
          const source = pool && plan.stages[pool.input];
          if (!pool || source?.kind !== 'convolution' || plan.stages[0]!.kind !== 'convolution') return;
          const stages = plan.stages.map((stage) =>
            stage.kind === 'pool'
              ? { ...stage, rule: 'exact' as const }
              : stage.kind === 'convolution'
                ? { ...stage, weights: Int16Array.from(stage.weights) }
                : stage,
          );
          const simulation = new Simulation(poolCounts({ ...plan, stages }, index), backend);
          simulation.begin(pixels);
          for (let step = 1; step <= steps; step++) {
            simulation.advanceTo(step);
            const { counts } = simulation.state(source.name);
            const expected = Float64Array.from(
              { length: pool.outHeight * pool.outWidth * pool.channels },
              (_, i) => {
                const channel = i % pool.channels;
                const cell = Math.floor(i / pool.channels);
                let largest = Number.NEGATIVE_INFINITY;
                for (let k = 0; k < pool.size ** 2; k++) {
                  const row =
                    Math.floor(cell / pool.outWidth) * pool.stride - pool.offset + Math.floor(k / pool.size);
                  const column = (cell % pool.outWidth) * pool.stride - pool.offset + (k % pool.size);
                  if (row < 0 || column < 0 || row >= pool.height || column >= pool.width) continue;
                  largest = Math.max(largest, counts[(row * pool.width + column) * pool.channels + channel]!);
                }
                return largest;
              },
            );
            expect(simulation.outputPotential('probe')).toEqual(expected);
          }
          checked++;
        }),
        { numRuns: 100 },
      );
      expect(checked).toBeGreaterThan(20);
    });
  },
);
