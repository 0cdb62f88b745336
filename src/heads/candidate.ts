import type { Anchors, Shape } from '../network/network.js';
import { logistic } from '../tensor/exp.js';

/** A box in units of the network's input, centre and extent as parts of its width and height. */
export interface Candidate {
  x: number;
  y: number;
  width: number;
  height: number;
  objectness: number;
  /** objectness × class probability, (classes). */
  scores: Float64Array;
}

/** Where an anchor's numbers begin in the map, its cell, and its extent as the head gives it. */
export interface AnchorCell {
  at: number;
  row: number;
  column: number;
  anchor: readonly [number, number];
  objectness: number;
}

/**
 * The candidates of a map (H, W, anchors × (5 + classes)): cells in row-major order, anchors within a cell, only those whose
 * objectness, σ of the fifth number, is above `threshold`.
 */
export function decodeAnchors(
  { anchors, classes }: { anchors: Anchors; classes: number },
  { height, width, channels }: Shape,
  map: ArrayLike<number>,
  threshold: number,
  decode: (cell: AnchorCell) => Candidate,
): Candidate[] {
  const candidates: Candidate[] = [];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      for (const [a, anchor] of anchors.entries()) {
        const at = (row * width + column) * channels + a * (5 + classes);
        const objectness = logistic(map[at + 4]!);
        if (objectness > threshold) candidates.push(decode({ at, row, column, anchor, objectness }));
      }
    }
  }
  return candidates;
}
