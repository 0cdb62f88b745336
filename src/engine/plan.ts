import { conversionError, usageError } from '../errors.js';
import type { SpikingModel } from '../model/spiking-model.js';
import { isCurve } from '../network/activations.js';
import { spreadGroups } from '../network/float-network.js';
import { type ConvolutionGeometry, IMAGE, outputNames, type Shape } from '../network/network.js';
import { networkOperations } from '../network/operations.js';
import { activatedOf, type NeuronLayer, operatorOf } from '../network/ops/index.js';
import type { Wire } from '../network/ops/operator.js';
import { inferShapes } from '../network/shapes.js';
import { traceWires } from '../network/wires.js';
import { dimsOfMap, type TensorGraph } from '../tensor/graph.js';
import { CODINGS, type Coding } from './coding.js';
import { type CurveTable, curveTable } from './curve.js';
import { orderGathers } from './gather-order.js';

/** Neuron rules of docs/engine.md: `ibt` is the paper's eq. 7, `ibt-memory` takes back what was sent too early. */
export type Neuron = 'if' | 'signed' | 'ibt' | 'ibt-memory';
export const NEURONS: readonly Neuron[] = ['ibt-memory', 'ibt', 'signed', 'if'];

/** Spiking max-pool: `exact` cumulative maximum, or Rueckauer 2017's gate with one of three rate estimates. */
export type Pool = 'exact' | 'gate:avg' | 'gate:exp' | 'gate:fir';
export const POOLS: readonly Pool[] = ['exact', 'gate:avg', 'gate:exp', 'gate:fir'];

/** `steps`: neurons fire at every step; `layered`: each layer waits until its input has been summed over all steps. */
export type Schedule = 'steps' | 'layered';
export const SCHEDULES: readonly Schedule[] = ['steps', 'layered'];

/** How a native convolution computes: in tiles of steps, the same with silent words too, or step by step. */
export type Method = 'dense' | 'every-word' | 'events';
export const METHODS: readonly Method[] = ['dense', 'every-word', 'events'];

/** Most steps of a layer-synchronous run, and most spikes of a neuron in it. */
export const LAYERED_STEPS = 127;

/** Choices made when a model is run. */
export interface RunOptions {
  neuron: Neuron;
  pool: Pool;
  /** Firing point ρ of `ibt-memory`, in units of θ: r/256 with r a whole number, 1/2 ≤ ρ ≤ 1. */
  rho: number;
  /** Γ: most spikes a neuron sends in one step, 1..127. */
  gamma: number;
  /** φ: start potential in units of θ, 0 ≤ φ < 1; always 0 for `ibt-memory`. */
  v0: number;
  schedule: Schedule;
  /** `phase`: layer-synchronous counts go out as signed digits instead of unit spikes; no effect on results but their costs. */
  coding: Coding;
  /** T: time steps to simulate. */
  steps: number;
  /** Time steps that run through a layer at once; no effect on results. */
  blockLength: number;
}

/** Layer by layer; Γ counts step by step only (`schedule: 'steps'`). */
export const DEFAULT_RUN_OPTIONS: RunOptions = {
  neuron: 'ibt-memory',
  pool: 'exact',
  rho: 0.5,
  gamma: 4,
  v0: 0,
  schedule: 'layered',
  coding: 'count',
  steps: 16,
  blockLength: 8,
};

/** Firing limit that no potential reaches: the membrane saturates at ±2^30. */
export const NEVER = 2 ** 31 - 1;
/** |V| saturates here. */
export const POTENTIAL_LIMIT = 2 ** 30;
export const saturate = (v: number): number => Math.min(Math.max(v, -POTENTIAL_LIMIT), POTENTIAL_LIMIT);
/** Rows of {@link ConvolutionStage.firing}. */
export const FIRING_ROWS = 8;

/** A convolution of integrate-and-fire neurons (or the non-firing output layer). */
export interface ConvolutionStage extends ConvolutionGeometry {
  kind: 'convolution';
  name: string;
  /** Index of the stage whose spikes come in; -1 for the image's bytes. */
  input: number;
  /**
   * True if filter j hears channels j, filters + j, … alone: a depthwise convolution, or a sum of concatenated maps.
   * False: it hears all channels.
   */
  channelwise: boolean;
  /** (filters, size, size, channels), or channelwise (filters, size, size, channels / filters). */
  weights: Int16Array | Int8Array;
  /** Filters that a spike reaches at each output cell it reaches: all, 1 if channelwise, or those of its group. */
  reach: number;
  /** B, (filters). */
  bias: Int32Array;
  /**
   * The neuron rule as integers, (8, filters). Rows, with N the neuron's count before a spike:
   * 0 up fires at V ≥ this if N ≥ 0, 1 … if N < 0; 2 up then takes this from V if N ≥ 0, 3 … if N < 0;
   * 4 down fires at V ≤ −this if N > 0, 5 … if N ≤ 0; 6 down then adds this to V if N > 0, 7 … if N ≤ 0.
   */
  firing: Int32Array;
  /** V at step 0, (filters). */
  startPotential: Int32Array;
  /** Steps in which the layer may not fire. */
  startDelay: number;
  /** Set if the neurons' activation is a curve: they then fire once, when their whole input has come. */
  curve?: CurveTable;
  /** In a stream, (4, filters): the rows 0, 1, 4 and 5 of `firing` at which a neuron no longer holds its count (see streamPlan). */
  hold?: Int32Array;
  /** True for a sum of maps, whose float pass adds and does not multiply. */
  adds?: true;
  /** False for an output layer, whose potential is computed from counts when it is read. */
  fires: boolean;
}

/** A spiking max-pool. Padding cells are "no input"; `offset` of them lie left and above. */
export interface PoolStage {
  kind: 'pool';
  name: string;
  input: number;
  height: number;
  width: number;
  channels: number;
  outHeight: number;
  outWidth: number;
  size: number;
  stride: number;
  offset: number;
  rule: Pool;
}

/** Wiring: spikes that change their places, or are repeated; no neurons. */
export interface GatherStage {
  kind: 'gather';
  name: string;
  /** Stages whose spikes come in, all of one height and width. */
  inputs: number[];
  height: number;
  width: number;
  /** height · scale and width · scale: each cell is repeated. */
  outHeight: number;
  outWidth: number;
  scale: number;
  channels: number;
  /** (channels, 2): of each channel the place of its stage in `inputs`, and the channel there. */
  sources: Int32Array;
  /**
   * Of each channel whether it is taken from the nearer neighbour of a repeated cell: 1 beside it, 2 above or below, 3 both;
   * at the edge from the cell itself. 0 everywhere unless `scale` is 2.
   */
  shifts: Uint8Array;
}

/** The cell that repeated cell `out` comes from along one axis, or the nearer of that one's neighbours. */
export function sourceCell(out: number, scale: number, extent: number, shifted: boolean): number {
  const cell = Math.floor(out / scale);
  if (!shifted) return cell;
  return Math.min(Math.max(out % 2 === 0 ? cell - 1 : cell + 1, 0), extent - 1);
}

/** An island (docs/engine.md): computed in floats outside the back-ends when its whole input has come (see Island). */
export interface IslandStage {
  kind: 'island';
  name: string;
  /** Stages whose counts come in. */
  inputs: number[];
  outHeight: number;
  outWidth: number;
  channels: number;
  graph: TensorGraph;
  /** Dimensions of the graph's inputs, (1, C, H, W) each. */
  inputDims: number[][];
  /** λ/T of each input's channels: what a count stands for. */
  inputFactors: Float64Array[];
  /** T/λ, (channels). */
  outputFactors: Float64Array;
  /** Operations that its graph takes. */
  operations: number;
  /** Steps in which it sends nothing: T − 1. */
  startDelay: number;
}

export type Stage = ConvolutionStage | PoolStage | GatherStage | IslandStage;

/** True if a firing layer takes its whole input so far at once in a step: its start delay ends, or its curve fires. */
export const takesWindow = ({ startDelay, curve }: ConvolutionStage, step: number): boolean =>
  step === startDelay && (step > 0 || curve !== undefined);

/** True if a firing layer sends nothing in a step: before its start delay ends, or after its curve fired. */
export const isSilent = ({ startDelay, curve }: ConvolutionStage, step: number): boolean =>
  step < startDelay || (curve !== undefined && step > startDelay);

/** The stages whose spikes come into a stage; none if that is the image. */
export const inputsOf = (stage: Stage): readonly number[] =>
  stage.kind === 'gather' || stage.kind === 'island' ? stage.inputs : stage.input < 0 ? [] : [stage.input];

/** Shape of what a stage sends. */
export const outputShapeOf = (stage: Stage): Shape => ({
  height: stage.outHeight,
  width: stage.outWidth,
  channels: stage.kind === 'convolution' ? stage.filters : stage.channels,
});

/** Everything a back-end needs, as integers: stages in an order in which inputs come first. */
export interface EnginePlan {
  stages: Stage[];
  /** Operations of what is computed in floats behind the output layers. */
  tailOperations?: number;
  /** Γ. */
  gamma: number;
  blockLength: number;
  /** What counts are sent as, which statistics tell (default `count`). */
  coding?: Coding;
  /** Set if the network is kept from picture to picture (see streamPlan): T, and h in 256ths of a count. */
  stream?: { steps: number; hold: number };
  /**
   * True to compute what neurons keep beyond spikes that they send once (N and V) again when it is asked for, instead of writing it as
   * they fire: no effect on results. Pays where it is rarely asked for.
   */
  statesOnDemand?: boolean;
  /** Forces how native convolutions compute, which has no effect on results; default: as the input's activity has it. */
  method?: Method;
}

/**
 * The neuron rules of docs/engine.md as firing limits, (8, filters); see {@link ConvolutionStage.firing}.
 *
 * @param threshold θ, (filters)
 * @param negativeThreshold θ⁻, (filters); 0 stands for infinite: nothing fires down at N ≤ 0
 */
export function firingLimits(
  neuron: Neuron,
  rho: number,
  threshold: Int32Array,
  negativeThreshold: Int32Array,
): Int32Array {
  const filters = threshold.length;
  const firing = new Int32Array(FIRING_ROWS * filters);
  const r = rho * 256;
  for (let j = 0; j < filters; j++) {
    const theta = threshold[j]!;
    const negative = negativeThreshold[j]!;
    // [up if N ≥ 0, up if N < 0, amounts, down if N > 0, down if N ≤ 0, amounts]
    let rows: number[];
    if (neuron === 'ibt-memory') {
      const upNegative = negative === 0 ? NEVER : Math.ceil((r * negative) / 256);
      const downNegative = negative === 0 ? NEVER : Math.floor((r * negative) / 256) + 1;
      const up = Math.ceil((r * theta) / 256);
      const down = Math.floor((r * theta) / 256) + 1;
      rows = [up, upNegative, theta, negative, down, downNegative, theta, negative];
    } else {
      const amount = neuron === 'signed' ? theta : negative;
      const down = neuron === 'if' || negative === 0 ? NEVER : amount + 1;
      rows = [theta, theta, theta, theta, down, down, amount, amount];
    }
    for (let row = 0; row < FIRING_ROWS; row++) firing[row * filters + j] = rows[row]!;
  }
  return firing;
}

const within = (value: number, min: number, max: number) => value >= min && value <= max;

/**
 * A layer-synchronous plan as that of a stream: counts N and sums are kept from picture to picture, and only what changes is sent.
 * With x what a neuron's count would be if it were no whole number, N stays while −h ≤ x − N < h, else it becomes ⌊x + ½⌋ (after a
 * reset in any case). Those are the firing limits of `ibt-memory` at ρ = h. Throws `USAGE` unless neurons are `ibt-memory` at ρ = ½
 * that start at 0 and wait for their whole input, and pools exact; ½ ≤ h ≤ 1 in 256ths.
 */
export function streamPlan(plan: EnginePlan, hold: number): EnginePlan {
  const r = hold * 256;
  if (!Number.isInteger(r) || !within(r, 128, 256))
    throw usageError(`hold is ${hold}; expected a multiple of 1/256 from 0.5 to 1`);
  const refusal = 'a stream runs layer by layer, with the neuron ibt-memory at ρ = ½ and the pool exact';
  const delays = new Set<number>();
  const stages = plan.stages.map((stage): Stage => {
    if (stage.kind === 'island') delays.add(stage.startDelay);
    if (stage.kind === 'pool' && stage.rule !== 'exact') throw usageError(refusal);
    if (stage.kind !== 'convolution' || !stage.fires) return stage;
    delays.add(stage.startDelay);
    const { firing, filters, startPotential } = stage;
    const [threshold, negative] = [2, 7].map((row) => firing.subarray(row * filters, (row + 1) * filters));
    const nearest = firingLimits('ibt-memory', 0.5, threshold!, negative!);
    if (startPotential.some((v) => v !== 0) || nearest.some((limit, i) => limit !== firing[i]))
      throw usageError(refusal);
    const limits = firingLimits('ibt-memory', hold, threshold!, negative!);
    const rows = [0, 1, 4, 5].map((row) => limits.subarray(row * filters, (row + 1) * filters));
    return { ...stage, hold: Int32Array.from(rows.flatMap((row) => [...row])) };
  });
  if (delays.size > 1 || plan.gamma !== LAYERED_STEPS) throw usageError(refusal);
  const [delay = 0] = delays;
  return { ...plan, stages, stream: { steps: delay + 1, hold: r } };
}

/** Throws `USAGE` for a run option outside docs/engine.md. */
export function checkRunOptions(options: RunOptions): void {
  const { neuron, pool, rho, gamma, v0, schedule, coding, steps, blockLength } = options;
  const wholeNumber = (name: string, value: number, min: number, max: number) => {
    if (!Number.isInteger(value) || !within(value, min, max)) {
      throw usageError(`${name} is ${value}; expected a whole number from ${min} to ${max}`);
    }
  };
  const oneOf = (name: string, value: string, allowed: readonly string[]) => {
    if (!allowed.includes(value)) throw usageError(`${name} is "${value}"; expected ${allowed.join(', ')}`);
  };
  oneOf('neuron', neuron, NEURONS);
  oneOf('pool', pool, POOLS);
  oneOf('schedule', schedule, SCHEDULES);
  oneOf('coding', coding, CODINGS);
  wholeNumber('gamma', gamma, 1, 127);
  wholeNumber('steps', steps, 1, 1_000_000);
  wholeNumber('blockLength', blockLength, 1, 64);
  if (!within(rho, 0.5, 1) || !Number.isInteger(rho * 256)) {
    throw usageError(`rho is ${rho}; expected a multiple of 1/256 from 0.5 to 1`);
  }
  if (!within(v0, 0, 1 - Number.EPSILON)) throw usageError(`v0 is ${v0}; expected 0 ≤ v0 < 1`);
  if (neuron === 'ibt-memory' && v0 !== 0) throw usageError('v0 must be 0 with the neuron ibt-memory');
  if (coding === 'phase' && schedule !== 'layered')
    throw usageError(
      'coding phase sends the counts of a layer-synchronous run; it takes the schedule layered',
    );
  if (schedule === 'layered' && steps > LAYERED_STEPS) {
    throw usageError(
      `steps is ${steps}; a layer-synchronous run clips counts at ${LAYERED_STEPS}, so it takes at most ${LAYERED_STEPS} steps`,
    );
  }
}

/**
 * θ-scaled integers of a model and the choices of a run, as stages for a back-end.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { decodeModel, DEFAULT_RUN_OPTIONS, planEngine } from 'spiking-yolo';
 *
 * const model = decodeModel(readFileSync('models/tiny-yolo-lite-voc.safetensors'));
 * const { stages } = planEngine(model, { ...DEFAULT_RUN_OPTIONS, neuron: 'ibt', gamma: 1 });
 * console.log(stages.filter(({ kind }) => kind === 'pool').length); // 5
 * ```
 */
export function planEngine(model: SpikingModel, options: RunOptions): EnginePlan {
  checkRunOptions(options);
  const { network } = model;
  const shapes = inferShapes(network);
  const layered = options.schedule === 'layered';
  const outputs = new Set(outputNames(network));
  const stages: Stage[] = [];
  const index = new Map<string, number>([[IMAGE, -1]]);
  const put = (stage: Stage): number => stages.push(stage) - 1;
  const curved: string[] = [];
  const islands: string[] = [];
  const operations = networkOperations(network);
  const integers = new Map(model.layers.map((layer) => [layer.name, layer]));

  const neurons = (layer: NeuronLayer, fields: Omit<NeuronFields, 'fires'>): number => {
    const spiking = integers.get(layer.name);
    if (!spiking) throw conversionError(`layer ${layer.name}: the model holds no integers for it`);
    const { bias, threshold, negativeThreshold, startDelay, lambda } = spiking;
    const { activation } = activatedOf(layer);
    if (isCurve(activation) && !layered) curved.push(`${layer.name} (${activation})`);
    return put({
      kind: 'convolution',
      name: layer.name,
      ...fields,
      weights: fields.pack?.(spiking.weights) ?? spiking.weights,
      bias,
      firing: firingLimits(options.neuron, options.rho, threshold, negativeThreshold),
      startPotential: threshold.map((theta) => Math.floor(options.v0 * theta)),
      startDelay: layered ? options.steps - 1 : startDelay,
      fires: !outputs.has(layer.name),
      ...(isCurve(activation) ? { curve: curveTable(activation, threshold, lambda, options.steps) } : {}),
    });
  };
  /** Channels of some layers side by side, each cell `scale` times. */
  const gather = (
    name: string,
    from: readonly string[],
    wires: readonly Wire[],
    scale = 1,
    shifts?: Uint8Array,
  ): number => {
    const { height, width } = shapes.get(from[0]!)!;
    return put({
      kind: 'gather',
      name,
      inputs: from.map((input) => index.get(input)!),
      height,
      width,
      outHeight: height * scale,
      outWidth: width * scale,
      scale,
      channels: wires.length,
      sources: Int32Array.from(wires.flatMap(({ input, channel }) => [input, channel])),
      shifts: shifts ?? new Uint8Array(wires.length),
    });
  };

  for (const layer of network.layers) {
    const inputShapes = layer.inputs.map((name) => shapes.get(name)!);
    const input = inputShapes[0]!;
    const output = shapes.get(layer.name)!;
    const source = layer.inputs[0]!;
    const out = { outHeight: output.height, outWidth: output.width };
    index.set(layer.name, planLayer());

    function planLayer(): number {
      switch (layer.kind) {
        case 'convolutional': {
          const { filters, size, stride, padding, groups } = layer;
          const geometry = { ...out, filters, size, stride, padding };
          const perChannel = filters / input.channels;
          // each filter hears one channel: repeated if several filters hear it
          if (groups > 1 && groups === input.channels && source !== IMAGE && !outputs.has(layer.name)) {
            const repeated = Array.from({ length: filters }, (_, j) => ({
              input: 0,
              channel: Math.floor(j / perChannel),
            }));
            const from =
              perChannel === 1 ? index.get(source)! : gather(`${layer.name}:inputs`, [source], repeated);
            const maps = { height: input.height, width: input.width, channels: filters };
            return neurons(layer, { input: from, ...maps, ...geometry, channelwise: true, reach: 1 });
          }
          return neurons(layer, {
            input: index.get(source)!,
            ...input,
            ...geometry,
            channelwise: false,
            reach: filters / groups,
            ...(groups > 1 ? { pack: (weights) => spreadGroups(layer, input.channels, weights) } : {}),
          });
        }
        case 'add': {
          const filters = output.channels;
          const wires = layer.inputs.flatMap((_, place) =>
            Array.from({ length: filters }, (_, channel) => ({ input: place, channel })),
          );
          const from = gather(`${layer.name}:inputs`, layer.inputs, wires);
          const maps = { height: input.height, width: input.width, channels: wires.length };
          const kernel = { filters, size: 1, stride: 1, padding: 0 };
          const sum = { channelwise: true, reach: 1, adds: true } as const;
          return neurons(layer, { input: from, ...maps, ...out, ...kernel, ...sum });
        }
        case 'bilinear': {
          // four synapses a neuron: its own cell, the nearer ones beside it and above or below, and the one between those
          const filters = output.channels;
          const wires = Array.from({ length: 4 * filters }, (_, i) => ({ input: 0, channel: i % filters }));
          const shifts = Uint8Array.from(wires, (_, i) => Math.floor(i / filters));
          const from = gather(`${layer.name}:inputs`, layer.inputs, wires, 2, shifts);
          const maps = { height: output.height, width: output.width, channels: wires.length };
          const kernel = { filters, size: 1, stride: 1, padding: 0 };
          return neurons(layer, { input: from, ...maps, ...out, ...kernel, channelwise: true, reach: 1 });
        }
        case 'island': {
          if (!layered) islands.push(layer.name);
          const { lambda } = integers.get(layer.name)!;
          const origins = traceWires(network, shapes);
          return put({
            kind: 'island',
            name: layer.name,
            inputs: layer.inputs.map((name) => index.get(name)!),
            ...out,
            channels: output.channels,
            graph: layer.graph,
            inputDims: inputShapes.map(dimsOfMap),
            inputFactors: layer.inputs.map((name) =>
              Float64Array.from(
                origins.get(name)!,
                (origin) => integers.get(origin.layer)!.lambda[origin.channel]! / options.steps,
              ),
            ),
            outputFactors: lambda.map((value) => options.steps / value),
            operations: operations.islands.find(({ name }) => name === layer.name)!.operations,
            startDelay: options.steps - 1,
          });
        }
        case 'maxpool': {
          const { size, stride, padding } = layer;
          const fields = { size, stride, offset: Math.floor(padding / 2), rule: options.pool };
          return put({
            kind: 'pool',
            name: layer.name,
            input: index.get(source)!,
            ...input,
            ...out,
            ...fields,
          });
        }
        case 'upsample':
        case 'wiring': {
          const wires = operatorOf(layer).wires!(layer, inputShapes);
          return gather(layer.name, layer.inputs, wires, layer.kind === 'upsample' ? layer.scale : 1);
        }
      }
    }
  }
  const waiting = [...islands, ...curved];
  if (waiting.length > 0)
    throw usageError(
      `the schedule steps cannot run ${islands.length > 0 ? 'islands' : 'curves'}, which wait for their whole input: ${waiting.slice(0, 5).join(', ')}${waiting.length > 5 ? `, … (${waiting.length} layers)` : ''}; use the schedule layered, and leave out what only a run step by step has: until-stable, budget-ms, gamma, rho, v0, readout-delay, more than 127 steps, other neurons and pools, the preset paper`,
    );
  const tailOperations = operations.tail?.operations ?? 0;
  return {
    stages: orderGathers(stages),
    tailOperations,
    gamma: layered ? LAYERED_STEPS : options.gamma,
    blockLength: options.blockLength,
    coding: options.coding,
    ...(layered ? { statesOnDemand: true } : {}),
  };
}

/** What a layer of neurons is planned with besides its integers. */
type NeuronFields = Pick<
  ConvolutionStage,
  'input' | 'channelwise' | 'reach' | 'adds' | 'fires' | keyof ConvolutionGeometry
> & {
  /** Brings the model's weights into the stage's form. */
  pack?: (weights: Int16Array | Int8Array) => Int16Array | Int8Array;
};
