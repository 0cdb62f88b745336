import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe } from 'vitest';
import { Model } from '../../src/formats/onnx/proto.js';
import { randomNumbers } from './plans.js';
import { programsRequired } from './programs.js';
import { root } from './shared.js';

/** A node to be written: attributes as plain values; numbers are integers unless listed in `floats`. */
export interface WrittenNode {
  op: string;
  inputs: string[];
  outputs: string[];
  attributes?: Record<string, number | string | number[]>;
  /** Attributes that are floats, not integers. */
  floats?: string[];
  domain?: string;
}

export interface WrittenGraph {
  nodes: WrittenNode[];
  /** Dimensions and values; whole numbers of 64 bits where `integer`. */
  constants?: Record<string, { dims: number[]; values: ArrayLike<number>; integer?: boolean }>;
  inputs?: Record<string, (number | string)[]>;
  outputs: string[];
  metadata?: Record<string, string>;
  opset?: number;
  /** Writes floats in half precision. */
  half?: boolean;
}

const attributeOf = (name: string, value: number | string | number[], float: boolean) => {
  if (typeof value === 'string') return { name, type: 3, s: new TextEncoder().encode(value) };
  if (typeof value === 'number') return float ? { name, type: 1, f: value } : { name, type: 2, i: value };
  return float ? { name, type: 6, floats: value } : { name, type: 7, ints: value };
};

const valueInfo = (name: string, dims: (number | string)[]) => ({
  name,
  type: {
    tensorType: {
      elemType: 1,
      ...(dims.length > 0 && {
        shape: {
          dim: dims.map((dim) => (typeof dim === 'number' ? { dimValue: dim } : { dimParam: dim })),
        },
      }),
    },
  },
});

/** The half-precision number (IEEE 754 binary16) towards 0 from a normal one, as bits; 0 from smaller ones. */
export function toHalf(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  const exponent = ((bits >>> 23) & 255) - 127 + 15;
  return exponent <= 0 ? 0 : ((bits >>> 16) & 0x8000) | (exponent << 10) | ((bits >>> 13) & 1023);
}

/** Bytes of an ONNX file. */
export function writeOnnx({
  nodes,
  constants = {},
  inputs = {},
  outputs,
  metadata = {},
  opset = 13,
  half = false,
}: WrittenGraph) {
  const initializer = Object.entries(constants).map(([name, { dims, values, integer = false }]) => {
    const raw = integer
      ? BigInt64Array.from(values as number[], BigInt)
      : half
        ? Uint16Array.from(values, toHalf)
        : Float32Array.from(values);
    return { name, dims, dataType: integer ? 7 : half ? 10 : 1, rawData: new Uint8Array(raw.buffer) };
  });
  return Model.encode(
    Model.fromObject({
      irVersion: 8,
      opsetImport: [{ domain: '', version: opset }],
      metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
      graph: {
        node: nodes.map(
          ({ op, inputs: input, outputs: output, attributes = {}, floats = [], domain }, i) => ({
            name: `n${i}`,
            opType: op,
            input,
            output,
            ...(domain === undefined ? {} : { domain }),
            attribute: Object.entries(attributes).map(([name, value]) =>
              attributeOf(name, value, floats.includes(name)),
            ),
          }),
        ),
        initializer,
        input: Object.entries(inputs).map(([name, dims]) => valueInfo(name, dims)),
        output: outputs.map((name) => valueInfo(name, [])),
      },
    }),
  ).finish();
}

interface Session {
  inputNames: string[];
  outputNames: string[];
  run(feeds: Record<string, unknown>): Promise<Record<string, { dims: number[]; data: Float32Array }>>;
  release(): Promise<void>;
}

const peers = `${root}bench/peers/`;
const installed = existsSync(`${peers}node_modules/onnxruntime-node`);
const absent = !installed && !programsRequired;

/** `describe` for comparisons with onnxruntime, skipped by its name where it is not installed. */
export const describeWithOnnxruntime = (title: string, tests: () => void) =>
  describe.skipIf(absent)(
    absent ? `${title} (skipped: onnxruntime-node is not installed in bench/peers)` : title,
    tests,
  );

/** A file in onnxruntime, which takes images (3, H, W) and gives its first output. */
export async function openOnnxruntime(file: string | Uint8Array) {
  const ort = createRequire(`${peers}package.json`)('onnxruntime-node');
  const session: Session = await ort.InferenceSession.create(file, { logSeverityLevel: 4 });
  return {
    async run(
      planes: Float32Array,
      height: number,
      width: number,
    ): Promise<{ dims: number[]; values: Float32Array }> {
      const image = new ort.Tensor('float32', planes, [1, 3, height, width]);
      const found = await session.run({ [session.inputNames[0]!]: image });
      const { dims, data } = found[session.outputNames[0]!]!;
      return { dims: [...dims], values: data };
    },
    release: () => session.release(),
  };
}

/** Runs a file in onnxruntime on one image (3, H, W); gives its first output. */
export async function runOnnxruntime(
  file: string | Uint8Array,
  planes: Float32Array,
  height: number,
  width: number,
): Promise<{ dims: number[]; values: Float32Array }> {
  const session = await openOnnxruntime(file);
  try {
    return await session.run(planes, height, width);
  } finally {
    await session.release();
  }
}

/** Lists of numbers between −scale and scale, repeatable. */
export function randomLists(seed: number): (count: number, scale?: number) => Float32Array {
  const random = randomNumbers(seed);
  return (count, scale = 1) => Float32Array.from({ length: count }, () => (2 * random() - 1) * scale);
}

/** A YOLOv8 head of 2 classes (or others) over a 32×32 image: 1×6×64, four of it boxes in pixels; with SiLU if `curved`. */
export function yolov8Graph(
  metadata: Record<string, string> = { names: "{0: 'cat', 1: 'dog'}", stride: '4', task: 'detect' },
  curved = false,
  classes = 2,
) {
  const random = randomLists(3);
  const rows = 4 + classes;
  const bias = Float32Array.from({ length: rows }, (_, i) => [16, 16, 12, 12, 0][i] ?? -3);
  const graph: WrittenGraph = {
    nodes: [
      {
        op: 'Conv',
        inputs: ['image', 'w1', 'b1'],
        outputs: ['x1'],
        attributes: { strides: [4, 4], pads: [1, 1, 1, 1] },
      },
      ...(curved
        ? [
            { op: 'Sigmoid', inputs: ['x1'], outputs: ['gate'] },
            { op: 'Mul', inputs: ['x1', 'gate'], outputs: ['x2'] },
          ]
        : [
            {
              op: 'LeakyRelu',
              inputs: ['x1'],
              outputs: ['x2'],
              attributes: { alpha: 0.1 },
              floats: ['alpha'],
            },
          ]),
      { op: 'Conv', inputs: ['x2', 'w2', 'b2'], outputs: ['x3'] },
      { op: 'Reshape', inputs: ['x3', 'dims'], outputs: ['x4'] },
      { op: 'Split', inputs: ['x4', 'parts'], outputs: ['boxes', 'x5'], attributes: { axis: 1 } },
      { op: 'Sigmoid', inputs: ['x5'], outputs: ['scores'] },
      { op: 'Concat', inputs: ['boxes', 'scores'], outputs: ['output'], attributes: { axis: 1 } },
    ],
    constants: {
      w1: { dims: [8, 3, 3, 3], values: random(8 * 27, 0.5) },
      b1: { dims: [8], values: random(8, 0.2) },
      w2: { dims: [rows, 8, 1, 1], values: random(8 * rows, 0.5) },
      b2: { dims: [rows], values: bias },
      dims: { dims: [3], values: [1, rows, -1], integer: true },
      parts: { dims: [2], values: [4, classes], integer: true },
    },
    inputs: { image: [1, 3, 32, 32] },
    outputs: ['output'],
    metadata,
  };
  return graph;
}
