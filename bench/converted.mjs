/**
 * A converted model, layer-synchronous, beside ONNX Runtime's passes of the file that it came from, taken in turn:
 * node bench/converted.mjs MODEL.safetensors FILE.onnx [--steps n] [--runs n] [--threads 1] [--photo file]
 * [--backend name] [--isa name] [--int8 CALIBRATION_PHOTOS [--recipe conv-add|all] [--images DIR --annotations DIR]]
 *
 * Prints medians in milliseconds. With --int8 ONNX Runtime computes in int8, too (bench/peers/int8.mjs, 24 photos), and with
 * annotated photos mAP (11 points) stands beside the times: that of ONNX Runtime's own outputs, float32 and int8, and of the spiking
 * network. Needs npm ci --ignore-scripts --prefix bench/peers.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from '../dist/bench/median.js';
import { readGroundTruth } from '../dist/evaluation/annotated-photos.js';
import { EVALUATION_HEAD } from '../dist/evaluation/evaluate.js';
import { listPhotos, readModelBytes } from '../dist/files.js';
import { PREPARATIONS } from '../dist/formats/onnx/load.js';
import { detectionsOf } from '../dist/heads/detections.js';
import { wholeTable } from '../dist/heads/rows.js';
import { readPhotoFile } from '../dist/image/read-resized.js';
import {
  Detector,
  decodeModel,
  listAnnotatedPhotos,
  matchPhoto,
  meanAveragePrecision,
  placementOf,
  resizePhoto,
  SpikingDetector,
  selectBackend,
} from '../dist/index.js';
import { quantise } from './peers/int8.mjs';

const peers = fileURLToPath(new URL('./peers/package.json', import.meta.url));
const ort = createRequire(peers)('onnxruntime-node');
const sample = fileURLToPath(new URL('../samples/cat.jpg', import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    steps: { type: 'string', default: '16' },
    runs: { type: 'string', default: '12' },
    threads: { type: 'string', default: '1' },
    photo: { type: 'string', default: sample },
    backend: { type: 'string' },
    isa: { type: 'string' },
    int8: { type: 'string' },
    recipe: { type: 'string', default: 'conv-add' },
    images: { type: 'string' },
    annotations: { type: 'string' },
  },
});
const [modelPath, onnx] = positionals;
if (onnx === undefined) throw new Error('expected a model and the ONNX file that it came from');
const model = decodeModel(await readModelBytes(modelPath));
const { height, width } = model.network.input;
const threads = Number(values.threads);
const open = (file) =>
  ort.InferenceSession.create(file, { intraOpNumThreads: threads, interOpNumThreads: 1 });

const [head] = model.network.heads;
const { order, mean, deviation } = PREPARATIONS[head.kind];
/** A photo as the file takes it. */
function imageOf(photo) {
  const rgb = resizePhoto(model.resize, photo, width, height);
  const cells = height * width;
  const planes = new Float32Array(3 * cells);
  for (let c = 0; c < 3; c++) {
    const from = order === 'BGR' ? 2 - c : c;
    for (let i = 0; i < cells; i++) planes[c * cells + i] = (rgb[3 * i + from] - mean[c]) / deviation[c];
  }
  return new ort.Tensor('float32', planes, [1, 3, height, width]);
}

const sessions = { float32: await open(onnx) };
if (values.int8 !== undefined) {
  const photos = (await listPhotos(values.int8)).slice(0, 24);
  async function* images() {
    for (const path of photos) yield imageOf(await readPhotoFile(path));
  }
  sessions.int8 = await open(await quantise(readFileSync(onnx), ort, images(), values.recipe));
}

const { backend, isa } = values;
const options = {
  steps: Number(values.steps),
  threads,
  schedule: 'layered',
  ...(backend && { backend }),
  ...(isa && { isa }),
};
const detector = await Detector.load({ model: modelPath, ...options });
const image = imageOf(await readPhotoFile(values.photo));
const times = Object.fromEntries([...Object.keys(sessions), 'network', 'boxes'].map((name) => [name, []]));
for (let run = 0; run < Number(values.runs); run++) {
  for (const [name, session] of Object.entries(sessions)) {
    const start = performance.now();
    await session.run({ [session.inputNames[0]]: image });
    times[name].push(performance.now() - start);
  }
  const { elapsedMs } = await detector.detect(values.photo);
  times.network.push(elapsedMs.network);
  times.boxes.push(elapsedMs.postprocess);
}
const { settings } = detector;
await detector.close();
const ms = Object.fromEntries(Object.entries(times).map(([name, all]) => [name, median(all)]));
const parts = Object.keys(sessions).map((name) => `ONNX Runtime ${name} ${ms[name].toFixed(1)}`);
const ratios = Object.keys(sessions).map((name) => `${(ms.network / ms[name]).toFixed(2)}× its ${name}`);
console.log(
  `${parts.join(', ')}, network ${ms.network.toFixed(1)} (${ratios.join(', ')}), tail, boxes ${ms.boxes.toFixed(1)}`,
);

if (values.images !== undefined && values.annotations !== undefined) {
  const { classes } = model;
  const network = new SpikingDetector(model, settings, selectBackend(options).backend);
  const wanted = { ...EVALUATION_HEAD, allClasses: true, resize: model.resize };
  const matches = { float32: [], int8: [], spiking: [] };
  for (const { path, annotation } of await listAnnotatedPhotos(values)) {
    const truth = await readGroundTruth(annotation, classes, new Set());
    const photo = await readPhotoFile(path);
    const placement = placementOf(model.resize, photo.width, photo.height, width, height);
    for (const [name, session] of Object.entries(sessions)) {
      const output = (await session.run({ [session.inputNames[0]]: imageOf(photo) }))[session.outputNames[0]];
      const table = wholeTable(head.kind, { dims: output.dims, values: Float64Array.from(output.data) });
      const found = detectionsOf(model.network, [{ head, output: 0 }], [table], classes, placement, wanted);
      matches[name].push(matchPhoto(found, truth));
    }
    const maps = network.outputMaps(network.resize(photo, model.resize));
    matches.spiking.push(matchPhoto(network.detections(maps, photo, wanted), truth));
  }
  network.close();
  const scores = Object.entries(matches)
    .filter(([, all]) => all.length > 0)
    .map(([name, all]) => `${name} ${meanAveragePrecision(classes, all).map11.toFixed(3)}`);
  console.log(`mAP: ${scores.join(', ')}`);
}
