import { expect } from 'vitest';
import { selectBackend } from '../../src/backend/select.js';
import { convertNetwork, DEFAULT_CONVERSION, type TrainedNetwork } from '../../src/conversion/convert.js';
import { referenceBackend } from '../../src/engine/reference.js';
import { importGraph, networkOf } from '../../src/formats/onnx/import.js';
import { readOnnx } from '../../src/formats/onnx/proto.js';
import { createFloatNetwork } from '../../src/network/float-network.js';
import { inferShapes } from '../../src/network/shapes.js';
import { randomLists, runOnnxruntime, type WrittenGraph, type WrittenNode, writeOnnx } from './onnx.js';
import { runGraph } from './tensor.js';

export const HEIGHT = 12;
export const WIDTH = 20;
export const random = randomLists(7);

/** Bytes (H, W, 3) and the same image as planes of byte / 255. */
function image(): { bytes: Uint8Array; planes: Float32Array } {
  const bytes = Uint8Array.from(random(HEIGHT * WIDTH * 3, 127.9), (value) => value + 128);
  const planes = new Float32Array(bytes.length);
  for (let i = 0; i < HEIGHT * WIDTH; i++)
    for (let c = 0; c < 3; c++) planes[c * HEIGHT * WIDTH + i] = bytes[3 * i + c]! / 255;
  return { bytes, planes };
}

/** Puts a graph of an image of 12×20 together: each call adds a node and gives its output's name. */
export class Builder {
  readonly nodes: WrittenNode[] = [];
  readonly constants: NonNullable<WrittenGraph['constants']> = {};
  private count = 0;

  constant(dims: number[], values: ArrayLike<number>, integer = false): string {
    const name = `c${this.count++}`;
    this.constants[name] = { dims, values, integer };
    return name;
  }

  integers(...values: number[]): string {
    return this.constant([values.length], values, true);
  }

  add(
    op: string,
    inputs: string[],
    attributes: WrittenNode['attributes'] = {},
    floats: string[] = [],
  ): string {
    return this.several(op, inputs, 1, attributes, floats)[0]!;
  }

  several(
    op: string,
    inputs: string[],
    count: number,
    attributes: WrittenNode['attributes'] = {},
    floats: string[] = [],
  ): string[] {
    const outputs = Array.from({ length: count }, () => `v${this.count++}`);
    this.nodes.push({ op, inputs, outputs, attributes, floats });
    return outputs;
  }

  convolution(
    input: string,
    [filters, channels, size]: [number, number, number],
    attributes: Record<string, number | number[]> = {},
  ): string {
    const weights = this.constant(
      [filters, channels, size, size],
      random(filters * channels * size ** 2, 1.5 / Math.sqrt(channels * size ** 2)),
    );
    const bias = this.constant([filters], random(filters, 0.2));
    const pad = size >> 1;
    return this.add('Conv', [input, weights, bias], { pads: [pad, pad, pad, pad], ...attributes });
  }

  leaky(input: string): string {
    return this.add('LeakyRelu', [input], { alpha: 0.1 }, ['alpha']);
  }

  graph(...outputs: string[]): WrittenGraph {
    return {
      nodes: this.nodes,
      constants: this.constants,
      inputs: { image: [1, 3, HEIGHT, WIDTH] },
      outputs,
    };
  }
}

function evaluate(file: Uint8Array, bytes: Uint8Array) {
  const imported = importGraph(readOnnx(file));
  const network = { ...networkOf(imported), heads: [] };
  const known = inferShapes(network);
  const float = createFloatNetwork(network, imported.parameters, referenceBackend);
  const shapes = imported.tail.inputs.map((name) => known.get(name)!);
  const [output] = runGraph(imported.tail, float.forward(bytes), shapes);
  expect(imported.outputDims[0]).toEqual(output!.dims);
  return { ...output!, layers: network.layers };
}

/** Fails unless a graph gives what it gives in onnxruntime; the kinds of its layers. */
export async function expectAsOnnxruntime(graph: WrittenGraph): Promise<string[]> {
  const file = writeOnnx(graph);
  const { bytes, planes } = image();
  const ours = evaluate(file, bytes);
  const theirs = await runOnnxruntime(file, planes, HEIGHT, WIDTH);
  expect(ours.dims).toEqual(theirs.dims);
  const largest = theirs.values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  expect(largest).toBeGreaterThan(0);
  for (const [i, value] of theirs.values.entries())
    expect(Math.abs(ours.values[i]! - value)).toBeLessThan(2e-5 * Math.max(1, largest));
  return ours.layers.map(({ kind }) => kind);
}

/** A graph of one output of six channels, converted with λ at its largest activations of one image; its float network, and that image. */
export async function convertGraph(graph: WrittenGraph) {
  const imported = importGraph(readOnnx(writeOnnx(graph)));
  const { backend } = selectBackend();
  const tail = { ...imported.tail };
  const head = { kind: 'region', input: tail.inputs[0]!, classes: 1, softmax: true } as const;
  const { input, layers } = networkOf(imported);
  const network = { input, layers, heads: [{ ...head, anchors: [[1, 1]] as [number, number][] }] };
  const trained: TrainedNetwork = {
    network,
    parameters: imported.parameters,
    classes: ['a'],
    cfgSha256: '',
    weightsSha256: '',
  };
  const { bytes } = image();
  async function* photos() {
    yield bytes;
  }
  const options = { ...DEFAULT_CONVERSION, percentile: 100 };
  const model = await convertNetwork(trained, photos, options, backend);
  return { model, image: bytes, float: createFloatNetwork(network, imported.parameters, backend) };
}
