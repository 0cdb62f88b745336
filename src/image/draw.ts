import { createJimp } from '@jimp/core';
import jpeg from '@jimp/js-jpeg';
import png from '@jimp/js-png';
import { measureText, methods as print } from '@jimp/plugin-print';
import * as fonts from '@jimp/plugin-print/fonts';
import { loadFont } from '@jimp/plugin-print/load-font';
import type { Detection } from '../decoding/nms.js';
import type { Photo } from './resize.js';

const Jimp = createJimp({ formats: [jpeg, png], plugins: [print] });

/** Colours that differ for neighbouring classes: hues a golden angle apart, dark enough for white letters. */
function colourOf(classId: number): [number, number, number] {
  const hue = (classId * 137.508) % 360;
  const channel = (shift: number) => {
    const k = (shift + hue / 30) % 12;
    return Math.round(255 * (0.42 - 0.4 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [channel(0), channel(8), channel(4)];
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

/** The photo with boxes and labels drawn on it, as a JPEG or PNG file. */
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
  // the best on top
  for (const { class: name, classId, score, box } of detections.toReversed()) {
    const colour = colourOf(classId);
    const [left, top, right, bottom] = [box.x1, box.y1, box.x2, box.y2].map(Math.round) as [
      number,
      number,
      number,
      number,
    ];
    fill(image.bitmap, { left, top, right, bottom: top + line }, colour);
    fill(image.bitmap, { left, top: bottom - line, right, bottom }, colour);
    fill(image.bitmap, { left, top, right: left + line, bottom }, colour);
    fill(image.bitmap, { left: right - line, top, right, bottom }, colour);
    const text = `${name} ${(100 * score).toFixed(0)}%`;
    const textWidth = measureText(font, text) + 2 * line + 4;
    const labelTop = top >= labelHeight ? top - labelHeight : Math.max(0, top);
    const labelLeft = Math.max(0, Math.min(left, width - textWidth));
    fill(
      image.bitmap,
      { left: labelLeft, top: labelTop, right: labelLeft + textWidth, bottom: labelTop + labelHeight },
      colour,
    );
    image.print({ font, x: labelLeft + line + 2, y: labelTop, text });
  }
  return format === 'png' ? image.getBuffer('image/png') : image.getBuffer('image/jpeg', { quality: 92 });
}
