/**
 * What ending early saves and costs: node bench/anytime.mjs IMAGES ANNOTATIONS [--model name] [--steps n] [--conf x]. Per run:
 * mean steps, spikes per neuron, and mAP (11-point) of the boxes that are reported, on photos annotated as in PASCAL VOC.
 */
import { parseArgs } from 'node:util';
import { matchPhoto, meanAveragePrecision } from '../dist/evaluation/mean-average-precision.js';
import { readXml } from '../dist/files.js';
import { Detector, listAnnotatedPhotos, parseVocAnnotation } from '../dist/index.js';

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string', default: 'tiny-yolo-voc' },
    steps: { type: 'string', default: '16' },
    conf: { type: 'string', default: '0.25' },
  },
});
const [images, annotations] = positionals;
const photos = await listAnnotatedPhotos({ images, annotations });
const { model } = given;
const common = { model, steps: Number(given.steps), conf: Number(given.conf) };
const runs = {
  'layer by layer': {},
  'all steps': { schedule: 'steps' },
  'until stable': { untilStable: true },
};
for (const [name, options] of Object.entries(runs)) {
  const detector = await Detector.load({ ...common, ...options });
  let [steps, spikes] = [0, 0];
  const matches = [];
  for (const { path, annotation } of photos) {
    const found = await detector.detect(path);
    steps += found.steps;
    spikes += found.spikesPerNeuron;
    matches.push(matchPhoto(found.detections, parseVocAnnotation(await readXml(annotation))));
  }
  const classes = [...new Set(matches.flatMap(Object.keys))];
  const { map11 } = meanAveragePrecision(classes, matches);
  console.log(
    `${name.padEnd(15)} ${(steps / photos.length).toFixed(1)} steps, ${(spikes / photos.length).toFixed(2)} spikes a neuron, mAP ${map11.toFixed(3)}`,
  );
  await detector.close();
}
