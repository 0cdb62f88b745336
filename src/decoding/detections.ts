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
 *
 * @param placement where the photo lies in the network's input
 * @param clip false leaves boxes that reach beyond the photo as they are
 */
export function detectionsOf(
  region: RegionLayer,
  shape: Shape,
  map: ArrayLike<number>,
  classes: readonly string[],
  placement: Placement,
  { conf, iou, maxDet, classIds }: DetectionOptions,
  clip = true,
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
    const inside = clip
      ? {
          x1: clamp(box.x1, width),
          y1: clamp(box.y1, height),
          x2: clamp(box.x2, width),
          y2: clamp(box.y2, height),
        }
      : box;
    for (const [classId, score] of candidate.scores.entries()) {
      if (score > conf && (!classIds || classIds.includes(classId))) {
        found.push({ class: classes[classId]!, classId, score, box: inside });
      }
    }
  }
  return suppress(found, iou, maxDet);
}
