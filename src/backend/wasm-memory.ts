import { type ConvolutionStage, FIRING_ROWS, type GatherStage, POTENTIAL_LIMIT } from '../engine/plan.js';
import { backendError, reasonOf } from '../errors.js';
import { type WasmModule, webAssembly } from './webassembly.js';

// What assembly/index.ts exports. Numbers are byte offsets into the memory unless named otherwise.
export interface Exports {
  begin(convolution: number): void;
  settle(convolution: number): void;
  present(convolution: number, pixels: number): void;
  observe(convolution: number, steps: number, listed: boolean): void;
  observeSilence(convolution: number, steps: number): void;
  run(convolution: number, step: number, steps: number, window: boolean, fromSpikes: boolean): void;
  runPool(pool: number, step: number, steps: number): void;
  runGather(gather: number, steps: number): void;
  outputPotential(convolution: number, steps: number, target: number, fromSpikes: boolean): void;
  convolveFloat(
    height: number,
    width: number,
    channels: number,
    outHeight: number,
    outWidth: number,
    filters: number,
    size: number,
    stride: number,
    padding: number,
    weights: number,
    bias: number,
    slope: number,
    input: number,
    output: number,
  ): void;
  convolveFloatChannels(
    height: number,
    width: number,
    channels: number,
    outHeight: number,
    outWidth: number,
    size: number,
    stride: number,
    padding: number,
    weights: number,
    bias: number,
    slope: number,
    input: number,
    output: number,
  ): void;
  compareImage(kept: number, pixels: number, channels: number): void;
  endQuietRow(kept: number, row: number): void;
  streamConvolution(layer: number, limits: number, hold: number, fresh: boolean): void;
  streamPool(pool: number, from: number, to: number, now: number, fresh: boolean): void;
  streamGather(gather: number, to: number, now: number, fresh: boolean): void;
  streamIsland(kept: number, now: number): void;
}

const PAGE = 65536;
const MAX_BYTES = 2 ** 32 - PAGE;
/** Kernels may read, but not use, this far past a buffer's end (a tile's rows beyond the last step or position). */
export const SLACK = 65536;
/** Structures of assembly/layout.ts, by how many fields they have. */
export const CONVOLUTION_FIELDS = 49;
export const GATHER_FIELDS = 10;
export const POOL_FIELDS = 19;
export const FILTER_GROUP = 16;

/** Rows (steps or positions) of a tile in assembly/convolution.ts. */
export const TILE_ROWS = 2;
export const padded = (channels: number) => Math.ceil(channels / FILTER_GROUP) * FILTER_GROUP;

/** Memory planned in one go: offsets first, then one allocation of the right size, then its contents. */
export class MemoryPlan {
  private end = 1024;
  private readonly writes: ((memory: ArrayBuffer) => void)[] = [];

  /** Reserves zeroed bytes. */
  reserve(bytes: number): number {
    const offset = this.end;
    this.end = Math.ceil((offset + bytes) / 64) * 64;
    if (this.end > MAX_BYTES)
      throw backendError('this network needs more memory than WASM can address (4 GiB)');
    return offset;
  }

  place(values: Int32Array | Int16Array | Float32Array): number {
    const offset = this.reserve(values.byteLength);
    this.writeAt(offset, values);
    return offset;
  }

  /** Reserves bytes that `write` fills once there is memory: large contents are then never there twice. */
  build(bytes: number, write: (memory: ArrayBuffer, offset: number) => void): number {
    const offset = this.reserve(bytes);
    this.writes.push((memory) => write(memory, offset));
    return offset;
  }

  /** Sets the contents of reserved bytes. */
  writeAt(offset: number, values: Int32Array | Int16Array | Float32Array): void {
    this.writes.push((memory) => {
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      new Uint8Array(memory, offset, bytes.length).set(bytes);
    });
  }

  /** Reserves a structure of assembly/layout.ts whose fields are known later. */
  structure(fields: () => number[], count: number): number {
    return this.build(4 * count, (memory, offset) => new Int32Array(memory, offset, count).set(fields()));
  }

  instantiate(module: WasmModule): { exports: Exports; memory: ArrayBuffer } {
    const { Memory, Instance } = webAssembly();
    let memory: { readonly buffer: ArrayBuffer };
    try {
      memory = new Memory({ initial: Math.ceil((this.end + SLACK) / PAGE) });
    } catch (error) {
      throw backendError(`not enough memory for the WASM kernel: ${reasonOf(error)}`, error);
    }
    for (const write of this.writes) write(memory.buffer);
    const abort = () => {
      throw new Error('the WASM kernel aborted');
    };
    const instance = new Instance(module, { env: { memory, abort } });
    return { exports: instance.exports as unknown as Exports, memory: memory.buffer };
  }
}

export const packedLength = ({ filters, size }: ConvolutionStage, words: number) =>
  (padded(filters) / FILTER_GROUP) * size * size * words * 32;

/** (filters, size, size, channels) → [filter group][tap][pair][16 filters][2 channels] int16, zeros before. */
export function packWeights(stage: ConvolutionStage, words: number, packed: Int16Array): void {
  const { filters, size, channels, weights } = stage;
  const taps = size * size;
  for (let f = 0; f < filters; f++) {
    const group = Math.floor(f / FILTER_GROUP) * taps * words * 32;
    const lane = (f % FILTER_GROUP) * 2;
    for (let tap = 0; tap < taps; tap++) {
      const source = (f * taps + tap) * channels;
      const target = group + tap * words * 32 + lane;
      for (let c = 0; c < channels; c++) packed[target + (c >> 1) * 32 + (c & 1)] = weights[source + c]!;
    }
  }
}

/** Rows of values per filter, padded to whole filter groups. */
export function padRows(values: Int32Array, rows: number, fill: number): Int32Array {
  const filters = values.length / rows;
  const result = new Int32Array(rows * padded(filters)).fill(fill);
  for (let row = 0; row < rows; row++)
    result.set(values.subarray(row * filters, (row + 1) * filters), row * padded(filters));
  return result;
}

/** (filters, size, size, heard) → [tap][heard][padded filters] int32. */
export function channelWeights({ filters, size, channels, weights }: ConvolutionStage): Int32Array {
  const taps = size * size * (channels / filters);
  const result = new Int32Array(taps * padded(filters));
  for (let f = 0; f < filters; f++)
    for (let i = 0; i < taps; i++) result[i * padded(filters) + f] = weights[f * taps + i]!;
  return result;
}

/** The same by pairs of synapses of a filter: where they are from a kernel's first cell on, in bytes of int16, and their weights. */
export function channelPairs({ filters, size, channels, width, weights }: ConvolutionStage): {
  places: Int32Array;
  weights: Int16Array;
} {
  const heard = channels / filters;
  const synapses = size * size * heard;
  const pairs = Math.ceil(synapses / 2);
  const places = new Int32Array(2 * pairs);
  const packed = new Int16Array(pairs * padded(filters) * 2);
  for (let k = 0; k < synapses; k++) {
    const [tap, h] = [Math.floor(k / heard), k % heard];
    const cell = Math.floor(tap / size) * width + (tap % size);
    places[k] = 2 * (cell * padded(channels) + h * filters);
    for (let f = 0; f < filters; f++)
      packed[((k >> 1) * padded(filters) + f) * 2 + (k & 1)] = weights[f * synapses + k]!;
  }
  return { places, weights: packed };
}

/** Channels of a gather that lie side by side in one of its stages, too: [input, from, to, length, shift]. */
export function runsOf({
  channels,
  sources,
  shifts,
}: GatherStage): [number, number, number, number, number][] {
  const runs: [number, number, number, number, number][] = [];
  for (let channel = 0; channel < channels; channel++) {
    const [input, from] = [sources[2 * channel]!, sources[2 * channel + 1]!];
    const shift = shifts[channel]!;
    const last = runs.at(-1);
    if (last && last[0] === input && last[1] + last[3] === from && last[4] === shift) last[3]++;
    else runs.push([input, from, channel, 1, shift]);
  }
  return runs;
}

/**
 * What sees most spikes of neurons that have not fired in float32, (4, padded filters): `slopes` of native/kernels.h. Undefined if one
 * could fire down after it has fired up, or the other way round, or float32 has too few digits for its limits.
 */
function slopesOf({ firing, filters }: ConvolutionStage): Float32Array | undefined {
  const stride = padded(filters);
  const slopes = new Float32Array(4 * stride);
  slopes.fill(0.5, stride, 2 * stride);
  slopes.fill(0.5, 3 * stride);
  for (let f = 0; f < filters; f++) {
    const [up, upFromBelow, take, , downFromAbove, down, , give] = Array.from(
      { length: FIRING_ROWS },
      (_, row) => firing[row * filters + f]!,
    ) as [number, number, number, number, number, number, number, number];
    for (const [side, limit, amount, turn] of [
      [0, up, take, downFromAbove],
      [1, down, give, upFromBelow],
    ] as const) {
      if (limit > POTENTIAL_LIMIT) continue;
      if (!(amount > 0 && amount - limit < turn && limit > 0 && limit <= 2 * amount)) return undefined;
      slopes[2 * side * stride + f] = 1 / amount;
      slopes[(2 * side + 1) * stride + f] = (0.5 - limit) / amount + 1;
    }
  }
  return slopes;
}

/** Places what sees a stage's neurons in float32: addresses of `slopes`, `curveShort` and `curveFloats`, 0 where there is none. */
export function placeFloats(memory: MemoryPlan, stage: ConvolutionStage): [number, number, number] {
  if (!stage.fires) return [0, 0, 0];
  const slopes = stage.curve ? undefined : slopesOf(stage);
  const short = shortCurveOf(stage);
  return [
    slopes ? memory.place(slopes) : 0,
    short ? memory.place(short.values) : 0,
    short ? memory.place(short.factors) : 0,
  ];
}

/** A curve's table and factors in float32: `curveShort` and `curveFloats` of native/kernels.h. Undefined if its values do not fit. */
function shortCurveOf({
  curve,
  filters,
}: ConvolutionStage): { values: Int32Array; factors: Float32Array } | undefined {
  if (!curve) return undefined;
  const { values, factors } = curve;
  const packed = new Int32Array(values.length);
  let steepest = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]! >> 1;
    const rise = i < values.length - 1 ? values[i + 1]! - values[i]! : 0;
    if (value < -(2 ** 19) || value >= 2 ** 19 || rise < -(2 ** 11) || rise >= 2 ** 11) return undefined;
    packed[i] = (value << 12) | (rise & 0xfff);
    steepest = Math.max(steepest, Math.abs(rise));
  }
  const stride = padded(filters);
  const floats = new Float32Array(4 * stride).fill(2 ** -13, 3 * stride);
  for (let f = 0; f < filters; f++) {
    const [place, above, part] = [0, 2, 4].map(
      (row) => factors[row * filters + f]! * 2 ** -factors[(row + 1) * filters + f]!,
    ) as [number, number, number];
    const unit = part * 2 ** -22;
    floats[f] = place * 2 ** -15;
    floats[stride + f] = above * 2 ** -22;
    floats[2 * stride + f] = 2 * unit;
    floats[3 * stride + f] = unit * (2.5 + values.length * steepest * 2 ** -22) + 2 ** -13;
  }
  return { values: packed, factors: floats };
}
