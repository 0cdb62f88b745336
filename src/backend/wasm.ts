import type {
  Backend,
  EngineInstance,
  FloatConvolution,
  FloatKernels,
  StageState,
  StageStatistics,
} from '../engine/backend.js';
import { FACTOR_ROWS } from '../engine/curve.js';
import { multiplyChannels } from '../engine/factors.js';
import {
  type ConvolutionStage,
  type EnginePlan,
  FIRING_ROWS,
  type GatherStage,
  type IslandStage,
  inputsOf,
  isSilent,
  NEVER,
  outputShapeOf,
  POOLS,
  type PoolStage,
  type Stage,
  takesWindow,
} from '../engine/plan.js';
import { backendError, reasonOf } from '../errors.js';
import { fanOut } from '../network/shapes.js';
import {
  CONVOLUTION_FIELDS,
  channelPairs,
  channelWeights,
  type Exports,
  FILTER_GROUP,
  GATHER_FIELDS,
  MemoryPlan,
  POOL_FIELDS,
  packedLength,
  packWeights,
  padded,
  padRows,
  placeFloats,
  runsOf,
  SLACK,
  TILE_ROWS,
} from './wasm-memory.js';
import { WasmStream } from './wasm-stream.js';
import { compileModule, type WasmModule, webAssembly } from './webassembly.js';

const WINDOW_PLANES = 5;

/**
 * Compiles the module; throws `BACKEND` where WebAssembly or its SIMD is missing.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { compileWasm, wasmBackend } from 'spiking-yolo/core';
 *
 * const backend = wasmBackend(compileWasm(readFileSync('dist/kernels.wasm')));
 * console.log(backend.isa); // simd128
 * ```
 */
export function compileWasm(bytes: Uint8Array<ArrayBuffer>): WasmModule {
  webAssembly();
  try {
    return compileModule(bytes);
  } catch (error) {
    throw backendError(`the WASM kernel does not compile here: ${reasonOf(error)}`, error);
  }
}

interface Placed {
  stage: Stage;
  /** The structure in memory. */
  pointer: number;
  output: number;
  counts: number;
  potential: number;
  current: number;
  statistics: number;
  /** Reset by `begin`: [offset, bytes]. */
  zeroed: [number, number][];
  estimates: { start: number; end: number }[];
  /** Run by its convolution (a pool), or handing its rows to this pool (a convolution). */
  fusedWith: number;
  silent: boolean;
  /** Steps in which nothing can come out. */
  delay: number;
  /** Its counts are the spikes of the step that it has just run alone: none came before. */
  sentNowOnly: boolean;
  /** Of a gather, where the spikes of each run are named, and the run's stage. */
  runs: { at: number; input: number }[];
}

/** What a stage is placed with that neither has neurons nor pools. */
const NO_NEURONS = {
  potential: 0,
  current: 0,
  statistics: 0,
  estimates: [],
  fusedWith: -1,
  silent: true,
  sentNowOnly: false,
} satisfies Partial<Placed>;

const RUN_FIELDS = 7;
/** Index of Pool.estimateStart in assembly/layout.ts. */
const ESTIMATE_START = 15;

class WasmInstance implements EngineInstance {
  private readonly plan: EnginePlan;
  private readonly placed: Placed[] = [];
  private readonly exports: Exports;
  private readonly memory: ArrayBuffer;
  private readonly pixels: number;
  private readonly output: number;
  private step = 0;

  constructor(plan: EnginePlan, module: WasmModule) {
    this.plan = plan;
    const memory = new MemoryPlan();
    const { stages } = plan;
    const image = stages.find((stage) => stage.kind === 'convolution' && stage.input < 0);
    this.pixels =
      image?.kind === 'convolution' ? memory.reserve(image.height * image.width * image.channels) : 0;
    for (const [index, stage] of stages.entries()) {
      if (stage.kind === 'gather') {
        this.placed.push(this.placeGather(memory, stage));
        continue;
      }
      if (stage.kind === 'island') {
        this.placed.push(this.placeIsland(memory, stage));
        continue;
      }
      if (stage.kind === 'pool') {
        this.placed.push(this.placePool(memory, stage));
        continue;
      }
      const consumers = this.consumersOf(index);
      const only =
        consumers.length === 1 && consumers[0]!.kind === 'pool' ? stages.indexOf(consumers[0]!) : -1;
      this.placed.push(this.placeConvolution(memory, stage, only));
    }
    const outputs = stages.map((stage) =>
      stage.kind === 'convolution' && !stage.fires
        ? stage.outHeight * stage.outWidth * padded(stage.filters) * 8
        : 0,
    );
    this.output = memory.reserve(Math.max(...outputs));
    ({ exports: this.exports, memory: this.memory } = memory.instantiate(module));
  }

  /** The stages that a stage's spikes come into, each as often as they do. */
  private consumersOf(index: number): Stage[] {
    return this.plan.stages.flatMap((stage) =>
      inputsOf(stage)
        .filter((input) => input === index)
        .map(() => stage),
    );
  }

  private placeConvolution(memory: MemoryPlan, stage: ConvolutionStage, fusedPool: number): Placed {
    const { blockLength, gamma } = this.plan;
    const { height, width, outHeight, outWidth, size, stride, padding, channelwise } = stage;
    const onImage = stage.input < 0;
    const filters = padded(stage.filters);
    const words = (onImage ? stage.channels + (stage.channels % 2) : padded(stage.channels)) / 2;
    const neurons = outHeight * outWidth * filters;
    const cells = height * width;
    const firing = stage.fires ? neurons : 0;
    const length = packedLength(stage, words);
    const weights = channelwise
      ? memory.place(channelWeights(stage))
      : memory.build(2 * length, (buffer, offset) =>
          packWeights(stage, words, new Int16Array(buffer, offset, length)),
        );
    const bias = memory.place(padRows(stage.bias, 1, 0));
    const firingLimits = memory.place(padRows(stage.firing, FIRING_ROWS, NEVER));
    const potential = memory.reserve(firing * 4);
    const counts = memory.reserve(firing * 4);
    const current = onImage ? memory.reserve(neurons * 4) : 0;
    const tiles = Math.ceil(blockLength / TILE_ROWS);
    const steps = stage.fires && !onImage && !channelwise;
    const lists = steps ? memory.reserve(cells * tiles * words * 2 + 2) : 0;
    const listSizes = steps ? memory.reserve(cells * tiles * 2) : 0;
    const fanRows = memory.place(fanOut(height, outHeight, stage));
    const fanColumns = memory.place(fanOut(width, outWidth, stage));
    const ringRows = fusedPool < 0 ? outHeight : (this.plan.stages[fusedPool] as PoolStage).size;
    const output = memory.reserve(stage.fires ? ringRows * outWidth * filters * blockLength * 2 + SLACK : 0);
    const windowWidth = Math.max(width + 2 * padding, (outWidth - 1 + TILE_ROWS) * stride + size);
    const windowCells = (Math.max(height + 2 * padding, (outHeight - 1) * stride + size) + 1) * windowWidth;
    const { curve } = stage;
    const windows = onImage || !stage.fires || stage.startDelay > 0 || curve !== undefined;
    const window =
      windows && !channelwise
        ? memory.reserve(windowCells * words * 4 * (onImage ? 1 : WINDOW_PLANES) + SLACK)
        : 0;
    const sums = windows ? memory.reserve(outWidth * filters * 8) : 0;
    const taps = memory.reserve(size * size * 16);
    const z = memory.reserve(TILE_ROWS * FILTER_GROUP * 4);
    const floats = placeFloats(memory, stage);
    const startPotential = memory.place(padRows(stage.startPotential, 1, 0));
    const tally = memory.reserve(32);
    const pairs = channelwise ? channelPairs(stage) : undefined;
    const [pairPlaces, pairWeights] = pairs
      ? [memory.place(pairs.places), memory.place(pairs.weights)]
      : [0, 0];
    const curveValues = curve ? memory.place(curve.values) : 0;
    const curveFactors = curve ? memory.place(padRows(curve.factors, FACTOR_ROWS, 0)) : 0;
    const statistics = memory.reserve(24);
    const pointer = memory.structure(() => {
      const input = this.placed[stage.input];
      return [
        height,
        width,
        onImage ? stage.channels : words * 2,
        outHeight,
        outWidth,
        filters,
        size,
        stride,
        padding,
        words,
        weights,
        bias,
        firingLimits,
        potential,
        counts,
        current,
        input?.output ?? 0,
        input?.counts ?? 0,
        lists,
        listSizes,
        fanRows,
        fanColumns,
        gamma,
        output,
        ringRows,
        window,
        windowWidth,
        windowCells,
        sums,
        taps,
        z,
        statistics,
        fusedPool < 0 ? 0 : this.placed[fusedPool]!.pointer,
        channelwise ? stage.channels / stage.filters : 0,
        stage.filters,
        curveValues,
        curve?.values.length ?? 0,
        curve?.linear ? 1 : 0,
        curveFactors,
        ...floats,
        startPotential,
        0,
        0,
        tally,
        (pairs?.places.length ?? 0) / 2,
        pairPlaces,
        pairWeights,
      ];
    }, CONVOLUTION_FIELDS);
    return {
      stage,
      pointer,
      output,
      counts,
      potential,
      current,
      statistics,
      zeroed: [[statistics, 24]],
      estimates: [],
      fusedWith: fusedPool,
      silent: true,
      delay: stage.startDelay,
      sentNowOnly: false,
      runs: [],
    };
  }

  private placeGather(memory: MemoryPlan, stage: GatherStage): Placed {
    const { outHeight, outWidth, height, width, scale } = stage;
    const channels = padded(stage.channels);
    const outputs = outHeight * outWidth * channels;
    const output = memory.reserve(outputs * this.plan.blockLength * 2 + SLACK);
    const counts = memory.reserve(outputs * 4);
    const runs = runsOf(stage);
    const table = memory.structure(
      () =>
        runs.flatMap(([input, from, to, length, shift]) => {
          const source = this.placed[stage.inputs[input]!]!;
          const sourceChannels = padded(outputShapeOf(source.stage).channels);
          return [source.output, source.counts, sourceChannels, from, to, length, shift];
        }),
      runs.length * RUN_FIELDS,
    );
    const pointer = memory.structure(
      () => [height, width, outHeight, outWidth, scale, channels, output, counts, table, runs.length],
      GATHER_FIELDS,
    );
    return {
      stage,
      pointer,
      output,
      counts,
      ...NO_NEURONS,
      delay: Math.min(...stage.inputs.map((input) => this.placed[input]!.delay)),
      zeroed: [[counts, outputs * 4]],
      runs: runs.map(([input], i) => ({ at: table + 4 * RUN_FIELDS * i, input: stage.inputs[input]! })),
    };
  }

  private placeIsland(memory: MemoryPlan, stage: IslandStage): Placed {
    const { outHeight, outWidth } = stage;
    const outputs = outHeight * outWidth * padded(stage.channels);
    const output = memory.reserve(outputs * this.plan.blockLength * 2 + SLACK);
    const counts = memory.reserve(outputs * 4);
    return {
      stage,
      pointer: 0,
      output,
      counts,
      ...NO_NEURONS,
      delay: stage.startDelay,
      zeroed: [[counts, outputs * 4]],
      runs: [],
    };
  }

  private placePool(memory: MemoryPlan, stage: PoolStage): Placed {
    const { blockLength, stages } = this.plan;
    const { height, width, outHeight, outWidth, size, stride, offset, rule } = stage;
    const channels = padded(stage.channels);
    const outputs = outHeight * outWidth * channels;
    const cells = height * width * channels;
    const output = memory.reserve(outputs * blockLength * 2 + SLACK);
    const counts = memory.reserve(outputs * 4);
    const windowCells = memory.reserve(size * size * 12);
    const windowCounts = memory.reserve(size * size * 16);
    const estimateBytes = rule === 'gate:exp' || rule === 'gate:fir' ? cells * 4 : 0;
    const recentBytes = rule === 'gate:fir' ? cells * 16 : 0;
    const buffers = [estimateBytes, recentBytes].map((bytes) => ({
      start: memory.reserve(bytes),
      end: memory.reserve(bytes),
      bytes,
    }));
    const pointer = memory.structure(() => {
      const input = this.placed[stage.input]!;
      const [estimate, recent] = buffers as [(typeof buffers)[0], (typeof buffers)[0]];
      return [
        height,
        width,
        channels,
        outHeight,
        outWidth,
        size,
        stride,
        offset,
        POOLS.indexOf(rule),
        input.output,
        input.counts,
        output,
        counts,
        windowCells,
        windowCounts,
        estimate.start,
        estimate.end,
        recent.start,
        recent.end,
      ];
    }, POOL_FIELDS);
    const source = stages[stage.input]!;
    const fused = source.kind === 'convolution' && this.consumersOf(stage.input).length === 1;
    return {
      stage,
      pointer,
      output,
      counts,
      potential: 0,
      current: 0,
      statistics: 0,
      zeroed: [
        [counts, outputs * 4],
        ...buffers.flatMap(({ start, end, bytes }): [number, number][] => [
          [start, bytes],
          [end, bytes],
        ]),
      ],
      estimates: buffers,
      fusedWith: fused ? stage.input : -1,
      silent: true,
      delay: this.placed[stage.input]!.delay,
      sentNowOnly: false,
      runs: [],
    };
  }

  begin(pixels: Uint8Array): void {
    const bytes = new Uint8Array(this.memory);
    this.step = 0;
    bytes.set(pixels, this.pixels);
    for (const placed of this.placed) {
      placed.silent = true;
      placed.sentNowOnly = false;
      for (const [offset, length] of placed.zeroed) bytes.fill(0, offset, offset + length);
      const { stage } = placed;
      if (stage.kind !== 'convolution') continue;
      if (stage.fires) this.exports.begin(placed.pointer);
      if (stage.input < 0) this.exports.present(placed.pointer, this.pixels);
    }
  }

  run(index: number, step: number, steps: number): void {
    this.runStage(index, step, steps);
    const placed = this.placed[index]!;
    placed.sentNowOnly = !placed.silent && steps === 1 && step === placed.delay;
  }

  private runStage(index: number, step: number, steps: number): void {
    const placed = this.placed[index]!;
    const { stage, pointer } = placed;
    this.step = step + steps;
    if (stage.kind === 'gather') {
      placed.silent = stage.inputs.every((input) => this.placed[input]!.silent);
      if (placed.silent) return;
      const fields = new Uint32Array(this.memory);
      for (const input of stage.inputs) this.settle(this.placed[input]!);
      for (const { at, input } of placed.runs)
        fields[at / 4] = this.placed[input]!.silent ? 0 : this.placed[input]!.output;
      this.exports.runGather(pointer, steps);
      return;
    }
    if (stage.kind === 'island') {
      placed.silent = true;
      return;
    }
    const source = this.placed[stage.input];
    if (source) this.settle(source);
    if (stage.kind === 'pool') {
      placed.silent = source!.silent;
      if (placed.fusedWith >= 0 || placed.silent) return;
      this.exports.runPool(pointer, step, steps);
      this.swapEstimates(placed);
      return;
    }
    if (source) {
      if (source.silent) this.exports.observeSilence(pointer, steps);
      else this.exports.observe(pointer, steps, !takesWindow(stage, step) && !isSilent(stage, step));
    }
    if (!stage.fires) return;
    placed.silent = isSilent(stage, step);
    if (placed.silent) return;
    // what is silent is not written; a channelwise layer reads it all the same
    if (stage.channelwise && source!.silent) {
      const bytes = stage.height * stage.width * padded(stage.channels) * steps * 2;
      new Uint8Array(this.memory, source!.output, bytes).fill(0);
    }
    this.exports.run(pointer, step, steps, takesWindow(stage, step), source?.sentNowOnly ?? false);
    if (placed.fusedWith >= 0) this.swapEstimates(this.placed[placed.fusedWith]!);
  }

  /** Writes what neurons start from, where none has run yet and it is read. */
  private settle({ stage, pointer }: Placed): void {
    if (stage.kind === 'convolution' && stage.fires) this.exports.settle(pointer);
  }

  private swapEstimates(pool: Placed): void {
    const fields = new Int32Array(this.memory, pool.pointer, POOL_FIELDS);
    for (const [i, buffers] of pool.estimates.entries()) {
      [buffers.start, buffers.end] = [buffers.end, buffers.start];
      fields.set([buffers.start, buffers.end], ESTIMATE_START + 2 * i);
    }
  }

  /** Drops the padding of a stage's channels. */
  private compact<T extends Int32Array | Float64Array>(padding: T, stage: Stage, result: T): T {
    const { height, width, channels } = outputShapeOf(stage);
    const stride = padded(channels);
    for (let cell = 0; cell < height * width; cell++)
      for (let c = 0; c < channels; c++) result[cell * channels + c] = padding[cell * stride + c]!;
    return result;
  }

  counts(index: number, target: Int32Array): void {
    this.settle(this.placed[index]!);
    const { stage, counts } = this.placed[index]!;
    const { height, width, channels } = outputShapeOf(stage);
    const cells = height * width;
    this.compact(new Int32Array(this.memory, counts, cells * padded(channels)), stage, target);
  }

  emit(index: number, counts: Int32Array): void {
    const placed = this.placed[index]!;
    const { channels, outHeight, outWidth } = placed.stage as IslandStage;
    const stride = padded(channels);
    const length = outHeight * outWidth * stride;
    const kept = new Int32Array(this.memory, placed.counts, length);
    const spikes = new Int16Array(this.memory, placed.output, length);
    for (let cell = 0; cell < outHeight * outWidth; cell++) {
      for (let c = 0; c < channels; c++) {
        const count = counts[cell * channels + c]!;
        kept[cell * stride + c] = count;
        spikes[cell * stride + c] = count;
      }
    }
    placed.silent = false;
    placed.sentNowOnly = true;
  }

  outputPotential(index: number, target: Float64Array, factors?: Float64Array): void {
    const { stage, pointer } = this.placed[index]! as Placed & { stage: ConvolutionStage };
    if (stage.input >= 0) this.settle(this.placed[stage.input]!);
    const fromSpikes = stage.input >= 0 && this.placed[stage.input]!.sentNowOnly;
    this.exports.outputPotential(pointer, this.step, this.output, fromSpikes);
    const cells = stage.outHeight * stage.outWidth;
    const values = new Float64Array(this.memory, this.output, cells * padded(stage.filters));
    this.compact(values, stage, target);
    multiplyChannels(target, factors);
  }

  state(index: number): StageState {
    this.settle(this.placed[index]!);
    const { stage, counts, potential } = this.placed[index]! as Placed & { stage: ConvolutionStage };
    const cells = stage.outHeight * stage.outWidth;
    const copy = (offset: number) =>
      this.compact(
        new Int32Array(this.memory, offset, cells * padded(stage.filters)),
        stage,
        new Int32Array(cells * stage.filters),
      );
    return { counts: copy(counts), potential: copy(potential) };
  }

  statistics(index: number): StageStatistics {
    const { stage, statistics } = this.placed[index]!;
    const [spikes, clipped, units] = new Float64Array(this.memory, statistics, 3) as unknown as [
      number,
      number,
      number,
    ];
    const reach = stage.kind === 'convolution' ? stage.reach : 0;
    return { spikes, clipped, synapticOperations: units * reach };
  }

  close(): void {}
}

function floatKernels(module: WasmModule, convolutions: readonly FloatConvolution[]): FloatKernels {
  const memory = new MemoryPlan();
  let largest = 0;
  const placed = convolutions.map((convolution) => {
    const { size, channels, filters, weights, bias, channelwise } = convolution;
    const stride = padded(filters);
    const perFilter = size * size * (channelwise ? 1 : channels);
    const placedWeights = memory.build(perFilter * stride * 4, (memory, offset) => {
      const packed = new Float32Array(memory, offset, perFilter * stride);
      for (let f = 0; f < filters; f++) {
        for (let i = 0; i < perFilter; i++) packed[i * stride + f] = weights[f * perFilter + i]!;
      }
    });
    const paddedBias = new Float32Array(stride);
    paddedBias.set(bias);
    const { height, width, outHeight, outWidth } = convolution;
    largest = Math.max(largest, height * width * channels, outHeight * outWidth * filters);
    return { weights: placedWeights, bias: memory.place(paddedBias) };
  });
  // 4 channels are read at a time
  const input = memory.reserve(largest * 4 + 16);
  const output = memory.reserve(largest * 4);
  const { exports, memory: buffer } = memory.instantiate(module);
  return {
    convolve(index, source, target) {
      const { height, width, channels, outHeight, outWidth, filters, ...convolution } = convolutions[index]!;
      const { size, stride, padding, slope, channelwise } = convolution;
      const { weights, bias } = placed[index]!;
      new Float32Array(buffer, input, source.length).set(source);
      const maps = [height, width, channels, outHeight, outWidth] as const;
      const rest = [size, stride, padding, weights, bias, slope, input, output] as const;
      if (channelwise) exports.convolveFloatChannels(...maps, ...rest);
      else exports.convolveFloat(...maps, filters, ...rest);
      target.set(new Float32Array(buffer, output, target.length));
    },
  };
}

/**
 * The AssemblyScript back-end on a compiled module.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { compileWasm, decodeModel, FloatDetector, wasmBackend } from 'spiking-yolo/core';
 *
 * const backend = wasmBackend(compileWasm(readFileSync('dist/kernels.wasm')));
 * const model = decodeModel(readFileSync('models/tiny-yolo-lite-voc.safetensors'));
 * console.log(FloatDetector.ofModel(model, backend).floatNetwork.network.input.width); // 256
 * ```
 */
export const wasmBackend = (module: WasmModule): Backend => ({
  name: 'wasm',
  isa: 'simd128',
  floatKernels: (convolutions) => floatKernels(module, convolutions),
  instantiate: (plan) => (plan.stream ? new WasmStream(plan, module) : new WasmInstance(plan, module)),
});
