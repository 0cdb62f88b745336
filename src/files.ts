import { createHash, randomBytes } from 'node:crypto';
import { rmSync, type Stats } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { constants } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileError, reasonOf, SpikingYoloError } from './errors.js';

/** What went wrong with a file, as a `FILE` error; one of this package's own passes as it is. */
export const explainFileError = (action: string, path: string, error: unknown) => {
  if (error instanceof SpikingYoloError) return error;
  const code = (error as NodeJS.ErrnoException)?.code;
  const reasons: Record<string, string> = {
    ENOENT: 'there is no such file or folder',
    EACCES: 'permission denied',
    EISDIR: 'it is a folder',
    ENOTDIR: 'a part of the path is not a folder',
    EEXIST: 'a file of that name is in the way',
    ENOSPC: 'the disk is full',
    EROFS: 'the file system is read-only',
  };
  const reason =
    code === 'ENOENT' && path.includes('\ufffd')
      ? 'its name is not UTF-8; rename it'
      : (reasons[code ?? ''] ?? reasonOf(error));
  return fileError(`${path}: cannot ${action}: ${reason}`, error);
};

/** Largest files that are read, in bytes: far above any that makes sense. */
const LIMITS = { text: 2 ** 20, photo: 2 ** 28, model: 2 ** 30 };

/** Reads a regular file of a limited size; throws `FILE`. */
async function readInto<T extends ArrayBufferLike>(
  path: string,
  kind: keyof typeof LIMITS,
  allocate: (size: number) => T,
): Promise<Uint8Array<T>> {
  let file: FileHandle | undefined;
  try {
    // a pipe or device would block, or never end
    const found = await stat(path);
    if (found.isDirectory()) throw new Error('it is a folder');
    if (!found.isFile()) throw new Error('it is not a regular file');
    if (found.size > LIMITS[kind]) {
      throw new Error(`it has ${found.size} bytes; at most ${LIMITS[kind]} are read as a ${kind}`);
    }
    file = await open(path);
    const bytes = new Uint8Array(allocate(found.size));
    for (let at = 0; at < found.size; ) {
      const { bytesRead } = await file.read(bytes, at, found.size - at, at);
      if (bytesRead === 0) throw new Error('it became shorter while it was read');
      at += bytesRead;
    }
    return bytes;
  } catch (error) {
    throw explainFileError('read it', path, error);
  } finally {
    await file?.close();
  }
}

/** Reads a photo; throws `FILE`. */
export const readPhotoBytes = (path: string) => readInto(path, 'photo', (size) => new ArrayBuffer(size));

/** Reads a model or weights file; throws `FILE`. */
export const readModelBytes = (path: string) => readInto(path, 'model', (size) => new ArrayBuffer(size));

/** Reads a model file into memory that worker threads can share; throws `FILE`. */
export const readShared = (path: string) => readInto(path, 'model', (size) => new SharedArrayBuffer(size));

const readTextBytes = (path: string) => readInto(path, 'text', (size) => new ArrayBuffer(size));

/** Reads a text file in UTF-8, or UTF-16 with a byte-order mark; throws `FILE`. */
export async function readText(path: string): Promise<string> {
  return decodeText(path, await readTextBytes(path), 'utf-8');
}

/** Reads an XML file in the encoding that it declares, UTF-8 if none; throws `FILE`. */
export async function readXml(path: string): Promise<string> {
  const bytes = await readTextBytes(path);
  const start = new TextDecoder('latin1').decode(bytes.subarray(0, 200));
  return decodeText(path, bytes, /^<\?xml[^>]*\sencoding=["']([^"']+)["']/.exec(start)?.[1] ?? 'utf-8');
}

/** Reads a text file whose words are ASCII; other characters, as in comments, may be of any encoding. Throws `FILE`. */
export const readAscii = async (path: string) => new TextDecoder().decode(await readTextBytes(path));

/** Encodings that a byte-order mark tells of, whatever else is declared. */
const MARKS = [
  { mark: [0xff, 0xfe], encoding: 'utf-16le' },
  { mark: [0xfe, 0xff], encoding: 'utf-16be' },
];

function decodeText(path: string, bytes: Uint8Array, declared: string): string {
  const encoding = MARKS.find(({ mark }) => mark.every((byte, i) => bytes[i] === byte))?.encoding ?? declared;
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch (error) {
    const reason =
      error instanceof RangeError
        ? `its encoding, ${encoding}, is not known`
        : `it is not text in ${encoding.toUpperCase()}`;
    throw fileError(`${path}: cannot read it: ${reason}; save it in UTF-8`, error);
  }
}

/** Makes a folder and those above it, one by one (mkdir's own recursion never ends below /proc). */
export async function makeFolder(path: string): Promise<void> {
  if (await isFolder(path)) return;
  const above = dirname(path);
  if (above !== path) await makeFolder(above);
  await mkdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
}

/** Where a file is to be written: a link's target; throws `FILE` for what is there and not a regular file. */
async function writablePath(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (!found) return path;
  if (found.isDirectory()) throw explainFileError('write it', path, new Error('it is a folder'));
  if (!found.isFile()) throw explainFileError('write it', path, new Error('it is not a regular file'));
  return realpath(path);
}

/** The file that a path leads to, also by links; undefined if there is none. */
async function identityOf(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found && `${found.dev}:${found.ino}`;
}

/** The first of some paths that leads to the same file as `path`, also by links. */
export async function findSameFile(path: string, others: readonly string[]): Promise<string | undefined> {
  const identity = await identityOf(path);
  for (const other of others) {
    if (resolve(other) === resolve(path)) return other;
    if (identity !== undefined && (await identityOf(other)) === identity) return other;
  }
  return undefined;
}

/** Gives a file the mode of the one that it is to replace, and, where this process may, its owner and group. */
async function keepAccess(file: FileHandle, { mode, uid, gid }: Stats): Promise<void> {
  // the owner first: changing it may clear bits of the mode
  await file.chown(uid, gid).catch(() => {});
  await file.chmod(mode & 0o7777);
}

/** A file that appears when it is complete: written beside its place, then renamed. Errors are `FILE`. */
export class WholeFile {
  private readonly path: string;
  private readonly target: string;
  private readonly temporary: string;
  private readonly file: FileHandle;

  private constructor(path: string, target: string, temporary: string, file: FileHandle) {
    this.path = path;
    this.target = target;
    this.temporary = temporary;
    this.file = file;
  }

  /** Makes the file's folder and a temporary file in it. */
  static async create(path: string): Promise<WholeFile> {
    try {
      const target = await writablePath(path);
      const temporary = `${target}.${randomBytes(4).toString('hex')}.tmp`;
      await makeFolder(dirname(target));
      const file = await open(temporary, 'wx');
      const before = await stat(target).catch(() => undefined);
      if (before) await keepAccess(file, before);
      return new WholeFile(path, target, temporary, file);
    } catch (error) {
      throw explainFileError('write it', path, error);
    }
  }

  /** Writes on; after an error nothing is left. */
  async write(content: Uint8Array | string | AsyncIterable<string>): Promise<void> {
    try {
      // Node takes iterables here; its types know of files opened by path only
      await this.file.writeFile(content as string);
    } catch (error) {
      throw await this.giveUp(error);
    }
  }

  /** Puts the file in its place; after an error nothing is left. */
  async commit(): Promise<void> {
    try {
      await this.file.sync();
      await this.file.close();
      await rename(this.temporary, this.target);
    } catch (error) {
      throw await this.giveUp(error);
    }
  }

  /** Removes what was written, at once: a process that ends cannot wait. */
  discard(): void {
    rmSync(this.temporary, { force: true });
  }

  private async giveUp(error: unknown) {
    await this.file.close().catch(() => {});
    await rm(this.temporary, { force: true }).catch(() => {});
    return explainFileError('write it', this.path, error);
  }
}

/** Writes a file whole or not at all; makes its folder. Throws `FILE`. */
export async function writeWhole(
  path: string,
  content: Uint8Array | string | AsyncIterable<string>,
): Promise<void> {
  const file = await WholeFile.create(path);
  const stop = (signal: NodeJS.Signals) => {
    file.discard();
    process.exit(128 + constants.signals[signal]);
  };
  process.once('SIGINT', stop).once('SIGTERM', stop).once('SIGHUP', stop);
  try {
    await file.write(content);
    await file.commit();
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop).off('SIGHUP', stop);
  }
}

/** True if a file begins with a text, is empty or is not there; throws `FILE`. */
export async function startsWith(path: string, text: string): Promise<boolean> {
  let file: FileHandle | undefined;
  try {
    if (!(await stat(path)).isFile()) throw new Error('it is not a regular file');
    file = await open(path);
    const bytes = new Uint8Array(new TextEncoder().encode(text).length);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    return text.startsWith(new TextDecoder().decode(bytes.subarray(0, bytesRead)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    throw explainFileError('read it', path, error);
  } finally {
    await file?.close();
  }
}

/** True if the path is a folder. */
export async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

/** True if the path is a regular file. */
export async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false;
}

/** True for the name of a JPEG: Windows and browsers write .jfif, too. */
export const isJpegName = (path: string) => /\.(jpe?g|jpe|jfif|jif|jfi)$/i.test(path);

/** True for the name of a file that may be a photo. */
export const isPicture = (path: string) =>
  (isJpegName(path) || /\.(png|bmp|webp)$/i.test(path)) && !basename(path).startsWith('.');

/** Paths of the pictures directly in a folder, sorted by name; throws `FILE`. */
export async function listPhotos(folder: string): Promise<string[]> {
  try {
    const names = await readdir(folder);
    return names
      .filter(isPicture)
      .sort((a, b) => (a < b ? -1 : 1))
      .map((name) => join(folder, name));
  } catch (error) {
    throw explainFileError('list it', folder, error);
  }
}

export const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');
