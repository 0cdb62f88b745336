import { basename, extname, join } from 'node:path';
import type { Command } from 'commander';
import { selectBackend } from '../backend/select.js';
import { loadDarknet } from '../darknet/load.js';
import { FloatDetector, SpikingDetector } from '../detection/detector.js';
import { resolveSettings } from '../detection/settings.js';
import { parseModel, readModel, threadsFor } from '../detector.js';
import { fileError, reasonOf, usageError } from '../errors.js';
import { EVALUATION_HEAD, type Evaluation, Evaluator } from '../evaluation/evaluate.js';
import { parseVocAnnotation } from '../evaluation/voc-annotation.js';
import { listPhotos, readPhotoBytes, readText } from '../files.js';
import { decodePhoto } from '../image/read-photo.js';
import {
  addBackendOptions,
  addModelOptions,
  addRunOptions,
  darknetFiles,
  type ModelCommandOptions,
  numberArgument,
} from './options.js';
import { printError } from './print.js';
import { Progress } from './progress.js';

interface EvalOptions extends Omit<ModelCommandOptions, 'steps'> {
  images: string;
  annotations: string;
  steps?: string;
  limit?: number;
  format: string;
}

/** Adds `spiking-yolo eval`. */
export function addEvalCommand(program: Command): void {
  const command = program
    .command('eval')
    .description('measure a model on annotated photos (VOC mAP) against its float network')
    .requiredOption('--images <dir>', 'test photos')
    .requiredOption('--annotations <dir>', 'PASCAL VOC annotations, one XML file a photo')
    .option('--limit <n>', 'only the first n photos', numberArgument)
    .option('--format <name>', 'text or json', 'text');
  addModelOptions(command);
  addRunOptions(command);
  command.options.find(({ long }) => long === '--steps')!.argParser((text: string) => text);
  command.options.find(({ long }) => long === '--steps')!.description =
    'step counts to report, separated by commas (default 16)';
  addBackendOptions(command);
  command.addHelpText(
    'after',
    `
With --cfg, --weights and --names beside --model, the float network is the trained one; else it is the model's own
integers as floats.`,
  );
  command.action(async (options: EvalOptions) => {
    process.exitCode = await evaluate(options);
  });
}

function parseSteps(text: string | undefined): number[] | undefined {
  if (text === undefined) return undefined;
  const steps = text.split(',').map(Number);
  const ascending = steps.every(
    (step, i) => Number.isInteger(step) && step >= 1 && step > (steps[i - 1] ?? 0),
  );
  if (!ascending)
    throw usageError(`--steps is "${text}"; expected whole numbers in ascending order, separated by commas`);
  return steps;
}

async function evaluate(given: EvalOptions): Promise<number> {
  const { images, annotations, format, cfg, weights, names, steps: stepsText, limit, ...rest } = given;
  if (format !== 'text' && format !== 'json')
    throw usageError(`--format is "${format}"; expected text or json`);
  if (rest.ann)
    throw usageError('eval always measures both, the spiking and the float network; leave --ann out');
  if (limit !== undefined && !(Number.isInteger(limit) && limit >= 1)) {
    throw usageError(`--limit is ${limit}; expected a whole number from 1`);
  }
  const files = darknetFiles({ cfg, weights, names } as ModelCommandOptions);
  const listed = parseSteps(stepsText);
  const options = { ...rest, ...(listed ? { steps: listed.at(-1)! } : {}) } as ModelCommandOptions;
  const settings = resolveSettings(options, options.preset);
  const steps = listed ?? [settings.steps];
  if (settings.schedule === 'layered' && steps.length > 1)
    throw usageError('a layer-synchronous run has one step count; give one');
  const { backend } = selectBackend(options);
  const model = parseModel(await readModel(options), options.preset);
  const spiking = new SpikingDetector(model, settings, backend, threadsFor(options));
  const trained = files && (await loadDarknet(files));
  const float = trained
    ? new FloatDetector(trained, 'trained', backend)
    : FloatDetector.ofModel(model, backend);
  const resize = options.resize ?? model.resize;
  const evaluator = new Evaluator(spiking, float, model.classes, steps, { ...EVALUATION_HEAD, resize });
  const paths = (await listPhotos(images)).slice(0, limit);
  if (paths.length === 0) throw fileError(`${images}: the folder holds no JPEG, PNG or BMP file`);
  const progress = new Progress(paths.length, false);
  let failures = 0;
  for (const path of paths) {
    try {
      const xml = await readText(join(annotations, `${basename(path, extname(path))}.xml`));
      evaluator.add(await decodePhoto(await readPhotoBytes(path)), parseVocAnnotation(xml));
    } catch (error) {
      failures++;
      progress.clear();
      printError(`${path}: ${reasonOf(error).replace(`${path}: `, '')}`);
    }
    progress.photo();
  }
  progress.clear();
  if (failures === paths.length) throw fileError(`none of the ${paths.length} photos could be evaluated`);
  const result = evaluator.result();
  const settingsUsed = {
    ...settings,
    ...EVALUATION_HEAD,
    resize,
    float: trained ? 'trained' : 'dequantised',
    backend: backend.name,
    isa: backend.isa,
  };
  process.stdout.write(
    format === 'json'
      ? `${JSON.stringify({ ...result, settings: settingsUsed, failures })}\n`
      : describe(result, settingsUsed.float),
  );
  return failures > 0 ? 1 : 0;
}

function describe({ ann, snn, images }: Evaluation, float: string): string {
  const lines = [
    `${images} photos; float network (${float}): mAP ${ann.map11.toFixed(3)} (11-point), ${ann.mapAll.toFixed(3)} (all-point)`,
    'steps  mAP 11-point  all-point  of the float network  error of the map  spikes/neuron  MAC-weighted',
  ];
  for (const { steps, map11, mapAll, relativeError, spikesPerNeuron, spikesPerNeuronMacWeighted } of snn) {
    const kept = ann.map11 > 0 ? `${((100 * map11) / ann.map11).toFixed(1)} %` : '–';
    lines.push(
      `${String(steps).padStart(5)}  ${map11.toFixed(3).padStart(12)}  ${mapAll.toFixed(3).padStart(9)}  ${kept.padStart(20)}  ${relativeError.toFixed(4).padStart(16)}  ${spikesPerNeuron.toFixed(2).padStart(13)}  ${spikesPerNeuronMacWeighted.toFixed(2).padStart(12)}`,
    );
  }
  return `${lines.join('\n')}\n`;
}
