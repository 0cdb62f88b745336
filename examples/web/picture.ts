/** A picture with its boxes, and where neurons changed, on one canvas. */
import { type ChangeGrid, type Detection, placementOf } from 'spiking-yolo/web';

/** Colours that are told apart on any photo: a hue for each class. */
const colourOf = (classId: number) => `hsl(${(classId * 67 + 10) % 360} 90% 60%)`;

export type Drawable = ImageBitmap | HTMLVideoElement;

const sizeOf = (picture: Drawable) =>
  picture instanceof HTMLVideoElement
    ? { width: picture.videoWidth, height: picture.videoHeight }
    : { width: picture.width, height: picture.height };

/** Where neurons changed, and how the picture came to the network. */
export interface Heat {
  grid: ChangeGrid;
  input: { width: number; height: number };
  resize: Parameters<typeof placementOf>[0];
}

const heatCanvas = document.createElement('canvas');

function drawHeat(context: CanvasRenderingContext2D, { grid, input, resize }: Heat): void {
  const { width, height } = context.canvas;
  [heatCanvas.width, heatCanvas.height] = [grid.width, grid.height];
  const heat = heatCanvas.getContext('2d')!;
  const pixels = heat.createImageData(grid.width, grid.height);
  for (const [i, part] of grid.data.entries()) pixels.data.set([255, 60, 0, Math.min(200, 3 * part)], 4 * i);
  heat.putImageData(pixels, 0, 0);
  const { left, top, scaledWidth, scaledHeight } = placementOf(
    resize,
    width,
    height,
    input.width,
    input.height,
  );
  const [x, y] = [grid.width / input.width, grid.height / input.height];
  context.drawImage(heatCanvas, left * x, top * y, scaledWidth * x, scaledHeight * y, 0, 0, width, height);
}

/** Draws a picture with what was found on it; its text is for those who do not see it. */
export function drawPicture(
  canvas: HTMLCanvasElement,
  picture: Drawable,
  detections: readonly Detection[],
  heat?: Heat,
): void {
  const { width, height } = sizeOf(picture);
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext('2d')!;
  context.clearRect(0, 0, width, height);
  context.drawImage(picture, 0, 0);
  if (heat) drawHeat(context, heat);
  const unit = Math.max(width, height) / 320;
  context.font = `${Math.round(10 * unit)}px system-ui, sans-serif`;
  context.textBaseline = 'top';
  for (const { class: name, classId, score, box } of detections) {
    const [w, h] = [box.x2 - box.x1, box.y2 - box.y1];
    context.strokeStyle = context.fillStyle = colourOf(classId);
    context.lineWidth = 2 * unit;
    context.strokeRect(box.x1, box.y1, w, h);
    const text = `${name} ${Math.round(100 * score)} %`;
    const y = Math.max(0, box.y1 - 13 * unit);
    context.fillRect(box.x1 - unit, y, context.measureText(text).width + 6 * unit, 13 * unit);
    context.fillStyle = '#000';
    context.fillText(text, box.x1 + 2 * unit, y + 1.5 * unit);
  }
  canvas.ariaLabel = describe(detections);
}

/** What was found, in words. */
export function describe(detections: readonly Detection[]): string {
  if (detections.length === 0) return 'a picture; nothing was found';
  return `a picture; found: ${detections.map(({ class: name, score }) => `${name} ${Math.round(100 * score)} %`).join(', ')}`;
}
