/**
 * What is fuzzed: `seeds` gives inputs to start from, `run` takes one and must return or throw a SpikingYoloError (the
 * addon: a TypeError or RangeError that it threw itself). What `run` returns or throws, as a word, tells whether the
 * input was new.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { referenceBackend } from '../../dist/engine/reference.js';
import { Simulation } from '../../dist/engine/simulation.js';
import { parseVocAnnotation } from '../../dist/evaluation/voc-annotation.js';
import { checkRecord } from '../../dist/export/records.js';
import { parseOnnx } from '../../dist/formats/onnx/load.js';
import { Model } from '../../dist/formats/onnx/proto.js';
import {
  createServer,
  Detector,
  decodeModel,
  decodePhoto,
  drawDetections,
  encodeModel,
  parseCfg,
  parseNames,
  parseWeights,
} from '../../dist/index.js';
import { generator } from './mutate.mjs';
import { makeModel, makePlan, Stream } from './networks.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const text = (bytes) => new TextDecoder().decode(bytes);
const randomBytes = (seed, length) => {
  const random = generator(seed);
  return Buffer.from(Array.from({ length }, () => random.below(256)));
};

const TINY_CFG = `[net]
width=8
height=8
channels=3
[convolutional]
batch_normalize=1
filters=4
size=3
stride=1
pad=1
activation=leaky
[maxpool]
size=2
stride=2
[convolutional]
filters=6
size=1
stride=1
activation=linear
[region]
anchors=1,1
classes=1
num=1
`;

/** A small BMP of 24 bits: headers, then rows from the bottom up. */
function bmp(width, height, pixels) {
  const header = Buffer.alloc(54);
  header.write('BM');
  for (const [at, value] of Object.entries({ 2: 54 + pixels.length, 10: 54, 14: 40, 18: width, 22: height }))
    header.writeInt32LE(value, Number(at));
  header.writeUInt16LE(1, 26);
  header.writeUInt16LE(24, 28);
  return Buffer.concat([header, pixels]);
}

/** An ONNX file: a convolution, what a YOLOv8 head computes behind it, names in the metadata. */
function onnx() {
  const floats = (...dims) => ({
    dims,
    dataType: 1,
    floatData: Array.from({ length: dims.reduce((a, b) => a * b) }, (_, i) => ((i * 7) % 11) / 11 - 0.4),
  });
  const integers = (...int64Data) => ({ dims: [int64Data.length], dataType: 7, int64Data });
  const constants = {
    w: floats(4, 3, 3, 3),
    b: floats(4),
    v: floats(6, 4, 1, 1),
    shape: integers(1, 6, -1),
    parts: integers(4, 2),
  };
  const ints = (name, ...values) => ({ name, type: 7, ints: values });
  const node = (opType, input, output, ...attribute) => ({ opType, input, output, attribute });
  const value = (name, ...dims) => ({
    name,
    type: { tensorType: { elemType: 1, shape: { dim: dims.map((dimValue) => ({ dimValue })) } } },
  });
  return Buffer.from(
    Model.encode(
      Model.fromObject({
        irVersion: 8,
        opsetImport: [{ domain: '', version: 13 }],
        metadataProps: [{ key: 'names', value: "{0: 'cat', 1: 'dog'}" }],
        graph: {
          node: [
            node('Conv', ['image', 'w', 'b'], ['x1'], ints('strides', 2, 2), ints('pads', 1, 1, 1, 1)),
            node('LeakyRelu', ['x1'], ['x2'], { name: 'alpha', type: 1, f: 0.1 }),
            node('MaxPool', ['x2'], ['x3'], ints('kernel_shape', 2, 2), ints('strides', 2, 2)),
            node('Split', ['x3'], ['x4', 'x5'], { name: 'axis', type: 2, i: 1 }),
            node('Concat', ['x5', 'x4'], ['x6'], { name: 'axis', type: 2, i: 1 }),
            node('Conv', ['x6', 'v'], ['x7']),
            node('Reshape', ['x7', 'shape'], ['x8']),
            node('Split', ['x8', 'parts'], ['boxes', 'x9'], { name: 'axis', type: 2, i: 1 }),
            node('Sigmoid', ['x9'], ['scores']),
            node('Concat', ['boxes', 'scores'], ['output'], { name: 'axis', type: 2, i: 1 }),
          ],
          initializer: Object.entries(constants).map(([name, tensor]) => ({ name, ...tensor })),
          input: [value('image', 1, 3, 8, 8)],
          output: [value('output')],
        },
      }),
    ).finish(),
  );
}

async function pictures() {
  const [width, height] = [20, 17];
  const rgb = randomBytes(1, width * height * 3);
  const cases = [
    'webp/lossy.webp',
    'webp/animated.webp',
    'jpeg-restart-interval/grey-dri3.jpg',
    'jpeg-header-variants/arith.jpg',
  ];
  return [
    ...(await Promise.all(
      ['jpeg', 'png'].map((format) => drawDetections({ width, height, rgb }, [], format)),
    )),
    bmp(width, height, Buffer.from(rgb)),
    ...cases.map((name) => readFileSync(`${root}test/cases/${name}`)),
    readFileSync(`${root}samples/cat.jpg`).subarray(0, 6000),
  ];
}

const BOUNDARY = 'xyz';

/** Forms as clients send them to the server. */
async function forms() {
  const png = await drawDetections({ width: 20, height: 17, rgb: randomBytes(1, 20 * 17 * 3) }, [], 'png');
  const form = (...parts) =>
    Buffer.concat([
      ...parts.flatMap(([head, body]) => [
        Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; ${head}\r\n\r\n`),
        Buffer.from(body),
        Buffer.from('\r\n'),
      ]),
      Buffer.from(`--${BOUNDARY}--\r\n`),
    ]);
  const image = ['name="image"; filename="a.png"\r\nContent-Type: image/png', png];
  return [
    form(image),
    form(['name="image"', png], ['name="min_confidence"', '0.4']),
    form(['name="camera"', 'door'], image, ['name="api_key"', 'k']),
    form(['name="file"; filename="b"', 'none'], ['name="image"; filename="c"', 'none']),
    form(['name="image"; filename="a"', png.subarray(0, 90)], image),
    png,
  ];
}

let address;
async function startServer() {
  const detector = await Detector.load({ model: 'tiny-yolo-lite-voc', conf: 0.05, workers: 1, steps: 1 });
  const server = await createServer([{ name: 'lite', detector, workers: 1 }], {
    maxStreams: 1,
    maxBytes: 100_000,
  });
  return server.listen({ host: '127.0.0.1', port: 0 });
}

/** The body of a request to the server, which answers, and never with a failure of its own. */
async function askServer(bytes) {
  const url = await (address ??= startServer());
  const answer = await fetch(`${url}/v1/vision/detection`, {
    method: 'POST',
    body: bytes,
    headers: { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` },
  });
  const { success, error, code } = await answer.json();
  if (code !== answer.status || success !== (code === 200) || code >= 500)
    throw new Error(`the server answered ${answer.status}: ${error}`);
  return `${code} ${error ?? ''}`;
}

const addonPath = () => process.env.SPIKING_YOLO_FUZZ_ADDON ?? `${root}build/Release/spiking_yolo.node`;
let addon;
const loadAddon = () => (addon ??= createRequire(import.meta.url)(addonPath()));
const isas = () =>
  loadAddon()
    .instructionSets()
    .filter(({ supported }) => supported)
    .map(({ name }) => name);

/** Values that have no business in a plan, or too large ones. */
const odd = (stream) =>
  stream.pick([
    () => undefined,
    () => null,
    () => Number.NaN,
    () => -1,
    () => 0,
    () => 2 ** 31,
    () => 2 ** 53,
    () => 1.5,
    () => '3',
    () => [],
    () => ({}),
    () => new Int8Array(0),
    () => new Int32Array(3),
    () => new Uint8Array(1000),
    () => new Float64Array(5),
    () => structuredClone(new Int32Array(8), { transfer: [new Int32Array(8).buffer] }),
    () => stream.below(300),
    () => () => {},
    () => Symbol.iterator,
    () => 10n,
    () =>
      new Proxy(
        {},
        {
          get: () => {
            throw new RangeError('from a getter');
          },
        },
      ),
  ])();

function damage(stream, plan) {
  const copy = { ...plan, stages: plan.stages.map((stage) => ({ ...stage })) };
  for (let times = 1 + stream.below(2); times > 0; times--) {
    const stage = stream.below(6) === 0 ? copy : stream.pick(copy.stages);
    const inner = stage.curve && stream.below(3) === 0;
    if (inner) stage.curve = { ...stage.curve };
    const target = inner ? stage.curve : stage;
    const field = stream.pick(Object.keys(target));
    const value = target[field];
    const nearby = typeof value === 'number' && stream.below(2) ? value + stream.below(5) - 2 : odd(stream);
    const shorter =
      ArrayBuffer.isView(value) && stream.below(2) ? value.subarray(stream.below(value.length + 1)) : nearby;
    if (stream.below(12) === 0) delete target[field];
    else target[field] = shorter;
  }
  return copy;
}

/** Calls on an engine that the addon took: right ones, and now and then wrong ones. */
function drive(stream, engine, plan, steps) {
  let step = 0;
  for (let calls = stream.below(40); calls > 0; calls--) {
    switch (stream.below(10)) {
      case 0:
        engine.begin(stream.below(3) ? new Uint8Array(stream.below(600)) : odd(stream));
        break;
      case 1:
        engine.run(
          stream.below(plan.stages.length + 1),
          stream.below(3) ? step : odd(stream),
          1 + stream.below(plan.blockLength + 1),
        );
        break;
      case 2:
        engine.outputPotential(odd(stream), new Float64Array(stream.below(64)));
        break;
      case 3:
        engine.state(stream.below(2) ? stream.below(plan.stages.length) : odd(stream));
        break;
      case 4:
        engine[stream.pick(['statistics', 'load'])](
          stream.below(2) ? stream.below(plan.stages.length) : odd(stream),
        );
        break;
      case 5:
        engine.counts(stream.below(plan.stages.length + 1), new Int32Array(stream.below(600)));
        break;
      case 6:
        engine.emit(
          stream.below(plan.stages.length + 1),
          Int32Array.from({ length: stream.below(600) }, () => stream.below(300) - 150),
        );
        break;
      case 7:
        step = stream.below(steps);
        break;
      case 8:
        // of a stream
        if (stream.below(2)) engine.reset(odd(stream));
        else engine.changed(stream.below(2) ? stream.below(plan.stages.length) : odd(stream));
        break;
      default:
        if (stream.below(10) === 0) engine.close();
    }
  }
}

/** True for an error that the addon throws on purpose. */
const expected = (error) =>
  error instanceof TypeError ||
  error instanceof RangeError ||
  /not enough memory|closed/.test(error?.message);

function runAddon(bytes) {
  const stream = new Stream(bytes);
  const isa = stream.pick(isas());
  let made;
  try {
    made = makePlan(stream);
  } catch {
    return 'no network';
  }
  const { plan, steps, input } = made;
  const pixels = Uint8Array.from({ length: input.height * input.width * input.channels }, () =>
    stream.byte(),
  );
  if (stream.below(2)) {
    // a good plan must give what the reference gives
    const backend = {
      name: 'native',
      isa,
      instantiate: (p, threads) => new (loadAddon().Engine)(p, isa, threads),
    };
    const sums = [backend, referenceBackend].map((one) => {
      const simulation = new Simulation(plan, one, 1 + stream.below(3));
      simulation.begin(pixels);
      simulation.advanceTo(steps);
      const sum = simulation.checksum();
      simulation.close();
      return sum;
    });
    if (sums[0] !== sums[1]) throw new Error(`${isa} gives ${sums[0]}, the reference ${sums[1]}`);
    return `ran ${plan.stages.length} stages`;
  }
  try {
    const damaged = damage(stream, plan);
    const engine = new (loadAddon().Engine)(
      damaged,
      stream.below(9) ? isa : odd(stream),
      stream.below(9) ? 1 : odd(stream),
    );
    drive(stream, engine, plan, steps);
    return 'driven';
  } catch (error) {
    if (expected(error)) return error.message;
    throw error;
  }
}

function runFloatAddon(bytes) {
  const stream = new Stream(bytes);
  const channelwise = stream.below(3) === 0;
  const [height, width, channels, size] = [
    1 + stream.below(9),
    1 + stream.below(9),
    1 + stream.below(9),
    1 + stream.below(3),
  ];
  const filters = channelwise ? channels : 1 + stream.below(40);
  const padding = stream.below(size);
  const stride = 1 + stream.below(2);
  const outHeight = Math.floor((height + 2 * padding - size) / stride) + 1;
  const outWidth = Math.floor((width + 2 * padding - size) / stride) + 1;
  if (outHeight < 1 || outWidth < 1) return 'no network';
  const number = () => stream.below(1000) / 100 - 5;
  const convolution = {
    ...{
      height,
      width,
      channels,
      outHeight,
      outWidth,
      filters,
      size,
      stride,
      padding,
      slope: Math.fround(0.1),
    },
    channelwise,
    weights: Float32Array.from({ length: filters * size * size * (channelwise ? 1 : channels) }, number),
    bias: Float32Array.from({ length: filters }, number),
  };
  const input = Float32Array.from({ length: height * width * channels }, number);
  const isa = stream.pick(isas());
  if (stream.below(2)) {
    const outputs = [
      new (loadAddon().FloatEngine)([convolution], isa),
      referenceBackend.floatKernels([convolution]),
    ].map((kernels) => {
      const output = new Float32Array(outHeight * outWidth * filters);
      kernels.convolve(0, input, output);
      return Buffer.from(output.buffer).toString('base64');
    });
    if (outputs[0] !== outputs[1]) throw new Error(`${isa} differs from the reference`);
    return 'float ran';
  }
  try {
    const damaged = damage(stream, { stages: [convolution], blockLength: 1 }).stages;
    const kernels = new (loadAddon().FloatEngine)(stream.below(9) ? damaged : odd(stream), isa);
    for (let calls = stream.below(5); calls > 0; calls--)
      kernels.convolve(
        stream.below(2) ? 0 : odd(stream),
        stream.below(2) ? input : odd(stream),
        stream.below(2) ? new Float32Array(stream.below(4000)) : odd(stream),
      );
    return 'float driven';
  } catch (error) {
    if (expected(error)) return error.message;
    throw error;
  }
}

export const targets = {
  cfg: {
    seeds: () => [Buffer.from(TINY_CFG), readFileSync(`${root}models/darknet/tiny-yolo-lite-voc.cfg`)],
    run: (bytes) => `${parseCfg(text(bytes)).network.layers.length} layers`,
  },
  weights: {
    seeds: () => {
      const header = Buffer.alloc(20);
      header.writeInt32LE(2, 4);
      // 4 × (bias, scale, mean, variance), 4·27, 6, 6·4 floats
      return [Buffer.concat([header, Buffer.from(new Float32Array(154).fill(0.5).buffer)])];
    },
    run: (bytes) => {
      parseWeights(parseCfg(TINY_CFG), bytes);
      return 'weights';
    },
  },
  onnx: {
    seeds: () => [onnx()],
    run: (bytes) => `${parseOnnx(bytes, {}).network.layers.length} layers`,
  },
  names: {
    seeds: () => [Buffer.from('cat\ndog\n')],
    run: (bytes) => `${parseNames(text(bytes), 2).length} names`,
  },
  model: {
    seeds: () =>
      [3, 4, 5, 6].flatMap((seed) => {
        try {
          const bytes = encodeModel(makeModel(new Stream(randomBytes(seed, 4000))));
          return bytes.length < 200_000 ? [Buffer.from(bytes)] : [];
        } catch {
          return [];
        }
      }),
    run: (bytes) => `model of ${decodeModel(bytes).layers.length} layers`,
  },
  photo: {
    seeds: pictures,
    run: async (bytes) => {
      const { width, height } = await decodePhoto(bytes);
      return `photo ${Math.ceil(Math.log2(width))} ${Math.ceil(Math.log2(height))}`;
    },
  },
  annotation: {
    seeds: () => [
      Buffer.from(
        '<annotation><object><name>dog</name><difficult>1</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>',
      ),
    ],
    run: (bytes) => `${parseVocAnnotation(text(bytes)).length} objects`,
  },
  record: {
    seeds: () => [
      Buffer.from(
        '{"path":"a","width":1,"height":2,"detections":[{"class":"cat","classId":7,"score":0.5,"box":{"x1":0,"y1":0,"x2":1,"y2":1}}]}',
      ),
      Buffer.from('{"path":"a","error":{"code":"FILE","message":"gone"}}'),
    ],
    run: (bytes) => {
      let value;
      try {
        value = JSON.parse(text(bytes));
      } catch {
        return 'no JSON';
      }
      try {
        return checkRecord(value, 'f').error ? 'failure' : 'record';
      } catch (error) {
        if (error.code !== 'FILE') throw error;
        const known = ['path', 'error', 'width', 'height', 'detections'];
        return `refused ${known.filter((key) => value?.[key] !== undefined).join(' ')}`;
      }
    },
  },
  form: { seeds: forms, run: askServer },
  addon: { seeds: () => [1, 2, 3, 4, 5, 6, 7, 8].map((seed) => randomBytes(seed, 3000)), run: runAddon },
  floatAddon: { seeds: () => [1, 2, 3, 4].map((seed) => randomBytes(seed, 3000)), run: runFloatAddon },
};
