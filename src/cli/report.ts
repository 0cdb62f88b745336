import { basename, extname } from 'node:path';
import type { Command } from 'commander';
import { selectBackend } from '../backend/select.js';
import { DEFAULT_CONVERSION } from '../conversion/convert.js';
import type { Preset } from '../detection/settings.js';
import { threadsFor } from '../detector.js';
import { usageError } from '../errors.js';
import { listAnnotatedPhotos, type PhotoSet } from '../evaluation/annotated-photos.js';
import { loadTrained, mainFile } from '../formats/trained.js';
import type { Resize } from '../model/spiking-model.js';
import { makeReport } from '../report/report.js';
import { addTrainedNetworkOptions, convertWithPhotos, listCalibrationPhotos } from './conversion-options.js';
import {
  addBackendOptions,
  addPhotoSetOptions,
  choice,
  countArgument,
  requiredTrainedFiles,
  stepList,
  type TrainedFileOptions,
  threadsOption,
} from './options.js';
import { evaluationListener } from './print.js';
import { Progress } from './progress.js';

interface ReportCommandOptions extends PhotoSet, TrainedFileOptions {
  calibration: string;
  out: string;
  steps: number[];
  preset?: Preset;
  resize?: Resize;
  photo?: string;
  layer?: string;
  channel?: number;
  threads?: number;
  backend?: 'native' | 'wasm' | 'reference';
  isa?: string;
}

const STEPS = [16, 32, 64, 128, 256, 512, 1024];

/** Adds `spiking-yolo report`. */
export function addReportCommand(program: Command): void {
  const command = program
    .command('report')
    .description(
      "run the paper's experiments on a trained network and draw its figures (SVG, one HTML page)",
    );
  addPhotoSetOptions(addTrainedNetworkOptions(command))
    .requiredOption('--out <dir>', 'folder to write into; run again, it goes on from what is measured there')
    .option('--steps <list>', 'step counts of the experiments of the paper', stepList, STEPS)
    .addOption(
      choice('--preset <name>', 'measure the tuned network by this preset, too', ['fast', 'frugal'] as const),
    )
    .option('--photo <file>', 'the photo of figures 7 and 8 (default: the first of --images)')
    .option('--layer <name>', 'the layer of figures 3 and 4 (default: the first)')
    .option('--channel <n>', 'the channel of figure 3, from 1 (default: the weakest)', countArgument)
    .addOption(threadsOption());
  addBackendOptions(command);
  command.addHelpText(
    'after',
    `
The figures are drawn by vega, which is installed apart: npm install vega@6 vega-lite@6.4.1

Example:
  spiking-yolo report --cfg mine.cfg --weights mine.weights --names mine.names --calibration photos \\
    --images JPEGImages --annotations Annotations --limit 20 --steps 16,64,256 --out report`,
  );
  command.action(async (options: ReportCommandOptions) => {
    process.exitCode = await report(options);
  });
}

async function report(given: ReportCommandOptions): Promise<number> {
  const threads = threadsFor(given);
  const { backend } = selectBackend(given);
  const trained = await loadTrained(requiredTrainedFiles(given));
  const main = mainFile(requiredTrainedFiles(given));
  const convolutions = trained.network.layers.filter((layer) => layer.kind === 'convolutional');
  const layer =
    given.layer === undefined ? convolutions[0] : convolutions.find(({ name }) => name === given.layer);
  const firing = convolutions.slice(0, -1).map(({ name }) => name);
  if (!layer || !firing.includes(layer.name))
    throw usageError(`--layer is "${given.layer}"; expected one of ${firing.join(', ')}`);
  if (given.channel !== undefined && given.channel > layer.filters)
    throw usageError(`--channel is ${given.channel}; ${layer.name} has ${layer.filters}`);
  const photos = await listAnnotatedPhotos(given);
  const paths = await listCalibrationPhotos(given.calibration);
  const told = new Set<string>();
  let progress = new Progress(1, true);
  const failures = await makeReport(
    {
      trained,
      name: basename(main, extname(main)),
      convert: (options) => convertWithPhotos(trained, paths, options, backend, new Progress(1, true)),
      photos,
      photo: given.photo ?? photos[0]!.path,
      out: given.out,
      steps: given.steps,
      preset: given.preset,
      resize: given.resize ?? trained.resize ?? DEFAULT_CONVERSION.resize,
      layer: layer.name,
      channel: given.channel,
      backend,
      threads,
    },
    {
      onExperiment(title, number, of, steps) {
        progress.clear();
        process.stderr.write(`experiment ${number} of ${of}: ${title}\n`);
        progress = new Progress(photos.length, true);
        const listener = evaluationListener(progress, steps);
        return {
          ...listener,
          onFailure(path, message) {
            if (!told.has(path)) listener.onFailure?.(path, message);
            told.add(path);
          },
        };
      },
    },
  );
  progress.clear();
  process.stdout.write(`${given.out}/report.html\n`);
  return failures > 0 ? 1 : 0;
}
