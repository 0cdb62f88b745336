import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Command } from 'commander';
import { ActivationFile } from '../conversion/activation-file.js';
import {
  type ConversionOptions,
  convertNetwork,
  DEFAULT_CONVERSION,
  PAPER_PERCENTILE,
  type TrainedNetwork,
  tuningOf,
} from '../conversion/convert.js';
import { PASSES } from '../conversion/percentile.js';
import { FEWEST_TUNING_PHOTOS, TUNINGS } from '../conversion/tune.js';
import type { Preset } from '../detection/settings.js';
import type { Backend } from '../engine/backend.js';
import { conversionError, usageError } from '../errors.js';
import { listPhotos } from '../files.js';
import { PHOTO_FORMATS } from '../image/read-photo.js';
import { readResized } from '../image/read-resized.js';
import { NORMALISATIONS, RESIZES, type SpikingModel } from '../model/spiking-model.js';
import { ConversionStateFile } from './conversion-state.js';
import { addTrainedFileOptions, choice, numberArgument } from './options.js';
import type { Progress } from './progress.js';

/** Conversion options as a command line gives them. */
export interface GivenConversionOptions extends Partial<Omit<ConversionOptions, 'weightBits' | 'preset'>> {
  weightBits?: number;
  preset?: Preset;
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
    .option('--weight-bits <n>', '16 or 8 (default 16)', numberArgument)
    .addOption(
      choice(
        '--tune <what>',
        `what is tuned on the photos, at least ${FEWEST_TUNING_PHOTOS} of them: none, bias, or full, which is λ and biases (default full)`,
        TUNINGS,
      ),
    );
}

/** Fills in what is not given; throws `USAGE`. */
export function conversionOptions(
  given: GivenConversionOptions,
  trained?: TrainedNetwork,
): ConversionOptions {
  // fast and frugal are presets of one conversion
  const preset = given.preset === 'paper' ? 'paper' : DEFAULT_CONVERSION.preset;
  const percentile =
    given.percentile ?? (preset === 'paper' ? PAPER_PERCENTILE : DEFAULT_CONVERSION.percentile);
  if (!(percentile > 0 && percentile <= 100))
    throw usageError(`--percentile is ${percentile}; expected above 0 and up to 100`);
  const weightBits = given.weightBits ?? DEFAULT_CONVERSION.weightBits;
  if (weightBits !== 16 && weightBits !== 8)
    throw usageError(`--weight-bits is ${weightBits}; expected 16 or 8`);
  const norm = given.norm ?? DEFAULT_CONVERSION.norm;
  if (given.tune === 'full' && norm !== 'channel')
    throw usageError(`--tune full finds one λ per channel, which --norm ${norm} has not; use --tune bias`);
  if ((given.tune ?? 'none') !== 'none' && preset === 'paper')
    throw usageError(`--tune ${given.tune} is not how the paper converts; leave it or --preset paper out`);
  return {
    norm,
    percentile,
    weightBits,
    resize: given.resize ?? trained?.resize ?? DEFAULT_CONVERSION.resize,
    tune: given.tune ?? DEFAULT_CONVERSION.tune,
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

/** A folder, or the nearest above it that is there: it is made when the model is written. */
const existingFolder = (folder: string): string =>
  existsSync(folder) || folder === dirname(folder) ? folder : existingFolder(dirname(folder));

/**
 * Converts a trained network with photos from files.
 *
 * @param folder where activations wait in a temporary file while it is tuned (default: the system's)
 * @param state file that it goes on from, and that keeps what it finds
 */
export async function convertWithPhotos(
  trained: TrainedNetwork,
  paths: readonly string[],
  options: ConversionOptions,
  backend: Backend,
  progress: Progress,
  { folder, state }: { folder?: string; state?: string | undefined } = {},
): Promise<SpikingModel> {
  const { width, height, channels } = trained.network.input;
  const kept = state === undefined ? undefined : await ConversionStateFile.of(state, trained, paths, options);
  const before = await kept?.read();
  let tuning = false;
  const model = await convertNetwork(
    trained,
    () => readResized(paths, options.resize, width, height, channels),
    options,
    backend,
    {
      ...(before ? { state: before } : {}),
      ...(tuningOf(options, paths.length) === 'none'
        ? {}
        : { store: new ActivationFile(folder && existingFolder(folder)) }),
      onState: (found) => kept?.write(found),
      onPhoto: (done, pass) =>
        progress.part(
          (pass + done / paths.length) / PASSES,
          `calibration pass ${pass + 1} of ${PASSES}, photo ${done} of ${paths.length}`,
        ),
      onTuning: (part, layer) => {
        if (!tuning) progress.begin();
        tuning = true;
        progress.part(part, `tuning ${layer}`);
      },
    },
  );
  await kept?.done();
  return model;
}
