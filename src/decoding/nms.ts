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

/** Intersection over union of two boxes, 0 where either is empty. */
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
