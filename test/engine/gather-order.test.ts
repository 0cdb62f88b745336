import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { orderGathers } from '../../src/engine/gather-order.js';
import type { GatherStage } from '../../src/engine/plan.js';
import { referenceBackend } from '../../src/engine/reference.js';
import { Simulation } from '../../src/engine/simulation.js';
import { randomCase, unitConvolution } from '../support/plans.js';

describe('the order of channels in wiring', () => {
  it('changes no spike of any network', () => {
    let moved = 0;
    fc.assert(
      fc.property(randomCase, ({ plan, pixels, steps }) => {
        const stages = orderGathers(plan.stages);
        if (stages.some((stage, i) => stage !== plan.stages[i])) moved++;
        const [before, after] = [plan, { ...plan, stages }].map((each) => {
          const simulation = new Simulation(each, referenceBackend);
          simulation.begin(pixels);
          simulation.advanceTo(steps);
          return { checksum: simulation.checksum(), statistics: simulation.statistics() };
        });
        expect(after).toEqual(before);
      }),
      { numRuns: 300 },
    );
    expect(moved).toBeGreaterThan(10);
  });

  it('makes runs of a channel shuffle, whose convolutions are packed to match, and leaves other wiring alone', () => {
    const source = (name: string, input: number, channels: number, filters: number) =>
      unitConvolution({
        name,
        input,
        channels,
        filters,
        weights: Int16Array.from({ length: channels * filters }, (_, i) => i + 1),
        bias: new Int32Array(filters),
        firing: new Int32Array(8 * filters).fill(1),
        startPotential: new Int32Array(filters),
      });
    const shuffle: GatherStage = {
      kind: 'gather',
      name: 'shuffle',
      inputs: [0, 1],
      height: 1,
      width: 1,
      outHeight: 1,
      outWidth: 1,
      scale: 1,
      channels: 4,
      sources: Int32Array.of(0, 0, 1, 0, 0, 1, 1, 1),
      shifts: new Uint8Array(4),
    };
    const two = [source('a', -1, 1, 2), source('b', -1, 1, 2), shuffle];
    const half: GatherStage = {
      ...shuffle,
      name: 'half',
      inputs: [2],
      channels: 2,
      sources: Int32Array.of(0, 1, 0, 3),
      shifts: new Uint8Array(2),
    };
    const [, , ordered, next, conv] = orderGathers([...two, half, source('c', 2, 4, 1)]);
    expect(ordered).toEqual({ ...shuffle, sources: Int32Array.of(0, 0, 0, 1, 1, 0, 1, 1) });
    expect(next).toEqual({ ...half, sources: Int32Array.of(0, 2, 0, 3) });
    expect(conv).toEqual({ ...source('c', 2, 4, 1), weights: Int16Array.of(1, 3, 2, 4) });
    const channelwise = { ...source('d', 2, 4, 4), channelwise: true, weights: new Int16Array(4) };
    const taken = [...two, channelwise];
    expect(orderGathers(taken)).toEqual(taken);
  });
});
