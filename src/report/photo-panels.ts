import { Buffer } from 'node:buffer';
import type { Detection } from '../heads/nms.js';
import { classColour, drawDetections } from '../image/draw.js';
import { type Photo, resizePhoto } from '../image/resize.js';
import { escapeMarkup } from './page.js';

/** What one network found after some number of steps. */
export interface Panel {
  title: string;
  detections: readonly Detection[];
}

const PANEL_WIDTH = 240;
const TITLE = 22;
const GAP = 8;

/** Figures 7 and 8: rows of the same photo with boxes, as one SVG that holds the photo once. */
export async function photoPanels(photo: Photo, rows: readonly (readonly Panel[])[]): Promise<string> {
  const scale = Math.min(1, (2 * PANEL_WIDTH) / photo.width);
  const width = Math.max(1, Math.round(photo.width * scale));
  const height = Math.max(1, Math.round(photo.height * scale));
  const rgb = resizePhoto('stretch', photo, width, height);
  const jpeg = Buffer.from(await drawDetections({ width, height, rgb }, [], 'jpeg')).toString('base64');
  const panelHeight = (PANEL_WIDTH * photo.height) / photo.width;
  const columns = Math.max(...rows.map((row) => row.length));
  const total = {
    width: columns * (PANEL_WIDTH + GAP) + GAP,
    height: rows.length * (panelHeight + TITLE + GAP) + GAP,
  };
  const zoom = PANEL_WIDTH / photo.width;
  const boxes = (detections: readonly Detection[]) =>
    detections.toReversed().map(({ class: name, classId, score, box: { x1, y1, x2, y2 } }) => {
      const colour = `rgb(${classColour(classId).join(',')})`;
      const [x, y] = [x1 * zoom, y1 * zoom].map((value) => value.toFixed(1));
      const label = `${escapeMarkup(name)} ${(100 * score).toFixed(0)}%`;
      const labelY = Math.max(0, y1 * zoom - 12).toFixed(1);
      return `<rect x="${x}" y="${y}" width="${((x2 - x1) * zoom).toFixed(1)}" height="${((y2 - y1) * zoom).toFixed(1)}" fill="none" stroke="${colour}" stroke-width="2"/><rect x="${x}" y="${labelY}" width="${label.length * 6}" height="12" fill="${colour}"/><text x="${x}" y="${labelY}" dx="2" dy="9.5" font-size="9.5" fill="white">${label}</text>`;
    });
  const panels = rows.flatMap((row, r) =>
    row.map(({ title, detections }, c) => {
      const left = GAP + c * (PANEL_WIDTH + GAP);
      const top = GAP + r * (panelHeight + TITLE + GAP);
      return `<g transform="translate(${left},${top.toFixed(1)})"><text y="14" font-size="12">${escapeMarkup(title)}</text><g transform="translate(0,${TITLE})"><use href="#photo"/>${boxes(detections).join('')}</g></g>`;
    }),
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${total.width}" height="${total.height.toFixed(0)}" viewBox="0 0 ${total.width} ${total.height.toFixed(0)}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif"><rect width="100%" height="100%" fill="white"/><defs><image id="photo" width="${PANEL_WIDTH}" height="${panelHeight.toFixed(1)}" href="data:image/jpeg;base64,${jpeg}"/></defs>${panels.join('')}</svg>`;
}
