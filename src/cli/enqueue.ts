import { resolve } from 'node:path';
import type { Command } from 'commander';
import { Detector } from '../detector.js';
import { fileError, usageError, withoutSecrets } from '../errors.js';
import { differences } from '../export/recorded-settings.js';
import { isFile, isPicture } from '../files.js';
import { type Chunk, isAddress, LARGEST_CHUNK, planOf, type WorkPlan } from '../fleet/chunk.js';
import type { FleetQueue } from '../fleet/queue.js';
import { PHOTO_FORMATS } from '../image/read-photo.js';
import { readForeignLines } from '../lines.js';
import { checkedOptions, planDetection } from './detection-plan.js';
import {
  addDetectionModelOptions,
  addReportedOptions,
  addRunOptions,
  countArgument,
  type ModelCommandOptions,
} from './options.js';
import { listPaths, stdinLines } from './photo-list.js';
import { counted } from './print.js';
import { Progress } from './progress.js';
import { addQueueOptions, type QueueOptions, withQueue } from './queue-options.js';
import { stopOnSignals } from './stop.js';

interface EnqueueOptions extends ModelCommandOptions, QueueOptions {
  chunk: number;
  failed?: boolean;
  drop?: boolean;
}

/** Photos of a chunk by default: some seconds of work. */
const CHUNK = 32;
/** Chunks that are sent at once. */
const SENT_AT_ONCE = 50;

/** Adds `spiking-yolo enqueue`. */
export function addEnqueueCommand(program: Command): void {
  const command = program
    .command('enqueue')
    .description('put photos into a queue that machines share: spiking-yolo work (docs/fleet.md)')
    .argument(
      '[photos...]',
      `${PHOTO_FORMATS} files, folders, globs, http(s) addresses, .ndjson files of {"url"} or {"path"}, or - for a list of files and addresses on stdin`,
    )
    .option('--chunk <n>', `photos that a machine takes at once, 1 to ${LARGEST_CHUNK}`, countArgument, CHUNK)
    .option('--failed', 'enqueue the photos that failed once more')
    .option('--drop', 'remove the queue from Redis, done or not; results stay');
  addQueueOptions(command);
  addReportedOptions(command);
  addDetectionModelOptions(command);
  addRunOptions(command, { threads: false });
  command.addHelpText(
    'after',
    `
The same list enqueued twice is one: enqueue again after an interruption. All photos of a queue are looked at with one model and
the same settings.

Examples:
  spiking-yolo enqueue /srv/photos --queue redis://queue.local --name archive
  find /srv/photos -name "*.jpg" | sort | spiking-yolo enqueue - --queue redis://queue.local --name archive
  spiking-yolo enqueue addresses.ndjson --queue redis://queue.local --name web --model tiny-yolo-lite-voc`,
  );
  command.action(async (photos: string[], options: EnqueueOptions) => {
    process.exitCode = await enqueue(photos, options);
  });
}

/** A photo of a line of JSON; throws `FILE`. */
function photoOf(value: unknown, file: string): string {
  if (typeof value === 'string' && value !== '') return value;
  const { url, path } = (value ?? {}) as { url?: unknown; path?: unknown };
  if (typeof url === 'string' && isAddress(url)) return url;
  if (url === undefined && typeof path === 'string' && path !== '') return path;
  throw fileError(
    `${file}: ${JSON.stringify(value).slice(0, 80)} names no photo; expected {"url": "https://…"} or {"path": "…"}`,
  );
}

/** Throws `USAGE` for an argument that is a file, but no photo by its name: a list whose - was forgotten. */
async function checkNamed(inputs: readonly string[]): Promise<void> {
  for (const input of inputs)
    if (!isPicture(input) && (await isFile(input)))
      throw usageError(
        `${input} is no ${PHOTO_FORMATS} file by its name; for a list: spiking-yolo enqueue - < LIST`,
      );
}

/** A photo: a path as it is given, an address as it is sent. Throws `USAGE` for an address that is not fetched. */
function checked(photo: string): string {
  if (!/^\s*([a-z][a-z0-9+.-]*:\/\/|https?:)/i.test(photo)) return photo;
  const url = URL.canParse(photo) ? new URL(photo) : undefined;
  if (!url || !isAddress(url.href))
    throw usageError(
      `${withoutSecrets(photo).slice(0, 200)}: is no address of a photo; http:// and https:// are fetched`,
    );
  return url.href;
}

/** A line on stdin: a path or address as it is, or JSON that names one. */
function photoOfLine(line: string): string {
  if (!line.startsWith('{')) return line;
  try {
    return photoOf(JSON.parse(line), 'the list on stdin');
  } catch (error) {
    if (error instanceof SyntaxError) return line;
    throw error;
  }
}

/** Photos of all arguments: of those that name files each once; lists are taken as they come, whatever their length. */
async function* listPhotos(inputs: readonly string[]): AsyncGenerator<string> {
  const isList = (input: string) => /\.ndjson$/i.test(input);
  const sources = inputs.map(checked);
  const named = sources.filter((source) => source !== '-' && !isAddress(source) && !isList(source));
  await checkNamed(named);
  yield* listPaths(named, undefined);
  for (const source of new Set(sources)) {
    if (source === '-') for await (const line of stdinLines()) yield checked(photoOfLine(line));
    else if (isAddress(source)) yield source;
    else if (isList(source))
      for await (const value of readForeignLines(source)) yield checked(photoOf(value, source));
  }
}

/** Throws `USAGE` if a queue's plan is another one. */
function checkSame(name: string, queued: WorkPlan | undefined, plan: WorkPlan): void {
  if (!queued) return;
  const differing = [
    ...(queued.model.sha256 === plan.model.sha256 && queued.model.name === plan.model.name ? [] : ['model']),
    ...differences(queued.recorded, plan.recorded),
  ];
  if (differing.length === 0 && JSON.stringify(queued) !== JSON.stringify(plan)) differing.push('options');
  if (differing.length > 0)
    throw usageError(
      `the queue ${name} holds photos that are looked at differently (${differing.join(', ')}); use another --name`,
    );
}

async function makePlan(given: ModelCommandOptions): Promise<WorkPlan> {
  const options = checkedOptions(given);
  if (options.trained)
    throw usageError('a fleet looks with a model: convert the network first (spiking-yolo convert --help)');
  const { model, recorded } = await planDetection(options);
  // what the detector refuses is said here, not on every machine
  await (await Detector.fromModel(model, options)).close();
  return planOf(model!, options, recorded);
}

async function enqueue(inputs: readonly string[], given: EnqueueOptions): Promise<number> {
  const { queue: _, name, chunk: size, failed = false, drop = false, ...rest } = given;
  if (size > LARGEST_CHUNK) throw usageError(`--chunk is ${size}; expected 1 to ${LARGEST_CHUNK}`);
  const alone = failed ? '--failed' : drop ? '--drop' : undefined;
  if (alone) {
    const [other] = [...inputs, ...Object.keys(rest), ...(failed && drop ? ['--drop'] : [])];
    if (other !== undefined) throw usageError(`${alone} takes a queue as it is; leave ${other} out`);
    return withQueue(given, (queue) => (failed ? enqueueFailed(queue, size) : dropQueue(queue)));
  }
  if (inputs.length === 0) throw usageError('name photos, or - for a list on stdin');
  const plan = await makePlan(rest);
  return withQueue(given, async (queue) => {
    checkSame(name, await queue.plan(), plan);
    return enqueueAll(queue, plan, listPhotos(inputs), size);
  });
}

async function enqueueAll(
  queue: FleetQueue,
  plan: WorkPlan,
  photos: AsyncIterable<string>,
  size: number,
): Promise<number> {
  const controller = new AbortController();
  const ignoreSignals = stopOnSignals(controller);
  // a list that says nothing more is not waited for
  controller.signal.addEventListener('abort', () => process.stdin.destroy());
  const progress = new Progress(Number.POSITIVE_INFINITY, false);
  const folder = resolve('.');
  const counts = { photos: 0, chunks: 0, added: 0 };
  let chunks: Chunk[] = [];
  const send = async () => {
    if (chunks.length > 0) counts.added += await queue.add(chunks);
    counts.chunks += chunks.length;
    counts.photos += chunks.reduce((sum, { photos }) => sum + photos.length, 0);
    chunks = [];
  };
  let chunk: string[] = [];
  const cut = async (most: number) => {
    if (chunk.length > 0) chunks.push({ plan, folder, photos: chunk });
    chunk = [];
    if (chunks.length >= most) await send();
  };
  try {
    for await (const photo of photos) {
      if (controller.signal.aborted) break;
      chunk.push(photo);
      if (chunk.length >= size) await cut(SENT_AT_ONCE);
      progress.photo();
    }
    // a list that was broken off ends with a whole chunk: enqueued again, its chunks are the same
    if (!controller.signal.aborted) await cut(1);
    await send();
    if (!controller.signal.aborted) await queue.retryJobs();
  } catch (error) {
    if (!controller.signal.aborted) throw error;
  } finally {
    ignoreSignals();
    process.stdin.destroy();
    progress.clear();
  }
  const known = counts.chunks - counts.added;
  const parts = [
    `${counted(counts.photos, 'photo')} in ${counted(counts.chunks, 'chunk')}`,
    ...(known > 0 ? [`${known} of them there already`] : []),
    ...(controller.signal.aborted ? ['interrupted'] : []),
  ];
  process.stdout.write(`${queue.name}: ${parts.join(', ')}\n`);
  return controller.signal.aborted ? 130 : 0;
}

async function enqueueFailed(queue: FleetQueue, size: number): Promise<number> {
  const plan = await queue.plan();
  if (!plan) throw queue.absent();
  const photos = await queue.retryPhotos(plan, size);
  process.stdout.write(`${queue.name}: ${counted(photos, 'photo')} that failed, in the queue again\n`);
  return 0;
}

async function dropQueue(queue: FleetQueue): Promise<number> {
  const { remaining } = await queue.status();
  await queue.remove();
  process.stdout.write(`${queue.name}: removed, ${counted(remaining, 'photo')} not done\n`);
  return 0;
}
