import { dirname } from 'node:path';
import type { Command } from 'commander';
import { selectBackend } from '../backend/select.js';
import { tuningOf } from '../conversion/convert.js';
import { FEWEST_TUNING_PHOTOS } from '../conversion/tune.js';
import { writeWhole } from '../files.js';
import { loadTrained } from '../formats/trained.js';
import { encodeModel } from '../model/model-file.js';
import {
  addConversionOptions,
  addTrainedNetworkOptions,
  conversionOptions,
  convertWithPhotos,
  type GivenConversionOptions,
  listCalibrationPhotos,
} from './conversion-options.js';
import { describeNetwork, describeTuning } from './describe-file.js';
import {
  addBackendOptions,
  choice,
  filesOf,
  refuseOverwriting,
  requiredTrainedFiles,
  type TrainedFileOptions,
} from './options.js';
import { Progress } from './progress.js';

interface ConvertOptions extends GivenConversionOptions, TrainedFileOptions {
  calibration: string;
  out: string;
  state?: string;
  backend?: string;
  isa?: string;
}

/** Adds `spiking-yolo convert`. */
export function addConvertCommand(program: Command): void {
  const command = program
    .command('convert')
    .description('turn a trained network (darknet or ONNX) into a spiking model file');
  addTrainedNetworkOptions(command)
    .requiredOption('--out <file>', 'model file to write (.safetensors)')
    .option('--state <file>', 'keep what is found in this file, layer by layer, and go on from it')
    .addOption(
      choice('--preset <name>', 'paper: λ as in the paper, at 99.9 % of the positive activations', [
        'default',
        'paper',
      ]),
    );
  addConversionOptions(command);
  addBackendOptions(command);
  command.addHelpText(
    'after',
    `
Example (in a checkout, where the small model's darknet files are):
  spiking-yolo convert --cfg models/darknet/tiny-yolo-lite-voc.cfg --weights models/darknet/tiny-yolo-lite-voc.weights \\
    --names models/darknet/voc.names --calibration samples --resize stretch --out mine.safetensors
  spiking-yolo detect samples/cat.jpg --model mine.safetensors
  spiking-yolo convert --onnx best.onnx --calibration photos --weight-bits 8 --out best.safetensors`,
  );
  command.action(convert);
}

const whyNot = (photos: number) =>
  photos < FEWEST_TUNING_PHOTOS
    ? `${photos} photos are too few, it takes ${FEWEST_TUNING_PHOTOS}`
    : 'full finds one λ per channel, and the norm has not; --tune bias tunes the biases';

async function convert(given: ConvertOptions): Promise<void> {
  conversionOptions(given);
  const files = requiredTrainedFiles(given);
  const { backend } = selectBackend(given);
  const trained = await loadTrained(files);
  const options = conversionOptions(given, trained);
  const paths = await listCalibrationPhotos(given.calibration);
  await refuseOverwriting({ out: given.out, state: given.state }, [...filesOf(given), ...paths]);
  process.stderr.write(`${describeNetwork({ ...trained, resize: options.resize }).join('\n')}\n`);
  if (options.tune !== 'none' && tuningOf(options, paths.length) === 'none' && options.preset !== 'paper')
    process.stderr.write(`nothing is tuned: ${whyNot(paths.length)}\n`);
  const progress = new Progress(1, true);
  const model = await convertWithPhotos(trained, paths, options, backend, progress, {
    folder: dirname(given.out),
    state: given.state,
  });
  progress.clear();
  const bytes = encodeModel(model);
  await writeWhole(given.out, bytes);
  process.stdout.write(
    `${given.out}: ${(bytes.length / 1e6).toFixed(1)} MB, ${options.weightBits}-bit weights, ${options.norm} norm at ${options.percentile} %, ${options.resize}, calibrated on ${paths.length} photos, ${describeTuning(model.provenance.tuning)}\n`,
  );
}
