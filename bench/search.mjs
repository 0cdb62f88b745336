/**
 * Few spikes, full accuracy: what a network keeps, by how it is tuned, at which percentile, and with how many steps, on those
 * calibration photos that it was not tuned on; no label and no test photo is read:
 * npm run search -- --onnx FILE --calibration DIR [--names FILE] [--weight-bits 8] [--steps 1,2,4] [--percentiles 99,99.9]
 * [--tune none,bias,full], or --cfg FILE --weights FILE --names FILE. A line each: relative error of the output maps, agreement
 * with the float network's own boxes (F1 at score .25, overlap .5), unit spikes and signed digits per neuron, both weighted by
 * multiply-accumulates, too, and the digits' energy as a part of the float network's (4.6 and .9 pJ).
 */
import { parseArgs } from 'node:util';
import { tuningPhotos } from '../dist/conversion/tune.js';
import { annEnergyOf, energyOf, fixedWork } from '../dist/evaluation/work.js';
import { listPhotos } from '../dist/files.js';
import { loadTrained } from '../dist/formats/trained.js';
import {
  ActivationFile,
  convertNetwork,
  DEFAULT_CONVERSION,
  DEFAULT_SETTINGS,
  FloatDetector,
  readPhoto,
  readResized,
  SpikingDetector,
  selectBackend,
} from '../dist/index.js';
import { foundTwice } from './agreement.mjs';

const text = { type: 'string' };
const { values: given } = parseArgs({
  options: {
    cfg: text,
    weights: text,
    names: text,
    onnx: text,
    calibration: text,
    resize: text,
    'weight-bits': { ...text, default: '8' },
    steps: { ...text, default: '1,2,3,4,6,8,12,16,32' },
    percentiles: { ...text, default: '99' },
    tune: { ...text, default: 'none,bias,full' },
  },
});
if (given.calibration === undefined) throw new Error('expected --calibration DIR');
const { cfg, weights, names, onnx } = given;
const trained = await loadTrained(onnx === undefined ? { cfg, weights, names } : { onnx, names });
const { backend } = selectBackend();
const resize = given.resize ?? trained.resize ?? DEFAULT_CONVERSION.resize;
const paths = await listPhotos(given.calibration);
const tuned = new Set(tuningPhotos(paths.length));
const heldOut = paths.filter((_, place) => !tuned.has(place));
const float = new FloatDetector(trained, 'trained', backend);
const head = { ...DEFAULT_SETTINGS, resize };

function measure(model, steps, photos) {
  const runs = ['count', 'phase'].map(
    (coding) => new SpikingDetector(model, { ...DEFAULT_SETTINGS, steps, coding }, backend),
  );
  const work = fixedWork(runs[0].simulation.plan, steps);
  let [error, norm, found, boxes] = [0, 0, 0, 0];
  const sent = runs.map(() => ({ perNeuron: 0, weighted: 0, operations: 0 }));
  for (const { photo, pixels } of photos) {
    const targets = float.floatNetwork.forward(pixels).map((map) => map.slice());
    const theirs = float.detections(targets, photo, head);
    for (const [i, detector] of runs.entries()) {
      const maps = detector.outputMaps(pixels);
      const statistics = detector.simulation.statistics();
      sent[i].perNeuron += statistics.spikesPerNeuron / photos.length;
      sent[i].weighted += statistics.spikesPerNeuronMacWeighted / photos.length;
      sent[i].operations += statistics.synapticOperations / photos.length;
      if (i > 0) continue;
      const ours = detector.detections(maps, photo, head);
      found += foundTwice(ours, theirs);
      boxes += ours.length + theirs.length;
      for (const [output, map] of maps.entries())
        for (const [at, value] of map.entries()) {
          error += (value - targets[output][at]) ** 2;
          norm += targets[output][at] ** 2;
        }
    }
  }
  for (const detector of runs) detector.close();
  const energy = energyOf(work, sent[1].operations).energyPicojoules / annEnergyOf(work).energyPicojoules;
  return { error: Math.sqrt(error / norm), agreement: (2 * found) / boxes, sent, energy };
}

const photos = [];
for (const path of heldOut) {
  const photo = await readPhoto(path);
  photos.push({ photo, pixels: float.resize(photo, resize) });
}
const { width, height, channels } = trained.network.input;
console.log(`${heldOut.length} of ${paths.length} calibration photos, which nothing was tuned on`);
console.log('tune  percentile  T   error  boxes  spikes  weighted  digits  weighted  energy');
for (const percentile of given.percentiles.split(',').map(Number))
  for (const tune of given.tune.split(',')) {
    const model = await convertNetwork(
      trained,
      () => readResized(paths, resize, width, height, channels),
      { ...DEFAULT_CONVERSION, percentile, tune, resize, weightBits: Number(given['weight-bits']) },
      backend,
      { store: new ActivationFile() },
    );
    for (const steps of given.steps.split(',').map(Number)) {
      const { error, agreement, sent, energy } = measure(model, steps, photos);
      const [count, digits] = sent.map(({ perNeuron, weighted }) => [perNeuron, weighted]);
      console.log(
        [
          tune.padEnd(4),
          `${percentile} %`.padStart(11),
          String(steps).padStart(3),
          error.toFixed(4),
          agreement.toFixed(3),
          count[0].toFixed(2).padStart(7),
          count[1].toFixed(2).padStart(9),
          digits[0].toFixed(2).padStart(7),
          digits[1].toFixed(2).padStart(9),
          `${energy.toFixed(2)}×`,
        ].join('  '),
      );
    }
  }
