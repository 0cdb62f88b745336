import { on } from 'node:events';
import { statSync } from 'node:fs';
import { watch } from 'chokidar';
import { fileError, reasonOf, SpikingYoloError } from '../errors.js';
import { isPicture } from '../files.js';

/** A photo is taken when its size has not changed for this long, in milliseconds. */
const SETTLED_MS = 1000;

/** How often the folder is looked at, in milliseconds. */
const LOOK_MS = 500;

/** Which folder a path leads to; undefined if to none. */
function identityOf(folder: string): string | undefined {
  const found = statSync(folder, { throwIfNoEntry: false });
  return found && `${found.dev}:${found.ino}`;
}

/**
 * Paths of the photos in a folder, those that are there first, then each as it appears or is written anew and has been
 * written whole. Ends when the signal aborts; throws `FILE` if the folder cannot be watched, or goes away: from this
 * call on, also before the first path is asked for.
 */
export function watchFolder(folder: string, signal: AbortSignal): AsyncGenerator<string> {
  return watchSameFolder(folder, identityOf(folder), signal);
}

async function* watchSameFolder(
  folder: string,
  identity: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const gone = new AbortController();
  // a folder that is empty goes away without an event, and one that is made again is another one
  const look = () => {
    if (identity === undefined || identityOf(folder) !== identity) gone.abort();
  };
  look();
  const looking = setInterval(look, LOOK_MS);
  const watcher = watch(folder, {
    depth: 0,
    ignored: (path, stats) => stats?.isFile() === true && !isPicture(path),
    awaitWriteFinish: { stabilityThreshold: SETTLED_MS, pollInterval: 100 },
  });
  try {
    for await (const [event, path] of on(watcher, 'all', {
      signal: AbortSignal.any([signal, gone.signal]),
    })) {
      if (event === 'add' || event === 'change') yield path;
    }
  } catch (error) {
    if (error instanceof SpikingYoloError) throw error;
    if (gone.signal.aborted) throw fileError(`${folder}: the folder is gone`);
    if (!signal.aborted) throw fileError(`${folder}: cannot watch it: ${reasonOf(error)}`, error);
  } finally {
    clearInterval(looking);
    await watcher.close();
  }
}
