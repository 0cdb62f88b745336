import { type Box, intersectionOverUnion } from '../heads/nms.js';

/** An annotated object of a photo. */
export interface GroundTruth {
  class: string;
  box: Box;
  /** Difficult objects are neither demanded nor punished. */
  difficult: boolean;
}

/** What the boxes of one class came to on one photo: plain data. */
export interface ClassMatches {
  /** Objects to find, difficult ones left out. */
  positives: number;
  /** Scores of the boxes, best first, those on difficult objects left out. */
  scores: number[];
  /** 1 where the box of that score found an object that no better one had found. */
  hits: (0 | 1)[];
}

/** Matches of one photo by class name; classes with neither an object nor a box are left out. */
export type PhotoMatches = Record<string, ClassMatches>;

/** Average precision of one class by both VOC rules. */
export interface AveragePrecision {
  /** 11-point interpolation (VOC 2007). */
  ap11: number;
  /** Area under the interpolated curve (VOC 2010 on). */
  apAll: number;
}

export interface MeanAveragePrecision {
  map11: number;
  mapAll: number;
  /** `undefined` where the class has no object to find. */
  perClass: Record<string, AveragePrecision | undefined>;
}

const MATCH_IOU = 0.5;

/** VOC counts pixels: a box from x1 to x2 is x2 − x1 + 1 wide. */
const inclusive = ({ x1, y1, x2, y2 }: Box): Box => ({ x1, y1, x2: x2 + 1, y2: y2 + 1 });

/**
 * Matches the boxes of one photo with its objects, as the VOC development kit does: best score first, each box is
 * compared with the object it overlaps most; at IoU ≥ 0.5 it finds that object unless a better box has (then it is
 * wrong), and counts for nothing if the object is difficult.
 *
 * @example
 * ```ts
 * import { matchPhoto } from 'spiking-yolo';
 *
 * const box = { x1: 10, y1: 10, x2: 50, y2: 50 };
 * const { cat } = matchPhoto([{ class: 'cat', score: 0.8, box }], [{ class: 'cat', box, difficult: false }]);
 * console.log(cat); // { positives: 1, scores: [ 0.8 ], hits: [ 1 ] }
 * ```
 */
export function matchPhoto(
  detections: readonly { class: string; score: number; box: Box }[],
  groundTruth: readonly GroundTruth[],
): PhotoMatches {
  // a map, since any name may be a class, `constructor` and `__proto__` included
  const matches = new Map<string, ClassMatches>();
  const ofClass = (name: string) => {
    const known = matches.get(name) ?? { positives: 0, scores: [], hits: [] };
    matches.set(name, known);
    return known;
  };
  for (const truth of groundTruth) if (!truth.difficult) ofClass(truth.class).positives++;
  const taken = new Set<GroundTruth>();
  for (const { class: name, score, box } of detections.toSorted((a, b) => b.score - a.score)) {
    let best: GroundTruth | undefined;
    let bestOverlap = Number.NEGATIVE_INFINITY;
    for (const truth of groundTruth) {
      if (truth.class !== name) continue;
      const overlap = intersectionOverUnion(inclusive(box), inclusive(truth.box));
      if (overlap > bestOverlap) {
        bestOverlap = overlap;
        best = truth;
      }
    }
    const matched = best !== undefined && bestOverlap >= MATCH_IOU;
    if (matched && best!.difficult) continue;
    const hit = matched && !taken.has(best!);
    if (hit) taken.add(best!);
    const { scores, hits } = ofClass(name);
    scores.push(score);
    hits.push(hit ? 1 : 0);
  }
  return Object.fromEntries(matches);
}

/** What a photo's matches say of a class, of any name. */
const matchesOf = (matches: PhotoMatches, name: string): ClassMatches | undefined =>
  Object.hasOwn(matches, name) ? matches[name] : undefined;

/** Boxes of one class over all photos, best score first. */
export class RankedClass {
  private readonly photo: Int32Array;
  private readonly hit: Uint8Array;
  private readonly positives: Int32Array;

  constructor(name: string, photos: readonly PhotoMatches[]) {
    this.positives = Int32Array.from(photos, (matches) => matchesOf(matches, name)?.positives ?? 0);
    const claims = photos
      .flatMap((matches, photo) => {
        const { scores, hits } = matchesOf(matches, name) ?? { scores: [], hits: [] };
        return scores.map((score, i) => ({ photo, score, hit: hits[i]! }));
      })
      .sort((a, b) => b.score - a.score);
    this.photo = Int32Array.from(claims, ({ photo }) => photo);
    this.hit = Uint8Array.from(claims, ({ hit }) => hit);
  }

  /**
   * Average precision over a sample in which photo p occurs `copies[p]` times (each once if not given); `undefined`
   * if the sample holds no object of the class.
   */
  averagePrecision(copies?: Int32Array): AveragePrecision | undefined {
    const times = (photo: number) => (copies ? copies[photo]! : 1);
    let positives = 0;
    for (const [photo, count] of this.positives.entries()) positives += times(photo) * count;
    if (positives === 0) return undefined;
    // precision at each object found: between two of them it only falls
    const precision: number[] = [];
    let claimed = 0;
    for (const [i, photo] of this.photo.entries()) {
      for (let copy = times(photo); copy > 0; copy--) {
        claimed++;
        if (this.hit[i] === 1) precision.push((precision.length + 1) / claimed);
      }
    }
    for (let i = precision.length - 2; i >= 0; i--) precision[i] = Math.max(precision[i]!, precision[i + 1]!);
    let eleven = 0;
    for (let tenth = 0; tenth <= 10; tenth++) {
      // the first object found with a recall of at least tenth/10
      const needed = Math.max(1, Math.ceil((tenth * positives) / 10));
      eleven += precision[needed - 1] ?? 0;
    }
    return { ap11: eleven / 11, apAll: precision.reduce((sum, value) => sum + value, 0) / positives };
  }
}

/** Means over the classes that have an object to find. */
export function meanOverClasses(
  perClass: Iterable<AveragePrecision | undefined>,
): Omit<MeanAveragePrecision, 'perClass'> {
  let classes = 0;
  let map11 = 0;
  let mapAll = 0;
  for (const precision of perClass) {
    if (!precision) continue;
    classes++;
    map11 += precision.ap11;
    mapAll += precision.apAll;
  }
  return classes === 0 ? { map11, mapAll } : { map11: map11 / classes, mapAll: mapAll / classes };
}

/**
 * PASCAL VOC's mean average precision at IoU ≥ 0.5 over the classes that have an object to find.
 *
 * @example
 * ```ts
 * import { matchPhoto, meanAveragePrecision } from 'spiking-yolo';
 *
 * const box = { x1: 10, y1: 10, x2: 50, y2: 50 };
 * const truth = { class: 'cat', box, difficult: false };
 * const photos = [matchPhoto([{ class: 'cat', score: 0.8, box }], [truth]), matchPhoto([], [truth])];
 * console.log(meanAveragePrecision(['cat'], photos).mapAll); // 0.5
 * ```
 */
export function meanAveragePrecision(
  classes: readonly string[],
  photos: readonly PhotoMatches[],
): MeanAveragePrecision {
  const perClass = Object.fromEntries(
    classes.map((name) => [name, new RankedClass(name, photos).averagePrecision()]),
  );
  return { ...meanOverClasses(Object.values(perClass)), perClass };
}
