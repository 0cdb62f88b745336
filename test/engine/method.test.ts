import { describe, expect, it } from 'vitest';
import { loadNative } from '../../src/backend/native.js';
import type { Backend } from '../../src/engine/backend.js';
import { type EnginePlan, firingLimits } from '../../src/engine/plan.js';
import { Simulation } from '../../src/engine/simulation.js';
import { fastBackends } from '../support/backends.js';
import { relay } from '../support/plans.js';

const native = fastBackends.filter(({ name }) => name === 'native');

/** 1,024 neurons of a cell fire at once, every `period` steps, into a layer of 64 filters. */
function chorus(period: number): EnginePlan {
  const channels = 1024;
  const each = (length: number, value: number) => new Int32Array(length).fill(value);
  const sender = {
    filters: channels,
    weights: new Int8Array(channels),
    bias: each(channels, 120),
    firing: firingLimits('ibt', 0.5, each(channels, 120 * period), each(channels, 1200)),
  };
  const receiver = {
    filters: 64,
    weights: new Int8Array(64 * 9 * channels).fill(1),
    firing: firingLimits('ibt', 0.5, each(64, 5000), each(64, 50_000)),
  };
  return { stages: relay([4, 4], sender, receiver), gamma: 1, blockLength: 16 };
}

function loadOf(plan: EnginePlan, backend: Backend) {
  const simulation = new Simulation(plan, backend);
  simulation.begin(new Uint8Array(16));
  simulation.advanceTo(32);
  const load = simulation.load(1)!;
  const { synapticOperations } = simulation.statistics().perStage[1]!;
  simulation.close();
  return { ...load, synapticOperations };
}

describe.each(native.map((backend) => [backend.isa, backend] as const))('%s', (_, backend) => {
  it('computes step by step where most steps are silent, in tiles where none is', () => {
    expect(loadOf(chorus(8), backend)).toMatchObject({ blocks: 2, eventBlocks: 2 });
    expect(loadOf(chorus(1), backend)).toMatchObject({ blocks: 2, eventBlocks: 0 });
  });

  it('counts the words that there are', () => {
    const busy = loadOf(chorus(1), backend);
    expect(busy.events).toBe(busy.dense);
    expect(busy.dense).toBe(busy.everyWord);
    const sparse = loadOf(chorus(8), backend);
    expect(sparse.everyWord).toBe(busy.everyWord);
    expect(sparse.events).toBe(busy.events / 8);
    // a list for each of 16 cells in 4 of 32 steps
    expect(sparse.lists).toBe(busy.lists / 8);
    expect(sparse.events).toBeLessThan(sparse.dense);
  });
});

describe.skipIf(native.length === 0)('the addon', () => {
  it('refuses a method that it does not know', () => {
    const { backend } = loadNative();
    for (const method of ['sparse', 1, null])
      expect(() => backend.instantiate({ ...chorus(1), method } as unknown as EnginePlan)).toThrow(
        /method must be dense, every-word or events/,
      );
  });
});
