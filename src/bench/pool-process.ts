// A process that holds one worker pool of the benchmark, so that its memory is its own.
import { readModel } from '../detector.js';
import { backendError, reasonOf } from '../errors.js';
import { DetectorPool } from '../workers/pool.js';
import type { FromPool, ToPool } from './row.js';

const answer = (message: FromPool) => process.send!(message);

const importedRss = process.memoryUsage().rss;
let pool: DetectorPool | undefined;
let photo = '';

async function drain(photos: number): Promise<void> {
  const tasks = Array.from({ length: photos }, () => ({ source: photo }));
  for await (const { outcome } of pool!.run(tasks)) {
    if (outcome.error) throw backendError(outcome.error.message);
  }
}

process.on('message', async (message: ToPool) => {
  try {
    if ('workers' in message) {
      photo = message.photo;
      pool = new DetectorPool(await readModel({ model: message.net }), { threads: 1 }, message.workers);
      await drain(2 * message.workers);
      answer({ ready: true });
    } else if ('photos' in message) {
      const start = performance.now();
      await drain(message.photos);
      answer({ ms: performance.now() - start });
    } else {
      answer({ addedRssBytes: process.resourceUsage().maxRSS * 1024 - importedRss });
    }
  } catch (error) {
    answer({ error: reasonOf(error) });
  }
});
process.on('disconnect', () => process.exit(0));
