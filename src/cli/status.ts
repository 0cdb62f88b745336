import { setTimeout as wait } from 'node:timers/promises';
import type { Command } from 'commander';
import { withoutSecrets } from '../errors.js';
import type { FleetQueue, FleetStatus } from '../fleet/queue.js';
import { choice } from './options.js';
import { counted, printable } from './print.js';
import { duration } from './progress.js';
import { addQueueOptions, type QueueOptions, withQueue } from './queue-options.js';
import { stopOnSignals } from './stop.js';

interface StatusOptions extends QueueOptions {
  format: 'text' | 'json';
  watch?: boolean;
}

/** How often `--watch` looks, in ms. */
const LOOK_MS = 2000;
/** Most failed photos that are listed. */
const MOST_LISTED = 20;

/** Adds `spiking-yolo status`. */
export function addStatusCommand(program: Command): void {
  const command = program
    .command('status')
    .description('how far the work of a queue is (docs/fleet.md)')
    .option('--watch', 'look again and again, until all is done')
    .addOption(choice('--format <name>', 'how it is written', ['text', 'json']).default('text'));
  addQueueOptions(command);
  command.addHelpText(
    'after',
    `
Example:
  spiking-yolo status --queue redis://queue.local --name archive --watch`,
  );
  command.action(async (options: StatusOptions) => {
    process.exitCode = await status(options);
  });
}

function describe(name: string, status: FleetStatus): string {
  const { total, done, failed, remaining, workers, photosPerSecond } = status;
  const left =
    remaining > 0 && photosPerSecond > 0 ? `about ${duration(remaining / photosPerSecond)} left` : '';
  const percent = total > 0 ? ` (${Math.floor((100 * (done + failed)) / total)} %)` : '';
  return [
    `${name}: ${done + failed} of ${counted(total, 'photo')}${percent}`,
    ...(failed > 0 ? [`${failed} of them failed`] : []),
    workers === 0 && remaining > 0 ? 'no worker (start one: spiking-yolo work)' : counted(workers, 'worker'),
    ...(remaining > 0 && photosPerSecond > 0 ? [`${photosPerSecond.toPrecision(3)} photos a second`] : []),
    ...(left ? [left] : []),
  ].join(', ');
}

async function* failuresOf(queue: FleetQueue): AsyncGenerator<string> {
  let listed = 0;
  for await (const { path, message } of queue.failed()) {
    if (++listed > MOST_LISTED) {
      yield `  … (all are listed by: spiking-yolo collect)`;
      return;
    }
    yield `  ${withoutSecrets(path)}: ${withoutSecrets(message)}`;
  }
}

async function status(given: StatusOptions): Promise<number> {
  return withQueue(given, async (queue) => {
    if (!(await queue.plan())) throw queue.absent();
    const controller = new AbortController();
    const ignoreSignals = given.watch ? stopOnSignals(controller) : () => {};
    const live = given.watch && given.format === 'text' && process.stdout.isTTY;
    try {
      for (;;) {
        const found = await queue.status();
        const line = given.format === 'json' ? JSON.stringify(found) : describe(queue.name, found);
        process.stdout.write(live ? `\r\x1b[K${line}` : `${line}\n`);
        if (!given.watch || found.remaining <= 0 || controller.signal.aborted) break;
        await wait(LOOK_MS, undefined, { signal: controller.signal }).catch(() => {});
        if (controller.signal.aborted) break;
      }
      if (live) process.stdout.write('\n');
      if (given.format === 'text' && !controller.signal.aborted) {
        const workers = await queue.workers();
        if (workers.length > 0) process.stdout.write(`workers: ${workers.map(printable).join(', ')}\n`);
        for await (const line of failuresOf(queue)) process.stdout.write(`${printable(line)}\n`);
      }
    } finally {
      ignoreSignals();
    }
    return controller.signal.aborted ? 130 : 0;
  });
}
