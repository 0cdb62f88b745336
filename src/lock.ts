/** Locks of files that one process at a time may write. */
import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { link, open, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileError, reasonOf } from './errors.js';
import { explainFileError, makeFolder } from './files.js';

/** Longest file that may be a lock, in bytes. */
const LONGEST_LOCK = 200;
/** How often and how long, in ms, an owner's name is waited for where a lock cannot be put in place complete. */
const PATIENCE = { times: 20, pause: 50 };

/**
 * Takes a file for this process until the returned function is called or the process ends; throws `FILE` if another
 * process has it. The lock, `<path>.lock`, names its owner and is put in place complete, in one step. A lock that a killed
 * process left is taken over: renamed to a name of its own, so that one process alone has it, and looked at there. If it
 * was a live one (another process was quicker) it is put back, and counts as a lock under that name, too, until then.
 */
export async function lockFile(path: string): Promise<() => void> {
  const lock = `${await realPathOf(path)}.lock`;
  const content = `${process.pid} ${randomBytes(6).toString('hex')}\n`;
  held.add(content);
  const release = () => {
    process.off('exit', release);
    held.delete(content);
    try {
      for (const name of [lock, ...displacedNames(lock)])
        if (read(name) === content) rmSync(name, { force: true });
    } catch {
      // the folder went away, and the lock with it
    }
  };
  try {
    await makeFolder(dirname(path));
    while (!(await putInPlace(lock, content))) await removeDead(path, lock);
    const live = await liveDisplaced(lock, content);
    if (live !== undefined) throw isBeingWritten(path, live);
  } catch (error) {
    release();
    throw explainFileError('write it', path, error);
  }
  process.on('exit', release);
  return release;
}

/** Contents of this process's locks: one of a process of the same number before it is not among them. */
const held = new Set<string>();

const isBeingWritten = (path: string, owner: string) =>
  fileError(`${path}: process ${pidOf(owner)} is writing it (if that is not so, delete ${path}.lock)`);

/** Makes the lock if there is none, complete from the start; false if there is one. */
async function putInPlace(lock: string, content: string): Promise<boolean> {
  const temporary = `${lock}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    await writeFile(temporary, content, { flag: 'wx' });
    await link(temporary, lock);
    return true;
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    if (syscall !== 'link') throw error;
    // a file system without links (FAT): the name first, its owner right after
    return putByName(lock, content);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function putByName(lock: string, content: string): Promise<boolean> {
  try {
    const file = await open(lock, 'wx');
    await file.writeFile(content).finally(() => file.close());
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    await rm(lock, { force: true });
    throw error;
  }
}

/** What a lock says of its owner; undefined if there is no lock. */
async function ownerOf(lock: string): Promise<string | undefined> {
  for (let attempt = 0; attempt < PATIENCE.times; attempt++) {
    const owner = read(lock);
    if (owner !== '') return owner;
    await wait(PATIENCE.pause);
  }
  return '';
}

/** Removes the lock of a process that is gone; throws `FILE` if it is there. */
async function removeDead(path: string, lock: string): Promise<void> {
  const owner = await ownerOf(lock);
  if (owner === undefined) return;
  if (isLive(owner)) throw isBeingWritten(path, owner);
  const displaced = `${lock}.${randomBytes(4).toString('hex')}.displaced`;
  try {
    await rename(lock, displaced);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  const found = await ownerOf(displaced);
  if (found === undefined || !isLive(found)) return rm(displaced, { force: true });
  const back = await link(displaced, lock).then(
    () => true,
    () => false,
  );
  if (back) await rm(displaced, { force: true });
  throw isBeingWritten(path, found);
}

function displacedNames(lock: string): string[] {
  const folder = dirname(lock);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.startsWith(`${basename(lock)}.`) && name.endsWith('.displaced'))
    .map((name) => join(folder, name));
}

/** The owner of a live lock that was renamed by mistake and is not back yet; locks of dead ones are removed. */
async function liveDisplaced(lock: string, own: string): Promise<string | undefined> {
  for (const name of displacedNames(lock)) {
    const owner = await ownerOf(name);
    if (owner === undefined || owner === own) continue;
    if (isLive(owner)) return owner;
    await rm(name, { force: true });
  }
  return undefined;
}

/** What a lock holds; undefined if there is none. Throws for what is no lock of ours: a folder, a pipe, a link. */
function read(lock: string): string | undefined {
  const found = lstatSync(lock, { throwIfNoEntry: false });
  if (!found) return undefined;
  if (!found.isFile() || found.size > LONGEST_LOCK) throw new Error(`${lock} is in the way, and is no lock`);
  try {
    return readFileSync(lock, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Error(`its lock cannot be read (${reasonOf(error)})`, { cause: error });
  }
}

/** Where a path leads by links, also if there is no such file yet: two names of one file have one lock. */
async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    const folder = await realpath(dirname(path)).catch(() => dirname(path));
    return join(folder, basename(path));
  }
}

const pidOf = (owner: string) => Number.parseInt(owner, 10);

function isLive(owner: string): boolean {
  const pid = pidOf(owner);
  if (!(pid > 0)) return false;
  if (pid === process.pid) return held.has(owner);
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
