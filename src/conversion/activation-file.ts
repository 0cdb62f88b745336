import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileError, reasonOf } from '../errors.js';
import type { ActivationStore, StoredMap } from './activation-store.js';

/** A part of the file: where it begins, and its length in bytes. */
interface Region {
  at: number;
  length: number;
}

const bytesOf = ({ buffer, byteOffset, byteLength }: StoredMap) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/**
 * Keeps maps in a temporary file whose freed parts are used again, so that memory does not grow with the photos. The file is
 * gone when the store is closed; where the system allows it, its name is gone from the start, so that nothing stays behind a
 * process that is killed.
 *
 * @example
 * ```ts
 * import { ActivationFile } from 'spiking-yolo';
 *
 * const store = new ActivationFile('.');
 * store.write('conv1', 0, Float32Array.of(0.5, 2));
 * console.log(store.read('conv1', 0, new Float32Array(2))[1], store.size); // 2 8
 * store.close();
 * ```
 */
export class ActivationFile implements ActivationStore {
  private readonly parent: string;
  private readonly folder: string;
  private readonly file: number;
  private readonly regions = new Map<string, Map<number, Region>>();
  private readonly holes: Region[] = [];
  private end = 0;

  /** @param folder where the temporary file lies (default: the system's folder for such files); throws `FILE` if it cannot */
  constructor(folder: string = tmpdir()) {
    this.parent = folder;
    try {
      this.folder = mkdtempSync(join(folder, '.spiking-yolo-'));
      this.file = openSync(join(this.folder, 'activations'), 'w+');
      if (process.platform !== 'win32') rmSync(this.folder, { recursive: true });
    } catch (error) {
      throw fileError(`${folder}: no temporary file can be made there: ${reasonOf(error)}`, error);
    }
  }

  /** Size of the file in bytes. */
  get size(): number {
    return this.end;
  }

  write(key: string, photo: number, map: StoredMap): void {
    const photos = this.regions.get(key) ?? new Map<number, Region>();
    this.regions.set(key, photos);
    const before = photos.get(photo);
    if (before && before.length !== map.byteLength) throw new RangeError(`${key}: a map of another size`);
    const region = before ?? this.allocate(map.byteLength);
    photos.set(photo, region);
    const bytes = bytesOf(map);
    try {
      for (let done = 0; done < bytes.length; )
        done += writeSync(this.file, bytes, done, bytes.length - done, region.at + done);
    } catch (error) {
      throw fileError(
        `${this.parent}: the temporary file of activations cannot grow to ${(this.end / 1e6).toFixed(1)} MB there: ${reasonOf(error)}`,
        error,
      );
    }
  }

  read<T extends StoredMap>(key: string, photo: number, target: T): T {
    const { at } = this.regions.get(key)!.get(photo)!;
    const bytes = bytesOf(target);
    for (let done = 0; done < bytes.length; ) {
      const read = readSync(this.file, bytes, done, bytes.length - done, at + done);
      if (read === 0) throw fileError('the temporary file of activations has become shorter');
      done += read;
    }
    return target;
  }

  free(key: string): void {
    for (const region of this.regions.get(key)?.values() ?? []) this.holes.push(region);
    this.regions.delete(key);
    this.holes.sort((a, b) => a.at - b.at);
    let kept = 0;
    for (const hole of this.holes) {
      const last = this.holes[kept - 1];
      if (last && last.at + last.length === hole.at) last.length += hole.length;
      else this.holes[kept++] = hole;
    }
    this.holes.length = kept;
  }

  close(): void {
    closeSync(this.file);
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** The first hole that is large enough, or the end. */
  private allocate(length: number): Region {
    const at = this.holes.findIndex((hole) => hole.length >= length);
    const hole = this.holes[at];
    if (!hole) {
      const region = { at: this.end, length };
      this.end += length;
      return region;
    }
    const region = { at: hole.at, length };
    hole.at += length;
    hole.length -= length;
    if (hole.length === 0) this.holes.splice(at, 1);
    return region;
  }
}
