import type { Command } from 'commander';
import { selectBackend } from '../backend/select.js';
import type { Decoder } from '../decoding/readout.js';
import { FloatDetector } from '../detection/detector.js';
import { pickSettings, resolveSettings } from '../detection/settings.js';
import { parseModel, readModel, threadsFor } from '../detector.js';
import type { Backend } from '../engine/backend.js';
import { usageError } from '../errors.js';
import { listAnnotatedPhotos, type PhotoSet } from '../evaluation/annotated-photos.js';
import { runExperiment } from '../evaluation/experiment.js';
import { writeWhole } from '../files.js';
import { loadTrained } from '../formats/trained.js';
import {
  addConversionOptions,
  conversionOptions,
  convertWithPhotos,
  type GivenConversionOptions,
  listCalibrationPhotos,
} from './conversion-options.js';
import { EVALUATION_FORMATS, formatEvaluation } from './evaluation-format.js';
import {
  addBackendOptions,
  addModelOptions,
  addPhotoSetOptions,
  addRunOptions,
  choice,
  type ModelCommandOptions,
  refuseOverwriting,
  trainedFiles,
} from './options.js';
import { evaluationListener } from './print.js';
import { Progress } from './progress.js';

interface EvalOptions
  extends Omit<
      ModelCommandOptions,
      'steps' | 'decode' | 'untilStable' | 'budgetMs' | keyof GivenConversionOptions
    >,
    GivenConversionOptions,
    PhotoSet {
  calibration?: string;
  steps?: number[];
  decode?: Decoder[];
  format: (typeof EVALUATION_FORMATS)[number];
  out?: string;
  state?: string;
}

/** Adds `spiking-yolo eval`. */
export function addEvalCommand(program: Command): void {
  const command = program
    .command('eval')
    .description('measure a model on annotated photos (VOC mAP, spikes, energy) against its float network');
  addPhotoSetOptions(command)
    .addOption(choice('--format <name>', 'how the result is written', EVALUATION_FORMATS).default('text'))
    .option('--out <file>', 'write the result there instead of to stdout')
    .option('--state <file>', 'keep what is measured in this file, photo by photo, and go on from it');
  addModelOptions(command);
  addConversionOptions(
    command.option('--calibration <dir>', 'photos to convert a trained network with, without --model'),
  );
  addRunOptions(command, { lists: true });
  addBackendOptions(command);
  command.addHelpText(
    'after',
    `
The network is --model, a converted one, or is converted for the occasion from --cfg, --weights, --names (or
--onnx) and --calibration. With --model and these files beside it, the float network it is measured against is the trained one;
with --model alone, it is the model's own integers as floats.

Examples (photos and annotations as in PASCAL VOC):
  spiking-yolo eval --model tiny-yolo-lite-voc --images JPEGImages --annotations Annotations --steps 8,16,32
  spiking-yolo eval --cfg mine.cfg --weights mine.weights --names mine.names --calibration photos --preset paper \\
    --images JPEGImages --annotations Annotations --ids test.txt --steps 256,1024,4096 --decode vmem,count \\
    --format json --out mine.json --state mine.state`,
  );
  command.action(async (options: EvalOptions) => {
    process.exitCode = await evaluate(options);
  });
}

/** The model to measure, converted now if darknet files and photos are given instead of one. */
async function loadModel(given: EvalOptions, backend: Backend, progress: Progress) {
  const files = trainedFiles(given);
  const trained = files && (await loadTrained(files));
  if (given.calibration === undefined) {
    const unused = (['norm', 'percentile', 'weightBits', 'tune'] as const).find(
      (name) => given[name] !== undefined,
    );
    if (unused !== undefined) {
      throw usageError(
        `${unused} is chosen when a model is converted and lives in its file; leave --model out and give --cfg, --weights, --names (or --onnx) and --calibration`,
      );
    }
    if (files && given.model === undefined) {
      throw usageError('a trained network is converted with photos: add --calibration DIR (or --model FILE)');
    }
    return { model: parseModel(await readModel(given), given.preset), trained };
  }
  if (given.model !== undefined)
    throw usageError('--model is converted already: give it or --calibration, not both');
  if (!trained)
    throw usageError('--calibration converts a trained network: add --cfg, --weights and --names, or --onnx');
  const paths = await listCalibrationPhotos(given.calibration);
  return {
    model: await convertWithPhotos(trained, paths, conversionOptions(given, trained), backend, progress),
    trained,
  };
}

async function evaluate(given: EvalOptions): Promise<number> {
  const { format, out, state, steps: listed, resize } = given;
  const chosen = pickSettings({ ...given, steps: listed?.at(-1), decode: undefined });
  resolveSettings(chosen, given.preset);
  const threads = threadsFor(given);
  const { backend } = selectBackend(given);
  const photos = await listAnnotatedPhotos(given);
  const { cfg, weights, names, onnx, ids, model: modelFile } = given;
  await refuseOverwriting({ out, state }, [
    cfg,
    weights,
    names,
    onnx,
    ids,
    modelFile,
    ...photos.flatMap(({ path, annotation }) => [path, annotation]),
  ]);
  const progress = new Progress(photos.length, true);
  const { model, trained } = await loadModel(given, backend, progress);
  const settings = resolveSettings(chosen, given.preset, model);
  const { steps } = settings;
  const float = trained
    ? new FloatDetector(trained, 'trained', backend)
    : FloatDetector.ofModel(model, backend);
  const report = await runExperiment(
    {
      model,
      float,
      floatWeights: trained?.weightsSha256,
      settings,
      steps: listed ?? [steps],
      decoders: given.decode ?? ['vmem'],
      resize,
    },
    photos,
    state,
    backend,
    threads,
    evaluationListener(progress, steps),
  );
  progress.clear();
  const text = formatEvaluation(report, format);
  if (out === undefined) process.stdout.write(text);
  else await writeWhole(out, text);
  return report.failures > 0 ? 1 : 0;
}
