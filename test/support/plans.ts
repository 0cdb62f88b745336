import fc from 'fast-check';
import { curveTable } from '../../src/engine/curve.js';
import {
  type ConvolutionStage,
  type EnginePlan,
  firingLimits,
  type GatherStage,
  type IslandStage,
  METHODS,
  type Method,
  NEURONS,
  outputShapeOf,
  POOLS,
  type PoolStage,
  type Stage,
} from '../../src/engine/plan.js';

/** Repeatable numbers in [0, 1): mulberry32. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A convolution of one neuron with one weight, or with what is given in place of its fields. */
export const unitConvolution = (
  fields: Partial<ConvolutionStage> & Pick<ConvolutionStage, 'name' | 'input' | 'weights'>,
): ConvolutionStage => {
  const base = {
    kind: 'convolution' as const,
    height: 1,
    width: 1,
    channels: 1,
    outHeight: 1,
    outWidth: 1,
    filters: 1,
    size: 1,
    stride: 1,
    padding: 0,
    channelwise: false,
    bias: Int32Array.of(0),
    startPotential: Int32Array.of(0),
    startDelay: 0,
    fires: true,
    firing: firingLimits('ibt', 0.5, Int32Array.of(100), Int32Array.of(1000)),
  };
  return { ...base, reach: fields.filters ?? 1, ...fields };
};

type Fields = Partial<ConvolutionStage> & Pick<ConvolutionStage, 'filters' | 'weights'>;

/** Neurons on the image that fire into 3×3 convolution, and an output layer that adds up; all maps of one shape. */
export const relay = (
  [height, width]: readonly [number, number],
  sender: Fields,
  receiver: Fields,
): ConvolutionStage[] => {
  const shape = { height, width, outHeight: height, outWidth: width };
  const zeros = ({ filters }: Fields) => ({
    bias: new Int32Array(filters),
    startPotential: new Int32Array(filters),
  });
  const ones = receiver.weights.slice(0, receiver.filters).fill(1);
  return [
    unitConvolution({ ...shape, ...zeros(sender), name: 'sender', input: -1, ...sender }),
    unitConvolution({
      ...shape,
      ...zeros(receiver),
      name: 'receiver',
      input: 0,
      channels: sender.filters,
      size: 3,
      padding: 1,
      ...receiver,
    }),
    unitConvolution({
      ...shape,
      name: 'output',
      input: 1,
      channels: receiver.filters,
      weights: ones,
      fires: false,
    }),
  ];
};

/** A random network with everything that an engine can be asked for, and the picture it is shown. */
export interface RandomCase {
  plan: EnginePlan;
  pixels: Uint8Array;
  /** Block lengths that must not matter. */
  blockLengths: number[];
  steps: number;
  /** Threads that share a layer, where a back-end has them. */
  threads: number;
}

interface Shape {
  height: number;
  width: number;
  channels: number;
}

const weightLimit = { 16: 32639, 8: 127 } as const;

interface Choices {
  neuron: (typeof NEURONS)[number];
  rho: number;
  alpha: number;
  /** Scales weights so that their sum comes up to the proved bound, where potentials saturate. */
  atBound: boolean;
  v0: number;
}

function convolution(
  random: () => number,
  shape: Shape,
  bits: 16 | 8,
  fires: boolean,
  input: number,
  index: number,
  choices: Choices,
  startDelay: number,
  channelwise = 0,
): ConvolutionStage {
  const { neuron, rho, alpha, atBound, v0 } = choices;
  const whole = (min: number, max: number) => min + Math.floor(random() * (max - min + 1));
  const size = [1, 3, 3, 5][whole(0, 3)]!;
  const stride = random() < 0.25 ? 2 : 1;
  const padding = whole(0, Math.floor(size / 2));
  const outHeight = Math.floor((shape.height + 2 * padding - size) / stride) + 1;
  const outWidth = Math.floor((shape.width + 2 * padding - size) / stride) + 1;
  if (outHeight < 1 || outWidth < 1) {
    return convolution(random, shape, bits, fires, input, index, choices, startDelay, channelwise);
  }
  const filters = channelwise > 0 ? shape.channels / channelwise : whole(1, 37);
  const heard = channelwise > 0 ? channelwise : shape.channels;
  const perFilter = size * size * heard;
  const greatest = input < 0 ? 255 : 127;
  const weights = bits === 8 ? new Int8Array(filters * perFilter) : new Int16Array(filters * perFilter);
  const bias = new Int32Array(filters);
  const threshold = new Int32Array(filters);
  for (let f = 0; f < filters; f++) {
    const share = Math.floor((2 ** 30 - 2 ** 23 - 1) / greatest / perFilter);
    const limit = Math.min(weightLimit[bits], share);
    for (let i = 0; i < perFilter; i++) {
      weights[f * perFilter + i] = atBound
        ? limit * (f % 2 === 0 ? 1 : -1)
        : Math.round((random() * 2 - 1) ** 3 * limit);
    }
    bias[f] = atBound ? (f % 2 === 0 ? 2 ** 23 : -(2 ** 23)) : whole(-limit, limit);
    threshold[f] = atBound
      ? whole(1, 3)
      : Math.max(
          1,
          Math.floor((limit * greatest * Math.sqrt(perFilter) * (0.1 + random())) / (input < 0 ? 2 : 40)),
        );
    threshold[f] = Math.min(threshold[f]!, alpha > 0 && alpha < 1 ? 838_860 : 2 ** 23);
  }
  const negative = threshold.map((theta) => (alpha === 0 ? 0 : Math.floor(theta / alpha + 0.5)));
  return {
    kind: 'convolution',
    name: `conv${index}`,
    input,
    ...shape,
    outHeight,
    outWidth,
    filters,
    size,
    stride,
    padding,
    channelwise: channelwise > 0,
    weights,
    reach: channelwise > 0 ? 1 : whole(1, filters),
    bias,
    firing: firingLimits(neuron, rho, threshold, negative),
    startPotential: threshold.map((theta) => Math.floor((neuron === 'ibt-memory' ? 0 : v0) * theta)),
    startDelay,
    fires,
  };
}

function pool(
  random: () => number,
  shape: Shape,
  input: number,
  index: number,
  rule: (typeof POOLS)[number],
): PoolStage | undefined {
  const whole = (min: number, max: number) => min + Math.floor(random() * (max - min + 1));
  const size = whole(1, 3);
  const stride = whole(1, 3);
  const padding = random() < 0.7 ? size - 1 : 0;
  const offset = Math.floor(padding / 2);
  const outHeight = Math.floor((shape.height + padding - size) / stride) + 1;
  const outWidth = Math.floor((shape.width + padding - size) / stride) + 1;
  const windowsHold = (extent: number, out: number) => out >= 1 && (out - 1) * stride - offset < extent;
  if (!windowsHold(shape.height, outHeight) || !windowsHold(shape.width, outWidth)) return undefined;
  return {
    kind: 'pool',
    name: `pool${index}`,
    input,
    ...shape,
    outHeight,
    outWidth,
    size,
    stride,
    offset,
    rule,
  };
}

/** Wiring of some stages of one height and width: any of their channels in any order, whole runs of them mostly. */
function gather(
  random: () => number,
  stages: readonly Stage[],
  inputs: number[],
  channels: number,
): GatherStage {
  const whole = (min: number, max: number) => min + Math.floor(random() * (max - min + 1));
  const shapes = inputs.map((input) => outputShapeOf(stages[input]!));
  const { height, width } = shapes[0]!;
  const scale = random() < 0.3 ? 2 : 1;
  const sources = new Int32Array(2 * channels);
  let [input, from] = [0, 0];
  for (let channel = 0; channel < channels; channel++) {
    if (channel === 0 || random() < 0.2 || from === shapes[input]!.channels) {
      input = whole(0, inputs.length - 1);
      from = whole(0, shapes[input]!.channels - 1);
    }
    sources.set([input, from++], 2 * channel);
  }
  const shifts = Uint8Array.from({ length: channels }, () =>
    scale === 2 && random() < 0.3 ? whole(0, 3) : 0,
  );
  const out = { outHeight: height * scale, outWidth: width * scale, scale, channels, sources, shifts };
  return { kind: 'gather', name: `gather${stages.length}`, inputs, height, width, ...out };
}

const isFiring = (stage: Stage) => stage.kind !== 'convolution' || stage.fires;

/** An island on a stage: a gate by the mean of its map, attention over its cells, or another map's sigmoid. */
function island(
  random: () => number,
  stages: readonly Stage[],
  from: number,
  other: number | undefined,
): IslandStage {
  const shape = outputShapeOf(stages[from]!);
  const { height, width, channels } = shape;
  const cells = height * width;
  const node = (op: string, inputs: string[], output: string, attributes = {}) => ({
    op,
    inputs,
    outputs: [output],
    attributes,
  });
  const table = (dims: number[]) => ({ dims, values: Float64Array.from(dims) });
  const constants = { rows: table([channels, cells]), map: table([1, channels, height, width]) };
  const graph =
    other !== undefined
      ? {
          inputs: ['x', 'y'],
          nodes: [node('Sigmoid', ['y'], 'gate'), node('Mul', ['x', 'gate'], 'out')],
          constants: {},
        }
      : random() < 0.5 || cells > 64
        ? {
            inputs: ['x'],
            nodes: [
              node('GlobalAveragePool', ['x'], 'mean'),
              node('HardSigmoid', ['mean'], 'gate'),
              node('Mul', ['x', 'gate'], 'out'),
            ],
            constants: {},
          }
        : {
            inputs: ['x'],
            nodes: [
              node('Reshape', ['x', 'rows'], 'v'),
              node('Transpose', ['v'], 'q', { perm: [1, 0] }),
              node('MatMul', ['q', 'v'], 'products'),
              node('Softmax', ['products'], 'weights', { axis: 1 }),
              node('MatMul', ['v', 'weights'], 'mixed'),
              node('Reshape', ['mixed', 'map'], 'out'),
            ],
            constants,
          };
  const inputs = other === undefined ? [from] : [from, other];
  return {
    kind: 'island',
    name: `island${stages.length}`,
    inputs,
    outHeight: height,
    outWidth: width,
    channels,
    graph: { ...graph, outputs: ['out'] },
    inputDims: inputs.map(() => [1, channels, height, width]),
    inputFactors: inputs.map(() => Float64Array.from({ length: channels }, () => random())),
    outputFactors: Float64Array.from({ length: channels }, () => 4 * random()),
    operations: 0,
    startDelay: 0,
  };
}

const CURVES = ['silu', 'hardswish', 'mish', 'relu6', 'elu'] as const;

/** Lets every layer fire once, in the last step, most of them by a curve. */
function bend(random: () => number, stages: Stage[], steps: number): void {
  for (const [index, stage] of stages.entries()) {
    if (stage.kind === 'island') stages[index] = { ...stage, startDelay: steps - 1 };
    if (stage.kind !== 'convolution' || !stage.fires) continue;
    const threshold = Int32Array.from({ length: stage.filters }, () => 2 ** (1 + 22 * random()));
    const lambda = Float64Array.from(threshold, (theta) => theta ** random() / 8);
    const curve = CURVES[Math.floor(random() * CURVES.length)]!;
    stages[index] = {
      ...stage,
      startDelay: steps - 1,
      ...(random() < 0.7 && { curve: curveTable(curve, threshold, lambda, steps) }),
    };
  }
}

/** Builds a random network from a seed: mostly a chain, sometimes with stages that several others read. */
function buildCase(
  seed: number,
  neuron: Choices['neuron'],
  rule: (typeof POOLS)[number],
  alpha: number,
  gamma: number,
  delays: number[],
  method: Method | undefined,
  curves: boolean,
): RandomCase {
  const random = randomNumbers(seed);
  const whole = (min: number, max: number) => min + Math.floor(random() * (max - min + 1));
  const bits = random() < 0.5 ? 16 : 8;
  const image: Shape = { height: whole(3, 13), width: whole(3, 13), channels: whole(1, 4) };
  const choices = {
    neuron,
    rho: whole(128, 256) / 256,
    alpha,
    atBound: random() < 0.25,
    v0: random() < 0.5 ? 0 : random(),
  };
  const stages: Stage[] = [];
  let shape = image;
  const layers = whole(1, 3);
  let from = -1;
  const firing = () => [...stages.keys()].filter((i) => isFiring(stages[i]!));
  const grow = (stage: Stage) => {
    stages.push(stage);
    const branches = random() < 0.2;
    from = branches ? firing()[whole(0, firing().length - 1)]! : stages.length - 1;
    shape = outputShapeOf(stages[from]!);
  };
  /** Joins some stages of the present shape, and lets a channelwise layer sum or convolve what they send. */
  const join = (delay: number) => {
    const alike = firing().filter((i) => {
      const { height, width } = outputShapeOf(stages[i]!);
      return height === shape.height && width === shape.width;
    });
    const inputs = Array.from({ length: whole(1, 3) }, () => alike[whole(0, alike.length - 1)]!);
    const heard = whole(1, 2);
    grow(gather(random, stages, inputs, heard * whole(1, 40)));
    if (stages.length - 1 === from && random() < 0.8 && shape.channels % heard === 0)
      grow(convolution(random, shape, bits, true, from, stages.length, choices, delay, heard));
  };
  for (let layer = 0; layer < layers; layer++) {
    grow(convolution(random, shape, bits, true, from, stages.length, choices, delays[layer] ?? 0));
    for (let pools = whole(0, 2); pools > 0; pools--) {
      const stage = pool(random, shape, from, stages.length, rule);
      if (stage) grow(stage);
    }
    if (curves && random() < 0.4) {
      const alike = firing().filter((i) => {
        const [a, b] = [outputShapeOf(stages[i]!), shape];
        return a.height === b.height && a.width === b.width && a.channels === b.channels;
      });
      const other = random() < 0.4 ? alike[whole(0, alike.length - 1)] : undefined;
      grow(island(random, stages, from, other));
    }
    if (random() < 0.4) join(delays[layer] ?? 0);
    // an output layer in the middle
    if (random() < 0.2) stages.push(convolution(random, shape, bits, false, from, stages.length, choices, 0));
  }
  stages.push(convolution(random, shape, bits, false, from, stages.length, choices, 0));
  const steps = whole(1, 21);
  if (curves) bend(random, stages, steps);
  return {
    plan: {
      stages,
      gamma: curves ? 127 : gamma,
      blockLength: whole(1, 16),
      statesOnDemand: random() < 0.5,
      ...(method === undefined ? {} : { method }),
    },
    pixels: Uint8Array.from({ length: image.height * image.width * image.channels }, () => whole(0, 255)),
    blockLengths: [1, whole(1, steps), steps],
    steps,
    threads: whole(1, 4),
  };
}

/** Random networks over sizes, neuron rules, pools, α, Γ, start delays, and weights at the proved bounds, and methods. */
export const randomCase = fc
  .record({
    seed: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
    neuron: fc.constantFrom(...NEURONS),
    rule: fc.constantFrom(...POOLS),
    alpha: fc.constantFrom(0, 0.1, 1),
    gamma: fc.constantFrom(1, 2, 3, 4, 127),
    delays: fc.oneof(fc.constant<number[]>([]), fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 3 })),
    method: fc.constantFrom(undefined, ...METHODS),
    curves: fc.boolean(),
  })
  .map(({ seed, neuron, rule, alpha, gamma, delays, method, curves }) =>
    buildCase(seed, neuron, rule, alpha, gamma, delays, method, curves),
  );
