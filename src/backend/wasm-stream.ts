import type { EngineInstance, StageState, StageStatistics } from '../engine/backend.js';
import { FACTOR_ROWS } from '../engine/curve.js';
import { multiplyChannels } from '../engine/factors.js';
import {
  type ConvolutionStage,
  type EnginePlan,
  FIRING_ROWS,
  type GatherStage,
  NEVER,
  outputShapeOf,
  type PoolStage,
  type Stage,
  saturate,
} from '../engine/plan.js';
import { fanOut } from '../network/shapes.js';
import {
  CONVOLUTION_FIELDS,
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
import type { WasmModule } from './webassembly.js';

const KEPT_FIELDS = 15;
const LAYER_FIELDS = 8;
const RUN_FIELDS = 5;

/** A list of changes may write so many words past its capacity. */
const LIST_ROOM = 16;

/** Counts that are kept, where they are in memory. */
interface Kept {
  pointer: number;
  height: number;
  width: number;
  /** With padding. */
  channels: number;
  values: number;
  rows: number;
  sent: number;
  groups: number;
  spikes: number;
}

interface Placed {
  stage: Stage;
  /** The structure of a pool, a gather or a convolution's layer; 0 of an island. */
  pointer: number;
  /** Of what is sent; undefined of an output layer. */
  kept: Kept | undefined;
  /** Of a convolution, (outHeight, outWidth, filters) int32: S, or on the image z. */
  sums: number;
  /** Of a convolution, the limits at which a count is held no longer, and those of the nearest count, (4, filters). */
  hold: number;
  nearest: number;
  fanRows: Int32Array;
  fanColumns: Int32Array;
}

/** A stream on the WASM kernels: what native/stream.cpp is to the native ones. */
export class WasmStream implements EngineInstance {
  private readonly plan: EnginePlan;
  private readonly steps: number;
  private readonly placed: Placed[] = [];
  private readonly image: Kept | undefined;
  private readonly imageChannels: number;
  private readonly pixels: number;
  /** Counts on their way into what is kept. */
  private readonly now: number;
  private readonly exports: Exports;
  private readonly memory: ArrayBuffer;
  /** True until the first picture after a reset has gone through. */
  private fresh = true;
  private forgotten = true;

  constructor(plan: EnginePlan, module: WasmModule) {
    this.plan = plan;
    this.steps = plan.stream!.steps;
    const memory = new MemoryPlan();
    const onImage = plan.stages.find((stage) => stage.kind === 'convolution' && stage.input < 0) as
      | ConvolutionStage
      | undefined;
    this.imageChannels = onImage?.channels ?? 0;
    this.pixels = memory.reserve(onImage ? onImage.height * onImage.width * onImage.channels : 0);
    this.image = onImage && this.keep(memory, onImage, onImage.channels + (onImage.channels % 2));
    const maps = plan.stages.map((stage) => {
      const { height, width, channels } = outputShapeOf(stage);
      return stage.kind === 'island' ? height * width * padded(channels) : padded(channels);
    });
    this.now = memory.reserve(Math.max(...maps) * 2 + SLACK);
    for (const stage of plan.stages) this.placed.push(this.place(memory, stage));
    ({ exports: this.exports, memory: this.memory } = memory.instantiate(module));
  }

  private keep(memory: MemoryPlan, shape: { height: number; width: number }, channels: number): Kept {
    const { height, width } = shape;
    const cells = height * width;
    // of a row in which more than a quarter of the words changed, nearly all that hear it compute afresh
    const capacity = Math.max(Math.floor((width * channels) / 8), LIST_ROOM);
    const listed = height * (capacity + LIST_ROOM);
    const values = memory.reserve(cells * channels * 2 + SLACK);
    const [words, deltas] = [memory.reserve(listed * 2), memory.reserve(listed * 4)];
    const first = memory.reserve(height * (width + 1) * 4);
    const [sent, rows] = [memory.reserve(cells * 4), memory.reserve(height)];
    const [lengths, changedCells, groups] = [4, 4, 4].map((bytes) => memory.reserve(height * bytes));
    const spikes = memory.reserve(height * 8);
    const digits = this.plan.coding === 'phase' ? 1 : 0;
    const fields = [height, width, channels, values, capacity, words, deltas, first, sent, rows];
    const pointer = memory.structure(
      () => [...fields, lengths!, changedCells!, groups!, spikes, digits],
      KEPT_FIELDS,
    );
    return { pointer, height, width, channels, values, rows, sent, groups: groups!, spikes };
  }

  private place(memory: MemoryPlan, stage: Stage): Placed {
    const { height, width, channels } = outputShapeOf(stage);
    const sends = stage.kind !== 'convolution' || stage.fires;
    const placed: Placed = {
      stage,
      pointer: 0,
      kept: sends ? this.keep(memory, { height, width }, padded(channels)) : undefined,
      sums: 0,
      hold: 0,
      nearest: 0,
      fanRows: new Int32Array(0),
      fanColumns: new Int32Array(0),
    };
    if (stage.kind === 'convolution') return this.placeConvolution(memory, stage, placed);
    if (stage.kind === 'pool') return { ...placed, pointer: this.placePool(memory, stage) };
    if (stage.kind === 'gather') return { ...placed, pointer: this.placeGather(memory, stage) };
    return placed;
  }

  private placePool(memory: MemoryPlan, stage: PoolStage): number {
    const { height, width, outHeight, outWidth, size, stride, offset } = stage;
    const fields = [height, width, padded(stage.channels), outHeight, outWidth, size, stride, offset];
    return memory.structure(() => fields, POOL_FIELDS);
  }

  private placeGather(memory: MemoryPlan, stage: GatherStage): number {
    const { outHeight, outWidth, height, width, scale } = stage;
    const runs = runsOf(stage);
    const table = memory.structure(
      () => runs.flatMap(([input, ...run]) => [this.placed[stage.inputs[input]!]!.kept!.pointer, ...run]),
      runs.length * RUN_FIELDS,
    );
    const maps = [height, width, outHeight, outWidth, scale, padded(stage.channels)];
    return memory.structure(() => [...maps, 0, 0, table, runs.length], GATHER_FIELDS);
  }

  private placeConvolution(memory: MemoryPlan, stage: ConvolutionStage, placed: Placed): Placed {
    const { height, width, outHeight, outWidth, size, stride, padding, channelwise, curve } = stage;
    const onImage = stage.input < 0;
    const filters = padded(stage.filters);
    const words = (onImage ? stage.channels + (stage.channels % 2) : padded(stage.channels)) / 2;
    const length = packedLength(stage, words);
    const weights = channelwise
      ? memory.place(channelWeights(stage))
      : memory.build(2 * length, (buffer, offset) =>
          packWeights(stage, words, new Int16Array(buffer, offset, length)),
        );
    const bias = memory.place(padRows(stage.bias, 1, 0));
    const firing = memory.place(padRows(stage.firing, FIRING_ROWS, NEVER));
    const limits = [0, 1, 4, 5].map((row) =>
      stage.firing.subarray(row * stage.filters, (row + 1) * stage.filters),
    );
    const nearest = memory.place(padRows(Int32Array.from(limits.flatMap((row) => [...row])), 4, NEVER));
    const hold = stage.hold ? memory.place(padRows(stage.hold, 4, NEVER)) : 0;
    const sums = memory.reserve(outHeight * outWidth * filters * 4);
    const taps = memory.reserve(size * size * 16);
    const z = memory.reserve(TILE_ROWS * FILTER_GROUP * 4);
    const floats = placeFloats(memory, stage);
    const values = curve ? memory.place(curve.values) : 0;
    const factors = curve ? memory.place(padRows(curve.factors, FACTOR_ROWS, 0)) : 0;
    const reached = memory.reserve(outWidth);
    const convolution = memory.structure(() => {
      const map = [height, width, words * 2, outHeight, outWidth, filters, size, stride, padding, words];
      const heard = channelwise ? stage.channels / stage.filters : 0;
      const own = [heard, stage.filters, values, curve?.values.length ?? 0, curve?.linear ? 1 : 0, factors];
      const unused = (count: number) => new Array<number>(count).fill(0);
      return [
        ...map,
        weights,
        bias,
        firing,
        ...unused(9),
        this.plan.gamma,
        ...unused(6),
        taps,
        z,
        ...unused(2),
        ...own,
        ...floats,
      ];
    }, CONVOLUTION_FIELDS);
    const times = onImage ? [this.steps, 1] : [1, this.steps];
    const pointer = memory.structure(() => {
      const input = onImage ? this.image! : this.placed[stage.input]!.kept!;
      return [convolution, input.pointer, placed.kept?.pointer ?? 0, sums, ...times, reached, this.now];
    }, LAYER_FIELDS);
    const fans = {
      fanRows: fanOut(height, outHeight, stage),
      fanColumns: fanOut(width, outWidth, stage),
    };
    return { ...placed, pointer, sums, hold, nearest, ...fans };
  }

  reset(): void {
    this.forgotten = true;
    const bytes = new Uint8Array(this.memory);
    for (const { kept } of this.placed)
      if (kept) bytes.fill(0, kept.values, kept.values + kept.height * kept.width * kept.channels * 2);
  }

  begin(pixels: Uint8Array): void {
    this.fresh = this.forgotten;
    this.forgotten = false;
    new Uint8Array(this.memory).set(pixels, this.pixels);
    if (this.image) this.exports.compareImage(this.image.pointer, this.pixels, this.imageChannels);
  }

  run(index: number): void {
    const { stage, pointer, kept, hold, nearest } = this.placed[index]!;
    const { fresh } = this;
    if (stage.kind === 'convolution') {
      const limits = fresh ? nearest : hold;
      this.exports.streamConvolution(pointer, limits, fresh ? 128 : this.plan.stream!.hold, fresh);
    } else if (stage.kind === 'pool') {
      const input = this.placed[stage.input]!.kept!;
      this.exports.streamPool(pointer, input.pointer, kept!.pointer, this.now, fresh);
    } else if (stage.kind === 'gather') {
      this.exports.streamGather(pointer, kept!.pointer, this.now, fresh);
    } else {
      for (let y = 0; y < kept!.height; y++) this.exports.endQuietRow(kept!.pointer, y);
    }
  }

  emit(index: number, counts: Int32Array): void {
    const { stage, kept } = this.placed[index]!;
    const { channels } = outputShapeOf(stage);
    const { height, width, channels: stride, pointer } = kept!;
    const now = new Int16Array(this.memory, this.now, height * width * stride).fill(0);
    for (let cell = 0; cell < height * width; cell++)
      for (let c = 0; c < channels; c++) now[cell * stride + c] = counts[cell * channels + c]!;
    this.exports.streamIsland(pointer, this.now);
  }

  counts(index: number, target: Int32Array): void {
    const { stage, kept } = this.placed[index]!;
    const { channels } = outputShapeOf(stage);
    const { height, width, channels: stride } = kept!;
    const values = new Int16Array(this.memory, kept!.values, height * width * stride);
    for (let cell = 0; cell < height * width; cell++)
      for (let c = 0; c < channels; c++) target[cell * channels + c] = values[cell * stride + c]!;
  }

  /** Whole inputs of a convolution's neurons, (outHeight, outWidth, filters), into `target`. */
  private totals(index: number, target: Float64Array): void {
    const { stage, sums } = this.placed[index]! as Placed & { stage: ConvolutionStage };
    const cells = stage.outHeight * stage.outWidth;
    const stride = padded(stage.filters);
    const times = stage.input < 0 ? this.steps : 1;
    const values = new Int32Array(this.memory, sums, cells * stride);
    for (let cell = 0; cell < cells; cell++)
      for (let f = 0; f < stage.filters; f++)
        target[cell * stage.filters + f] = times * values[cell * stride + f]!;
  }

  outputPotential(index: number, target: Float64Array, factors?: Float64Array): void {
    this.totals(index, target);
    multiplyChannels(target, factors);
  }

  state(index: number): StageState {
    const { firing, filters, curve, outHeight, outWidth } = this.placed[index]!.stage as ConvolutionStage;
    const neurons = outHeight * outWidth * filters;
    const totals = new Float64Array(neurons);
    const counts = new Int32Array(neurons);
    this.totals(index, totals);
    this.counts(index, counts);
    const potential = counts.map((count, i) => {
      const taken = curve ? 0 : count * firing[(count >= 0 ? 2 : 7) * filters + (i % filters)]!;
      return saturate(totals[i]!) - taken;
    });
    return { counts, potential };
  }

  changed(index: number): number {
    const { groups, height } = this.placed[index]!.kept!;
    return new Int32Array(this.memory, groups, height).reduce((sum, row) => sum + row, 0);
  }

  statistics(index: number): StageStatistics {
    const { stage, kept, fanRows, fanColumns } = this.placed[index]!;
    const spikes = kept
      ? new Float64Array(this.memory, kept.spikes, kept.height).reduce((sum, row) => sum + row, 0)
      : 0;
    if (stage.kind !== 'convolution' || stage.input < 0) return { spikes, synapticOperations: 0, clipped: 0 };
    const { height, width, rows, sent } = this.placed[stage.input]!.kept!;
    const states = new Uint8Array(this.memory, rows, height);
    const cells = new Int32Array(this.memory, sent, height * width);
    let reached = 0;
    for (let y = 0; y < height; y++) {
      if (states[y] === 0) continue;
      let row = 0;
      for (let x = 0; x < width; x++) row += cells[y * width + x]! * fanColumns[x]!;
      reached += row * fanRows[y]!;
    }
    return { spikes, synapticOperations: reached * stage.reach, clipped: 0 };
  }

  close(): void {}
}
