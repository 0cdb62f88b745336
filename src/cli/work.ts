import { accessSync, constants } from 'node:fs';
import type { Command } from 'commander';
import { type DetectorOptions, threadsFor, workersFor } from '../detector.js';
import { usageError } from '../errors.js';
import { explainFileError, makeFolder } from '../files.js';
import { addBackendOptions, countArgument, numberArgument, threadsOption, workersOption } from './options.js';
import { counted, printError, printNote } from './print.js';
import { Progress } from './progress.js';
import { addQueueOptions, type QueueOptions, withQueue } from './queue-options.js';
import { stopOnSignals } from './stop.js';

interface WorkCommandOptions extends QueueOptions {
  out: string;
  model?: string;
  workers?: number;
  threads?: number;
  backend?: DetectorOptions['backend'];
  isa?: string;
  maxPixels?: number;
  maxBytes: number;
  timeout: number;
  allowPrivate?: boolean;
  lock: number;
  grace: number;
  untilDone?: boolean;
}

/** How long what is left of a worker that has stopped may keep its process, in ms. */
const LINGER_MS = 1000;

/** Adds `spiking-yolo work`. */
export function addWorkCommand(program: Command): void {
  const command = program
    .command('work')
    .description('take photos from a queue, until interrupted (docs/fleet.md)')
    .requiredOption('--out <dir>', 'folder for results, a file for each chunk; machines may share it')
    .option('--model <file>', 'the queue’s model, where it did not come with this package')
    .option('--until-done', 'end when nothing is left to do')
    .option('--max-bytes <n>', 'largest photo that is fetched', countArgument, 20_000_000)
    .option('--timeout <s>', 'longest that a fetched photo takes', numberArgument, 30)
    .option('--allow-private', 'fetch from addresses of the local network, too')
    .option('--max-pixels <n>', 'largest photo in pixels (default 100000000)', countArgument)
    .option(
      '--lock <s>',
      'seconds without a word after which the others take this worker for dead',
      numberArgument,
      30,
    )
    .option(
      '--grace <s>',
      'seconds that chunks under way have to end at SIGTERM; then they are given back',
      numberArgument,
      30,
    )
    .addOption(workersOption())
    .addOption(threadsOption());
  addQueueOptions(command);
  addBackendOptions(command);
  command.addHelpText(
    'after',
    `
Settings come with the photos. Exit codes: 0 stopped or all done (also if photos failed: collect lists them), 1 this machine cannot
work, 2 the command was wrong, 130 interrupted.

Examples:
  spiking-yolo work --queue redis://queue.local --name archive --out /srv/results
  spiking-yolo work --queue redis://queue.local --name garden --model garden.safetensors --out results --until-done`,
  );
  command.action(async (options: WorkCommandOptions) => {
    try {
      process.exitCode = await work(options);
    } finally {
      // BullMQ's worker, closed while its connection is made again, may never end, and its timers would keep this process
      setTimeout(() => process.exit(), LINGER_MS).unref();
    }
  });
}

/** A time in seconds within bounds, in milliseconds; throws `USAGE`. */
function milliseconds(option: string, seconds: number, least: number, most: number): number {
  if (!(seconds >= least && seconds <= most))
    throw usageError(`--${option} is ${seconds}; expected ${least} to ${most} seconds`);
  return Math.round(1000 * seconds);
}

async function work(given: WorkCommandOptions): Promise<number> {
  const { out, model, workers, threads, backend, isa, maxPixels, maxBytes, allowPrivate = false } = given;
  const machine: DetectorOptions = {
    ...(workers !== undefined && { workers }),
    ...(threads !== undefined && { threads }),
    ...(backend && { backend }),
    ...(isa !== undefined && { isa }),
    ...(maxPixels !== undefined && { maxPixels }),
  };
  workersFor(machine);
  threadsFor(machine);
  const options = {
    out,
    model,
    machine,
    limits: { maxBytes, timeoutMs: milliseconds('timeout', given.timeout, 0.1, 3600), allowPrivate },
    lockMs: milliseconds('lock', given.lock, 1, 3600),
    graceMs: milliseconds('grace', given.grace, 0, 86_400),
    untilDone: given.untilDone ?? false,
  };
  try {
    await makeFolder(out);
    accessSync(out, constants.W_OK);
  } catch (error) {
    throw explainFileError('write in it', out, error);
  }
  const controller = new AbortController();
  const ignoreSignals = stopOnSignals(controller);
  const progress = new Progress(Number.POSITIVE_INFINITY, false);
  const counts = { photos: 0, failures: 0 };
  let left = 0;
  const summary = () =>
    `${given.name}: ${counted(counts.photos, 'photo')}${counts.failures > 0 ? `, ${counts.failures} of them failed` : ''}`;
  try {
    await withQueue(
      given,
      async (queue) => {
        const { work } = await import('../fleet/worker.js');
        const listener = {
          onPhoto: () => progress.photo(),
          onWritten: (photos: number) => {
            counts.photos += photos;
          },
          onFailure: (photo: string, message: string) => {
            counts.failures++;
            progress.clear();
            printError(`${photo}: ${message}`);
          },
          onNote: (message: string) => {
            progress.clear();
            printNote(message);
          },
        };
        await work(queue, options, listener, controller.signal);
        if (options.untilDone && !controller.signal.aborted) left = (await queue.status()).remaining;
      },
      { patient: true },
    );
  } finally {
    ignoreSignals();
    progress.clear();
  }
  const { aborted, reason } = controller.signal;
  process.stderr.write(`${summary()}${aborted ? ', stopped' : ''}\n`);
  if (left > 0)
    printError(
      `${counted(left, 'photo')} left, whose chunks failed; try them again with: spiking-yolo enqueue`,
    );
  return aborted && reason !== 'SIGTERM' ? 130 : left > 0 ? 1 : 0;
}
