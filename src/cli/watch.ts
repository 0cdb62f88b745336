import { on } from 'node:events';
import { resolve } from 'node:path';
import { watch } from 'chokidar';
import { fileError, reasonOf, SpikingYoloError } from '../errors.js';
import { isPicture } from '../files.js';

/** A photo is taken when its size has not changed for this long, in milliseconds. */
const SETTLED_MS = 1000;

/**
 * Paths of the photos in a folder, those that are there first, then each as it appears or is written anew and has been
 * written whole. Ends when the signal aborts; throws `FILE` if the folder cannot be watched.
 */
export async function* watchFolder(folder: string, signal: AbortSignal): AsyncGenerator<string> {
  const watcher = watch(folder, {
    depth: 0,
    ignored: (path, stats) => stats?.isFile() === true && !isPicture(path),
    awaitWriteFinish: { stabilityThreshold: SETTLED_MS, pollInterval: 100 },
  });
  try {
    for await (const [event, path] of on(watcher, 'all', { signal })) {
      if (event === 'add' || event === 'change') yield path;
      if (event === 'unlinkDir' && resolve(path) === resolve(folder))
        throw fileError(`${folder}: the folder is gone`);
    }
  } catch (error) {
    if (error instanceof SpikingYoloError) throw error;
    if (!signal.aborted) throw fileError(`${folder}: cannot watch it: ${reasonOf(error)}`, error);
  } finally {
    await watcher.close();
  }
}
