// From an ONNX export (yolo export model=best.pt format=onnx) and a folder of photos to boxes:
//   node examples/your-own-yolo.mjs best.onnx photos/
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  convertNetwork,
  DEFAULT_CONVERSION,
  Detector,
  encodeModel,
  loadOnnx,
  readResized,
  selectBackend,
} from 'spiking-yolo';

const [onnx, folder] = process.argv.slice(2);
if (!folder) throw new Error('expected an ONNX file and a folder of photos');
const photos = readdirSync(folder)
  .filter((name) => /\.(jpe?g|png|webp)$/i.test(name))
  .map((name) => join(folder, name));

const trained = await loadOnnx({ onnx });
const { width, height, channels } = trained.network.input;
const options = { ...DEFAULT_CONVERSION, weightBits: 8, resize: trained.resize };
const calibration = () => readResized(photos.slice(0, 50), options.resize, width, height, channels);
const model = await convertNetwork(trained, calibration, options, selectBackend().backend);

const detector = await Detector.load({ model: encodeModel(model) });
for await (const { source, result, error } of detector.detectAll(photos)) {
  console.log(source, error ? error.message : '');
  for (const { class: name, score, box } of result?.detections ?? []) console.log(' ', name, score, box);
}
await detector.close();
