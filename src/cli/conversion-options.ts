import type { Command } from 'commander';
import {
  type ConversionOptions,
  convertNetwork,
  DEFAULT_CONVERSION,
  PAPER_PERCENTILE,
  type TrainedNetwork,
} from '../conversion/convert.js';
import { PASSES } from '../conversion/percentile.js';
import type { Backend } from '../engine/backend.js';
import { conversionError, usageError } from '../errors.js';
import { listPhotos } from '../files.js';
import { PHOTO_FORMATS } from '../image/read-photo.js';
import { readResized } from '../image/read-resized.js';
import { NORMALISATIONS, RESIZES, type SpikingModel } from '../model/spiking-model.js';
import { addTrainedFileOptions, choice, numberArgument } from './options.js';
import type { Progress } from './progress.js';

/** Conversion options as a command line gives them. */
export interface GivenConversionOptions extends Partial<Omit<ConversionOptions, 'weightBits'>> {
  weightBits?: number;
}

/** Adds the options that name a trained network, its calibration photos, and how photos are resized. */
export function addTrainedNetworkOptions(command: Command): Command {
  return addTrainedFileOptions(command)
    .requiredOption('--calibration <dir>', 'photos that show what activations are usual, some tens of them')
    .addOption(
      choice(
        '--resize <how>',
        'how photos are resized (default letterbox; of an ONNX file what its head is trained with)',
        RESIZES,
      ),
    );
}

/** Adds the options that choose how a network is converted, `--resize` and `--preset` excepted. */
export function addConversionOptions(command: Command): Command {
  return command
    .addOption(
      choice('--norm <kind>', 'one λ per channel, per layer, or none (default channel)', NORMALISATIONS),
    )
    .option(
      '--percentile <p>',
      'percentile of the activations that λ is taken at (default 99)',
      numberArgument,
    )
    .option('--weight-bits <n>', '16 or 8 (default 16)', numberArgument);
}

/** Fills in what is not given; throws `USAGE`. */
export function conversionOptions(
  given: GivenConversionOptions,
  trained?: TrainedNetwork,
): ConversionOptions {
  const preset = given.preset ?? DEFAULT_CONVERSION.preset;
  const percentile =
    given.percentile ?? (preset === 'paper' ? PAPER_PERCENTILE : DEFAULT_CONVERSION.percentile);
  if (!(percentile > 0 && percentile <= 100))
    throw usageError(`--percentile is ${percentile}; expected above 0 and up to 100`);
  const weightBits = given.weightBits ?? DEFAULT_CONVERSION.weightBits;
  if (weightBits !== 16 && weightBits !== 8)
    throw usageError(`--weight-bits is ${weightBits}; expected 16 or 8`);
  return {
    norm: given.norm ?? DEFAULT_CONVERSION.norm,
    percentile,
    weightBits,
    resize: given.resize ?? trained?.resize ?? DEFAULT_CONVERSION.resize,
    preset,
  };
}

/** Photos to calibrate with, by name; throws `CONVERSION` if the folder holds none. */
export async function listCalibrationPhotos(folder: string): Promise<string[]> {
  const paths = await listPhotos(folder);
  if (paths.length === 0)
    throw conversionError(`${folder}: the folder holds no ${PHOTO_FORMATS} file to calibrate with`);
  return paths;
}

/** Converts a trained network with photos from files. */
export function convertWithPhotos(
  trained: TrainedNetwork,
  paths: readonly string[],
  options: ConversionOptions,
  backend: Backend,
  progress: Progress,
): Promise<SpikingModel> {
  const { width, height, channels } = trained.network.input;
  return convertNetwork(
    trained,
    () => readResized(paths, options.resize, width, height, channels),
    options,
    backend,
    (done, pass) =>
      progress.part(
        (pass + done / paths.length) / PASSES,
        `calibration pass ${pass + 1} of ${PASSES}, photo ${done} of ${paths.length}`,
      ),
  );
}
