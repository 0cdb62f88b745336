/** A box by its corners, in pixels of the original photo. */
export interface Box {
  x1: number;
  y1: number;
  x2: number;
  y2: number;
}

/** One detected object. */
export interface Detection {
  class: string;
  classId: number;
  score: number;
  box: Box;
}

/**
 * Intersection over union of two boxes, 0 where either is empty.
 *
 * @example
 * ```ts
 * import { intersectionOverUnion } from 'spiking-yolo';
 *
 * console.log(intersectionOverUnion({ x1: 0, y1: 0, x2: 2, y2: 1 }, { x1: 1, y1: 0, x2: 3, y2: 1 }).toFixed(2)); // 0.33
 * ```
 */
export function intersectionOverUnion(a: Box, b: Box): number {
  const width = Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1);
  const height = Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1);
  if (width <= 0 || height <= 0) return 0;
  const intersection = width * height;
  const area = (box: Box) => (box.x2 - box.x1) * (box.y2 - box.y1);
  return intersection / (area(a) + area(b) - intersection);
}

/**
 * Non-maximum suppression within each class: of boxes that overlap by more than `iou`, the best score stays.
 * Returns at most `limit` detections, best first; equal scores keep their order.
 *
 * @example
 * ```ts
 * import { suppress } from 'spiking-yolo';
 *
 * const at = (x1, score) => ({ class: 'cat', classId: 7, score, box: { x1, y1: 0, x2: x1 + 10, y2: 10 } });
 * console.log(suppress([at(0, 0.5), at(1, 0.9), at(30, 0.4)], 0.45, 100).map(({ score }) => score)); // [ 0.9, 0.4 ]
 * ```
 */
export function suppress(detections: readonly Detection[], iou: number, limit: number): Detection[] {
  const kept: Detection[] = [];
  const keptOfClass = new Map<number, Detection[]>();
  for (const detection of detections.toSorted((a, b) => b.score - a.score)) {
    if (kept.length >= limit) break;
    const rivals = keptOfClass.get(detection.classId) ?? [];
    if (rivals.some((rival) => intersectionOverUnion(rival.box, detection.box) > iou)) continue;
    rivals.push(detection);
    keptOfClass.set(detection.classId, rivals);
    kept.push(detection);
  }
  return kept;
}
