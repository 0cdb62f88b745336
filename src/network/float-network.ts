import type { Backend, FloatConvolution, FloatKernels } from '../engine/backend.js';
import { activate, hasOneSlope, negativeSlope } from './activations.js';
import {
  type ConvolutionalLayer,
  IMAGE,
  type Layer,
  type Network,
  outputNames,
  type Shape,
} from './network.js';
import { hasNeurons, type NeuronLayer, operatorOf } from './ops/index.js';
import type { FloatMap } from './ops/operator.js';
import type { FoldedParameters } from './parameters.js';
import { inferShapes } from './shapes.js';

/** Called with a layer's activation (H, W, C), after the activation function and before any pool. */
export type ActivationObserver = (layer: NeuronLayer, activation: Float32Array) => void;

/** The float network (ANN): the target of the spiking one, and the source of its λ. */
export interface FloatNetwork {
  readonly network: Network;
  /** pixels (height, width, 3), 0..255 → maps (H, W, C) of the output layers, reused by the next call. */
  forward(pixels: ArrayLike<number>, observe?: ActivationObserver): Float32Array[];
  /** One layer alone: its inputs' maps → its activation, written into `output`. */
  forwardLayer(layer: Layer, inputs: readonly FloatMap[], output: FloatMap): void;
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
 * const [map] = floatNetwork.forward(pixels, (layer, activation) => {
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
    indexOf.set(layer.name, convolutions.length);
    const { weights, bias } = parameters.get(layer.name)!;
    convolutions.push(
      floatConvolution(layer, shapes.get(layer.inputs[0]!)!, shapes.get(layer.name)!, weights, bias),
    );
  }
  const kernels: FloatKernels = backend.floatKernels(convolutions);
  const maps = new Map<string, FloatMap>();
  for (const [name, shape] of shapes) {
    const { height, width, channels } = shape;
    maps.set(name, { ...shape, values: new Float32Array(height * width * channels) });
  }
  const outputs = outputNames(network);
  const forwardLayer: FloatNetwork['forwardLayer'] = (layer, inputs, output) => {
    if (layer.kind !== 'convolutional') {
      operatorOf(layer).forward!(layer, inputs, output);
      return;
    }
    kernels.convolve(indexOf.get(layer.name)!, inputs[0]!.values, output.values);
    // kernels know one slope; others and curves come after them
    if (!hasOneSlope(layer)) activate(layer, output.values, output.channels);
  };

  return {
    network,
    forward(pixels, observe) {
      const image = maps.get(IMAGE)!.values;
      imageValues(pixels, image);
      for (const layer of network.layers) {
        const inputs = layer.inputs.map((name) => maps.get(name)!);
        const output = maps.get(layer.name)!;
        forwardLayer(layer, inputs, output);
        if (hasNeurons(layer)) observe?.(layer, output.values);
      }
      return outputs.map((name) => maps.get(name)!.values);
    },
    forwardLayer,
  };
}

/** Bytes 0..255 as the float network takes them, 0..1. */
export function imageValues(pixels: ArrayLike<number>, target: Float32Array): void {
  for (let i = 0; i < target.length; i++) target[i] = pixels[i]! / 255;
}

/** A convolution as a back-end takes it: of groups that are not depthwise, the weights between them are zeros. */
function floatConvolution(
  layer: ConvolutionalLayer,
  input: Shape,
  output: Shape,
  weights: Float32Array,
  bias: Float32Array,
): FloatConvolution {
  const { filters, size, stride, padding, groups } = layer;
  const channelwise = isDepthwise(layer, input);
  return {
    ...input,
    outHeight: output.height,
    outWidth: output.width,
    filters,
    size,
    stride,
    padding,
    channelwise,
    weights: channelwise || groups === 1 ? weights : spreadGroups(layer, input.channels, weights),
    bias,
    slope: hasOneSlope(layer) ? Math.fround(negativeSlope(layer, 0)) : 1,
  };
}

/** True if filter j hears channel j alone. */
export const isDepthwise = ({ groups, filters }: ConvolutionalLayer, { channels }: Shape): boolean =>
  groups > 1 && groups === filters && groups === channels;

/** (filters, size, size, channels of a group) → (filters, size, size, channels), zeros between the groups. */
export function spreadGroups<T extends Float32Array | Int16Array | Int8Array>(
  { filters, size, groups }: ConvolutionalLayer,
  channels: number,
  weights: T,
): T {
  const heard = channels / groups;
  const taps = size * size;
  const spread = new (weights.constructor as new (length: number) => T)(filters * taps * channels);
  for (let j = 0; j < filters; j++) {
    const first = Math.floor(j / (filters / groups)) * heard;
    for (let tap = 0; tap < taps; tap++) {
      const from = (j * taps + tap) * heard;
      spread.set(weights.subarray(from, from + heard), (j * taps + tap) * channels + first);
    }
  }
  return spread;
}
