import { weightsError } from '../../errors.js';
import type { ConvolutionParameters, Parameters } from '../../network/parameters.js';
import { inferShapes } from '../../network/shapes.js';
import type { DarknetNetwork } from './cfg.js';

/** Reorders darknet's (filters, channels, size, size) to channel-last (filters, size, size, channels). */
function channelLast(source: Float32Array, filters: number, channels: number, size: number): Float32Array {
  const target = new Float32Array(source.length);
  const area = size * size;
  for (let filter = 0; filter < filters; filter++) {
    const base = filter * channels * area;
    for (let channel = 0; channel < channels; channel++) {
      for (let cell = 0; cell < area; cell++) {
        target[base + cell * channels + channel] = source[base + channel * area + cell]!;
      }
    }
  }
  return target;
}

/**
 * Reads a darknet `.weights` file for `network`.
 *
 * Layout: int32 major, minor, revision; `seen` of 8 bytes if major·10 + minor ≥ 2 (else 4); then per convolution
 * biases, [scales, means, variances], weights; float32 little-endian. Throws `WEIGHTS` if bytes are missing or left
 * over (naming both counts), or if a value is not finite.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { parseCfg, parseWeights } from 'spiking-yolo';
 *
 * const described = parseCfg(readFileSync('models/darknet/tiny-yolo-lite-voc.cfg', 'utf8'));
 * const parameters = parseWeights(described, readFileSync('models/darknet/tiny-yolo-lite-voc.weights'));
 * console.log(parameters.get('conv1').bias.length); // 16
 * ```
 */
export function parseWeights({ network, batchNormalized }: DarknetNetwork, bytes: Uint8Array): Parameters {
  if (bytes.length < 16) {
    throw weightsError(
      `the file has ${bytes.length} bytes; even its header needs 16: it is truncated or not a darknet weights file`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const major = view.getInt32(0, true);
  const minor = view.getInt32(4, true);
  const wideSeen = major * 10 + minor >= 2 && major < 1000 && minor < 1000;
  const headerBytes = wideSeen ? 20 : 16;

  const shapes = inferShapes(network);
  const convolutions = network.layers.flatMap((layer) => {
    if (layer.kind !== 'convolutional') return [];
    const channels = shapes.get(layer.inputs[0]!)!.channels;
    return [
      {
        ...layer,
        channels: channels / layer.groups,
        weights: layer.filters * (channels / layer.groups) * layer.size ** 2,
        batchNorm: batchNormalized.has(layer.name),
      },
    ];
  });
  const floats = convolutions.reduce((sum, c) => sum + c.weights + c.filters * (c.batchNorm ? 4 : 1), 0);
  const expected = headerBytes + 4 * floats;
  if (bytes.length !== expected) {
    const difference = bytes.length - expected;
    throw weightsError(
      `the file has ${bytes.length} bytes, this network needs ${expected}: ${
        difference < 0 ? `${-difference} bytes are missing` : `${difference} bytes are left over`
      }`,
    );
  }

  let offset = headerBytes;
  const take = (count: number, what: string): Float32Array => {
    const values = new Float32Array(count);
    for (let i = 0; i < count; i++, offset += 4) {
      const value = view.getFloat32(offset, true);
      if (!Number.isFinite(value))
        throw weightsError(`${what}: value ${i} (byte ${offset}) is ${value}, not a finite number`);
      values[i] = value;
    }
    return values;
  };

  const parameters: Parameters = new Map();
  for (const { name, filters, channels, size, weights, batchNorm } of convolutions) {
    const bias = take(filters, `${name} biases`);
    const entry: Omit<ConvolutionParameters, 'weights'> = { bias };
    if (batchNorm) {
      const scale = take(filters, `${name} scales`);
      const mean = take(filters, `${name} means`);
      const variance = take(filters, `${name} variances`);
      const negative = variance.findIndex((value) => value < 0);
      if (negative >= 0)
        throw weightsError(`${name} variances: value ${negative} is ${variance[negative]}, below 0`);
      entry.batchNorm = { scale, mean, variance };
    }
    parameters.set(name, {
      ...entry,
      weights: channelLast(take(weights, `${name} weights`), filters, channels, size),
    });
  }
  return parameters;
}
