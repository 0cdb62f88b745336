import type { Layer, Shape } from '../network.js';

/** A map of floats, (height, width, channels). */
export interface FloatMap extends Shape {
  values: Float32Array;
}

/** A channel of one of a layer's inputs. */
export interface Wire {
  /** Place among the layer's inputs. */
  input: number;
  channel: number;
}

/** What the neurons of a layer hear: filter j at each output cell so many values, in the order of its weights. */
export interface Synapses {
  filters: number;
  /** Weights of a filter: (size, size, heard). */
  perFilter: number;
  /** Channels that a filter hears at each place of its kernel. */
  heard: number;
  /** The wire that value i of filter j comes in on. */
  wireOf(j: number, i: number): Wire;
  /** Its weight, where that is not trained. */
  weightOf?(j: number, i: number): number;
}

/** What a kind of layer is: one file of this folder each. A layer either has synapses (neurons) or wires (wiring). */
export interface Operator<L extends Layer> {
  /** True if the fields of a layer of this kind, read from a file, are what they must be. */
  isValid(layer: L): boolean;
  /** Shape of the output; throws `CONVERSION`, saying what does not fit. */
  shape(layer: L, inputs: readonly Shape[]): Shape;
  /** What comes into the neurons of a layer; undefined if it has none. */
  synapses?(layer: L, inputs: readonly Shape[]): Synapses;
  /** The input channel that each output channel carries, of a layer without neurons. */
  wires?(layer: L, inputs: readonly Shape[]): Wire[];
  /** The float network's pass; convolutions are computed by a back-end instead. */
  forward?(layer: L, inputs: readonly FloatMap[], output: FloatMap): void;
}

export const isWholeNumber = (value: unknown, min: number, max: number): boolean =>
  Number.isInteger(value) && (value as number) >= min && (value as number) <= max;

export const outputExtent = (extent: number, padding: number, size: number, stride: number): number =>
  Math.floor((extent + padding - size) / stride) + 1;
