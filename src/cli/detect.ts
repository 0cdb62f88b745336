import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { Detector, type DetectorOptions, type ModelSource, workersFor } from '../detector.js';
import { describeError, fileError, SpikingYoloError, usageError, withoutPath } from '../errors.js';
import { type PhotoRecord, recordOf } from '../export/records.js';
import { findSameFile, isFolder, isPicture } from '../files.js';
import { mainFile } from '../formats/trained.js';
import { PHOTO_FORMATS } from '../image/read-photo.js';
import { lockFile } from '../lock.js';
import { processPhoto } from '../workers/process-photo.js';
import { checkedOptions, planDetection } from './detection-plan.js';
import {
  addBackendOptions,
  addDetectionModelOptions,
  addReportedOptions,
  addRunOptions,
  choice,
  type ModelCommandOptions,
  numberArgument,
  refuseOverwriting,
  workersOption,
} from './options.js';
import { formatOf, OUTCOME_FORMATS, type OutcomeFormat, openWriter } from './outcome-writer.js';
import { DrawTargets, isStreamed, type ListedPhoto, listPaths, parseShard } from './photo-list.js';
import { counted, printError } from './print.js';
import { Progress } from './progress.js';
import { checkOurs, resumeFrom } from './resume.js';
import { stopOnSignals } from './stop.js';

export interface DetectOptions extends ModelCommandOptions {
  format?: OutcomeFormat;
  out?: string;
  resume?: boolean;
  shard?: string;
  watch?: string;
  draw?: string;
  video?: string;
  camera?: string;
  fps?: number;
  every?: number;
  start?: number;
  duration?: number;
  hold?: number;
  deadZone?: number;
  onlyChanges?: boolean;
}

/** Adds `spiking-yolo detect`. */
export function addDetectCommand(program: Command): void {
  const command = program
    .command('detect')
    .description('find objects on photos with a simulated spiking network')
    .argument(
      '[photos...]',
      `${PHOTO_FORMATS} files, folders (without their subfolders), globs ("dir/**"), or - for a list on stdin`,
    )
    .addOption(
      choice(
        '--format <name>',
        'how results are written (default text, or as --out is named)',
        OUTCOME_FORMATS,
      ),
    )
    .option(
      '--out <file>',
      'write results there, in the format of its name; ndjson grows line by line, the others appear at the end',
    )
    .option('--resume', 'go on in --out: photos it holds are skipped, failed ones tried again (ndjson)')
    .option('--shard <i/n>', 'take every n-th photo from the i-th; join the results with: spiking-yolo merge')
    .option('--watch <dir>', 'take photos as they appear in this folder, until interrupted')
    .option(
      '--video <source>',
      'look at the frames of a video: a file or URL through ffmpeg, a folder or pattern (f%03d.png) of pictures',
    )
    .option(
      '--camera <device>',
      'look at a camera until interrupted: /dev/video0 or a URL (rtsp://…), through ffmpeg; always the newest frame',
    )
    .option(
      '--fps <n>',
      'frames a second (default: the video’s own; 25 for numbered pictures)',
      numberArgument,
    )
    .option('--every <n>', 'take every n-th frame of the video', numberArgument)
    .option('--start <s>', 'begin so many seconds into the video', numberArgument)
    .option('--duration <s>', 'end so many seconds later', numberArgument)
    .option(
      '--hold <x>',
      'counts that a neuron may be off before it changes, 0.5 (as a fresh run on each frame) to 1 (default 1)',
      numberArgument,
    )
    .option(
      '--dead-zone <n>',
      'grey levels that a pixel may differ by from the picture held without changing it (default 0)',
      numberArgument,
    )
    .option('--only-changes', 'write a frame of the video only when other objects are on it than before')
    .option(
      '--draw <path>',
      'draw boxes into this folder, or file if there is one photo; of a video into a folder or film.mp4',
    )
    .addOption(workersOption());
  addReportedOptions(command);
  addDetectionModelOptions(command);
  addRunOptions(command);
  addBackendOptions(command);
  command.addHelpText(
    'after',
    `
Exit codes: 0 all done, 1 a photo failed (the others are done), 2 the command was wrong, 130 interrupted.

Examples:
  spiking-yolo detect samples/cat.jpg
  spiking-yolo detect photos/ --format json > found.json
  spiking-yolo detect "photos/**/*.jpg" --out found.ndjson --resume
  find /media -name "*.jpg" | spiking-yolo detect - --format csv
  spiking-yolo detect samples/cat.jpg --draw cat-boxes.jpg --model tiny-yolo-lite-voc
  spiking-yolo detect --watch /srv/camera --out /srv/found.ndjson --resume
  spiking-yolo detect photos/ --shard 1/2 --out part1.ndjson     (and 2/2 on another machine)
  spiking-yolo detect --video door.mp4 --every 5 --format ndjson
  spiking-yolo detect --camera /dev/video0 --only-changes
  spiking-yolo detect samples/cat.jpg --preset paper --steps 500`,
  );
  command.action(async (photos: string[], options: DetectOptions) => {
    process.exitCode = await detect(photos, options);
  });
}

/** What to do, checked before the first photo. */
interface Batch {
  photos: AsyncIterable<ListedPhoto>;
  /** Infinity if the list streams in. */
  total: number;
  format: OutcomeFormat;
  out: string | undefined;
  options: DetectorOptions;
  /** What each result is recorded with. */
  recorded: Record<string, unknown>;
  /** Photos that the output holds already, so far. */
  skipped: () => number;
  model: ModelSource | undefined;
  controller: AbortController;
  /** Gives the output file free. */
  unlock: () => void;
}

async function collect(paths: AsyncIterable<string>): Promise<string[]> {
  const all: string[] = [];
  for await (const path of paths) all.push(path);
  return all;
}

/** Checks everything that can be checked at once, and lists the photos. */
async function prepare(inputs: readonly string[], given: DetectOptions): Promise<Batch> {
  const { format: _, out, resume = false, shard: shardText, watch, draw, ...rest } = given;
  const format = formatOf(given);
  if (resume && (out === undefined || format !== 'ndjson'))
    throw usageError('--resume goes on in a file of JSON lines: add --out found.ndjson');
  const shard = shardText === undefined ? undefined : parseShard(shardText);
  if (watch !== undefined && (inputs.length > 0 || shard))
    throw usageError('--watch takes the photos of its folder only; leave other photos and --shard out');
  if (watch !== undefined && !(await isFolder(watch)))
    throw fileError(`${watch}: ${existsSync(watch) ? 'it is not a folder' : 'there is no such folder'}`);
  if (watch === undefined && inputs.length === 0)
    throw usageError('name photos, or a source: --video, --camera or --watch');
  const options = checkedOptions(rest);

  const controller = new AbortController();
  const streamed = watch !== undefined || isStreamed(inputs);
  const listed = streamed ? undefined : await collect(listPaths(inputs, shard));
  const targets = await DrawTargets.from(draw, listed);
  for (const path of listed ?? []) targets?.of(path);
  if (watch !== undefined && draw !== undefined && (await findSameFile(watch, [draw])) !== undefined)
    throw usageError('--draw would put photos into the folder that is watched; name another folder');
  const { cfg, weights, names, onnx, model: modelFile } = given;
  const drawn = draw !== undefined && !(await isFolder(draw)) ? draw : undefined;
  await refuseOverwriting({ out, draw: drawn }, [cfg, weights, names, onnx, modelFile, ...(listed ?? [])]);
  if (out !== undefined && isPicture(out))
    throw usageError(`--out is ${out}; results are text: name it as in found.ndjson`);
  const { model, recorded } = await planDetection(options);
  let skipped = 0;
  let unlock = () => {};
  if (out !== undefined && format === 'ndjson') {
    unlock = await lockFile(out);
    await checkOurs(out);
    if (!resume && existsSync(out) && statSync(out).size > 0)
      throw usageError(`--out ${out} holds results already: add --resume to go on in it, or delete it`);
  }
  const done = resume
    ? await resumeFrom(out!, model?.name ?? (options.trained && mainFile(options.trained)), recorded)
    : new Set<string>();
  async function* tasks(paths: Iterable<string> | AsyncIterable<string>): AsyncGenerator<ListedPhoto> {
    for await (const path of paths) {
      // in a watched folder a photo that is written anew comes again
      if (done.delete(resolve(path))) {
        skipped++;
        continue;
      }
      try {
        yield { source: path, draw: targets?.of(path) };
      } catch (error) {
        if (!(error instanceof SpikingYoloError)) throw error;
        yield { source: path, failure: describeError(error) };
      }
    }
  }
  const paths =
    watch !== undefined
      ? (await import('./watch.js')).watchFolder(watch, controller.signal)
      : (listed ?? listPaths(inputs, shard));
  const total = listed ? listed.filter((path) => !done.has(resolve(path))).length : Number.POSITIVE_INFINITY;
  const counts = { skipped: () => skipped };
  return {
    photos: tasks(paths),
    total,
    format,
    out,
    options,
    recorded,
    model,
    controller,
    unlock,
    ...counts,
  };
}

/** True for a photo that this thread may do: nothing is written that a signal would leave behind. */
const isAlone = (total: number, out: string | undefined) => total === 1 && out === undefined;

/** Outcomes one after another: in this thread for a single photo, else from a pool of workers. */
async function* outcomes(
  { photos, total, model, options, recorded, out, controller }: Batch,
  progress: Progress,
): AsyncGenerator<PhotoRecord> {
  if (total === 0) {
    // nothing is left of the list; what it skips is counted
    for await (const { source } of photos) throw new Error(`${source} was not counted`);
    return;
  }
  const detector = await Detector.fromModel(model, options);
  if (isAlone(total, out)) {
    for await (const task of photos) {
      const outcome = await processPhoto(detector, task, (step) =>
        progress.steps(step, detector.settings.steps),
      );
      yield recordOf(task.source, resolve(task.source), outcome, recorded);
    }
    await detector.close();
    return;
  }
  // it was made to find a wrong option once, not once a photo
  await detector.close();
  const { DetectorPool } = await import('../workers/pool.js');
  const pool = new DetectorPool(model, options, Math.min(workersFor(options), total));
  try {
    for await (const { task, outcome } of pool.run(photos, { signal: controller.signal, ordered: true }))
      yield recordOf(task.source, resolve(task.source), outcome, recorded);
  } finally {
    await pool.close();
  }
}

async function detect(inputs: readonly string[], given: DetectOptions): Promise<number> {
  const { video, camera, fps, every, start, duration, hold, deadZone, onlyChanges, ...photoOptions } = given;
  const ofVideo = { fps, every, start, duration, hold, deadZone, onlyChanges };
  if (video !== undefined && camera !== undefined)
    throw usageError('--video and --camera are two sources; give one');
  if (video !== undefined || camera !== undefined) {
    const { detectVideo } = await import('./detect-video.js');
    return detectVideo({ video, camera }, inputs, ofVideo, photoOptions);
  }
  const alone = Object.entries(ofVideo).find(([, value]) => value !== undefined);
  if (alone) throw usageError(`${alone[0]} is of a video: add --video or --camera`);
  const batch = await prepare(inputs, photoOptions);
  const { total, controller, format, out, options, unlock } = batch;
  const progress = new Progress(total, options.preset === 'paper');
  // a photo that is simulated in this thread hears no signal meanwhile: the default ends the process
  const ignoreSignals = isAlone(total, out) ? () => {} : stopOnSignals(controller);
  const writer = await openWriter(format, out);
  let photos = 0;
  let failures = 0;
  try {
    for await (const record of outcomes(batch, progress)) {
      progress.clear();
      photos++;
      if (record.error) {
        failures++;
        printError(`${record.path}: ${withoutPath(record.path, record.error.message)}`);
      }
      await writer.write(record);
      progress.photo();
    }
  } catch (error) {
    if (!(error instanceof SpikingYoloError && error.code === 'ABORTED')) throw error;
  } finally {
    ignoreSignals();
    // a list that has not ended would keep the process alive
    process.stdin.destroy();
  }
  progress.clear();
  await writer.finish();
  unlock();
  const { aborted, reason } = controller.signal;
  if (out !== undefined || aborted) {
    const parts = [
      counted(photos, 'photo'),
      ...(failures > 0 ? [`${failures} of them failed`] : []),
      ...(batch.skipped() > 0 ? [`${batch.skipped()} were there already`] : []),
      ...(aborted ? ['interrupted'] : []),
    ];
    process.stderr.write(`${out ?? 'detect'}: ${parts.join(', ')}\n`);
  }
  // a watched folder has no end but this one
  if (aborted) return given.watch !== undefined && reason === 'SIGTERM' ? 0 : 130;
  return failures > 0 ? 1 : 0;
}
