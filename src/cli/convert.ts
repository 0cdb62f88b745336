import type { Command } from 'commander';
import { selectBackend } from '../backend/select.js';
import { PRESETS } from '../detection/settings.js';
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
import { describeNetwork } from './describe-file.js';
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
    .addOption(
      choice('--preset <name>', 'paper: λ as in the paper, at 99.9 % of the positive activations', PRESETS),
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

async function convert(given: ConvertOptions): Promise<void> {
  conversionOptions(given);
  const files = requiredTrainedFiles(given);
  const { backend } = selectBackend(given);
  const trained = await loadTrained(files);
  const options = conversionOptions(given, trained);
  const paths = await listCalibrationPhotos(given.calibration);
  await refuseOverwriting({ out: given.out }, [...filesOf(given), ...paths]);
  process.stderr.write(`${describeNetwork({ ...trained, resize: options.resize }).join('\n')}\n`);
  const progress = new Progress(1, false);
  const model = await convertWithPhotos(trained, paths, options, backend, progress);
  progress.clear();
  const bytes = encodeModel(model);
  await writeWhole(given.out, bytes);
  process.stdout.write(
    `${given.out}: ${(bytes.length / 1e6).toFixed(1)} MB, ${options.weightBits}-bit weights, ${options.norm} norm at ${options.percentile} %, ${options.resize}, calibrated on ${paths.length} photos\n`,
  );
}
