import { createJimp } from '@jimp/core';
import bmp from '@jimp/js-bmp';
import jpeg from '@jimp/js-jpeg';
import png from '@jimp/js-png';
import { imageSize } from 'image-size';
import { imageError, reasonOf } from '../errors.js';
import { pictureDamage } from './check-picture.js';
import type { Photo } from './resize.js';

/** jimp with the formats of photographs only. @internal */
export const Jimp = createJimp({ formats: [jpeg, png, bmp], plugins: [] });

/** Largest photo that is decoded, in pixels: a decoder needs some ten bytes for each. */
const MAX_PIXELS = 100_000_000;
const MAX_EXTENT = 16_384;

/**
 * Decodes a JPEG, PNG or BMP, its EXIF rotation applied; transparency is dropped, as darknet does.
 * Throws `IMAGE` for anything that is not a whole photo of 1 to 16,384 pixels a side and at most 100 megapixels.
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
export async function decodePhoto(bytes: Uint8Array): Promise<Photo> {
  if (bytes.length === 0) throw imageError('the file is empty');
  let size: { width: number; height: number; type?: string | undefined };
  try {
    size = imageSize(bytes);
  } catch (error) {
    throw imageError('not a JPEG, PNG or BMP file, or its header is damaged', error);
  }
  if (!['jpg', 'png', 'bmp'].includes(size.type ?? '')) {
    throw imageError(`the file is of type ${size.type}; expected JPEG, PNG or BMP`);
  }
  const { width, height } = size;
  if (!(width >= 1 && height >= 1 && Math.max(width, height) <= MAX_EXTENT && width * height <= MAX_PIXELS)) {
    throw imageError(
      `the picture is ${width}×${height}; expected 1 to ${MAX_EXTENT} pixels a side and at most ${MAX_PIXELS / 1e6} megapixels`,
    );
  }
  const damage = pictureDamage(bytes, size.type as 'jpg' | 'png' | 'bmp');
  if (damage !== undefined) throw imageError(damage);
  try {
    const decoded = await Jimp.fromBuffer(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), {
      'image/jpeg': {
        maxMemoryUsageInMB: 2048,
        maxResolutionInMP: MAX_PIXELS / 1e6,
        tolerantDecoding: false,
      },
    });
    const { data, width: decodedWidth, height: decodedHeight } = decoded.bitmap;
    if (decodedWidth * decodedHeight !== width * height) throw new Error('its header names another size');
    return { width: decodedWidth, height: decodedHeight, rgb: dropAlpha(data, decodedWidth * decodedHeight) };
  } catch (error) {
    throw imageError(`the picture is damaged and cannot be decoded (${reasonOf(error)})`, error);
  }
}

function dropAlpha(rgba: Uint8Array, pixels: number): Uint8Array {
  if (rgba.length !== pixels * 4) throw imageError('the decoder returned a picture of the wrong size');
  const rgb = new Uint8Array(pixels * 3);
  for (let from = 0, to = 0; to < rgb.length; from += 4) {
    rgb[to++] = rgba[from]!;
    rgb[to++] = rgba[from + 1]!;
    rgb[to++] = rgba[from + 2]!;
  }
  return rgb;
}
