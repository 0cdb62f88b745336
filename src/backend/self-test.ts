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

/** A run of a small network, and what the definition (the reference) answers: checksum, spikes, synaptic operations. */
interface Trial {
  name: string;
  answer: string;
  run: (backend: Backend) => string;
}

function oneShot(rule: Pool, wide: boolean): Trial['run'] {
  return (backend) => {
    const random = generator(7);
    const simulation = new Simulation(testPlan(rule, wide), backend);
    simulation.begin(Uint8Array.from({ length: 9 * 9 * 3 }, () => random(256)));
    simulation.advanceTo(12);
    const { spikes, synapticOperations } = simulation.statistics();
    const result = `${simulation.checksum()} ${spikes} ${synapticOperations}`;
    simulation.close();
    return result;
  };
}

/** A stream of two pictures, of which the second differs a little. */
function stream(wide: boolean): Trial['run'] {
  return (backend) => {
    const random = generator(7);
    const plan = streamPlan({ ...testPlan('exact', wide), gamma: LAYERED_STEPS }, 0.75);
    const simulation = new Simulation(plan, backend);
    const pixels = Uint8Array.from({ length: 9 * 9 * 3 }, () => random(256));
    const told: string[] = [];
    for (const picture of [pixels, pixels.map((value) => (random(9) === 0 ? random(256) : value))]) {
      simulation.begin(picture);
      simulation.advanceTo(1);
      told.push(`${simulation.checksum()} ${simulation.statistics().spikes}`);
    }
    simulation.close();
    return told.join(' ');
  };
}

/** Answers are written down, so that no start runs the reference for them; a test compares them with it. */
const TRIALS: readonly Trial[] = [
  {
    name: 'a 16-bit network with the pool exact',
    answer: 'fad3ece54c039f34 20951 1186913',
    run: oneShot('exact', true),
  },
  {
    name: 'an 8-bit network with the pool exact',
    answer: 'e717d20c35cdf45b 21007 1189475',
    run: oneShot('exact', false),
  },
  {
    name: 'a 16-bit network with the pool gate:avg',
    answer: '10b8a2166f3527fb 29144 1738037',
    run: oneShot('gate:avg', true),
  },
  {
    name: 'an 8-bit network with the pool gate:avg',
    answer: '549230f63205d1fc 29254 1744190',
    run: oneShot('gate:avg', false),
  },
  { name: 'a 16-bit stream', answer: 'cb7853145f681fd3 1744 ef8266d949db8947 108', run: stream(true) },
  { name: 'an 8-bit stream', answer: 'b94ed78cd6045252 1750 b0ab3d0e471e8d6a 105', run: stream(false) },
];

/** Runs small networks and compares with the definition; returns what differs, or undefined if nothing does. */
export function selfTest(backend: Backend): string | undefined {
  for (const { name, answer, run } of TRIALS) {
    const found = run(backend);
    if (found !== answer) return `${name} gave ${found}, the definition gives ${answer}`;
  }
  return undefined;
}
