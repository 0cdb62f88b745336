import { imageError } from '../errors.js';
import type { Orientation } from './exif.js';
import type { Photo } from './resize.js';

/** What a photo's header says. */
export interface PhotoHeader {
  /** Of the pixels as they are stored, before they are turned upright. */
  width: number;
  height: number;
  orientation: Orientation;
}

/** One of the formats that photos come in. */
export interface PhotoFormat {
  name: string;
  /** True if a file begins as this format's do. */
  matches(bytes: Uint8Array): boolean;
  /** Reads the header; throws `IMAGE` for a file that ends early or that cannot be decoded here, with the reason. */
  inspect(bytes: Uint8Array): PhotoHeader;
  /** Decodes a file that was inspected; throws `IMAGE`, or any other error for a damaged one. */
  decode(bytes: Uint8Array, header: PhotoHeader): Promise<Photo>;
}

/** True if a file begins with these bytes, given as Latin-1. */
export const beginsWith = (bytes: Uint8Array, text: string, at = 0): boolean =>
  bytes.length >= at + text.length && [...text].every((char, i) => bytes[at + i] === char.charCodeAt(0));

/**
 * A photo from decoded pixels, (height, width, channels) bytes, grey, RGB or RGBA, turned upright; transparency is dropped.
 * Pixels that lie right already become the photo's own. Throws `IMAGE` if there are not as many as the header says.
 */
export function uprightPhoto(
  pixels: Uint8Array | Uint8ClampedArray,
  channels: number,
  { width, height, orientation }: PhotoHeader,
): Photo {
  if (pixels.length !== width * height * channels)
    throw imageError(
      `the picture is damaged: its decoder gave ${pixels.length} bytes, its header says ${width}×${height}×${channels}`,
    );
  if (orientation === 1 && channels === 3)
    return { width, height, rgb: new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.length) };
  const rgb = new Uint8Array(width * height * 3);
  const turned = orientation >= 5;
  const target = turned ? { width: height, height: width } : { width, height };
  const green = channels >= 3 ? 1 : 0;
  const blue = channels >= 3 ? 2 : 0;
  // where the stored pixel (0, 0) comes to, and how far a step right or down leads from there
  const mirrored = orientation === 2 || orientation === 3 || orientation === 7 || orientation === 8;
  const flipped = orientation === 3 || orientation === 4 || orientation === 6 || orientation === 7;
  const alongX = turned ? target.width * 3 : 3;
  const alongY = turned ? 3 : target.width * 3;
  const stepX = mirrored ? -alongX : alongX;
  const stepY = flipped ? -alongY : alongY;
  const origin = (mirrored ? (width - 1) * alongX : 0) + (flipped ? (height - 1) * alongY : 0);
  for (let y = 0, from = 0; y < height; y++) {
    let to = origin + y * stepY;
    for (let x = 0; x < width; x++, from += channels, to += stepX) {
      rgb[to] = pixels[from]!;
      rgb[to + 1] = pixels[from + green]!;
      rgb[to + 2] = pixels[from + blue]!;
    }
  }
  return { ...target, rgb };
}
