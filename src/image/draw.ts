import { createJimp } from '@jimp/core';
import jpeg from '@jimp/js-jpeg';
import png from '@jimp/js-png';
import { measureText, methods as print } from '@jimp/plugin-print';
import * as fonts from '@jimp/plugin-print/fonts';
import { loadFont } from '@jimp/plugin-print/load-font';
import type { Detection } from '../heads/nms.js';
import type { Photo } from './resize.js';

const Jimp = createJimp({ formats: [jpeg, png], plugins: [print] });

/** Colours that differ for neighbouring classes: hues a golden angle apart, each as dark as white letters need. */
export function classColour(classId: number): [number, number, number] {
  const hue = (classId * 137.508) % 360;
  const channel = (shift: number) => {
    const k = (shift + hue / 30) % 12;
    return 0.42 - 0.4 * Math.max(-1, Math.min(k - 3, 9 - k, 1));
  };
  const rgb = [channel(0), channel(8), channel(4)] as const;
  // relative luminance of WCAG; white on 0.18 has a contrast of 4.5
  const luminance = 0.2126 * rgb[0] ** 2.2 + 0.7152 * rgb[1] ** 2.2 + 0.0722 * rgb[2] ** 2.2;
  const factor = Math.min(1, (0.18 / luminance) ** (1 / 2.2));
  return rgb.map((value) => Math.round(255 * factor * value)) as [number, number, number];
}

interface Rectangle {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

function fill(
  bitmap: { data: Uint8Array; width: number; height: number },
  area: Rectangle,
  colour: readonly number[],
) {
  for (let y = Math.max(0, area.top); y < Math.min(bitmap.height, area.bottom); y++) {
    for (let x = Math.max(0, area.left); x < Math.min(bitmap.width, area.right); x++) {
      bitmap.data.set([...colour, 255], (y * bitmap.width + x) * 4);
    }
  }
}

/**
 * The photo with boxes and labels drawn on it, as a JPEG or PNG file.
 *
 * @example
 * ```ts
 * import { writeFileSync } from 'node:fs';
 * import { Detector, drawDetections, readPhoto } from 'spiking-yolo';
 *
 * const photo = await readPhoto('samples/cat.jpg');
 * const detector = await Detector.load({ model: 'tiny-yolo-lite-voc' });
 * const { detections } = await detector.detect('samples/cat.jpg');
 * writeFileSync('cat-boxes.png', await drawDetections(photo, detections, 'png'));
 * await detector.close();
 * ```
 */
export async function drawDetections(
  photo: Photo,
  detections: readonly Detection[],
  format: 'jpeg' | 'png',
): Promise<Uint8Array> {
  const { width, height, rgb } = photo;
  const image = new Jimp({ width, height, color: 0x000000ff });
  for (let pixel = 0; pixel < width * height; pixel++)
    image.bitmap.data.set(rgb.subarray(pixel * 3, pixel * 3 + 3), pixel * 4);
  const large = Math.min(width, height) >= 900;
  const font = await loadFont(large ? fonts.SANS_32_WHITE : fonts.SANS_16_WHITE);
  const line = Math.max(2, Math.round(Math.min(width, height) / 200));
  const labelHeight = large ? 40 : 20;
  const corners = ({ box }: Detection) =>
    [box.x1, box.y1, box.x2, box.y2].map(Math.round) as [number, number, number, number];
  for (const detection of detections.toReversed()) {
    const colour = classColour(detection.classId);
    const [left, top, right, bottom] = corners(detection);
    fill(image.bitmap, { left, top, right, bottom: top + line }, colour);
    fill(image.bitmap, { left, top: bottom - line, right, bottom }, colour);
    fill(image.bitmap, { left, top, right: left + line, bottom }, colour);
    fill(image.bitmap, { left: right - line, top, right, bottom }, colour);
  }
  // labels over all boxes, the best first, each moved down until it hides no other
  const labels: Rectangle[] = [];
  for (const detection of detections) {
    const [boxLeft, boxTop] = corners(detection);
    const text = `${detection.class} ${(100 * detection.score).toFixed(0)}%`;
    const textWidth = measureText(font, text) + 2 * line + 4;
    const left = Math.max(0, Math.min(boxLeft, width - textWidth));
    let top = boxTop >= labelHeight ? boxTop - labelHeight : Math.max(0, boxTop);
    const hides = (label: Rectangle) =>
      left < label.right &&
      label.left < left + textWidth &&
      top < label.bottom &&
      label.top < top + labelHeight;
    for (
      let hidden = labels.find(hides);
      hidden && hidden.bottom + labelHeight <= height;
      hidden = labels.find(hides)
    ) {
      top = hidden.bottom;
    }
    const area = { left, top, right: left + textWidth, bottom: top + labelHeight };
    labels.push(area);
    fill(image.bitmap, area, classColour(detection.classId));
    image.print({ font, x: left + line + 2, y: top, text });
  }
  return format === 'png' ? image.getBuffer('image/png') : image.getBuffer('image/jpeg', { quality: 92 });
}
