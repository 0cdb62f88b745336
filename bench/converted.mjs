/**
 * A converted model, layer-synchronous on one core, beside ONNX Runtime's float32 pass of the file that it came from, taken in
 * turn: node bench/converted.mjs MODEL.safetensors FILE.onnx [--steps n] [--runs n] [--photo file]
 * [--backend name] [--isa name]. Prints medians in milliseconds. Needs npm ci --ignore-scripts --prefix bench/peers.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from '../dist/bench/median.js';
import { readModelBytes } from '../dist/files.js';
import { Detector, decodeModel } from '../dist/index.js';

const peers = fileURLToPath(new URL('./peers/package.json', import.meta.url));
const ort = createRequire(peers)('onnxruntime-node');
const sample = fileURLToPath(new URL('../samples/cat.jpg', import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    steps: { type: 'string', default: '16' },
    runs: { type: 'string', default: '12' },
    photo: { type: 'string', default: sample },
    backend: { type: 'string' },
    isa: { type: 'string' },
  },
});
const [model, onnx] = positionals;
if (onnx === undefined) throw new Error('expected a model and the ONNX file that it came from');
const { height, width } = decodeModel(await readModelBytes(model)).network.input;
const session = await ort.InferenceSession.create(onnx, { intraOpNumThreads: 1, interOpNumThreads: 1 });
const image = new ort.Tensor('float32', new Float32Array(3 * height * width).fill(0.4), [
  1,
  3,
  height,
  width,
]);
const { backend, isa } = values;
const detector = await Detector.load({
  model,
  steps: Number(values.steps),
  threads: 1,
  schedule: 'layered',
  ...(backend && { backend }),
  ...(isa && { isa }),
});
const times = { float: [], network: [], postprocess: [] };
for (let run = 0; run < Number(values.runs); run++) {
  const start = performance.now();
  await session.run({ [session.inputNames[0]]: image });
  times.float.push(performance.now() - start);
  const { elapsedMs } = await detector.detect(values.photo);
  times.network.push(elapsedMs.network);
  times.postprocess.push(elapsedMs.postprocess);
}
await detector.close();
const [float, network, postprocess] = Object.values(times).map(median);
console.log(
  `ONNX Runtime float32 ${float.toFixed(1)}, network ${network.toFixed(1)} (${(network / float).toFixed(1)}×), tail, boxes ${postprocess.toFixed(1)}`,
);
