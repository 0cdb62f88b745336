import type { ConvolutionGeometry } from '../network/network.js';
import type { Loops } from '../tensor/operators.js';
import type { EnginePlan } from './plan.js';

/** `native`: C++ addon; `wasm`: AssemblyScript; `reference`: TypeScript, the definition of the other two. */
export type BackendName = 'native' | 'wasm' | 'reference';

/** One convolution of the float network, batch-normalisation folded in. */
export interface FloatConvolution extends ConvolutionGeometry {
  /** True if filter j hears channel j alone. */
  channelwise: boolean;
  /** (filters, size, size, channels), or channelwise (filters, size, size). */
  weights: Float32Array;
  /** (filters). */
  bias: Float32Array;
  /** Slope of the activation's negative side, float32. */
  slope: number;
}

/**
 * Float convolutions prepared on a back-end. Every sum runs in the order (row, column, channel) of the kernel,
 * each product and each sum rounded to float32, cells outside the border left out, the bias added last: the same
 * bits on every back-end.
 */
export interface FloatKernels {
  /** input (height, width, channels) → output (outHeight, outWidth, filters), activation applied. */
  convolve(index: number, input: Float32Array, output: Float32Array): void;
}

/** What one stage has done since `begin`. */
export interface StageStatistics {
  /** Spikes sent (before the pool), a burst of k counted as k. */
  spikes: number;
  /** Synaptic operations received: unit spikes × the weights each really reaches. 0 for a stage on the image. */
  synapticOperations: number;
  /** Neurons that would have fired more than Γ spikes in some step (docs/engine.md), summed over the steps. */
  clipped: number;
}

/**
 * What a convolution had to compute with over all blocks of steps, sampled: words (4 bytes of channels) by steps, for
 * each group of 16 filters and each output cell that a word reaches.
 */
export interface ConvolutionLoad {
  /** All of them, in whole tiles of steps. */
  everyWord: number;
  /** Those in tiles where the word is not silent. */
  dense: number;
  /** Those that are not silent. */
  events: number;
  /** Cells by steps that are not silent, for each tile of filters. */
  lists: number;
  blocks: number;
  /** Blocks for which computing step by step was chosen. */
  eventBlocks: number;
}

/** Cumulative counts N and membrane potentials V of a stage, each (outHeight, outWidth, filters). */
export interface StageState {
  counts: Int32Array;
  potential: Int32Array;
}

/**
 * The state of one network of integrate-and-fire neurons on a back-end. Of a stream (`plan.stream`), counts are kept from picture to
 * picture: `begin` shows the next one, each stage runs its last step alone, and statistics are of what has changed.
 */
export interface EngineInstance {
  /** Resets every neuron and sets the constant input; pixels (height, width, channels) bytes. */
  begin(pixels: Uint8Array): void;
  /** Forgets the pictures of a stream; absent if the plan is of none. */
  reset?(): void;
  /** Of a stage of a stream, groups of 4 neighbouring channels of a cell in which a count changed with this picture. */
  changed?(stage: number): number;
  /**
   * Runs one stage over the steps `step`+1 … `step`+`steps` (at most the plan's blockLength). Stages run in order,
   * and so do the steps of each; a step in which a start delay ends must come alone.
   */
  run(stage: number, step: number, steps: number): void;
  /**
   * Exact potential of a non-firing output layer at the current step into (H, W, C): V = W·N_in + T·B, in float64; each times its
   * channel's factor, (C), if those are given.
   */
  outputPotential(stage: number, target: Float64Array, factors?: Float64Array): void;
  /** Cumulative counts that any stage but an output layer has sent, into (outHeight, outWidth, channels). */
  counts(stage: number, target: Int32Array): void;
  /** Sends an island's counts in the step that has just been run (alone), (outHeight, outWidth, channels), each up to ±127. */
  emit(stage: number, counts: Int32Array): void;
  /** A product of matrices, where the back-end has instructions for it: see {@link Loops}. */
  multiply?: Loops['multiply'];
  /** A copy of a convolution's state that fires. */
  state(stage: number): StageState;
  statistics(stage: number): StageStatistics;
  /** What a convolution computed with, and how (the native back-end, where the plan does not force it). */
  load?(stage: number): ConvolutionLoad;
  /** Frees what the garbage collector would free later. The instance must not be used afterwards. */
  close(): void;
}

/** An implementation of the kernels. All of them emit the same spikes and the same floats, bit for bit. */
export interface Backend {
  readonly name: BackendName;
  /** Instruction set in use, e.g. `avx2`, `neon`, `simd128`, `typescript`. */
  readonly isa: string;
  floatKernels(convolutions: readonly FloatConvolution[]): FloatKernels;
  /** @param threads that share the rows of a layer (default 1; native only: the others take one a photo) */
  instantiate(plan: EnginePlan, threads?: number): EngineInstance;
}
