import { imageError, reasonOf, SpikingYoloError } from '../errors.js';
import { bmpFormat } from './bmp.js';
import { jpegFormat } from './jpeg.js';
import type { PhotoFormat } from './pixels.js';
import { pngFormat } from './png.js';
import { checkSize, MAX_PIXELS } from './raw-photo.js';
import type { Photo } from './resize.js';
import { webpFormat } from './webp.js';

const FORMATS: readonly PhotoFormat[] = [jpegFormat, pngFormat, bmpFormat, webpFormat];

/**
 * Decodes a JPEG, PNG, BMP or WebP, its EXIF rotation applied; transparency is dropped, as darknet does, and of an animation
 * the first picture is taken.
 * Throws `IMAGE` for anything that is not a whole photo of 1 to 16,384 pixels a side and at most 100 megapixels.
 *
 * @param maxPixels a lower limit on width × height
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { decodePhoto } from 'spiking-yolo';
 *
 * const { rgb } = await decodePhoto(readFileSync('samples/cat.jpg'));
 * console.log(rgb.length); // 405900
 * ```
 */
export async function decodePhoto(bytes: Uint8Array, maxPixels = MAX_PIXELS): Promise<Photo> {
  if (bytes.length === 0) throw imageError('the file is empty');
  const format = FORMATS.find((candidate) => candidate.matches(bytes));
  if (!format) throw imageError(`not a ${PHOTO_FORMATS} file`);
  const header = format.inspect(bytes);
  checkSize(header, Math.min(maxPixels, MAX_PIXELS));
  try {
    return await format.decode(bytes, header);
  } catch (error) {
    if (error instanceof SpikingYoloError) throw error;
    throw imageError(`the ${format.name} is damaged and cannot be decoded (${reasonOf(error)})`, error);
  }
}

/** The formats in words: JPEG, PNG, BMP or WebP. */
export const PHOTO_FORMATS = `${FORMATS.slice(0, -1)
  .map(({ name }) => name)
  .join(', ')} or ${FORMATS.at(-1)!.name}`;
