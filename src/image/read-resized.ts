import { reasonOf, SpikingYoloError } from '../errors.js';
import { readPhotoBytes } from '../files.js';
import type { Resize } from '../model/spiking-model.js';
import { decodePhoto } from './read-photo.js';
import { resizePhoto } from './resize.js';

/**
 * Photos of files as a network takes them, (height, width, 3) bytes, one at a time: to calibrate with. An unreadable
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
): AsyncGenerator<Uint8Array> {
  for (const path of paths) {
    try {
      yield resizePhoto(resize, await decodePhoto(await readPhotoBytes(path)), width, height);
    } catch (error) {
      if (!(error instanceof SpikingYoloError)) throw error;
      throw new SpikingYoloError(error.code, `${path}: ${reasonOf(error).replace(`${path}: `, '')}`, {
        cause: error,
      });
    }
  }
}
