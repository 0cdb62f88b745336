import type { RegionHead, Shape } from '../network/network.js';
import { exp, logistic } from '../tensor/exp.js';
import { type Candidate, decodeAnchors } from './candidate.js';

/** Class scores become probabilities: over all classes together, or of each alone. */
function toProbabilities(scores: Float64Array, softmax: boolean): void {
  const largest = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  let total = 0;
  for (const [k, score] of scores.entries())
    total += scores[k] = softmax ? exp(score - largest) : logistic(score);
  if (softmax) for (const k of scores.keys()) scores[k]! /= total;
}

/**
 * Decodes YOLOv2's region layer: logistic on x, y and objectness, softmax over classes (or logistic on each), w and
 * h = exp · anchor.
 * Cells in row-major order, anchors within a cell; only candidates with objectness above `threshold`.
 *
 * @param map output map (H, W, C), C = anchors × (5 + classes)
 *
 * @example
 * ```ts
 * import { decodeRegion } from 'spiking-yolo';
 *
 * const region = { kind: 'region', input: 'out', classes: 1, anchors: [[1, 2]], softmax: true };
 * const map = [0, 0, 0, 0, 2, 0]; // x, y, w, h, objectness, class
 * const [{ x, width, height, objectness }] = decodeRegion(region, { height: 1, width: 1, channels: 6 }, map, 0.5);
 * console.log(x, width, height, objectness.toFixed(2)); // 0.5 1 2 0.88
 * ```
 */
export function decodeRegion(
  region: RegionHead,
  shape: Shape,
  map: ArrayLike<number>,
  threshold: number,
): Candidate[] {
  const { classes, softmax } = region;
  return decodeAnchors(region, shape, map, threshold, ({ at, row, column, anchor, objectness }) => {
    const scores = Float64Array.from({ length: classes }, (_, k) => map[at + 5 + k]!);
    toProbabilities(scores, softmax);
    for (let k = 0; k < classes; k++) scores[k]! *= objectness;
    return {
      x: (column + logistic(map[at]!)) / shape.width,
      y: (row + logistic(map[at + 1]!)) / shape.height,
      width: (exp(map[at + 2]!) * anchor[0]) / shape.width,
      height: (exp(map[at + 3]!) * anchor[1]) / shape.height,
      objectness,
      scores,
    };
  });
}
