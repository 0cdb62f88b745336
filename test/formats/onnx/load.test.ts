import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../src/backend/select.js';
import { convertNetwork, DEFAULT_CONVERSION } from '../../../src/conversion/convert.js';
import { SpikingDetector } from '../../../src/detection/detector.js';
import { DEFAULT_SETTINGS } from '../../../src/detection/settings.js';
import { listPhotos } from '../../../src/files.js';
import { loadOnnx, type OnnxFiles } from '../../../src/formats/onnx/load.js';
import { halfToNumber } from '../../../src/formats/onnx/proto.js';
import { rowAxisOf } from '../../../src/heads/rows.js';
import { readPhotoFile } from '../../../src/image/read-resized.js';
import { networkInput, resizePhoto } from '../../../src/image/resize.js';
import { decodeModel, encodeModel } from '../../../src/model/model-file.js';
import { createFloatNetwork } from '../../../src/network/float-network.js';
import type { TableHead } from '../../../src/network/network.js';
import { inferShapes } from '../../../src/network/shapes.js';
import {
  describeWithOnnxruntime,
  openOnnxruntime,
  toHalf,
  type WrittenGraph,
  writeOnnx,
  yolov8Graph,
} from '../../support/onnx.js';
import { hasShared, plus, root, shared } from '../../support/shared.js';
import { runGraph } from '../../support/tensor.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'onnx-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Writes a small file and gives its path. */
function written(name: string, graph: WrittenGraph = yolov8Graph()): string {
  const path = join(folder, name);
  writeFileSync(path, writeOnnx(graph));
  return path;
}

const failure = async (files: OnnxFiles) => {
  try {
    await loadOnnx(files);
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return `${code}: ${message.replaceAll(folder, '')}`;
  }
  return 'loaded';
};

/** An image as a file's own network takes it. */
const planesOf = (rgb: Uint8Array, cells: number, prepare: (rgb: [number, number, number]) => number[]) => {
  const planes = new Float32Array(3 * cells);
  for (let i = 0; i < cells; i++) {
    const values = prepare([rgb[3 * i]!, rgb[3 * i + 1]!, rgb[3 * i + 2]!]);
    for (const [c, value] of values.entries()) planes[c * cells + i] = value;
  }
  return planes;
};

/** Magnitude that a row is taken to have at least. */
const LEAST = 0.01;

/** Largest difference from onnxruntime on some photos, relative to the largest number of its row: boxes' edges, or one class's scores. */
async function difference(
  files: OnnxFiles,
  photoPaths: readonly string[],
  prepare: (rgb: [number, number, number]) => number[],
): Promise<number> {
  const trained = await loadOnnx(files);
  const { network, parameters, resize = 'letterbox' } = trained;
  const float = createFloatNetwork(network, parameters, selectBackend().backend);
  const { height, width } = network.input;
  const shapes = inferShapes(network);
  const tail = network.tail!;
  const [head] = network.heads;
  const session = await openOnnxruntime(files.onnx);
  let most = 0;
  for (const path of photoPaths) {
    const photo = await readPhotoFile(path);
    const [ours] = runGraph(
      tail,
      float.forward(networkInput(resize, photo, network.input)),
      tail.inputs.map((name) => shapes.get(name)!),
    );
    const planes = planesOf(resizePhoto(resize, photo, width, height), height * width, prepare);
    const theirs = await session.run(planes, height, width);
    expect(ours!.dims).toEqual(theirs.dims);
    const rows = theirs.dims[rowAxisOf(head!.kind as TableHead['kind']) === 2 ? 1 : 2]!;
    const side = theirs.values.length / rows;
    const at = (row: number, i: number) => (rows === theirs.dims[1] ? row * side + i : i * rows + row);
    for (let row = 0; row < rows; row++) {
      let [largest, apart] = [0, 0];
      for (let i = 0; i < side; i++) {
        const value = theirs.values[at(row, i)]!;
        largest = Math.max(largest, Math.abs(value));
        apart = Math.max(apart, Math.abs(value - ours!.values[at(row, i)]!));
      }
      expect(largest).toBeGreaterThan(0);
      // of a class that is nowhere only rounding is left: onnxruntime's own σ of −16 is off by a tenth
      most = Math.max(most, apart / Math.max(largest, LEAST));
    }
  }
  await session.release();
  return most;
}

describeWithOnnxruntime('a file and its preparation give what onnxruntime gives', () => {
  const cat = `${root}samples/cat.jpg`;

  it('BGR, means with zeros around the photo, deviations', async () => {
    const onnx = written('prepared.onnx');
    const files: OnnxFiles = {
      onnx,
      order: 'BGR',
      mean: [103, 116, 123],
      std: [57, 58, 59],
      resize: 'stretch',
    };
    const apart = await difference(files, [cat], ([r, g, b]) => [
      (b - 103) / 57,
      (g - 116) / 58,
      (r - 123) / 59,
    ]);
    expect(apart).toBeLessThan(1e-5);
  });

  const real: [string, OnnxFiles, (rgb: [number, number, number]) => number[]][] = [
    [
      'tiny-yolo-plus',
      {
        onnx: plus.onnx,
        names: plus.names,
        order: 'RGB',
        mean: [0],
        std: [255],
      },
      ([r, g, b]) => [r / 255, g / 255, b / 255],
    ],
    [
      'NanoDet-Plus',
      {
        onnx: `${shared}data/weights/nanodet-plus-m-416/nanodet-plus-m_416.onnx`,
        names: `${shared}data/weights/coco.names`,
      },
      ([r, g, b]) => [(b - 103.53) / 57.375, (g - 116.28) / 57.12, (r - 123.675) / 58.395],
    ],
    [
      'FastestDet',
      {
        onnx: `${shared}data/weights/fastestdet/FastestDet.onnx`,
        names: `${shared}data/weights/coco.names`,
      },
      ([r, g, b]) => [b / 255, g / 255, r / 255],
    ],
  ];
  real.push([
    'YOLOX-nano',
    {
      onnx: `${shared}data/weights/yolox-nano/yolox_nano.onnx`,
      names: `${shared}data/weights/coco.names`,
    },
    ([r, g, b]) => [b, g, r],
  ]);
  for (const name of ['yolov5n', 'yolov8n', 'yolo11n'])
    real.push([
      name,
      { onnx: `${shared}data/weights/${name}/${name}.onnx` },
      ([r, g, b]) => [r / 255, g / 255, b / 255],
    ]);
  for (const [title, files, prepare] of real) {
    const count = title.startsWith('yolo') ? 10 : 1;
    // the default model's file is in the repository
    const isOurs = files.onnx === plus.onnx;
    it.skipIf(!hasShared && !isOurs)(
      `${title}, on ${count} photo${count > 1 ? 's' : ''}`,
      async () => {
        const folder = hasShared ? `${shared}data/voc07-test-dev/JPEGImages` : `${root}samples`;
        const photos = (await listPhotos(folder)).slice(0, count);
        expect(await difference(files, photos, prepare)).toBeLessThan(1e-3);
      },
      120_000,
    );
  }
});

describe('an ONNX file', () => {
  it('is converted, stored, read again and detects the same', async () => {
    const trained = await loadOnnx({ onnx: written('small.onnx') });
    expect(trained.classes).toEqual(['cat', 'dog']);
    expect(trained.resize).toBe('letterbox:114');
    expect(trained.network.heads).toEqual([{ kind: 'yolov8', input: expect.any(String), classes: 2 }]);
    const { backend } = selectBackend();
    const photo = await readPhotoFile(`${root}samples/cat.jpg`);
    const { input } = trained.network;
    const model = await convertNetwork(
      trained,
      async function* () {
        yield networkInput('letterbox:114', photo, input);
      },
      { ...DEFAULT_CONVERSION, resize: 'letterbox:114' },
      backend,
    );
    const again = decodeModel(encodeModel(model));
    expect(again.network).toEqual(model.network);
    expect(Object.keys(again.network.tail!.constants).length).toBeGreaterThan(0);
    const results = [model, again].map((each) => {
      const settings = { ...DEFAULT_SETTINGS, resize: each.resize, conf: 0.1 };
      const detector = new SpikingDetector(each, settings, backend);
      const { detections } = detector.detect(photo, settings);
      detector.close();
      return detections;
    });
    expect(results[0]!.length).toBeGreaterThan(0);
    expect(results[1]).toEqual(results[0]);
  });

  it.each([1, 200])('of %i classes is converted, and finds them', async (classes) => {
    const names = `{${Array.from({ length: classes }, (_, i) => `${i}: 'thing ${i}'`).join(', ')}}`;
    const graph = yolov8Graph({ names, stride: '4', task: 'detect' }, true, classes);
    const trained = await loadOnnx({ onnx: written(`classes${classes}.onnx`, graph) });
    expect(trained.classes).toHaveLength(classes);
    const { backend } = selectBackend();
    const photo = await readPhotoFile(`${root}samples/cat.jpg`);
    async function* photos() {
      yield networkInput('letterbox:114', photo, trained.network.input);
    }
    const options = { ...DEFAULT_CONVERSION, resize: 'letterbox:114' as const };
    const model = decodeModel(encodeModel(await convertNetwork(trained, photos, options, backend)));
    const settings = {
      ...DEFAULT_SETTINGS,
      schedule: 'layered' as const,
      resize: model.resize,
      conf: 0.02,
      allClasses: true,
      maxDet: 10_000,
    };
    const detector = new SpikingDetector(model, settings, backend);
    const found = new Set(detector.detect(photo, settings).detections.map((one) => one.class));
    detector.close();
    expect(found.size).toBe(classes);
    expect(found).toContain(`thing ${classes - 1}`);
  });

  it('in half precision has the weights that it says, with casts around them', async () => {
    const graph = yolov8Graph();
    const rounded = (values: ArrayLike<number>) =>
      Float32Array.from(values, (value) => halfToNumber(toHalf(value)));
    const constants = Object.fromEntries(
      Object.entries(graph.constants!).map(([name, tensor]) => [
        name,
        tensor.integer ? tensor : { ...tensor, values: rounded(tensor.values) },
      ]),
    );
    const [first, ...others] = graph.nodes;
    const nodes = [
      { op: 'Cast', inputs: ['image'], outputs: ['x0'], attributes: { to: 10 } },
      { ...first!, inputs: ['x0', ...first!.inputs.slice(1)] },
      ...others,
    ];
    const half = await loadOnnx({ onnx: written('half.onnx', { ...graph, nodes, half: true }) });
    const single = await loadOnnx({ onnx: written('single.onnx', { ...graph, constants }) });
    expect(half.parameters).toEqual(single.parameters);
    expect(half.network.layers).toEqual(single.network.layers);
  });

  it('says what is missing or does not fit', async () => {
    const unnamed = written('unnamed.onnx', yolov8Graph({}));
    expect(await failure({ onnx: unnamed })).toMatch(
      /^USAGE: \/unnamed\.onnx: it names its classes nowhere; add --names FILE/,
    );
    expect(await failure({ onnx: join(folder, 'absent.onnx') })).toMatch(/^FILE: .*absent\.onnx/);
    const names = join(folder, 'three.names');
    writeFileSync(names, 'a\nb\nc\n');
    expect(await failure({ onnx: unnamed, names })).toMatch(
      /^ONNX: \/unnamed\.onnx: no head is known whose output is 1×6×64 with 3 classes/,
    );
    expect(await failure({ onnx: unnamed, names, head: 'yolov8' })).toMatch(
      /^ONNX: .*a yolov8 head of 3 classes reads 1×7×N/,
    );
    writeFileSync(names, '\n');
    expect(await failure({ onnx: unnamed, names })).toMatch(/^NAMES: /);
    expect(
      await failure({ onnx: written('seg.onnx', yolov8Graph({ names: "{0: 'a'}", task: 'segment' })) }),
    ).toMatch(/^ONNX: .*trained for segmentation; only detection/);
    expect(await failure({ onnx: written('mean.onnx'), mean: [1, 2] })).toMatch(
      /^USAGE: .*mean is 1, 2; expected one number or three/,
    );
    expect(await failure({ onnx: written('std.onnx'), std: [0] })).toMatch(/^USAGE: .*above 0/);
    const two = { ...yolov8Graph(), outputs: ['boxes', 'scores'] };
    expect(await failure({ onnx: written('two.onnx', two) })).toMatch(
      /^ONNX: .*the file has 2 outputs; expected one/,
    );
    const open = { ...yolov8Graph(), inputs: { image: ['n', 3, 'h', 'w'] } };
    expect(await failure({ onnx: written('open.onnx', open) })).toMatch(/^ONNX: .*--size/);
    expect(await failure({ onnx: written('open.onnx', open), size: [32, 32] })).toBe('loaded');
    const batch = { ...yolov8Graph(), inputs: { image: ['batch', 3, 32, 32] } };
    expect(await failure({ onnx: written('batch.onnx', batch) })).toBe('loaded');
    writeFileSync(join(folder, 'photo.onnx'), 'not a network at all');
    expect(await failure({ onnx: join(folder, 'photo.onnx') })).toMatch(
      /^ONNX: \/photo\.onnx: not an ONNX file/,
    );
  });

  it('folds the means away where there are none: three channels', async () => {
    const { network } = await loadOnnx({ onnx: written('three.onnx') });
    expect(network.input.channels).toBe(3);
    const { network: four } = await loadOnnx({ onnx: written('four.onnx'), mean: [1], std: [2] });
    expect(four.input.channels).toBe(4);
  });
});
