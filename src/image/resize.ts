import type { Resize } from '../model/spiking-model.js';
import type { Shape } from '../network/network.js';

/** A photo as (height, width, 3) bytes. */
export interface Photo {
  width: number;
  height: number;
  rgb: Uint8Array;
  /** Set if a JPEG went through the slower decoder, whose pixels may differ by some levels: CMYK, or no WebAssembly. */
  decoder?: 'jpeg-js';
}

/** Where a photo of width × height lies in the network's input of targetWidth × targetHeight. */
export interface Placement {
  width: number;
  height: number;
  targetWidth: number;
  targetHeight: number;
  left: number;
  top: number;
  scaledWidth: number;
  scaledHeight: number;
}

/** The nearest whole number, of two the even one, as Python's round. */
function roundHalfEven(value: number): number {
  const nearest = Math.round(value);
  return nearest - value === 0.5 && nearest % 2 === 1 ? nearest - 1 : nearest;
}

/**
 * Where `resize` puts a photo.
 *
 * @example
 * ```ts
 * import { placementOf } from 'spiking-yolo';
 *
 * const { left, top, scaledWidth, scaledHeight } = placementOf('letterbox', 400, 200, 100, 100);
 * console.log(left, top, scaledWidth, scaledHeight); // 0 25 100 50
 * ```
 */
export function placementOf(
  resize: Resize,
  width: number,
  height: number,
  targetWidth: number,
  targetHeight: number,
): Placement {
  const whole = { width, height, targetWidth, targetHeight };
  if (resize === 'stretch')
    return { ...whole, left: 0, top: 0, scaledWidth: targetWidth, scaledHeight: targetHeight };
  if (resize === 'letterbox:114' || resize === 'letterbox:corner') {
    const ratio = Math.min(targetWidth / width, targetHeight / height);
    const side = (extent: number) =>
      Math.max(1, resize === 'letterbox:114' ? roundHalfEven(ratio * extent) : Math.floor(ratio * extent));
    const [scaledWidth, scaledHeight] = [side(width), side(height)];
    // Ultralytics' rounding: of an odd gap the smaller half lies before
    const before = (gap: number) => (resize === 'letterbox:114' ? Math.max(0, Math.round(gap / 2 - 0.1)) : 0);
    const [left, top] = [before(targetWidth - scaledWidth), before(targetHeight - scaledHeight)];
    return { ...whole, left, top, scaledWidth, scaledHeight };
  }
  const widthLimits = targetWidth * height < targetHeight * width;
  const scaledWidth = widthLimits ? targetWidth : Math.max(1, Math.floor((width * targetHeight) / height));
  const scaledHeight = widthLimits ? Math.max(1, Math.floor((height * targetWidth) / width)) : targetHeight;
  const left = (targetWidth - scaledWidth) / 2;
  const top = (targetHeight - scaledHeight) / 2;
  // darknet puts the photo at whole pixels, but takes boxes back from half ones
  if (resize === 'letterbox:darknet') return { ...whole, left, top, scaledWidth, scaledHeight };
  return { ...whole, left: Math.floor(left), top: Math.floor(top), scaledWidth, scaledHeight };
}

/** Bits of the fixed-point filter coefficients, as in Pillow: 255 · 2^22 stays below 2^31. */
const PRECISION = 22;

/** Antialiased triangle filter along one axis: for each output cell the first input cell and the coefficients. */
function triangleFilter(extent: number, target: number) {
  const scale = extent / target;
  const support = Math.max(scale, 1);
  return Array.from({ length: target }, (_, out) => {
    const center = (out + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(extent, Math.trunc(center + support + 0.5));
    const weights = Array.from({ length: end - first }, (_, i) =>
      Math.max(0, 1 - Math.abs((i + first - center + 0.5) / support)),
    );
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return {
      first,
      coefficients: Int32Array.from(weights, (w) => Math.floor(0.5 + (w / total) * 2 ** PRECISION)),
    };
  });
}

/** Filters lines of bytes along an axis: `count` lines, `stride` apart, cells `step` apart. */
function filterAxis(
  source: Uint8Array,
  target: Uint8Array,
  filter: ReturnType<typeof triangleFilter>,
  lines: { count: number; sourceStride: number; targetStride: number },
  sourceStep: number,
  targetStep: number,
): void {
  for (let line = 0; line < lines.count; line++) {
    const sourceLine = line * lines.sourceStride;
    const targetLine = line * lines.targetStride;
    for (let out = 0; out < filter.length; out++) {
      const { first, coefficients } = filter[out]!;
      for (let channel = 0; channel < 3; channel++) {
        let sum = 1 << (PRECISION - 1);
        let at = sourceLine + first * sourceStep + channel;
        for (let i = 0; i < coefficients.length; i++, at += sourceStep) sum += source[at]! * coefficients[i]!;
        target[targetLine + out * targetStep + channel] = Math.min(255, Math.max(0, sum >> PRECISION));
      }
    }
  }
}

/** Square resize with an antialiased triangle filter: the same bytes as Pillow's BILINEAR. */
function stretch({ width, height, rgb }: Photo, targetWidth: number, targetHeight: number): Uint8Array {
  let rows = rgb;
  if (targetWidth !== width) {
    rows = new Uint8Array(height * targetWidth * 3);
    const lines = { count: height, sourceStride: width * 3, targetStride: targetWidth * 3 };
    filterAxis(rgb, rows, triangleFilter(width, targetWidth), lines, 3, 3);
  }
  if (targetHeight === height) return rows === rgb ? rgb.slice() : rows;
  const result = new Uint8Array(targetHeight * targetWidth * 3);
  const step = targetWidth * 3;
  const lines = { count: targetWidth, sourceStride: 3, targetStride: 3 };
  filterAxis(rows, result, triangleFilter(height, targetHeight), lines, step, step);
  return result;
}

/** Averages boxes of factor × factor pixels (smaller ones at the right and bottom border), halves rounded up. */
function boxReduce({ width, height, rgb }: Photo, factor: number): Photo {
  const reducedWidth = Math.ceil(width / factor);
  const reducedHeight = Math.ceil(height / factor);
  const reduced = new Uint8Array(reducedWidth * reducedHeight * 3);
  for (let y = 0; y < reducedHeight; y++) {
    const lastRow = Math.min(height, (y + 1) * factor);
    for (let x = 0; x < reducedWidth; x++) {
      const lastColumn = Math.min(width, (x + 1) * factor);
      const area = (lastRow - y * factor) * (lastColumn - x * factor);
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let row = y * factor; row < lastRow; row++) {
          for (let column = x * factor; column < lastColumn; column++)
            sum += rgb[(row * width + column) * 3 + channel]!;
        }
        reduced[(y * reducedWidth + x) * 3 + channel] = Math.floor((2 * sum + area) / (2 * area));
      }
    }
  }
  return { width: reducedWidth, height: reducedHeight, rgb: reduced };
}

/** darknet's corner-aligned bilinear sampling along one axis, as whole numbers: cell `index` and `next`/`of` beyond it. */
function cornerAligned(extent: number, target: number) {
  return Array.from({ length: target }, (_, out) => {
    if (target === 1 || extent === 1 || out === target - 1) {
      return { index: out === target - 1 || extent === 1 ? extent - 1 : 0, next: 0, of: 1 };
    }
    const position = out * (extent - 1);
    const index = Math.floor(position / (target - 1));
    return { index, next: position - index * (target - 1), of: target - 1 };
  });
}

/** darknet's resize_image as an exact rational, rounded to the nearest byte, halves up. */
function bilinear({ width, height, rgb }: Photo, targetWidth: number, targetHeight: number): Uint8Array {
  const columns = cornerAligned(width, targetWidth);
  const rows = cornerAligned(height, targetHeight);
  const result = new Uint8Array(targetWidth * targetHeight * 3);
  let at = 0;
  for (const row of rows) {
    const upper = row.index * width * 3;
    const lower = row.next > 0 ? upper + width * 3 : upper;
    for (const column of columns) {
      const left = column.index * 3;
      const right = column.next > 0 ? left + 3 : left;
      const denominator = row.of * column.of;
      for (let channel = 0; channel < 3; channel++) {
        const top =
          rgb[upper + left + channel]! * (column.of - column.next) +
          rgb[upper + right + channel]! * column.next;
        const bottom =
          rgb[lower + left + channel]! * (column.of - column.next) +
          rgb[lower + right + channel]! * column.next;
        const numerator = top * (row.of - row.next) + bottom * row.next;
        result[at++] = Math.floor((2 * numerator + denominator) / (2 * denominator));
      }
    }
  }
  return result;
}

/** Grey that darknet puts around a letterboxed photo. */
const LETTERBOX_FILL = 128;
/** Grey that YOLOX and Ultralytics' networks are trained with. */
const TRAINED_FILL = 114;

/** What darknet's letterbox scales: the photo, reduced by a whole factor if it is at least twice the target. */
function darknetSource(resize: Resize, photo: Photo, { scaledWidth, scaledHeight }: Placement): Photo {
  const factor = Math.floor(Math.min(photo.width / scaledWidth, photo.height / scaledHeight));
  return resize === 'letterbox' && factor >= 2 ? boxReduce(photo, factor) : photo;
}

/**
 * Brings a photo to the network's input, (targetHeight, targetWidth, 3) bytes, in integer arithmetic (see
 * docs/engine.md): the same bytes everywhere.
 *
 * @example
 * ```ts
 * import { readPhoto, resizePhoto } from 'spiking-yolo';
 *
 * const pixels = resizePhoto('letterbox', await readPhoto('samples/cat.jpg'), 416, 416);
 * console.log(pixels.length); // 519168
 * ```
 */
export function resizePhoto(
  resize: Resize,
  photo: Photo,
  targetWidth: number,
  targetHeight: number,
): Uint8Array {
  if (resize === 'stretch') return stretch(photo, targetWidth, targetHeight);
  const place = placementOf(resize, photo.width, photo.height, targetWidth, targetHeight);
  const { left, top, scaledWidth, scaledHeight } = place;
  const trained = resize === 'letterbox:114' || resize === 'letterbox:corner';
  const scaled = trained
    ? stretch(photo, scaledWidth, scaledHeight)
    : bilinear(darknetSource(resize, photo, place), scaledWidth, scaledHeight);
  const result = new Uint8Array(targetWidth * targetHeight * 3).fill(trained ? TRAINED_FILL : LETTERBOX_FILL);
  for (let y = 0; y < scaledHeight; y++) {
    const row = scaled.subarray(y * scaledWidth * 3, (y + 1) * scaledWidth * 3);
    result.set(row, ((Math.floor(top) + y) * targetWidth + Math.floor(left)) * 3);
  }
  return result;
}

/**
 * Brings a photo to a network's input, (height, width, channels) bytes: RGB, and where the network takes a fourth channel
 * (see {@link foldPreparation}) 255 in it.
 */
export function networkInput(resize: Resize, photo: Photo, { width, height, channels }: Shape): Uint8Array {
  const rgb = resizePhoto(resize, photo, width, height);
  if (channels === 3) return rgb;
  const pixels = new Uint8Array(width * height * 4).fill(255);
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
    pixels[to] = rgb[from]!;
    pixels[to + 1] = rgb[from + 1]!;
    pixels[to + 2] = rgb[from + 2]!;
  }
  return pixels;
}
