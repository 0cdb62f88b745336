/** The definition of streams (docs/engine.md): counts and sums that are kept from picture to picture, and what changes of them. */

import { fanOut } from '../network/shapes.js';
import type { EngineInstance, StageState, StageStatistics } from './backend.js';
import { digitsOf } from './coding.js';
import { curvePart } from './curve.js';
import { multiplyChannels } from './factors.js';
import {
  type ConvolutionStage,
  type EnginePlan,
  type GatherStage,
  inputsOf,
  LAYERED_STEPS,
  NEVER,
  outputShapeOf,
  type PoolStage,
  type Stage,
  saturate,
  sourceCell,
} from './plan.js';

/** Channels of a cell whose changes are counted together. */
const GROUP = 4;

/** Numbers that are kept, (height, width, channels), and by how much the last picture changed each. */
class Kept {
  readonly values: Int32Array;
  readonly changes: Int32Array;
  private readonly channels: number;

  constructor({ height, width, channels }: { height: number; width: number; channels: number }) {
    this.values = new Int32Array(height * width * channels);
    this.changes = new Int32Array(height * width * channels);
    this.channels = channels;
  }

  put(i: number, value: number): void {
    this.changes[i] = value - this.values[i]!;
    this.values[i] = value;
  }

  /** Groups of neighbouring channels in which something changed. */
  changedGroups(): number {
    const { changes, channels } = this;
    let groups = 0;
    for (let cell = 0; cell < changes.length; cell += channels)
      for (let c = 0; c < channels; c += GROUP)
        if (changes.subarray(cell + c, cell + Math.min(c + GROUP, channels)).some((change) => change !== 0))
          groups++;
    return groups;
  }
}

/** Adds W·Δ to the sums of a convolution, for every change Δ of its input. */
function addChanges(stage: ConvolutionStage, changes: Int32Array, sums: Float64Array): void {
  const { width, channels, outHeight, outWidth, filters, size, stride, padding, weights, channelwise } =
    stage;
  const heard = channelwise ? channels / filters : channels;
  for (let i = 0; i < changes.length; i++) {
    const change = changes[i]!;
    if (change === 0) continue;
    const [cell, c] = [Math.floor(i / channels), i % channels];
    const [row, column] = [Math.floor(cell / width), cell % width];
    for (let ky = 0; ky < size; ky++) {
      const y = (row + padding - ky) / stride;
      if (!Number.isInteger(y) || y < 0 || y >= outHeight) continue;
      for (let kx = 0; kx < size; kx++) {
        const x = (column + padding - kx) / stride;
        if (!Number.isInteger(x) || x < 0 || x >= outWidth) continue;
        const target = (y * outWidth + x) * filters;
        const weight = (j: number, from: number) => weights[((j * size + ky) * size + kx) * heard + from]!;
        if (channelwise)
          sums[target + (c % filters)]! += weight(c % filters, Math.floor(c / filters)) * change;
        else for (let j = 0; j < filters; j++) sums[target + j]! += weight(j, c) * change;
      }
    }
  }
}

/** Sums S of neurons, exact, and the counts N that they send. */
class ConvolutionState {
  readonly stage: ConvolutionStage;
  readonly output: Kept;
  /** S = T·B + Σ W·N; of a stage on the image z = B + Σ W·p, (outHeight, outWidth, filters). */
  private readonly sums: Float64Array;
  private readonly steps: number;
  private readonly hold: number;
  private fresh = true;

  constructor(stage: ConvolutionStage, { steps, hold }: NonNullable<EnginePlan['stream']>) {
    this.stage = stage;
    this.steps = steps;
    this.hold = hold;
    this.output = new Kept(stage.fires ? outputShapeOf(stage) : { height: 0, width: 0, channels: 1 });
    this.sums = new Float64Array(stage.outHeight * stage.outWidth * stage.filters);
    this.reset();
  }

  reset(): void {
    const { stage, sums, steps } = this;
    const times = stage.input < 0 ? 1 : steps;
    for (let i = 0; i < sums.length; i++) sums[i] = times * stage.bias[i % stage.filters]!;
    this.output.values.fill(0);
    this.fresh = true;
  }

  run(changes: Int32Array): void {
    const { stage, output } = this;
    addChanges(stage, changes, this.sums);
    for (let i = 0; i < output.values.length; i++) output.put(i, stage.curve ? this.bend(i) : this.fire(i));
    this.fresh = false;
  }

  /** The whole input of a neuron. */
  private total(i: number): number {
    return this.stage.input < 0 ? this.steps * this.sums[i]! : this.sums[i]!;
  }

  /** Row r of what neuron i fires by: its amounts, or the limits at which it holds its count no longer. */
  private row(rows: Int32Array, r: number, i: number): number {
    const { filters } = this.stage;
    return rows[r * filters + (i % filters)]!;
  }

  /** What N spikes have taken from neuron i. */
  private taken(i: number, n: number): number {
    return n * this.row(this.stage.firing, n >= 0 ? 2 : 7, i);
  }

  private fire(i: number): number {
    const { firing, hold } = this.stage;
    const count = this.output.values[i]!;
    // one that never fires down is at 0 where its input is negative
    const never = this.row(firing, 5, i) === NEVER;
    const sum = saturate(never ? Math.max(this.total(i), 0) : this.total(i));
    const left = sum - this.taken(i, count);
    const up = left >= this.row(hold!, count >= 0 ? 0 : 1, i);
    const down = left <= -this.row(hold!, count > 0 ? 2 : 3, i);
    if (!this.fresh && !up && !down) return count;
    let n = 0;
    while (n < LAYERED_STEPS && n >= 0 && sum - this.taken(i, n) >= this.row(firing, 0, i)) n++;
    while (n > -LAYERED_STEPS && n <= 0 && sum - this.taken(i, n) <= -this.row(firing, 5, i)) n--;
    return n;
  }

  private bend(i: number): number {
    const count = this.output.values[i]!;
    const most = 256 * LAYERED_STEPS;
    const part = curvePart(this.stage.curve!, i % this.stage.filters, this.total(i));
    const x = Math.min(Math.max(part, -most), most);
    if (!this.fresh && x - 256 * count >= -this.hold && x - 256 * count < this.hold) return count;
    return Math.floor((x + 128) / 256);
  }

  potential(): Int32Array {
    return this.output.values.map((count, i) => {
      const sum = saturate(this.total(i));
      return this.stage.curve ? sum : sum - this.taken(i, count);
    });
  }

  outputPotential(target: Float64Array): void {
    for (let i = 0; i < target.length; i++) target[i] = this.total(i);
  }
}

/** The largest count of each window. */
class PoolState {
  readonly stage: PoolStage;
  readonly output: Kept;

  constructor(stage: PoolStage) {
    this.stage = stage;
    this.output = new Kept(outputShapeOf(stage));
  }

  reset(): void {
    this.output.values.fill(0);
  }

  run({ values }: Kept): void {
    const { height, width, channels, outHeight, outWidth, size, stride, offset } = this.stage;
    for (let y = 0, i = 0; y < outHeight; y++) {
      for (let x = 0; x < outWidth; x++) {
        for (let c = 0; c < channels; c++, i++) {
          let largest = -Infinity;
          for (let row = y * stride - offset; row < y * stride - offset + size; row++)
            for (let column = x * stride - offset; column < x * stride - offset + size; column++)
              if (row >= 0 && row < height && column >= 0 && column < width)
                largest = Math.max(largest, values[(row * width + column) * channels + c]!);
          this.output.put(i, largest);
        }
      }
    }
  }
}

/** Counts that change their places. */
class GatherState {
  readonly stage: GatherStage;
  readonly output: Kept;

  constructor(stage: GatherStage) {
    this.stage = stage;
    this.output = new Kept(outputShapeOf(stage));
  }

  reset(): void {
    this.output.values.fill(0);
  }

  run(inputs: readonly Kept[], channelsOf: readonly number[]): void {
    const { height, width, outWidth, scale, channels, sources, shifts } = this.stage;
    for (let i = 0; i < this.output.values.length; i++) {
      const [cell, channel] = [Math.floor(i / channels), i % channels];
      const input = sources[2 * channel]!;
      const shift = shifts[channel]!;
      const row = sourceCell(Math.floor(cell / outWidth), scale, height, (shift & 2) !== 0);
      const column = sourceCell(cell % outWidth, scale, width, (shift & 1) !== 0);
      const from = (row * width + column) * channelsOf[input]! + sources[2 * channel + 1]!;
      this.output.put(i, inputs[input]!.values[from]!);
    }
  }
}

/** What an island sends, which is computed outside. */
class IslandState {
  readonly stage: Stage;
  readonly output: Kept;

  constructor(stage: Stage) {
    this.stage = stage;
    this.output = new Kept(outputShapeOf(stage));
  }

  reset(): void {
    this.output.values.fill(0);
  }

  silence(): void {
    this.output.changes.fill(0);
  }

  emit(counts: Int32Array): void {
    for (let i = 0; i < counts.length; i++) this.output.put(i, counts[i]!);
  }
}

type State = ConvolutionState | PoolState | GatherState | IslandState;

export class ReferenceStream implements EngineInstance {
  private readonly states: State[];
  private readonly image: Kept;
  private readonly spikesOf: (change: number) => number;

  constructor(plan: EnginePlan) {
    this.spikesOf = plan.coding === 'phase' ? digitsOf : Math.abs;
    this.states = plan.stages.map((stage) => {
      if (stage.kind === 'convolution') return new ConvolutionState(stage, plan.stream!);
      if (stage.kind === 'pool') return new PoolState(stage);
      return stage.kind === 'gather' ? new GatherState(stage) : new IslandState(stage);
    });
    const onImage = plan.stages.find((stage) => stage.kind === 'convolution' && stage.input < 0);
    this.image = new Kept(onImage?.kind === 'convolution' ? onImage : { height: 0, width: 0, channels: 1 });
  }

  reset(): void {
    this.image.values.fill(0);
    for (const state of this.states) state.reset();
  }

  begin(pixels: Uint8Array): void {
    for (let i = 0; i < pixels.length; i++) this.image.put(i, pixels[i]!);
  }

  run(stage: number): void {
    const state = this.states[stage]!;
    const inputs = inputsOf(state.stage).map((index) => this.states[index]!);
    if (state instanceof ConvolutionState) state.run((inputs[0]?.output ?? this.image).changes);
    else if (state instanceof PoolState) state.run(inputs[0]!.output);
    else if (state instanceof IslandState) state.silence();
    else
      state.run(
        inputs.map(({ output }) => output),
        inputs.map((input) => outputShapeOf(input.stage).channels),
      );
  }

  private convolution(stage: number): ConvolutionState {
    const state = this.states[stage];
    if (!(state instanceof ConvolutionState)) throw new RangeError(`stage ${stage} is not a convolution`);
    return state;
  }

  outputPotential(stage: number, target: Float64Array, factors?: Float64Array): void {
    this.convolution(stage).outputPotential(target);
    multiplyChannels(target, factors);
  }

  counts(stage: number, target: Int32Array): void {
    target.set(this.states[stage]!.output.values);
  }

  emit(stage: number, counts: Int32Array): void {
    const state = this.states[stage];
    if (!(state instanceof IslandState)) throw new RangeError(`stage ${stage} is not an island`);
    state.emit(counts);
  }

  state(stage: number): StageState {
    const state = this.convolution(stage);
    return { counts: state.output.values.slice(), potential: state.potential() };
  }

  changed(stage: number): number {
    return this.states[stage]!.output.changedGroups();
  }

  statistics(index: number): StageStatistics {
    const { stage, output } = this.states[index]!;
    const spikes = output.changes.reduce((sum, change) => sum + this.spikesOf(change), 0);
    if (stage.kind !== 'convolution' || stage.input < 0) return { spikes, synapticOperations: 0, clipped: 0 };
    const { height, width, channels, outHeight, outWidth, reach } = stage;
    const [rows, columns] = [fanOut(height, outHeight, stage), fanOut(width, outWidth, stage)];
    let synapticOperations = 0;
    const { changes } = this.states[stage.input]!.output;
    for (let i = 0; i < changes.length; i++) {
      if (changes[i] === 0) continue;
      const cell = Math.floor(i / channels);
      const reached = rows[Math.floor(cell / width)]! * columns[cell % width]! * reach;
      synapticOperations += this.spikesOf(changes[i]!) * reached;
    }
    return { spikes, synapticOperations, clipped: 0 };
  }

  close(): void {}
}
