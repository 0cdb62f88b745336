import { denseMultiplications, fanOut } from '../network/shapes.js';
import type { Backend, ConvolutionLoad, EngineInstance, StageState, StageStatistics } from './backend.js';
import { Fnv1a64, updateInt32, updateInt64 } from './checksum.js';
import { digitsOf } from './coding.js';
import { Island } from './island.js';
import { type ConvolutionStage, type EnginePlan, outputShapeOf, takesWindow } from './plan.js';

/** What a run has cost so far; "as sent" means before the pool: a burst of k counted as k, or as digits by the coding `phase`. */
export interface RunStatistics {
  /** Spikes as sent by all firing neurons. */
  spikes: number;
  /** `spikes` ÷ firing neurons. */
  spikesPerNeuron: number;
  /** Synaptic operations after layer 1: spikes after the pool × weights each really reaches. */
  synapticOperations: number;
  /** Synaptic operations ÷ dense multiplications after layer 1. */
  spikesPerNeuronMacWeighted: number;
  /** Neurons held back by Γ, summed over the steps. */
  clipped: number;
  perStage: (StageStatistics & { name: string; neurons: number })[];
}

/** Operations that an event-driven machine would do, as NeuroBench counts them. */
export interface EffectiveOperations {
  accumulates: number;
  multiplyAccumulates: number;
  /** Neurons that sent nothing, of so many. */
  silentActivations: number;
  activations: number;
}

/**
 * Simulates a planned network over time steps in blocks, feed-forward: all steps of a block run through one layer
 * before the next (exact for every block length, since no connection leads back).
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { decodeModel, DEFAULT_RUN_OPTIONS, planEngine, readPhoto, resizePhoto, selectBackend, Simulation } from 'spiking-yolo';
 *
 * const model = decodeModel(readFileSync('models/tiny-yolo-lite-voc.safetensors'));
 * const simulation = new Simulation(planEngine(model, DEFAULT_RUN_OPTIONS), selectBackend().backend);
 * simulation.begin(resizePhoto('stretch', await readPhoto('samples/cat.jpg'), 256, 256));
 * simulation.advanceTo(16);
 * console.log(simulation.state('conv1').counts.length, simulation.checksum().length); // 1048576 16
 * simulation.close();
 * ```
 */
export class Simulation {
  readonly plan: EnginePlan;
  private readonly instance: EngineInstance;
  /** If set, the time that each stage takes is added here, in milliseconds. */
  stageMs: Float64Array | undefined;
  private elapsedSteps = 0;
  private readonly islands = new Map<number, Island>();
  private countBuffer = new Int32Array(0);
  private readonly fans = new Map<ConvolutionStage, { rows: Int32Array; columns: Int32Array }>();
  /** Steps at which a block must end, in ascending order: before and after the step in which a start delay ends. */
  private readonly cuts: number[];

  constructor(plan: EnginePlan, backend: Backend, threads = 1) {
    this.instance = backend.instantiate(plan, threads);
    // back-ends have weights of their own, in an order of their own
    const stages = plan.stages.map((stage) =>
      stage.kind === 'convolution' ? { ...stage, weights: new Int16Array(0) } : stage,
    );
    this.plan = { ...plan, stages };
    for (const [index, stage] of plan.stages.entries())
      if (stage.kind === 'island') this.islands.set(index, new Island(stage, this.instance));
    const delays = plan.stages.flatMap((stage) =>
      stage.kind === 'island' || (stage.kind === 'convolution' && takesWindow(stage, stage.startDelay))
        ? [stage.startDelay, stage.startDelay + 1]
        : [],
    );
    this.cuts = [...new Set(delays)].sort((a, b) => a - b);
  }

  /** Time steps simulated since `begin`. */
  get step(): number {
    return this.elapsedSteps;
  }

  /**
   * Presents a picture, (height, width, channels) bytes, as a constant current: to neurons that start afresh, or, of a stream, to what
   * the last picture left.
   */
  begin(pixels: Uint8Array): void {
    const { stream } = this.plan;
    // what a picture changed is lost if it did not go through all layers
    if (stream && this.elapsedSteps !== stream.steps) this.reset();
    this.instance.begin(pixels);
    // each layer of a stream goes to its last step at once
    this.elapsedSteps = stream ? stream.steps - 1 : 0;
    if (!stream) for (const island of this.islands.values()) island.begin();
  }

  /** Forgets the pictures of a stream: the next one is the first again. */
  reset(): void {
    this.instance.reset?.();
    for (const island of this.islands.values()) island.begin();
  }

  /** Simulates up to time step `target`; `onBlock` is called after each block of steps and may throw to stop. */
  advanceTo(target: number, onBlock?: (step: number) => void): void {
    const { stages, blockLength } = this.plan;
    while (this.elapsedSteps < target) {
      const step = this.elapsedSteps;
      const cut = this.cuts.find((at) => at > step) ?? target;
      const steps = Math.min(blockLength, target - step, cut - step);
      for (let stage = 0; stage < stages.length; stage++) {
        const start = this.stageMs ? performance.now() : 0;
        this.instance.run(stage, step, steps);
        const island = this.islands.get(stage);
        if (island && step === island.stage.startDelay) this.runIsland(stage, island);
        if (this.stageMs) this.stageMs[stage]! += performance.now() - start;
      }
      this.elapsedSteps = step + steps;
      onBlock?.(this.elapsedSteps);
    }
  }

  private runIsland(index: number, island: Island): void {
    // of a stream, what nothing has changed for stays
    if (this.plan.stream && island.ran && island.stage.inputs.every((input) => this.changedIn(input) === 0))
      return;
    for (const [i, input] of island.stage.inputs.entries()) this.instance.counts(input, island.inputs[i]!);
    island.run();
    this.instance.emit(index, island.counts);
  }

  /**
   * Exact potential of an output layer, (H, W, C), by its name, each times its channel's factor if those are given; into `target` if
   * that is.
   */
  outputPotential(name: string, target?: Float64Array, factors?: Float64Array): Float64Array {
    const index = this.plan.stages.findIndex((stage) => stage.name === name);
    const { height, width, channels } = outputShapeOf(this.plan.stages[index]!);
    const potential = target ?? new Float64Array(height * width * channels);
    this.instance.outputPotential(index, potential, factors);
    return potential;
  }

  /**
   * A stage's statistics if counts go out as digits: what was sent is counted from N, once each neuron has fired.
   */
  private sentAsDigits(index: number, { clipped }: StageStatistics): StageStatistics {
    const stage = this.plan.stages[index]!;
    let spikes = 0;
    if (stage.kind !== 'convolution' || stage.fires)
      for (const count of this.countsOf(index)) spikes += digitsOf(count);
    if (stage.kind !== 'convolution' || stage.input < 0) return { spikes, synapticOperations: 0, clipped };
    const synapticOperations = this.received(stage, digitsOf);
    return { spikes, synapticOperations, clipped };
  }

  /** How many rows and columns of a stage's output each of its input's reaches; computed once. */
  private fansOf(stage: ConvolutionStage): { rows: Int32Array; columns: Int32Array } {
    let fans = this.fans.get(stage);
    if (!fans) {
      const rows = fanOut(stage.height, stage.outHeight, stage);
      fans = { rows, columns: fanOut(stage.width, stage.outWidth, stage) };
      this.fans.set(stage, fans);
    }
    return fans;
  }

  /** Σ over what came into a stage of `of`(N) × the weights that it really reaches. */
  private received(stage: ConvolutionStage, of: (count: number) => number): number {
    const counts = this.countsOf(stage.input);
    const { width, channels, reach } = stage;
    const { rows, columns } = this.fansOf(stage);
    let sum = 0;
    for (let cell = 0, at = 0; at < counts.length; cell++) {
      let here = 0;
      for (const end = at + channels; at < end; at++) here += of(counts[at]!);
      sum += here * rows[Math.floor(cell / width)]! * columns[cell % width]! * reach;
    }
    return sum;
  }

  /**
   * Operations of a finished layer-synchronous run as NeuroBench counts them: one for each input that is not 0 and weight that it
   * reaches; accumulates in a layer whose inputs are all −1, 0 or 1, else multiply-accumulates. Layers on the image are left out.
   */
  effectiveOperations(): EffectiveOperations {
    const found = { accumulates: 0, multiplyAccumulates: 0, silentActivations: 0, activations: 0 };
    for (const [index, stage] of this.plan.stages.entries()) {
      if (stage.kind === 'island' || (stage.kind === 'convolution' && stage.fires)) {
        const counts = this.countsOf(index);
        found.activations += counts.length;
        for (const count of counts) if (count === 0) found.silentActivations++;
      }
      if (stage.kind !== 'convolution' || stage.input < 0) continue;
      let binary = true;
      const operations = this.received(stage, (count) => {
        if (Math.abs(count) > 1) binary = false;
        return count === 0 ? 0 : 1;
      });
      found[binary ? 'accumulates' : 'multiplyAccumulates'] += operations;
    }
    return found;
  }

  /** N of what a stage sends, (H, W, C), until the next call. */
  countsOf(index: number): Int32Array {
    const island = this.islands.get(index);
    if (island) return island.counts;
    const { height, width, channels } = outputShapeOf(this.plan.stages[index]!);
    const size = height * width * channels;
    if (this.countBuffer.length < size) this.countBuffer = new Int32Array(size);
    const counts = this.countBuffer.subarray(0, size);
    this.instance.counts(index, counts);
    return counts;
  }

  /** Of a stage of a stream, groups of 4 neighbouring channels of a cell in which a count changed with this picture. */
  changedIn(stage: number): number {
    return this.instance.changed!(stage);
  }

  /** Of a stream, the part of groups of 4 neighbouring channels, over all firing neurons, in which a count changed with this picture. */
  changed(): number {
    let [changed, groups] = [0, 0];
    for (const [index, stage] of this.plan.stages.entries()) {
      if (stage.kind !== 'island' && !(stage.kind === 'convolution' && stage.fires)) continue;
      const { height, width, channels } = outputShapeOf(stage);
      groups += height * width * Math.ceil(channels / 4);
      changed += this.changedIn(index);
    }
    return groups === 0 ? 0 : changed / groups;
  }

  statistics(): RunStatistics {
    const { stream, coding } = this.plan;
    const perStage: RunStatistics['perStage'] = [];
    let spikes = 0;
    let neurons = 0;
    let synapticOperations = 0;
    let multiplications = 0;
    let clipped = 0;
    for (const [index, stage] of this.plan.stages.entries()) {
      const island = this.islands.get(index);
      if (stage.kind !== 'convolution' && !island) continue;
      // of a stream, the back-end knows what has changed
      const asCounted = island && !stream ? { ...island.statistics } : this.instance.statistics(index);
      const statistics = coding === 'phase' && !stream ? this.sentAsDigits(index, asCounted) : asCounted;
      const { height, width, channels } = outputShapeOf(stage);
      const size = stage.kind === 'convolution' && !stage.fires ? 0 : height * width * channels;
      perStage.push({ name: stage.name, neurons: size, ...statistics });
      spikes += statistics.spikes;
      neurons += size;
      clipped += statistics.clipped;
      synapticOperations += statistics.synapticOperations;
      if (stage.kind === 'convolution' && stage.input >= 0) multiplications += denseMultiplications(stage);
    }
    return {
      spikes,
      spikesPerNeuron: neurons === 0 ? 0 : spikes / neurons,
      synapticOperations,
      spikesPerNeuronMacWeighted: multiplications === 0 ? 0 : synapticOperations / multiplications,
      clipped,
      perStage,
    };
  }

  /** What a convolution computed with, and how; undefined if the back-end has no choice. */
  load(stage: number): ConvolutionLoad | undefined {
    return this.instance.load?.(stage);
  }

  /**
   * FNV-1a 64 over the little-endian bytes of every convolution in order: int32 N then int32 V, channel-last; of the
   * output layers V as int64, of an island N. Equal on every back-end.
   */
  checksum(): string {
    const hash = new Fnv1a64();
    for (const [index, stage] of this.plan.stages.entries()) {
      const island = this.islands.get(index);
      if (island) updateInt32(hash, island.counts);
      if (stage.kind !== 'convolution') continue;
      if (!stage.fires) {
        updateInt64(hash, this.outputPotential(stage.name));
        continue;
      }
      const { counts, potential } = this.instance.state(index);
      updateInt32(hash, counts);
      updateInt32(hash, potential);
    }
    return hash.digest();
  }

  /** N and V of a firing stage, by its layer's name; of an island N alone. */
  state(name: string): StageState {
    const index = this.plan.stages.findIndex((stage) => stage.name === name);
    const island = this.islands.get(index);
    if (island) return { counts: island.counts.slice(), potential: new Int32Array(0) };
    return this.instance.state(index);
  }

  close(): void {
    this.instance.close();
  }
}
