import type { Backend, FloatConvolution, FloatKernels } from '../engine/backend.js';
import {
  type ConvolutionalLayer,
  IMAGE,
  type Layer,
  type MaxPoolLayer,
  type Network,
  negativeSlope,
  type Shape,
} from './network.js';
import type { FoldedParameters } from './parameters.js';
import { inferShapes } from './shapes.js';

/** Called with a convolution's activation (H, W, C), after the activation function and before any pool. */
export type ActivationObserver = (layer: ConvolutionalLayer, activation: Float32Array) => void;

/** The float network (ANN): the target of the spiking one, and the source of its λ. */
export interface FloatNetwork {
  readonly network: Network;
  /** pixels (height, width, 3), 0..255 → output map (H, W, C), reused by the next call. */
  forward(pixels: ArrayLike<number>, observe?: ActivationObserver): Float32Array;
}

/**
 * Prepares the float network on a back-end; batch-normalisation must be folded in.
 *
 * @example
 * ```ts
 * import { createFloatNetwork, loadDarknet, readPhoto, resizePhoto, selectBackend } from 'spiking-yolo';
 *
 * const { network, parameters } = await loadDarknet({
 *   cfg: 'models/darknet/tiny-yolo-lite-voc.cfg',
 *   weights: 'models/darknet/tiny-yolo-lite-voc.weights',
 *   names: 'models/darknet/voc.names',
 * });
 * const floatNetwork = createFloatNetwork(network, parameters, selectBackend().backend);
 * const pixels = resizePhoto('stretch', await readPhoto('samples/cat.jpg'), 256, 256);
 * const map = floatNetwork.forward(pixels, (layer, activation) => {
 *   if (layer.name === 'conv1') console.log(activation.length); // 1048576
 * });
 * console.log(map.length); // 8000
 * ```
 */
export function createFloatNetwork(
  network: Network,
  parameters: FoldedParameters,
  backend: Backend,
): FloatNetwork {
  const shapes = inferShapes(network);
  const convolutions: FloatConvolution[] = [];
  const indexOf = new Map<string, number>();
  for (const layer of network.layers) {
    if (layer.kind !== 'convolutional') continue;
    const input = shapes.get(layer.inputs[0]!)!;
    const output = shapes.get(layer.name)!;
    const { weights, bias } = parameters.get(layer.name)!;
    indexOf.set(layer.name, convolutions.length);
    convolutions.push({
      ...input,
      outHeight: output.height,
      outWidth: output.width,
      filters: layer.filters,
      size: layer.size,
      stride: layer.stride,
      padding: layer.padding,
      weights,
      bias,
      slope: Math.fround(negativeSlope[layer.activation]),
    });
  }
  const kernels: FloatKernels = backend.floatKernels(convolutions);
  const maps = new Map<string, Float32Array>();
  for (const [name, { height, width, channels }] of shapes)
    maps.set(name, new Float32Array(height * width * channels));
  const last = network.layers.findLast((layer): layer is Layer => layer.kind !== 'region')!;

  return {
    network,
    forward(pixels, observe) {
      const image = maps.get(IMAGE)!;
      for (let i = 0; i < image.length; i++) image[i] = pixels[i]! / 255;
      for (const layer of network.layers) {
        const input = maps.get(layer.inputs[0]!)!;
        const output = maps.get(layer.name)!;
        if (layer.kind === 'convolutional') {
          kernels.convolve(indexOf.get(layer.name)!, input, output);
          observe?.(layer, output);
        } else if (layer.kind === 'maxpool') {
          maxPool(layer, shapes.get(layer.inputs[0]!)!, shapes.get(layer.name)!, input, output);
        }
      }
      return maps.get(last.name)!;
    },
  };
}

function maxPool(
  layer: MaxPoolLayer,
  inShape: Shape,
  outShape: Shape,
  input: Float32Array,
  output: Float32Array,
) {
  const { height, width, channels } = inShape;
  const offset = Math.floor(layer.padding / 2);
  output.fill(Number.NEGATIVE_INFINITY);
  for (let y = 0; y < outShape.height; y++) {
    for (let x = 0; x < outShape.width; x++) {
      const target = (y * outShape.width + x) * channels;
      const firstRow = Math.max(0, y * layer.stride - offset);
      const lastRow = Math.min(height, y * layer.stride - offset + layer.size);
      const firstColumn = Math.max(0, x * layer.stride - offset);
      const lastColumn = Math.min(width, x * layer.stride - offset + layer.size);
      for (let row = firstRow; row < lastRow; row++) {
        for (let column = firstColumn; column < lastColumn; column++) {
          const source = (row * width + column) * channels;
          for (let c = 0; c < channels; c++) {
            if (input[source + c]! > output[target + c]!) output[target + c] = input[source + c]!;
          }
        }
      }
    }
  }
}
