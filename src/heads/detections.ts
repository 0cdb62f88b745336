import type { Placement } from '../image/resize.js';
import type { RegionLayer, Shape } from '../network/network.js';
import { type Detection, suppress } from './nms.js';
import { decodeRegion } from './region.js';

/** Which detections are reported. */
export interface DetectionOptions {
  /** Lowest score (objectness × class probability). */
  conf: number;
  /** Boxes of a class that overlap by more are one object. */
  iou: number;
  maxDet: number;
  /** Class ids to report; undefined for all. */
  classIds?: readonly number[] | undefined;
}

const clamp = (value: number, max: number) => Math.min(Math.max(value, 0), max);

/**
 * Boxes in pixels of the original photo from the network's output map (H, W, C).
 * Boxes compete at their full size and are then cut at the photo's border, as in darknet.
 *
 * @param placement where the photo lies in the network's input
 */
export function detectionsOf(
  region: RegionLayer,
  shape: Shape,
  map: ArrayLike<number>,
  classes: readonly string[],
  placement: Placement,
  { conf, iou, maxDet, classIds }: DetectionOptions,
): Detection[] {
  const { width, height, left, top, scaledWidth, scaledHeight, targetWidth, targetHeight } = placement;
  const found: Detection[] = [];
  for (const candidate of decodeRegion(region, shape, map, conf)) {
    const toX = (x: number) => ((x * targetWidth - left) / scaledWidth) * width;
    const toY = (y: number) => ((y * targetHeight - top) / scaledHeight) * height;
    const box = {
      x1: toX(candidate.x - candidate.width / 2),
      y1: toY(candidate.y - candidate.height / 2),
      x2: toX(candidate.x + candidate.width / 2),
      y2: toY(candidate.y + candidate.height / 2),
    };
    for (const [classId, score] of candidate.scores.entries()) {
      if (score > conf && (!classIds || classIds.includes(classId))) {
        found.push({ class: classes[classId]!, classId, score, box });
      }
    }
  }
  return suppress(found, iou, maxDet).map((detection) => {
    const { x1, y1, x2, y2 } = detection.box;
    const box = { x1: clamp(x1, width), y1: clamp(y1, height), x2: clamp(x2, width), y2: clamp(y2, height) };
    return { ...detection, box };
  });
}
