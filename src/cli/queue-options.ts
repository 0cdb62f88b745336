import { type Command, Option } from 'commander';
import { usageError } from '../errors.js';
import { FleetQueue, type QueueAddress } from '../fleet/queue.js';

/** The variable that the address may be given in, so that its password stands in no list of processes. */
const QUEUE_VARIABLE = 'SPIKING_YOLO_QUEUE';

/** Options that name a queue. */
export interface QueueOptions {
  queue?: string;
  name: string;
}

/** Adds {@link QueueOptions}. */
export const addQueueOptions = (command: Command): Command =>
  command
    .addOption(
      new Option(
        '--queue <url>',
        `Redis, redis://[user:password@]host[:port][/database] or rediss:// over TLS (or in the variable ${QUEUE_VARIABLE})`,
      ).env(QUEUE_VARIABLE),
    )
    .option('--name <jobs>', 'name of the queue', 'photos');

/** Throws `USAGE` if no queue is named. */
export function addressOf({ queue, name }: QueueOptions): QueueAddress {
  if (queue === undefined)
    throw usageError(`name a Redis: --queue redis://host (or in the variable ${QUEUE_VARIABLE})`);
  return { url: queue, name };
}

/** Runs what needs a queue, and closes it. Throws `QUEUE`, or `USAGE` for a wrong address. */
export async function withQueue<T>(
  options: QueueOptions,
  use: (queue: FleetQueue) => Promise<T>,
  how?: { patient: boolean },
): Promise<T> {
  const queue = await FleetQueue.open(addressOf(options), how);
  try {
    return await use(queue);
  } finally {
    await queue.close();
  }
}
