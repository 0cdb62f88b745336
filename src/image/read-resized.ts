import { withPath } from '../errors.js';
import { readPhotoBytes } from '../files.js';
import type { Resize } from '../model/spiking-model.js';
import { decodePhoto } from './read-photo.js';
import { networkInput, type Photo } from './resize.js';

/** Reads a photo; throws `FILE` or `IMAGE`, naming the file. */
export async function readPhotoFile(path: string): Promise<Photo> {
  try {
    return await decodePhoto(await readPhotoBytes(path));
  } catch (error) {
    throw withPath(path, error);
  }
}

/**
 * Photos of files as a network takes them, (height, width, channels) bytes, one at a time: to calibrate with. An unreadable
 * one is an error that names it.
 *
 * @example
 * ```ts
 * import { readResized } from 'spiking-yolo';
 *
 * for await (const pixels of readResized(['samples/cat.jpg'], 'letterbox', 416, 416)) console.log(pixels.length); // 519168
 * ```
 */
export async function* readResized(
  paths: readonly string[],
  resize: Resize,
  width: number,
  height: number,
  channels = 3,
): AsyncGenerator<Uint8Array> {
  for (const path of paths)
    yield networkInput(resize, await readPhotoFile(path), { width, height, channels });
}
