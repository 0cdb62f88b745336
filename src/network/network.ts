import type { TensorGraph } from '../tensor/graph.js';
import type { Activation } from './activations.js';

/** Height, width and channels of an activation map, stored channel-last: (H, W, C). */
export interface Shape {
  height: number;
  width: number;
  channels: number;
}

/** A convolution, zero-padded by `padding` cells on each side; `groups` of channels hear their own filters only. */
export interface ConvolutionalLayer {
  kind: 'convolutional';
  name: string;
  inputs: string[];
  filters: number;
  size: number;
  stride: number;
  padding: number;
  groups: number;
  activation: Activation;
  /** Of leaky, where it is not 0.1: of all filters, or of each (PReLU). */
  slope?: number | readonly number[];
}

/** The sum of maps of one shape, element by element, then an activation. */
export interface AddLayer {
  kind: 'add';
  name: string;
  inputs: string[];
  activation: Activation;
  /** Of leaky, where it is not 0.1: of all channels, or of each (PReLU). */
  slope?: number | readonly number[];
}

/** Max-pooling; of `padding` cells in all, ⌊padding/2⌋ lie left and above. Cells outside are no input, not zero. */
export interface MaxPoolLayer {
  kind: 'maxpool';
  name: string;
  inputs: string[];
  size: number;
  stride: number;
  padding: number;
}

/** Each cell repeated `scale` times in both directions. */
export interface UpsampleLayer {
  kind: 'upsample';
  name: string;
  inputs: string[];
  scale: number;
}

/** Channels of maps of one height and width put side by side: runs of `count` channels of input `input` from `first` on. */
export interface WiringLayer {
  kind: 'wiring';
  name: string;
  inputs: string[];
  runs: { input: number; first: number; count: number }[];
}

/** Bilinear upsampling ×2, centres of cells on each other (half-pixel), edges clamped. */
export interface BilinearLayer {
  kind: 'bilinear';
  name: string;
  inputs: string[];
}

/**
 * What is neither neuron nor wiring, as attention or a gate that multiplies: computed in floats from counts, its result
 * rounded to counts (docs/engine.md).
 */
export interface IslandLayer {
  kind: 'island';
  name: string;
  inputs: string[];
  /** Takes the maps of `inputs`, in their order, and puts out one, (1, channels, height, width). */
  graph: TensorGraph;
  height: number;
  width: number;
  channels: number;
}

export type Layer =
  | ConvolutionalLayer
  | AddLayer
  | BilinearLayer
  | IslandLayer
  | MaxPoolLayer
  | UpsampleLayer
  | WiringLayer;

/** Anchor widths and heights. */
export type Anchors = [number, number][];

/** YOLOv2's detection head: per cell and anchor x, y, w, h, objectness and class scores. */
export interface RegionHead {
  kind: 'region';
  /** The output layer that it reads. */
  input: string;
  classes: number;
  /** In cells. */
  anchors: Anchors;
  /** False if class scores are logistic, each for itself, instead of a softmax over the classes. */
  softmax: boolean;
}

/** YOLOv3's and v4's: the same values, classes logistic, boxes by anchors in pixels of the network's input. */
export interface YoloHead {
  kind: 'yolo';
  input: string;
  classes: number;
  /** In pixels of the network's input. */
  anchors: Anchors;
  /** k: centres may lie (k − 1)/2 cells outside their own (`scale_x_y`). */
  scaleXY: number;
}

/** A table of an exported network, which it computes itself (see TensorGraph): rows of scores and boxes, each form as `kind` says. */
export interface TableHead {
  /**
   * `nanodet`: (1, N, C + 4·bins), distributions of distances to left, top, right and bottom; `yolox`: (1, N, 5 + C) with raw
   * boxes; `yolov5`: the same with boxes in pixels; `yolov8`: (1, 4 + C, N) in pixels; `fastestdet`: (1, 5 + C, h, w).
   */
  kind: 'nanodet' | 'yolox' | 'yolov5' | 'yolov8' | 'fastestdet';
  /** The output of the tail. */
  input: string;
  classes: number;
}

export type Head = RegionHead | YoloHead | TableHead;
export const TABLE_HEADS: readonly TableHead['kind'][] = [
  'nanodet',
  'yolox',
  'yolov5',
  'yolov8',
  'fastestdet',
];

/** True for a head that reads a table behind the output layers. */
export const isTableHead = (head: Head): head is TableHead =>
  (TABLE_HEADS as readonly string[]).includes(head.kind);

/** A directed acyclic graph of layers, inputs first, and the heads that read it; `image` stands for the network's input. */
export interface Network {
  input: Shape;
  layers: Layer[];
  /** What an exported network computes behind its output layers; heads then read what comes out of it. */
  tail?: TensorGraph;
  heads: Head[];
}

/** The name under which layers take the network's input. */
export const IMAGE = 'image';

/** Names of the output layers, which the tail or heads read, in their order. */
export const outputNames = ({ heads, tail }: Network): string[] =>
  tail ? tail.inputs : [...new Set(heads.map(({ input }) => input))];

/** Geometry of a convolution: (height, width, channels) → (outHeight, outWidth, filters). */
export interface ConvolutionGeometry {
  height: number;
  width: number;
  channels: number;
  outHeight: number;
  outWidth: number;
  filters: number;
  size: number;
  stride: number;
  padding: number;
}
