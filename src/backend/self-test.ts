import type { Backend } from '../engine/backend.js';
import {
  type ConvolutionStage,
  type EnginePlan,
  firingLimits,
  LAYERED_STEPS,
  type Pool,
  type PoolStage,
  streamPlan,
} from '../engine/plan.js';
import { referenceBackend } from '../engine/reference.js';
import { Simulation } from '../engine/simulation.js';

/** Small repeatable whole numbers: a linear congruential generator. */
function generator(seed: number) {
  let state = seed >>> 0;
  return (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function testPlan(rule: Pool, wide: boolean): EnginePlan {
  const random = generator(rule.length);
  const convolution = (
    name: string,
    input: number,
    channels: number,
    filters: number,
    extent: number,
  ): ConvolutionStage => {
    const weights = new (wide ? Int16Array : Int8Array)(filters * 9 * channels);
    const limit = wide ? 32639 : 127;
    for (let i = 0; i < weights.length; i++) weights[i] = random(2 * limit + 1) - limit;
    const threshold = new Int32Array(filters).fill(limit * (input < 0 ? 255 : 3));
    return {
      kind: 'convolution',
      name,
      input,
      height: extent,
      width: extent,
      channels,
      outHeight: extent,
      outWidth: extent,
      filters,
      size: 3,
      stride: 1,
      padding: 1,
      channelwise: false,
      reach: filters,
      weights,
      bias: Int32Array.from({ length: filters }, () => random(2 * limit) - limit),
      firing: firingLimits(
        'ibt-memory',
        0.5,
        threshold,
        threshold.map((theta) => theta * 10),
      ),
      startPotential: new Int32Array(filters),
      startDelay: 0,
      fires: name !== 'head',
    };
  };
  const pool: PoolStage = {
    kind: 'pool',
    name: 'pool',
    input: 0,
    height: 9,
    width: 9,
    channels: 18,
    outHeight: 4,
    outWidth: 4,
    size: 2,
    stride: 2,
    offset: 0,
    rule,
  };
  const stages = [
    convolution('a', -1, 3, 18, 9),
    pool,
    convolution('b', 1, 18, 35, 4),
    convolution('head', 2, 35, 7, 4),
  ];
  return { stages, gamma: 4, blockLength: 5 };
}

/** A stream of two pictures, of which the second differs a little. */
const runStream = (backend: Backend, plan: EnginePlan): string => {
  const random = generator(7);
  const simulation = new Simulation(plan, backend);
  const pixels = Uint8Array.from({ length: 9 * 9 * 3 }, () => random(256));
  let result = '';
  for (const picture of [pixels, pixels.map((value) => (random(9) === 0 ? random(256) : value))]) {
    simulation.begin(picture);
    simulation.advanceTo(1);
    result += `${simulation.checksum()} ${simulation.statistics().spikes} `;
  }
  simulation.close();
  return result;
};

const run = (backend: Backend, plan: EnginePlan): string => {
  const random = generator(7);
  const simulation = new Simulation(plan, backend);
  simulation.begin(Uint8Array.from({ length: 9 * 9 * 3 }, () => random(256)));
  simulation.advanceTo(12);
  const { spikes, synapticOperations } = simulation.statistics();
  const result = `${simulation.checksum()} ${spikes} ${synapticOperations}`;
  simulation.close();
  return result;
};

/** Runs small networks and compares with the definition; returns what differs, or undefined if nothing does. */
export function selfTest(backend: Backend): string | undefined {
  for (const rule of ['exact', 'gate:avg'] as const) {
    for (const wide of [true, false]) {
      const plan = testPlan(rule, wide);
      const expected = run(referenceBackend, plan);
      const found = run(backend, plan);
      if (found !== expected) {
        return `a ${wide ? 16 : 8}-bit network with the pool ${rule} gave ${found}, the definition gives ${expected}`;
      }
    }
  }
  for (const wide of [true, false]) {
    const plan = streamPlan({ ...testPlan('exact', wide), gamma: LAYERED_STEPS }, 0.75);
    const [expected, found] = [referenceBackend, backend].map((each) => runStream(each, plan));
    if (found !== expected)
      return `a ${wide ? 16 : 8}-bit stream gave ${found}, the definition gives ${expected}`;
  }
  return undefined;
}
