import { imageError, usageError } from '../errors.js';
import { uprightPhoto } from './pixels.js';
import type { Photo } from './resize.js';

/** A picture that is decoded already, (height, width, channels) bytes, RGB or RGBA. */
export interface RawPixels {
  data: Uint8Array;
  width: number;
  height: number;
  channels: 3 | 4;
}

/** Most pixels a side of a photo that is decoded: docs/boards.md says what memory one takes. */
export const MAX_EXTENT = 16_384;

/** Most pixels of a picture, wherever it comes from. */
export const MAX_PIXELS = 100_000_000;

/** Throws `IMAGE` for a picture that is too large, or has no pixels. */
export function checkSize(
  { width, height }: { width: number; height: number },
  maxPixels = MAX_PIXELS,
): void {
  if (width >= 1 && height >= 1 && Math.max(width, height) <= MAX_EXTENT && width * height <= maxPixels)
    return;
  throw imageError(
    `the picture is ${width}×${height}; expected 1 to ${MAX_EXTENT} pixels a side and at most ${maxPixels / 1e6} megapixels`,
  );
}

/** A photo from raw pixels, whose transparency is dropped; throws `USAGE` if they are none. */
export function rawPhoto(source: RawPixels): Photo {
  const { data, width, height, channels } = source ?? {};
  const whole = [width, height].every((extent) => Number.isInteger(extent) && extent >= 1);
  if (!whole || width * height > MAX_PIXELS || (channels !== 3 && channels !== 4)) {
    throw usageError(
      'a photo is a path, the bytes of a picture file (Uint8Array), or raw pixels {data, width, height, channels: 3 | 4}',
    );
  }
  if (!(data instanceof Uint8Array) || data.length !== width * height * channels) {
    throw usageError(
      `raw pixels of ${width}×${height}×${channels} need a Uint8Array of ${width * height * channels} bytes`,
    );
  }
  return uprightPhoto(data, channels, { width, height, orientation: 1 });
}
