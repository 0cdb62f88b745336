import { type Detection, intersectionOverUnion } from '../heads/nms.js';

/** Steps between two read-outs. */
export const READ_EVERY = 2;
/** Read-outs in a row that must agree. */
const AGREEING = 3;
/** What a box may change by from one to the next: the overlap at least, the score at most. */
const LEAST_OVERLAP = 0.8;
const MOST_SCORE = 0.1;

/** True if each box has one of its class in the other list, nearly where it was and as sure. */
function alike(boxes: readonly Detection[], others: readonly Detection[]): boolean {
  if (boxes.length !== others.length) return false;
  const left = [...others];
  return boxes.every(({ classId, box, score }) => {
    const at = left.findIndex(
      (other) =>
        other.classId === classId &&
        Math.abs(other.score - score) <= MOST_SCORE &&
        intersectionOverUnion(other.box, box) >= LEAST_OVERLAP,
    );
    if (at >= 0) left.splice(at, 1);
    return at >= 0;
  });
}

/**
 * Decides when boxes have settled as time steps pass: when three read-outs in a row agree (as many boxes, each with one of its
 * class in the read-out before, overlapping by .8 at least, the scores .1 apart at most). No boxes at all are believed from half
 * of the steps on.
 */
export class Settling {
  private readonly steps: number;
  private before: readonly Detection[] | undefined;
  private agreeing = 1;

  /** @param steps T, the most that are run */
  constructor(steps: number) {
    this.steps = steps;
  }

  /** Takes the boxes of a step; true if they have settled. */
  observe(step: number, detections: readonly Detection[]): boolean {
    this.agreeing = this.before && alike(detections, this.before) ? this.agreeing + 1 : 1;
    this.before = detections;
    return this.agreeing >= AGREEING && (detections.length > 0 || step >= this.steps / 2);
  }
}
