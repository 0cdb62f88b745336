import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileError, reasonOf } from './errors.js';

const explain = (action: string, path: string, error: unknown) => {
  const code = (error as NodeJS.ErrnoException)?.code;
  const reasons: Record<string, string> = {
    ENOENT: 'there is no such file or folder',
    EACCES: 'permission denied',
    EISDIR: 'it is a folder',
    ENOTDIR: 'a part of the path is not a folder',
    ENOSPC: 'the disk is full',
    EROFS: 'the file system is read-only',
  };
  return fileError(`${path}: cannot ${action}: ${reasons[code ?? ''] ?? reasonOf(error)}`, error);
};

/** Reads a whole file; throws `FILE`. */
export async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const { buffer, byteOffset, length } = await readFile(path);
    return new Uint8Array(buffer as ArrayBuffer, byteOffset, length);
  } catch (error) {
    throw explain('read it', path, error);
  }
}

/** Reads a file into memory that worker threads can share; throws `FILE`. */
export async function readShared(path: string): Promise<Uint8Array<SharedArrayBuffer>> {
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    const { size } = await file.stat();
    const bytes = new Uint8Array(new SharedArrayBuffer(size));
    for (let at = 0; at < size; ) {
      const { bytesRead } = await file.read(bytes, at, size - at, at);
      if (bytesRead === 0) throw new Error('it became shorter while it was read');
      at += bytesRead;
    }
    return bytes;
  } catch (error) {
    throw explain('read it', path, error);
  } finally {
    await file?.close();
  }
}

/** Reads a text file; throws `FILE`. */
export const readText = async (path: string) => new TextDecoder().decode(await readBytes(path));

/** Writes a file whole or not at all (a temporary file beside it, then rename); makes its folder. Throws `FILE`. */
export async function writeWhole(path: string, content: Uint8Array | string): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(temporary, 'wx');
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw explain('write it', path, error);
  }
}

/** True if the path is a folder. */
export async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

/** Paths of the pictures directly in a folder, sorted by name; throws `FILE`. */
export async function listPhotos(folder: string): Promise<string[]> {
  try {
    const names = await readdir(folder);
    const photos = names.filter((name) => /\.(jpe?g|png|bmp)$/i.test(name) && !name.startsWith('.'));
    return photos.sort((a, b) => (a < b ? -1 : 1)).map((name) => join(folder, name));
  } catch (error) {
    throw explain('list it', folder, error);
  }
}

export const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');
