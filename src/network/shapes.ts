import { conversionError } from '../errors.js';
import { type ConvolutionGeometry, IMAGE, type Layer, type Network, type Shape } from './network.js';

/** Most values that the maps of a network may hold: 2^27 of them take some 5 GB when they spike. */
const MAX_ELEMENTS = 2 ** 27;
const MAX_LAYERS = 500;

const outputExtent = (extent: number, padding: number, size: number, stride: number) =>
  Math.floor((extent + padding - size) / stride) + 1;

function outputShape(layer: Layer, input: Shape): Shape {
  switch (layer.kind) {
    case 'convolutional': {
      const { size, stride, padding, filters } = layer;
      return {
        height: outputExtent(input.height, 2 * padding, size, stride),
        width: outputExtent(input.width, 2 * padding, size, stride),
        channels: filters,
      };
    }
    case 'maxpool': {
      const { size, stride, padding } = layer;
      return {
        height: outputExtent(input.height, padding, size, stride),
        width: outputExtent(input.width, padding, size, stride),
        channels: input.channels,
      };
    }
    case 'region':
      return input;
  }
}

/** True if each pooling window along one axis holds at least one real cell. */
function windowsHoldCells(extent: number, outExtent: number, size: number, stride: number, before: number) {
  const lastStart = (outExtent - 1) * stride - before;
  return size - before > 0 && lastStart < extent;
}

/** Adds a layer's output shape to those of the layers before it; throws `CONVERSION`, see {@link inferShapes}. */
export function addShape(shapes: Map<string, Shape>, layer: Layer): void {
  const input = shapes.get(layer.inputs[0] ?? '');
  if (layer.inputs.length !== 1 || !input) {
    throw conversionError(
      `layer ${layer.name}: takes exactly one earlier layer as input, found "${layer.inputs.join(', ').slice(0, 100)}"`,
    );
  }
  if (shapes.has(layer.name)) throw conversionError(`layer ${layer.name}: two layers have this name`);
  const shape = outputShape(layer, input);
  const { height, width, channels } = shape;
  if (!(height >= 1 && width >= 1 && channels >= 1 && height * width * channels <= MAX_ELEMENTS)) {
    throw conversionError(
      `layer ${layer.name}: its output would be ${height}×${width}×${channels} (from ${input.height}×${input.width}×${input.channels}); expected 1 to ${MAX_ELEMENTS} values`,
    );
  }
  if (layer.kind === 'maxpool') {
    const before = Math.floor(layer.padding / 2);
    if (
      !windowsHoldCells(input.height, height, layer.size, layer.stride, before) ||
      !windowsHoldCells(input.width, width, layer.size, layer.stride, before)
    ) {
      throw conversionError(`layer ${layer.name}: a pooling window would hold no real cell`);
    }
  }
  if (layer.kind === 'region') {
    const expected = layer.anchors.length * (5 + layer.classes);
    if (channels !== expected) {
      throw conversionError(
        `layer ${layer.name}: ${layer.anchors.length} anchors × (5 + ${layer.classes} classes) need ${expected} channels, the layer before it has ${channels}`,
      );
    }
  }
  shapes.set(layer.name, shape);
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
