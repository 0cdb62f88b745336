import { resolve } from 'node:path';
import type { Command } from 'commander';
import { Option } from 'commander';
import { selectBackend } from '../backend/select.js';
import {
  type ConversionOptions,
  convertNetwork,
  DEFAULT_CONVERSION,
  PAPER_PERCENTILE,
} from '../conversion/convert.js';
import { PASSES } from '../conversion/percentile.js';
import { loadDarknet } from '../darknet/load.js';
import { PRESETS } from '../detection/settings.js';
import { conversionError, reasonOf, SpikingYoloError, usageError } from '../errors.js';
import { listPhotos, readPhotoBytes, writeWhole } from '../files.js';
import { decodePhoto } from '../image/read-photo.js';
import { resizePhoto } from '../image/resize.js';
import { encodeModel } from '../model/model-file.js';
import { NORMALISATIONS, RESIZES, type Resize } from '../model/spiking-model.js';
import { addBackendOptions, numberArgument } from './options.js';
import { Progress } from './progress.js';

interface ConvertOptions extends Partial<Omit<ConversionOptions, 'weightBits'>> {
  cfg: string;
  weights: string;
  names: string;
  calibration: string;
  out: string;
  weightBits?: number;
  backend?: string;
  isa?: string;
}

/** Adds `spiking-yolo convert`. */
export function addConvertCommand(program: Command): void {
  const command = program
    .command('convert')
    .description('turn a trained darknet network into a spiking model file')
    .requiredOption('--cfg <file>', 'darknet network description')
    .requiredOption('--weights <file>', 'darknet weights')
    .requiredOption('--names <file>', 'class names, one a line')
    .requiredOption('--calibration <dir>', 'photos that show what activations are usual, some tens of them')
    .requiredOption('--out <file>', 'model file to write (.safetensors)')
    .addOption(
      new Option('--norm <kind>', 'one λ per channel, per layer, or none (default channel)').choices(
        NORMALISATIONS,
      ),
    )
    .option(
      '--percentile <p>',
      'percentile of the activations that λ is taken at (default 99)',
      numberArgument,
    )
    .option('--weight-bits <n>', '16 or 8 (default 16)', numberArgument)
    .addOption(new Option('--resize <how>', 'how photos are resized (default letterbox)').choices(RESIZES))
    .addOption(
      new Option(
        '--preset <name>',
        'paper: λ as in the paper, at 99.9 % of the positive activations',
      ).choices(PRESETS),
    );
  addBackendOptions(command);
  command.addHelpText(
    'after',
    `
Example (in a checkout, where the small model's darknet files are):
  spiking-yolo convert --cfg models/darknet/tiny-yolo-lite-voc.cfg --weights models/darknet/tiny-yolo-lite-voc.weights \\
    --names models/darknet/voc.names --calibration samples --resize stretch --out mine.safetensors
  spiking-yolo detect samples/cat.jpg --model mine.safetensors`,
  );
  command.action(convert);
}

function conversionOptions(given: ConvertOptions): ConversionOptions {
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
    resize: given.resize ?? DEFAULT_CONVERSION.resize,
    preset,
  };
}

/** Photos of a folder, resized, one at a time. An unreadable one is an error that names it. */
export async function* readResized(
  paths: readonly string[],
  resize: Resize,
  width: number,
  height: number,
): AsyncGenerator<Uint8Array> {
  for (const path of paths) {
    try {
      yield resizePhoto(resize, await decodePhoto(await readPhotoBytes(path)), width, height);
    } catch (error) {
      if (!(error instanceof SpikingYoloError)) throw error;
      throw new SpikingYoloError(error.code, `${path}: ${reasonOf(error).replace(`${path}: `, '')}`, {
        cause: error,
      });
    }
  }
}

async function convert(given: ConvertOptions): Promise<void> {
  const options = conversionOptions(given);
  const { backend } = selectBackend(given);
  const trained = await loadDarknet(given);
  const paths = await listPhotos(given.calibration);
  if (paths.length === 0)
    throw conversionError(
      `${given.calibration}: the folder holds no JPEG, PNG or BMP file to calibrate with`,
    );
  const inputs = [given.cfg, given.weights, given.names, ...paths].map((path) => resolve(path));
  if (inputs.includes(resolve(given.out)))
    throw usageError(`--out would overwrite ${given.out}, which is read; name another file`);
  const { width, height } = trained.network.input;
  const progress = new Progress(1, false);
  const model = await convertNetwork(
    trained,
    () => readResized(paths, options.resize, width, height),
    options,
    backend,
    (done, pass) =>
      progress.part(
        (pass + done / paths.length) / PASSES,
        `calibration pass ${pass + 1} of ${PASSES}, photo ${done} of ${paths.length}`,
      ),
  );
  progress.clear();
  const bytes = encodeModel(model);
  await writeWhole(given.out, bytes);
  process.stdout.write(
    `${given.out}: ${(bytes.length / 1e6).toFixed(1)} MB, ${options.weightBits}-bit weights, ${options.norm} norm at ${options.percentile} %, ${options.resize}, calibrated on ${paths.length} photos\n`,
  );
}
