import { type Box, intersectionOverUnion } from '../decoding/nms.js';

/** An annotated object of a photo. */
export interface GroundTruth {
  class: string;
  box: Box;
  /** Difficult objects are neither demanded nor punished. */
  difficult: boolean;
}

/** What was found on a photo, and what is there. */
export interface EvaluatedPhoto {
  detections: readonly { class: string; score: number; box: Box }[];
  groundTruth: readonly GroundTruth[];
}

/** Average precision of one class by both VOC rules; `undefined` where the class has no object to find. */
export interface AveragePrecision {
  /** 11-point interpolation (VOC 2007). */
  ap11: number;
  /** Area under the interpolated curve (VOC 2010 on). */
  apAll: number;
}

export interface MeanAveragePrecision {
  map11: number;
  mapAll: number;
  perClass: Record<string, AveragePrecision | undefined>;
}

const MATCH_IOU = 0.5;

/** VOC counts pixels: a box from x1 to x2 is x2 − x1 + 1 wide. */
const inclusive = ({ x1, y1, x2, y2 }: Box): Box => ({ x1, y1, x2: x2 + 1, y2: y2 + 1 });

function averagePrecision(
  className: string,
  photos: readonly EvaluatedPhoto[],
): AveragePrecision | undefined {
  const truths = photos.map(({ groundTruth }) =>
    groundTruth.filter((truth) => truth.class === className).map((truth) => ({ ...truth, taken: false })),
  );
  const positives = truths.flat().filter(({ difficult }) => !difficult).length;
  if (positives === 0) return undefined;
  const claims = photos
    .flatMap(({ detections }, photo) =>
      detections
        .filter((detection) => detection.class === className)
        .map(({ score, box }) => ({ photo, score, box })),
    )
    .sort((a, b) => b.score - a.score);
  let found = 0;
  let wrong = 0;
  const precision: number[] = [];
  const recall: number[] = [];
  for (const { photo, box } of claims) {
    let best: (typeof truths)[0][0] | undefined;
    let bestOverlap = Number.NEGATIVE_INFINITY;
    for (const truth of truths[photo]!) {
      const overlap = intersectionOverUnion(inclusive(box), inclusive(truth.box));
      if (overlap > bestOverlap) {
        bestOverlap = overlap;
        best = truth;
      }
    }
    const matches = best !== undefined && bestOverlap >= MATCH_IOU;
    if (matches && best!.difficult) continue;
    if (matches && !best!.taken) {
      best!.taken = true;
      found++;
    } else {
      wrong++;
    }
    precision.push(found / (found + wrong));
    recall.push(found / positives);
  }
  return { ap11: elevenPoint(precision, recall), apAll: areaUnderCurve(precision, recall) };
}

function elevenPoint(precision: readonly number[], recall: readonly number[]): number {
  let sum = 0;
  for (let tenth = 0; tenth <= 10; tenth++) {
    sum += Math.max(0, ...precision.filter((_, i) => recall[i]! >= tenth / 10));
  }
  return sum / 11;
}

function areaUnderCurve(precision: readonly number[], recall: readonly number[]): number {
  let area = 0;
  let envelope = 0;
  for (let i = precision.length - 1; i >= 0; i--) {
    envelope = Math.max(envelope, precision[i]!);
    area += envelope * (recall[i]! - (recall[i - 1] ?? 0));
  }
  return area;
}

/**
 * PASCAL VOC's mean average precision at IoU ≥ 0.5 over the classes that have an object to find (VOC development kit:
 * each object is found once, further boxes on it are wrong, difficult objects are ignored).
 */
export function meanAveragePrecision(
  classes: readonly string[],
  photos: readonly EvaluatedPhoto[],
): MeanAveragePrecision {
  const perClass = Object.fromEntries(classes.map((name) => [name, averagePrecision(name, photos)]));
  const known = Object.values(perClass).filter((ap) => ap !== undefined);
  const mean = (value: (ap: AveragePrecision) => number) =>
    known.length === 0 ? 0 : known.reduce((sum, ap) => sum + value(ap), 0) / known.length;
  return { map11: mean((ap) => ap.ap11), mapAll: mean((ap) => ap.apAll), perClass };
}
