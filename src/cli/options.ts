import { type Command, InvalidArgumentError, Option } from 'commander';
import { BACKENDS } from '../backend/select.js';
import { DECODERS, type Decoder } from '../decoding/readout.js';
import { PRESETS } from '../detection/settings.js';
import type { DetectorOptions } from '../detector.js';
import { CODINGS } from '../engine/coding.js';
import { NEURONS, POOLS, SCHEDULES } from '../engine/plan.js';
import { usageError } from '../errors.js';
import { findSameFile } from '../files.js';
import type { OnnxFiles } from '../formats/onnx/load.js';
import type { TrainedFiles } from '../formats/trained.js';
import { RESIZES } from '../model/spiking-model.js';
import { TABLE_HEADS } from '../network/network.js';

/** A number argument. */
export function numberArgument(text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isFinite(value)) throw new InvalidArgumentError('expected a number');
  return value;
}

/** A whole number from 1. */
export function countArgument(text: string): number {
  const value = numberArgument(text);
  if (!(Number.isInteger(value) && value >= 1))
    throw new InvalidArgumentError('expected a whole number from 1');
  return value;
}

const poolArgument = (text: string) => (text === 'gate' ? 'gate:avg' : text);

/** An option that takes one of a few values. */
export const choice = (flags: string, description: string, choices: readonly string[]) =>
  new Option(flags, description).choices(choices);

/** Options of every command that runs kernels. */
export function addBackendOptions(command: Command): Command {
  return command
    .addOption(choice('--backend <name>', 'force a back-end', BACKENDS))
    .option('--isa <name>', 'force an instruction set of the native back-end (see: spiking-yolo info)');
}

/** Step counts in ascending order, separated by commas. */
export function stepList(text: string): number[] {
  const steps = text.split(',').map(numberArgument);
  if (!steps.every((step, i) => Number.isInteger(step) && step >= 1 && step > (steps[i - 1] ?? 0)))
    throw new InvalidArgumentError('expected whole numbers in ascending order, separated by commas');
  return steps;
}

function decoderList(text: string): Decoder[] {
  const decoders = [...new Set(text.split(','))].map((name) => DECODERS.find((decoder) => decoder === name));
  if (decoders.includes(undefined)) throw new InvalidArgumentError(`expected ${DECODERS.join(', ')} or both`);
  return decoders as Decoder[];
}

/** Options that choose what of what was found is reported. */
export const addReportedOptions = (command: Command): Command =>
  command
    .option('--conf <x>', 'lowest score that is reported (default 0.25)', numberArgument)
    .option(
      '--iou <x>',
      'boxes of a class that overlap by more are one object (default 0.45)',
      numberArgument,
    )
    .option('--max-det <n>', 'most detections on a photo (default 100)', numberArgument)
    .option('--classes <names>', 'report these classes only, separated by commas')
    .option('--checksum', 'add a checksum over every count and potential');

export const workersOption = () =>
  new Option('--workers <n>', 'threads that share the photos (default: as many as cores)').argParser(
    numberArgument,
  );

/** Options that choose how a model is run; with `lists`, at several step counts and by several decoders; `threads` if it is run here. */
export function addRunOptions(command: Command, { lists = false, threads = true } = {}): Command {
  const steps = lists
    ? command
        .option('--steps <list>', 'step counts to report, separated by commas (default 16)', stepList)
        .option(
          '--decode <list>',
          'output decoders, vmem and count, separated by commas (default vmem)',
          decoderList,
        )
    : command
        .option('--steps <n>', 'time steps (default: what the model was tuned for, 16)', numberArgument)
        .addOption(choice('--decode <name>', 'output decoder (default vmem)', DECODERS));
  const early = lists
    ? steps
    : steps
        .option('--until-stable', 'step by step: end when the boxes have settled')
        .option(
          '--budget-ms <n>',
          'step by step: end after so many milliseconds with the boxes so far',
          numberArgument,
        );
  early
    .addOption(
      choice(
        '--preset <name>',
        'fast (the default): best accuracy; frugal: fewest spikes, as found at conversion; paper: the paper’s, 5,000 steps',
        PRESETS,
      ),
    )
    .addOption(choice('--neuron <rule>', 'neuron rule (default ibt-memory)', NEURONS))
    .addOption(
      new Option('--pool <rule>', `spiking max-pool: ${POOLS.join(', ')} (default exact)`).argParser(
        poolArgument,
      ),
    )
    .option(
      '--rho <x>',
      'firing point of ibt-memory in units of the threshold, 0.5 to 1 (default 0.5)',
      numberArgument,
    )
    .option(
      '--gamma <n>',
      'most spikes a neuron sends in a step, 1 to 127 (default 4, of a tuned model 8)',
      numberArgument,
    )
    .option('--v0 <x>', 'start potential in units of the threshold, 0 to 1 (default 0)', numberArgument)
    .addOption(
      choice(
        '--schedule <name>',
        'layered: each layer waits for its whole input, then fires once (default, unless something asks for steps)',
        SCHEDULES,
      ),
    )
    .addOption(
      choice(
        '--coding <name>',
        'what layer-synchronous counts are sent as: unit spikes (count, the default) or signed digits (phase)',
        CODINGS,
      ),
    )
    .option('--readout-delay <n>', 'the read-out counts from this step on (default 0)', numberArgument)
    .option(
      '--block-length <n>',
      'time steps that run through a layer at once; no effect on results',
      numberArgument,
    );
  return threads ? command.addOption(threadsOption()) : command;
}

export const threadsOption = () =>
  new Option(
    '--threads <n>',
    'threads that share one photo, native only (default: all cores, shared among workers)',
  ).argParser(numberArgument);

/** Options that name annotated photos. */
export function addPhotoSetOptions(command: Command): Command {
  return command
    .requiredOption('--images <dir>', 'test photos')
    .requiredOption('--annotations <dir>', 'PASCAL VOC annotations, one XML file a photo')
    .option('--ids <file>', 'take the photos that this file lists, one name a line')
    .option('--limit <n>', 'only the first n photos', countArgument);
}

/** Options that are chosen when a model is converted; with a model they are refused with a reason. */
const CONVERSION_ONLY = ['--norm', '--percentile', '--weight-bits', '--tune', '--calibration'];

/** Throws `USAGE` if an output would be written over an input or another output; undefined ones do not count. */
export async function refuseOverwriting(
  outputs: Record<string, string | undefined>,
  inputs: readonly (string | undefined)[],
): Promise<void> {
  const given = inputs.filter((input) => input !== undefined);
  const seen: string[] = [];
  for (const [option, path] of Object.entries(outputs)) {
    if (path === undefined) continue;
    if ((await findSameFile(path, given)) !== undefined)
      throw usageError(`--${option} would overwrite ${path}, which is read; name another file`);
    if ((await findSameFile(path, seen)) !== undefined)
      throw usageError(`--${option} and another option both write ${path}`);
    seen.push(path);
  }
}

/** Options that choose the network. */
export function addModelOptions(command: Command): Command {
  command
    .option('--model <name|file>', 'a model by name or its .safetensors file')
    .addOption(choice('--resize <how>', 'override how the model’s photos are resized', RESIZES));
  return addTrainedFileOptions(command);
}

/** Numbers separated by commas. */
const numberList = (text: string) => text.split(',').map(numberArgument);

function sizeArgument(text: string): [number, number] {
  const [height, width = height, ...more] = text.split(/[x,]/).map(countArgument);
  if (height === undefined || more.length > 0)
    throw new InvalidArgumentError('expected a side, or height,width');
  return [height, width!];
}

const onnxOption = () =>
  new Option('--onnx <file>', 'an ONNX file, with --names where its metadata has none');
const headOption = () =>
  choice('--head <kind>', 'what the ONNX file’s output is (default: recognised by its form)', TABLE_HEADS);
const sizeOption = () =>
  new Option('--size <px>', 'input size of an ONNX file that leaves it open').argParser(sizeArgument);
export const orderOption = () =>
  choice('--order <channels>', 'channels as the ONNX network was trained (default: the head’s)', [
    'RGB',
    'BGR',
  ]);
export const meanOption = () =>
  new Option('--mean <list>', 'what is taken from each channel’s bytes (default: the head’s)').argParser(
    numberList,
  );
export const stdOption = () =>
  new Option('--std <list>', 'what they are divided by (default: the head’s)').argParser(numberList);

const anchorsOption = () =>
  new Option(
    '--anchors <list>',
    'w,h,w,h,… in pixels, finest stride first, three a stride: decodes the raw heads of a YOLOv5 file',
  ).argParser(numberList);

/** Options that say what an ONNX file does not. */
export const ONNX_OPTIONS = ['head', 'size', 'anchors', 'order', 'mean', 'std'] as const;

/** Options that say what an ONNX file does not. */
export const addOnnxOptions = (command: Command): Command =>
  command
    .addOption(headOption())
    .addOption(sizeOption())
    .addOption(anchorsOption())
    .addOption(orderOption())
    .addOption(meanOption())
    .addOption(stdOption());

/** Adds the options that name a trained network's files. */
export function addTrainedFileOptions(command: Command): Command {
  command
    .option('--cfg <file>', 'darknet network description')
    .option('--weights <file>', 'darknet weights')
    .option('--names <file>', 'class names, one a line')
    .addOption(onnxOption());
  return addOnnxOptions(command);
}

/** Options of {@link addOnnxOptions}. */
export type OnnxOptions = Pick<OnnxFiles, (typeof ONNX_OPTIONS)[number]>;

/** Those of a command's options. */
export const onnxOptionsOf = (options: OnnxOptions): OnnxOptions =>
  Object.fromEntries(ONNX_OPTIONS.map((name) => [name, options[name]]));

const TRAINED_OPTIONS: readonly string[] = ['cfg', 'weights', 'names', 'onnx', ...ONNX_OPTIONS];

/** Options of {@link addTrainedFileOptions}. */
export interface TrainedFileOptions extends OnnxOptions {
  cfg?: string;
  weights?: string;
  names?: string;
  onnx?: string;
}

/** Options of a command that runs models only, or with `--ann` float networks. */
export function addDetectionModelOptions(command: Command): Command {
  addModelOptions(command).option(
    '--ann',
    'run the float network instead of spikes (of the model, --cfg or --onnx)',
  );
  for (const flag of CONVERSION_ONLY) command.addOption(new Option(`${flag} <value>`).hideHelp());
  return command;
}

/** Parsed options of a command with {@link addModelOptions}, {@link addRunOptions} and {@link addBackendOptions}. */
export interface ModelCommandOptions
  extends Omit<DetectorOptions, 'trained' | 'classes'>,
    TrainedFileOptions {
  model?: string;
  norm?: string;
  percentile?: string;
  weightBits?: string;
  tune?: string;
  calibration?: string;
  classes?: string;
}

/** The trained network's files that a command names, if any; throws `USAGE` for some that do not go together. */
export function trainedFiles(options: TrainedFileOptions): TrainedFiles | undefined {
  const { cfg, weights, names, onnx } = options;
  if (onnx !== undefined) {
    if (cfg !== undefined || weights !== undefined)
      throw usageError('--onnx and --cfg are two networks; give one');
    return { onnx, names, ...onnxOptionsOf(options) };
  }
  const alone = ONNX_OPTIONS.find((name) => options[name] !== undefined);
  if (alone) throw usageError(`--${alone} says how an ONNX file is read: add --onnx FILE`);
  if (cfg === undefined && weights === undefined && names === undefined) return undefined;
  if (cfg === undefined || weights === undefined || names === undefined)
    throw usageError('--cfg, --weights and --names go together (or --onnx and --names)');
  return { cfg, weights, names };
}

/** The same where a network is needed; throws `USAGE` if none is named. */
export function requiredTrainedFiles(options: TrainedFileOptions): TrainedFiles {
  const files = trainedFiles(options);
  if (!files) throw usageError('name a trained network: --cfg, --weights and --names, or --onnx');
  return files;
}

/** All files of a trained network, for outputs not to overwrite. */
export const filesOf = ({ cfg, weights, names, onnx }: TrainedFileOptions) => [cfg, weights, names, onnx];

/** Detector options from the command line; throws `USAGE` for combinations that mean nothing. */
export function detectorOptions(options: ModelCommandOptions): DetectorOptions {
  const { norm, percentile, weightBits, tune, calibration, classes, ...given } = options;
  const conversion = { norm, percentile, 'weight-bits': weightBits, tune, calibration };
  for (const [name, value] of Object.entries(conversion)) {
    if (value !== undefined) {
      throw usageError(
        `--${name} is chosen when a model is converted and lives in its file; use: spiking-yolo convert --${name} …`,
      );
    }
  }
  const result: DetectorOptions = Object.fromEntries(
    Object.entries(given).filter(([name]) => !TRAINED_OPTIONS.includes(name)),
  );
  if (classes !== undefined) result.classes = classes.split(',').map((name) => name.trim());
  const trained = trainedFiles(options);
  if (!trained) return result;
  if (options.model !== undefined)
    throw usageError(`--model and --${'onnx' in trained ? 'onnx' : 'cfg'} are two networks; give one`);
  if (!options.ann) {
    throw usageError(
      'a trained network’s files run as a float network only (--ann); for spikes convert them first: spiking-yolo convert --help',
    );
  }
  result.trained = trained;
  return result;
}
