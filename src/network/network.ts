/** Height, width and channels of an activation map, stored channel-last: (H, W, C). */
export interface Shape {
  height: number;
  width: number;
  channels: number;
}

/** leaky: max(x, α·x), α = 0.1 unless the layer names another; linear: x; relu: max(x, 0). */
export type Activation = 'leaky' | 'linear' | 'relu';

const NEGATIVE_SLOPES: Record<Activation, number> = { leaky: 0.1, linear: 1, relu: 0 };
export const ACTIVATIONS = Object.keys(NEGATIVE_SLOPES) as Activation[];

/** Slope α of an activation's negative side (paper section 3.3, eq. 7). */
export const negativeSlope = (activation: Activation): number => NEGATIVE_SLOPES[activation];

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
}

/** The sum of maps of one shape, element by element, then an activation. */
export interface AddLayer {
  kind: 'add';
  name: string;
  inputs: string[];
  activation: Activation;
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

export type Layer = ConvolutionalLayer | AddLayer | MaxPoolLayer | UpsampleLayer | WiringLayer;

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

export type Head = RegionHead | YoloHead;

/** A directed acyclic graph of layers, inputs first, and the heads that read it; `image` stands for the network's input. */
export interface Network {
  input: Shape;
  layers: Layer[];
  heads: Head[];
}

/** The name under which layers take the network's input. */
export const IMAGE = 'image';

/** Names of the output layers, which heads read, in the order of the heads. */
export const outputNames = ({ heads }: Network): string[] => [...new Set(heads.map(({ input }) => input))];

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
