import { conversionError, reasonOf } from '../errors.js';
import {
  type ConvolutionGeometry,
  type Head,
  IMAGE,
  isTableHead,
  type Layer,
  type Network,
  outputNames,
  type Shape,
} from './network.js';
import { operatorOf } from './ops/index.js';

/** Most values that the maps of a network may hold: 2^27 of them take some 5 GB when they spike. */
const MAX_ELEMENTS = 2 ** 27;
const MAX_LAYERS = 1000;

/** Adds a layer's output shape to those of the layers before it; throws `CONVERSION`, see {@link inferShapes}. */
export function addShape(shapes: Map<string, Shape>, layer: Layer): void {
  const inputs = layer.inputs.map((name) => {
    const input = shapes.get(name);
    if (!input)
      throw conversionError(`layer ${layer.name}: takes "${name.slice(0, 100)}", which is no earlier layer`);
    return input;
  });
  // an island without inputs stands for what comes from elsewhere; no file holds one
  if (inputs.length === 0 && layer.kind !== 'island')
    throw conversionError(`layer ${layer.name}: takes no layer as its input`);
  if (shapes.has(layer.name)) throw conversionError(`layer ${layer.name}: two layers have this name`);
  let shape: Shape;
  try {
    shape = operatorOf(layer).shape(layer, inputs);
  } catch (error) {
    throw conversionError(`layer ${layer.name}: ${reasonOf(error)}`, error);
  }
  const { height, width, channels } = shape;
  if (!(height >= 1 && width >= 1 && channels >= 1 && height * width * channels <= MAX_ELEMENTS)) {
    const [input] = inputs;
    throw conversionError(
      `layer ${layer.name}: its output would be ${height}×${width}×${channels} (from ${input!.height}×${input!.width}×${input!.channels}); expected 1 to ${MAX_ELEMENTS} values`,
    );
  }
  shapes.set(layer.name, shape);
}

/** Throws `CONVERSION` unless a head finds the channels that it reads. */
export function checkHead(shapes: ReadonlyMap<string, Shape>, head: Head): void {
  if (isTableHead(head)) return;
  const shape = shapes.get(head.input);
  if (!shape)
    throw conversionError(`the ${head.kind} head reads "${head.input.slice(0, 100)}", which is no layer`);
  const expected = head.anchors.length * (5 + head.classes);
  if (shape.channels !== expected) {
    throw conversionError(
      `the ${head.kind} head: ${head.anchors.length} anchors × (5 + ${head.classes} classes) need ${expected} channels, the layer before it has ${shape.channels}`,
    );
  }
}

/**
 * Shapes of all activation maps by layer name, `image` included.
 * Throws `CONVERSION` where a layer has no input, no output, or a pooling window without a real cell, and for a network
 * that is too large altogether.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { inferShapes, parseCfg } from 'spiking-yolo';
 *
 * const { network } = parseCfg(readFileSync('models/darknet/tiny-yolo-lite-voc.cfg', 'utf8'));
 * console.log(inferShapes(network).get('conv7').channels); // 125
 * ```
 */
export function inferShapes(network: Network): Map<string, Shape> {
  const shapes = new Map<string, Shape>([[IMAGE, network.input]]);
  if (network.layers.length > MAX_LAYERS) {
    throw conversionError(
      `the network has ${network.layers.length} layers; at most ${MAX_LAYERS} are supported`,
    );
  }
  for (const layer of network.layers) addShape(shapes, layer);
  let total = 0;
  for (const { height, width, channels } of shapes.values())
    total += height * width * Math.ceil(channels / 16) * 16;
  if (total > MAX_ELEMENTS) {
    throw conversionError(
      `the network has ${total} values on all its maps together; at most ${MAX_ELEMENTS} are supported`,
    );
  }
  return shapes;
}

/**
 * Throws `CONVERSION` unless the engine can run a network: heads read linear convolutions that nothing else reads, and no
 * layer without neurons reads the image.
 */
export function checkStructure(network: Network): void {
  const shapes = inferShapes(network);
  const { heads, layers } = network;
  if (heads.length === 0) throw conversionError('the network has no head');
  for (const head of heads) {
    if (
      isTableHead(head) !== (network.tail !== undefined) ||
      (network.tail && !network.tail.outputs.includes(head.input))
    )
      throw conversionError(`the ${head.kind} head does not read what the network puts out`);
  }
  for (const head of heads) checkHead(shapes, head);
  for (const name of outputNames(network)) {
    const output = layers.find((layer) => layer.name === name);
    if (output?.kind !== 'convolutional' || output.activation !== 'linear')
      throw conversionError(`layer ${name}: what a head reads must be a linear convolution`);
    const other = layers.find(({ inputs }) => inputs.includes(name));
    if (other)
      throw conversionError(`layer ${other.name}: takes ${name}, which a head reads and which does not fire`);
  }
  for (const layer of layers) {
    if (layer.kind !== 'convolutional' && layer.inputs.includes(IMAGE))
      throw conversionError(`layer ${layer.name}: only convolutions may take the image`);
  }
}

/** How many output cells each input cell reaches along one axis. */
export function fanOut(
  extent: number,
  outExtent: number,
  { size, stride, padding }: { size: number; stride: number; padding: number },
): Int32Array {
  const fan = new Int32Array(extent);
  for (let out = 0; out < outExtent; out++) {
    for (let k = 0; k < size; k++) {
      const cell = out * stride - padding + k;
      if (cell >= 0 && cell < extent) fan[cell]!++;
    }
  }
  return fan;
}

/**
 * Multiply-accumulates of a dense pass, without the weights that fall outside the border; `reach` is how many filters an
 * input reaches at an output cell.
 */
export function denseMultiplications(geometry: ConvolutionGeometry & { reach: number }): number {
  const { height, width, channels, outHeight, outWidth, reach } = geometry;
  const sum = (fan: Int32Array) => fan.reduce((total, value) => total + value, 0);
  const rows = sum(fanOut(height, outHeight, geometry));
  const columns = sum(fanOut(width, outWidth, geometry));
  return rows * columns * channels * reach;
}
