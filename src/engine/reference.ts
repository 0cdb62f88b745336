/**
 * The engine's definition (docs/engine.md), written to be read next to the paper. Speed belongs to the native and
 * WASM kernels, which must equal this one bit for bit.
 */
import { fanOut } from '../network/shapes.js';
import type {
  Backend,
  EngineInstance,
  FloatConvolution,
  FloatKernels,
  StageState,
  StageStatistics,
} from './backend.js';
import { type CurveTable, curveCount } from './curve.js';
import { multiplyChannels } from './factors.js';
import {
  type ConvolutionStage,
  type EnginePlan,
  type GatherStage,
  type IslandStage,
  inputsOf,
  isSilent,
  outputShapeOf,
  type PoolStage,
  type Stage,
  saturate,
  sourceCell,
  takesWindow,
} from './plan.js';
import { ReferenceStream } from './reference-stream.js';

/** Spikes of one block of steps, (steps, height, width, channels), and the cumulative counts at its end. */
interface Output {
  spikes: Int8Array;
  counts: Int32Array;
}

function outputOf(stage: Stage, blockLength: number): Output {
  const { height, width, channels } = outputShapeOf(stage);
  const outputs = height * width * channels;
  return { spikes: new Int8Array(outputs * blockLength), counts: new Int32Array(outputs) };
}

/** Adds W·input to `sums` (filters) for the output cell (y, x); input (height, width, channels). */
function accumulate(
  stage: ConvolutionStage,
  input: ArrayLike<number>,
  inputStart: number,
  y: number,
  x: number,
  sums: Float64Array,
): void {
  const { height, width, channels, filters, size, stride, padding, weights, channelwise } = stage;
  const heard = channelwise ? channels / filters : channels;
  for (let ky = 0; ky < size; ky++) {
    const row = y * stride - padding + ky;
    if (row < 0 || row >= height) continue;
    for (let kx = 0; kx < size; kx++) {
      const column = x * stride - padding + kx;
      if (column < 0 || column >= width) continue;
      const source = inputStart + (row * width + column) * channels;
      for (let c = 0; c < channels; c++) {
        const s = input[source + c]!;
        if (s === 0) continue;
        const weight = (j: number, i: number) => weights[((j * size + ky) * size + kx) * heard + i]!;
        if (channelwise) {
          const j = c % filters;
          sums[j]! += weight(j, Math.floor(c / filters)) * s;
          continue;
        }
        for (let j = 0; j < filters; j++) sums[j]! += weight(j, c) * s;
      }
    }
  }
}

class ConvolutionState {
  readonly stage: ConvolutionStage;
  readonly potential: Int32Array;
  readonly output: Output;
  private readonly gamma: number;
  /** Σ W·p of a stage on the image, (outHeight, outWidth, filters): computed once per photo. */
  private readonly current: Int32Array;
  private readonly sums: Float64Array;
  private readonly fanRows: Int32Array;
  private readonly fanColumns: Int32Array;
  statistics: StageStatistics = { spikes: 0, synapticOperations: 0, clipped: 0 };

  constructor(stage: ConvolutionStage, gamma: number, blockLength: number) {
    const neurons = stage.outHeight * stage.outWidth * stage.filters;
    const firing = stage.fires ? neurons : 0;
    this.stage = stage;
    this.gamma = gamma;
    this.potential = new Int32Array(firing);
    this.output = { spikes: new Int8Array(firing * blockLength), counts: new Int32Array(firing) };
    this.current = new Int32Array(stage.input < 0 ? neurons : 0);
    this.sums = new Float64Array(stage.filters);
    this.fanRows = fanOut(stage.height, stage.outHeight, stage);
    this.fanColumns = fanOut(stage.width, stage.outWidth, stage);
  }

  begin(pixels: Uint8Array): void {
    const { stage, potential } = this;
    this.statistics = { spikes: 0, synapticOperations: 0, clipped: 0 };
    this.output.counts.fill(0);
    for (let i = 0; i < potential.length; i++) potential[i] = stage.startPotential[i % stage.filters]!;
    if (stage.input >= 0) return;
    for (let cell = 0; cell < stage.outHeight * stage.outWidth; cell++) {
      this.sums.fill(0);
      accumulate(stage, pixels, 0, Math.floor(cell / stage.outWidth), cell % stage.outWidth, this.sums);
      this.current.set(this.sums, cell * stage.filters);
    }
  }

  /** Σ W·x + times·B for one output cell: x is the image, a step's spikes, or net counts. */
  private input(
    cell: number,
    input: ArrayLike<number> | undefined,
    start: number,
    times: number,
  ): Float64Array {
    const { stage, sums, current } = this;
    const { filters, bias, outWidth } = stage;
    if (input) {
      sums.fill(0);
      accumulate(stage, input, start, Math.floor(cell / outWidth), cell % outWidth, sums);
    } else {
      for (let j = 0; j < filters; j++) sums[j] = times * current[cell * filters + j]!;
    }
    for (let j = 0; j < filters; j++) sums[j]! += times * bias[j]!;
    return sums;
  }

  /** z of one step or of a whole silent window, then V = sat(V + z), then the neuron rule; spikes go to frame `t`. */
  private step(t: number, input: ArrayLike<number> | undefined, start: number, times: number): void {
    const { stage, potential, output } = this;
    const { filters } = stage;
    const neurons = potential.length;
    for (let cell = 0; cell < neurons / filters; cell++) {
      const z = this.input(cell, input, start, times);
      for (let j = 0; j < filters; j++) {
        const i = cell * filters + j;
        potential[i] = saturate((stage.curve ? 0 : potential[i]!) + z[j]!);
        output.spikes[t * neurons + i] = stage.curve ? this.bend(stage.curve, i, j, z[j]!) : this.fire(i, j);
      }
    }
  }

  /** Fires neuron i (channel j), whose activation is a curve, once: by its exact sum, which stays as its potential. */
  private bend(curve: CurveTable, i: number, j: number, sum: number): number {
    const { output, gamma, statistics } = this;
    const wanted = curveCount(curve, j, sum);
    const count = Math.min(Math.max(wanted, -gamma), gamma);
    if (count !== wanted) statistics.clipped++;
    output.counts[i] = count;
    statistics.spikes += Math.abs(count);
    return count;
  }

  /** Fires up to Γ spikes of neuron i (channel j) by the plan's limits: eq. 7 and its relatives; returns their sum. */
  private fire(i: number, j: number): number {
    const { firing, filters } = this.stage;
    const { potential, output, gamma, statistics } = this;
    const row = (r: number) => firing[r * filters + j]!;
    let v = potential[i]!;
    let n = output.counts[i]!;
    let sent = 0;
    for (; ; sent++) {
      const up = v >= (n >= 0 ? row(0) : row(1));
      const down = !up && v <= -(n > 0 ? row(4) : row(5));
      if (!up && !down) break;
      if (sent === gamma) {
        statistics.clipped++;
        break;
      }
      if (up) v -= n >= 0 ? row(2) : row(3);
      else v += n > 0 ? row(6) : row(7);
      n += up ? 1 : -1;
    }
    const net = n - output.counts[i]!;
    potential[i] = v;
    output.counts[i] = n;
    statistics.spikes += sent;
    return net;
  }

  run(step: number, steps: number, input: Output | undefined): void {
    const { stage } = this;
    const cells = stage.height * stage.width * stage.channels;
    if (input) this.countOperations(input, steps);
    if (!stage.fires) return;
    if (isSilent(stage, step)) {
      this.output.spikes.fill(0);
    } else if (takesWindow(stage, step)) {
      this.step(0, input?.counts, 0, step + 1);
    } else {
      for (let t = 0; t < steps; t++) this.step(t, input?.spikes, t * cells, 1);
    }
  }

  private countOperations({ spikes }: Output, steps: number): void {
    const { height, width, channels, reach } = this.stage;
    const cells = height * width;
    for (let t = 0; t < steps; t++) {
      for (let cell = 0; cell < cells; cell++) {
        let unitSpikes = 0;
        for (let c = 0; c < channels; c++) unitSpikes += Math.abs(spikes[(t * cells + cell) * channels + c]!);
        const reached = this.fanRows[Math.floor(cell / width)]! * this.fanColumns[cell % width]! * reach;
        this.statistics.synapticOperations += unitSpikes * reached;
      }
    }
  }

  /** V_T = W·N_in(T) + T·B, by linearity. */
  outputPotential(step: number, input: Output | undefined, potential: Float64Array): void {
    const { outHeight, outWidth, filters } = this.stage;
    for (let cell = 0; cell < outHeight * outWidth; cell++) {
      potential.set(this.input(cell, input?.counts, 0, step), cell * filters);
    }
  }
}

class PoolState {
  readonly stage: PoolStage;
  readonly output: Output;
  /** N of every input cell, and for `gate` its rate estimate, at the step under way. */
  private readonly counts: Int32Array;
  private readonly estimate: Int32Array;
  /** Last 16 spikes of every input cell, for `gate:fir`; slot = step mod 16. */
  private readonly recent: Int8Array;

  constructor(stage: PoolStage, blockLength: number) {
    const cells = stage.height * stage.width * stage.channels;
    this.stage = stage;
    this.output = outputOf(stage, blockLength);
    this.counts = new Int32Array(cells);
    this.estimate =
      stage.rule === 'gate:exp' || stage.rule === 'gate:fir' ? new Int32Array(cells) : this.counts;
    this.recent = new Int8Array(stage.rule === 'gate:fir' ? 16 * cells : 0);
  }

  begin(): void {
    for (const array of [this.output.counts, this.counts, this.estimate, this.recent]) array.fill(0);
  }

  /** Takes one step's spikes into N and the rate estimates. */
  private observe(step: number, spikes: Int8Array, start: number): void {
    const { counts, estimate, recent, stage } = this;
    const slot = (step % 16) * counts.length;
    for (let i = 0; i < counts.length; i++) {
      const s = spikes[start + i]!;
      counts[i]! += s;
      if (stage.rule === 'gate:exp') {
        estimate[i]! += (s << 16) - (estimate[i]! >> 4);
      } else if (stage.rule === 'gate:fir') {
        estimate[i]! += s - recent[slot + i]!;
        recent[slot + i] = s;
      }
    }
  }

  run(step: number, steps: number, input: Output): void {
    const { stage, output, counts } = this;
    const { channels, outHeight, outWidth } = stage;
    const outputs = outHeight * outWidth * channels;
    for (let t = 0; t < steps; t++) {
      const start = t * counts.length;
      this.observe(step + t, input.spikes, start);
      for (let i = 0; i < outputs; i++) {
        const cell = Math.floor(i / channels);
        const best = this.largest(Math.floor(cell / outWidth), cell % outWidth, i % channels);
        // exact: what the cumulative maximum has grown by; gate: the spike of the input with the highest estimate
        const out = stage.rule === 'exact' ? counts[best]! - output.counts[i]! : input.spikes[start + best]!;
        output.spikes[t * outputs + i] = out;
        output.counts[i]! += out;
      }
    }
  }

  /** The window's cell with the largest N or estimate, the first in row-major order if several. */
  private largest(y: number, x: number, channel: number): number {
    const { height, width, channels, size, stride, offset } = this.stage;
    let best = -1;
    for (let ky = 0; ky < size; ky++) {
      const row = y * stride - offset + ky;
      if (row < 0 || row >= height) continue;
      for (let kx = 0; kx < size; kx++) {
        const column = x * stride - offset + kx;
        if (column < 0 || column >= width) continue;
        const cell = (row * width + column) * channels + channel;
        if (best < 0 || this.estimate[cell]! > this.estimate[best]!) best = cell;
      }
    }
    return best;
  }
}

class GatherState {
  readonly stage: GatherStage;
  readonly output: Output;

  constructor(stage: GatherStage, blockLength: number) {
    this.stage = stage;
    this.output = outputOf(stage, blockLength);
  }

  begin(): void {
    this.output.counts.fill(0);
  }

  /** @param channelsOf each input's channels */
  run(steps: number, inputs: readonly Output[], channelsOf: readonly number[]): void {
    const { stage, output } = this;
    const { height, width, outHeight, outWidth, scale, channels, sources, shifts } = stage;
    const outputs = output.counts.length;
    for (let i = 0; i < outputs; i++) {
      const [cell, channel] = [Math.floor(i / channels), i % channels];
      const input = sources[2 * channel]!;
      const shift = shifts[channel]!;
      const row = sourceCell(Math.floor(cell / outWidth), scale, height, (shift & 2) !== 0);
      const column = sourceCell(cell % outWidth, scale, width, (shift & 1) !== 0);
      const from = (row * width + column) * channelsOf[input]! + sources[2 * channel + 1]!;
      output.counts[i] = inputs[input]!.counts[from]!;
      const frame = height * width * channelsOf[input]!;
      for (let t = 0; t < steps; t++)
        output.spikes[t * outHeight * outWidth * channels + i] = inputs[input]!.spikes[t * frame + from]!;
    }
  }
}

/** What an island sends, which is computed outside. */
class IslandState {
  readonly stage: IslandStage;
  readonly output: Output;

  constructor(stage: IslandStage, blockLength: number) {
    this.stage = stage;
    this.output = outputOf(stage, blockLength);
  }

  begin(): void {
    this.output.counts.fill(0);
  }

  silence(): void {
    this.output.spikes.fill(0);
  }

  emit(counts: Int32Array): void {
    this.output.spikes.set(counts);
    this.output.counts.set(counts);
  }
}

type State = ConvolutionState | PoolState | GatherState | IslandState;

function createState(stage: Stage, { gamma, blockLength }: EnginePlan): State {
  if (stage.kind === 'convolution') return new ConvolutionState(stage, gamma, blockLength);
  if (stage.kind === 'island') return new IslandState(stage, blockLength);
  return stage.kind === 'pool' ? new PoolState(stage, blockLength) : new GatherState(stage, blockLength);
}

class ReferenceInstance implements EngineInstance {
  private readonly states: State[];
  private step = 0;

  constructor(plan: EnginePlan) {
    this.states = plan.stages.map((stage) => createState(stage, plan));
  }

  begin(pixels: Uint8Array): void {
    this.step = 0;
    for (const state of this.states) state.begin(pixels);
  }

  run(stage: number, step: number, steps: number): void {
    const state = this.states[stage]!;
    const inputs = inputsOf(state.stage).map((index) => this.states[index]!);
    if (state instanceof GatherState)
      state.run(
        steps,
        inputs.map(({ output }) => output),
        inputs.map((input) => outputShapeOf(input.stage).channels),
      );
    else if (state instanceof IslandState) state.silence();
    else if (state instanceof PoolState) state.run(step, steps, inputs[0]!.output);
    else state.run(step, steps, inputs[0]?.output);
    this.step = step + steps;
  }

  private convolution(stage: number): ConvolutionState {
    const state = this.states[stage];
    if (!(state instanceof ConvolutionState)) throw new RangeError(`stage ${stage} is not a convolution`);
    return state;
  }

  outputPotential(stage: number, target: Float64Array, factors?: Float64Array): void {
    const output = this.convolution(stage);
    output.outputPotential(this.step, this.states[output.stage.input]?.output, target);
    multiplyChannels(target, factors);
  }

  counts(stage: number, target: Int32Array): void {
    target.set(this.states[stage]!.output.counts);
  }

  emit(stage: number, counts: Int32Array): void {
    const state = this.states[stage];
    if (!(state instanceof IslandState)) throw new RangeError(`stage ${stage} is not an island`);
    state.emit(counts);
  }

  state(stage: number): StageState {
    const { output, potential } = this.convolution(stage);
    return { counts: output.counts.slice(), potential: potential.slice() };
  }

  statistics(stage: number): StageStatistics {
    return { ...this.convolution(stage).statistics };
  }

  close(): void {}
}

/** One float convolution in the fixed order that {@link FloatKernels} promises. */
function convolveFloat(convolution: FloatConvolution, input: Float32Array, output: Float32Array): void {
  const {
    height,
    width,
    channels,
    outHeight,
    outWidth,
    filters,
    size,
    stride,
    padding,
    weights,
    bias,
    slope,
    channelwise,
  } = convolution;
  const { fround } = Math;
  const heard = channelwise ? 1 : channels;
  const perFilter = size * size * heard;
  for (let y = 0; y < outHeight; y++) {
    for (let x = 0; x < outWidth; x++) {
      for (let j = 0; j < filters; j++) {
        let sum = 0;
        for (let ky = 0; ky < size; ky++) {
          const row = y * stride - padding + ky;
          if (row < 0 || row >= height) continue;
          for (let kx = 0; kx < size; kx++) {
            const column = x * stride - padding + kx;
            if (column < 0 || column >= width) continue;
            const source = (row * width + column) * channels + (channelwise ? j : 0);
            const target = j * perFilter + (ky * size + kx) * heard;
            for (let c = 0; c < heard; c++)
              sum = fround(sum + fround(weights[target + c]! * input[source + c]!));
          }
        }
        const value = fround(sum + bias[j]!);
        output[(y * outWidth + x) * filters + j] = value > 0 ? value : fround(slope * value);
      }
    }
  }
}

/** The TypeScript back-end: the definition of the other two. */
export const referenceBackend: Backend = {
  name: 'reference',
  isa: 'typescript',
  floatKernels: (convolutions): FloatKernels => ({
    convolve: (index, input, output) => convolveFloat(convolutions[index]!, input, output),
  }),
  instantiate: (plan) => (plan.stream ? new ReferenceStream(plan) : new ReferenceInstance(plan)),
};
