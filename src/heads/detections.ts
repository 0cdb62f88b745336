import type { Placement } from '../image/resize.js';
import type { Head, Network, Shape, TableHead } from '../network/network.js';
import type { Candidate } from './candidate.js';
import { type Detection, suppress } from './nms.js';
import { decodeRegion } from './region.js';
import type { Table } from './rows.js';
import { decodeRows } from './table.js';
import { decodeYolo } from './yolo.js';

/** Which detections are reported. */
export interface DetectionOptions {
  /** Lowest score (objectness × class probability). */
  conf: number;
  /** Boxes of a class that overlap by more are one object. */
  iou: number;
  maxDet: number;
  /** Class ids to report; undefined for all. */
  classIds?: readonly number[] | undefined;
  /** True to report every class of a box that scores high enough (to evaluate), not its best one alone. */
  allClasses?: boolean | undefined;
}

const clamp = (value: number, max: number) => Math.min(Math.max(value, 0), max);

/** A head, the shape of the map that it reads, and which of the network's outputs that is. */
export type PlacedHead =
  | { head: Exclude<Head, TableHead>; shape: Shape; output: number }
  | { head: TableHead; output: number };

/** What a head reads: a map (H, W, C), or the table that a tail puts out. */
export type HeadInput = ArrayLike<number> | Table;

function candidatesOf(placed: PlacedHead, read: HeadInput, conf: number, input: Shape): Candidate[] {
  if (!('shape' in placed)) return decodeRows(placed.head, read as Table, conf, input);
  const { head, shape } = placed;
  const map = read as ArrayLike<number>;
  switch (head.kind) {
    case 'region':
      return decodeRegion(head, shape, map, conf);
    case 'yolo':
      return decodeYolo(head, shape, map, conf, input);
  }
}

/** The class with the largest score, the first if several. */
const bestClass = (scores: Float64Array) =>
  scores.reduce((best, score, classId) => (score > scores[best]! ? classId : best), 0);

/**
 * Boxes in pixels of the original photo from the network's output maps, each (H, W, C). Boxes of all heads compete at their
 * full size and are then cut at the photo's border, as in darknet. A cell's best class alone is reported but for `region`
 * heads, whose softmax leaves hardly a second one, and `allClasses`.
 *
 * @param placement where the photo lies in the network's input
 */
export function detectionsOf(
  { input }: Pick<Network, 'input'>,
  heads: readonly PlacedHead[],
  maps: readonly HeadInput[],
  classes: readonly string[],
  placement: Placement,
  { conf, iou, maxDet, classIds, allClasses = false }: DetectionOptions,
): Detection[] {
  const { width, height, left, top, scaledWidth, scaledHeight, targetWidth, targetHeight } = placement;
  const found: Detection[] = [];
  for (const placed of heads) {
    for (const candidate of candidatesOf(placed, maps[placed.output]!, conf, input)) {
      const toX = (x: number) => ((x * targetWidth - left) / scaledWidth) * width;
      const toY = (y: number) => ((y * targetHeight - top) / scaledHeight) * height;
      const box = {
        x1: toX(candidate.x - candidate.width / 2),
        y1: toY(candidate.y - candidate.height / 2),
        x2: toX(candidate.x + candidate.width / 2),
        y2: toY(candidate.y + candidate.height / 2),
      };
      const best = allClasses || placed.head.kind === 'region' ? undefined : bestClass(candidate.scores);
      for (const [classId, score] of candidate.scores.entries()) {
        const wanted = (best === undefined || classId === best) && (!classIds || classIds.includes(classId));
        if (score > conf && wanted) found.push({ class: classes[classId]!, classId, score, box });
      }
    }
  }
  return suppress(found, iou, maxDet).map((detection) => {
    const { x1, y1, x2, y2 } = detection.box;
    const box = { x1: clamp(x1, width), y1: clamp(y1, height), x2: clamp(x2, width), y2: clamp(y2, height) };
    return { ...detection, box };
  });
}
