/** Height, width and channels of an activation map, stored channel-last: (H, W, C). */
export interface Shape {
  height: number;
  width: number;
  channels: number;
}

/** leaky: max(x, 0.1·x); linear: x; relu: max(x, 0). */
export type Activation = 'leaky' | 'linear' | 'relu';

/** Slope α of an activation's negative side (paper section 3.3, eq. 7). */
export const negativeSlope: Record<Activation, number> = { leaky: 0.1, linear: 1, relu: 0 };

/** A convolution, zero-padded by `padding` cells on each side. */
export interface ConvolutionalLayer {
  kind: 'convolutional';
  name: string;
  inputs: string[];
  filters: number;
  size: number;
  stride: number;
  padding: number;
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

/** YOLOv2's detection head: per cell and anchor x, y, w, h, objectness and class scores. */
export interface RegionLayer {
  kind: 'region';
  name: string;
  inputs: string[];
  classes: number;
  /** Anchor widths and heights, in cells. */
  anchors: [number, number][];
  /** False if class scores are logistic, each for itself, instead of a softmax over the classes. */
  softmax?: boolean;
}

export type Layer = ConvolutionalLayer | MaxPoolLayer | RegionLayer;

/** A directed acyclic graph of layers; the name `image` stands for the network's input. */
export interface Network {
  input: Shape;
  layers: Layer[];
}

/** The name under which layers take the network's input. */
export const IMAGE = 'image';

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
