import type { Decoder } from '../decoding/readout.js';
import { type FloatDetector, SpikingDetector } from '../detection/detector.js';
import type { DetectionSettings } from '../detection/settings.js';
import type { Backend } from '../engine/backend.js';
import { fileError } from '../errors.js';
import { sha256 } from '../files.js';
import { encodeModel } from '../model/model-file.js';
import type { Resize, SpikingModel } from '../model/spiking-model.js';
import { inferShapes } from '../network/shapes.js';
import { version } from '../version.js';
import { type AnnotatedPhoto, type EvaluationListener, measurePhotos } from './annotated-photos.js';
import { EVALUATION_HEAD, type Evaluation, Evaluator, type SteppedRun } from './evaluate.js';
import { EvaluationState } from './state.js';

/** A spiking network, how it is run, and the float network that it is measured against. */
export interface Experiment {
  model: SpikingModel;
  float: FloatDetector;
  /** SHA-256 of the float network's weights file; undefined if it is the model's own integers as floats. */
  floatWeights?: string | undefined;
  settings: DetectionSettings;
  /** Step counts to report, ascending. */
  steps: readonly number[];
  decoders: readonly Decoder[];
  /** Default: the model's. */
  resize?: Resize | undefined;
}

/** An evaluation with what it was made with. */
export interface EvaluationReport extends Evaluation {
  settings: Record<string, unknown>;
  /** Photos that could not be evaluated. */
  failures: number;
}

/** One simulation for all steps; layer-synchronous runs need one each. */
function planRuns({ model, settings, steps }: Experiment, backend: Backend, threads: number): SteppedRun[] {
  const groups = settings.schedule === 'layered' ? steps.map((step) => [step]) : [steps];
  return groups.map((group) => ({
    detector: new SpikingDetector(model, { ...settings, steps: group.at(-1)! }, backend, threads),
    steps: group,
  }));
}

/** Bytes of a model's integers, and of a potential and a count for each neuron. */
function footprintOf({ network, layers }: SpikingModel): number {
  const shapes = inferShapes(network);
  return layers.reduce((sum, { name, weights, bias, threshold, negativeThreshold }) => {
    const { height, width, channels } = shapes.get(name)!;
    const arrays = [weights, bias, threshold, negativeThreshold];
    return sum + arrays.reduce((bytes, array) => bytes + array.byteLength, 0) + 8 * height * width * channels;
  }, 0);
}

/** Everything that decides the measurements, for the result and for the state's key. */
function describeSettings({ model, floatWeights, settings, steps, decoders, resize }: Experiment) {
  const { neuron, pool, rho, gamma, v0, schedule, coding, readoutDelay } = settings;
  return {
    conversion: model.provenance,
    neuron,
    pool,
    ...(neuron === 'ibt-memory' ? { rho } : {}),
    ...(schedule === 'layered' ? {} : { gamma }),
    v0,
    schedule,
    coding,
    readoutDelay,
    steps,
    decode: decoders,
    resize: resize ?? model.resize,
    ...EVALUATION_HEAD,
    float: floatWeights === undefined ? 'dequantised' : 'trained',
  };
}

/**
 * Measures a spiking network on annotated photos at every listed step.
 *
 * @param state file that keeps measurements photo by photo; what it holds already is not measured again
 * Throws `USAGE` for settings that mean nothing, `FILE` if no photo could be evaluated or the state is another's.
 *
 * @example
 * ```ts
 * import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
 * import { decodeModel, DEFAULT_SETTINGS, FloatDetector, listAnnotatedPhotos, runExperiment, selectBackend } from 'spiking-yolo';
 *
 * mkdirSync('annotated');
 * copyFileSync('samples/cat.jpg', 'annotated/cat.jpg');
 * writeFileSync(
 *   'annotated/cat.xml',
 *   '<annotation><object><name>cat</name><bndbox><xmin>48</xmin><ymin>60</ymin><xmax>420</xmax><ymax>299</ymax></bndbox></object></annotation>',
 * );
 * const photos = await listAnnotatedPhotos({ images: 'annotated', annotations: 'annotated' });
 * const { backend } = selectBackend();
 * const model = decodeModel(readFileSync('models/tiny-yolo-lite-voc.safetensors'));
 * const float = FloatDetector.ofModel(model, backend);
 * const experiment = { model, float, settings: DEFAULT_SETTINGS, steps: [8, 16], decoders: ['vmem'] };
 * const { snn } = await runExperiment(experiment, photos, undefined, backend, 1);
 * console.log(snn.map(({ steps, map11 }) => [steps, map11])); // [ [ 8, 1 ], [ 16, 1 ] ]
 * ```
 */
export async function runExperiment(
  experiment: Experiment,
  photos: readonly AnnotatedPhoto[],
  state: string | undefined,
  backend: Backend,
  threads: number,
  listener: EvaluationListener = {},
): Promise<EvaluationReport> {
  const { model, float, floatWeights, decoders, resize } = experiment;
  const settings = describeSettings(experiment);
  const runs = planRuns(experiment, backend, threads);
  const head = { ...EVALUATION_HEAD, resize: resize ?? model.resize };
  const memory = { weightBytes: model.provenance.weightBits / 8, footprint: footprintOf(model) };
  const evaluator = new Evaluator(runs, float, model.classes, decoders, head, memory);
  const kept = await EvaluationState.open(state, () => ({
    version,
    model: sha256(encodeModel(model)),
    floatWeights,
    settings,
    photos: photos.map(({ id }) => id),
  }));
  try {
    const measurements = await measurePhotos(evaluator, photos, model.classes, kept, listener);
    if (measurements.length === 0) throw fileError(`none of the ${photos.length} photos could be evaluated`);
    return {
      ...evaluator.summarise(measurements),
      settings: { ...settings, backend: backend.name, isa: backend.isa },
      failures: photos.length - measurements.length,
    };
  } finally {
    await kept.close();
    for (const { detector } of runs) detector.close();
  }
}
