import { availableParallelism } from 'node:os';
import { basename, extname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { resolveSettings } from '../detection/settings.js';
import { Detector, type DetectorOptions, type ModelSource, readModel } from '../detector.js';
import { usageError } from '../errors.js';
import { isFolder, listPhotos } from '../files.js';
import { DEFAULT_PAPER_MODEL } from '../model/registry.js';
import { DetectorPool } from '../workers/pool.js';
import { type PhotoOutcome, type PhotoTask, processPhoto } from '../workers/process-photo.js';
import {
  addBackendOptions,
  addDetectionModelOptions,
  addRunOptions,
  detectorOptions,
  type ModelCommandOptions,
  numberArgument,
} from './options.js';
import { printable, printError } from './print.js';
import { Progress } from './progress.js';

interface DetectOptions extends ModelCommandOptions {
  format: 'text' | 'json';
  draw?: string;
  workers?: number;
}

/** Adds `spiking-yolo detect`. */
export function addDetectCommand(program: Command): void {
  const command = program
    .command('detect')
    .description('find objects on photos with a simulated spiking network')
    .argument('<photos...>', 'JPEG, PNG or BMP files, or folders of them')
    .option('--conf <x>', 'lowest score that is reported (default 0.25)', numberArgument)
    .option(
      '--iou <x>',
      'boxes of a class that overlap by more are one object (default 0.45)',
      numberArgument,
    )
    .option('--max-det <n>', 'most detections on a photo (default 100)', numberArgument)
    .option('--classes <names>', 'report these classes only, separated by commas')
    .option('--format <name>', 'text or json (an array)', 'text')
    .option('--draw <path>', 'draw boxes into this folder, or file if there is one photo')
    .option('--checksum', 'add a checksum over every count and potential')
    .option('--workers <n>', 'threads that share the photos (default: as many as cores)', numberArgument);
  addDetectionModelOptions(command);
  addRunOptions(command);
  addBackendOptions(command);
  command.addHelpText(
    'after',
    `
Examples:
  spiking-yolo detect samples/cat.jpg
  spiking-yolo detect photos/ --format json > found.json
  spiking-yolo detect samples/cat.jpg --draw cat-boxes.jpg --model tiny-yolo-lite-voc
  spiking-yolo detect samples/cat.jpg --preset paper --steps 500`,
  );
  command.action(async (photos: string[], options: DetectOptions) => {
    process.exitCode = await detect(photos, options);
  });
}

async function listTasks(given: readonly string[], draw: string | undefined): Promise<PhotoTask[]> {
  const paths: string[] = [];
  for (const input of given) {
    if (!(await isFolder(input))) {
      paths.push(input);
      continue;
    }
    const found = await listPhotos(input);
    if (found.length === 0) throw usageError(`folder ${input} holds no JPEG, PNG or BMP file`);
    paths.push(...found);
  }
  if (draw === undefined) return paths.map((path) => ({ path }));
  const namesFile = extname(draw) !== '' && !/[\\/]$/.test(draw) && !(await isFolder(draw));
  const intoFile = /\.(jpe?g|png)$/i.test(draw) && namesFile;
  if (namesFile && !intoFile)
    throw usageError(`--draw ${draw}: boxes are drawn as .jpg or .png, or into a folder`);
  if (intoFile && paths.length > 1) {
    throw usageError(`--draw ${draw} names one file for ${paths.length} photos; name a folder`);
  }
  const tasks = paths.map((path) => ({ path, draw: intoFile ? draw : join(draw, drawnName(path)) }));
  const inputs = new Set(paths.map((path) => resolve(path)));
  const targets = new Set<string>();
  for (const { path, draw: target } of tasks) {
    const absolute = resolve(target);
    if (inputs.has(absolute))
      throw usageError(`--draw would overwrite the photo ${target}; name another place`);
    if (targets.has(absolute))
      throw usageError(`--draw would write ${target} twice, the second time for ${path}`);
    targets.add(absolute);
  }
  return tasks;
}

/** JPEG stays JPEG; everything else is drawn as PNG. */
const drawnName = (path: string) =>
  /\.jpe?g$/i.test(path) ? basename(path) : `${basename(path, extname(path))}.png`;

function describe(outcome: PhotoOutcome): string {
  if ('error' in outcome) return '';
  const { path, width, height, detections, elapsedMs, backend } = outcome;
  const total = Object.values(elapsedMs).reduce((sum, ms) => sum + ms, 0);
  const how =
    outcome.ann === undefined
      ? `${outcome.steps} steps, ${outcome.spikesPerNeuron.toFixed(2)} spikes a neuron`
      : `float network, ${outcome.ann.source}`;
  const lines = [
    `${path}: ${width}×${height}, ${how}, ${outcome.resize}, ${total.toFixed(0)} ms on ${backend.name} (${backend.isa})`,
  ];
  for (const { class: name, score, box } of detections) {
    const [x1, y1, x2, y2] = [box.x1, box.y1, box.x2, box.y2].map(Math.round);
    lines.push(`  ${name.padEnd(12)} ${score.toFixed(2)}  x ${x1}–${x2}, y ${y1}–${y2}`);
  }
  if (detections.length === 0) lines.push('  nothing found');
  if (outcome.spikeChecksum !== undefined) lines.push(`  spike checksum ${outcome.spikeChecksum}`);
  return `${lines.map(printable).join('\n')}\n`;
}

/** Outcomes one after another: in this thread for a single photo, else from a pool of workers. */
async function* outcomes(
  tasks: readonly PhotoTask[],
  model: ModelSource | undefined,
  options: DetectorOptions,
  workers: number,
  progress: Progress,
): AsyncGenerator<PhotoOutcome> {
  if (tasks.length === 1) {
    const detector = await Detector.fromModel(model, options);
    yield await processPhoto(detector, tasks[0]!, (step) => progress.steps(step, detector.settings.steps));
    detector.close();
    return;
  }
  const threads = Math.min(workers, tasks.length);
  const perPhoto = options.threads ?? Math.max(1, Math.floor(availableParallelism() / threads));
  const pool = new DetectorPool(model, { ...options, threads: perPhoto }, threads);
  let interrupted = 0;
  const interrupt = () => {
    // npm passes Ctrl-C on although the terminal has sent it already: only a later one ends the process at once
    if (interrupted > 0 && performance.now() - interrupted > 1000) process.exit(130);
    interrupted ||= performance.now();
    pool.cancel();
    process.exitCode = 130;
  };
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  try {
    for await (const outcome of pool.run(tasks)) {
      if (process.exitCode === 130 && 'error' in outcome && outcome.error.code === 'ABORTED') continue;
      yield outcome;
    }
  } finally {
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
    await pool.close();
  }
}

async function detect(inputs: readonly string[], given: DetectOptions): Promise<number> {
  const { format, draw, workers = availableParallelism(), ...rest } = given;
  if (format !== 'text' && format !== 'json')
    throw usageError(`--format is "${format}"; expected text or json`);
  if (!(Number.isInteger(workers) && workers >= 1 && workers <= 1024)) {
    throw usageError(`--workers is ${workers}; expected a whole number from 1 to 1024`);
  }
  const options = detectorOptions(rest);
  const settings = resolveSettings(options, options.preset);
  const tasks = await listTasks(inputs, draw);
  if (options.preset === 'paper' && options.model === undefined && !options.darknet) {
    process.stderr.write(
      `the preset paper takes the model ${DEFAULT_PAPER_MODEL}, ${settings.steps} steps a photo\n`,
    );
  }
  const model = options.darknet ? undefined : await readModel(options);
  if (options.preset === 'paper' && options.model !== undefined && model && model.name !== options.model) {
    process.stderr.write(`the preset paper takes the model ${model.name}\n`);
  }
  if (tasks.length > 1) (await Detector.fromModel(model, options)).close(); // a wrong option is one error, not one a photo
  const progress = new Progress(tasks.length, options.preset === 'paper');
  let failures = 0;
  let first = true;
  for await (const outcome of outcomes(tasks, model, options, workers, progress)) {
    progress.clear();
    if ('error' in outcome) {
      failures++;
      printError(`${outcome.path}: ${outcome.error.message.replace(`${outcome.path}: `, '')}`);
    }
    if (format === 'json') {
      process.stdout.write(`${first ? '[\n' : ',\n'}${JSON.stringify(outcome)}`);
    } else {
      process.stdout.write(describe(outcome));
    }
    first = false;
    progress.photo();
  }
  progress.clear();
  if (format === 'json') process.stdout.write(first ? '[]\n' : '\n]\n');
  if (process.exitCode === 130) return 130;
  return failures > 0 ? 1 : 0;
}
