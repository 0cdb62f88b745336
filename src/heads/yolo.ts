import type { Shape, YoloHead } from '../network/network.js';
import { exp, logistic } from '../tensor/exp.js';
import { type Candidate, decodeAnchors } from './candidate.js';

/**
 * Decodes a YOLOv3 or v4 head: logistic on x, y, objectness and every class; x = (σ(t)·k − (k − 1)/2 + column) / columns,
 * y alike; w and h = exp · anchor, anchors in pixels. Cells in row-major order, anchors within a cell; only candidates with
 * objectness above `threshold`.
 *
 * @param map output map (H, W, C), C = anchors × (5 + classes)
 * @param input the network's input, in pixels
 *
 * @example
 * ```ts
 * import { decodeYolo } from 'spiking-yolo';
 *
 * const yolo = { kind: 'yolo', input: 'out', classes: 1, anchors: [[16, 32]], scaleXY: 1 };
 * const map = [0, 0, 0, 0, 2, 0]; // x, y, w, h, objectness, class
 * const shape = { height: 1, width: 1, channels: 6 };
 * const [{ x, width, scores }] = decodeYolo(yolo, shape, map, 0.5, { width: 64, height: 64 });
 * console.log(x, width, scores[0].toFixed(2)); // 0.5 0.25 0.44
 * ```
 */
export function decodeYolo(
  yolo: YoloHead,
  shape: Shape,
  map: ArrayLike<number>,
  threshold: number,
  input: { width: number; height: number },
): Candidate[] {
  const { classes, scaleXY } = yolo;
  const centre = (t: number) => logistic(t) * scaleXY - (scaleXY - 1) / 2;
  return decodeAnchors(yolo, shape, map, threshold, ({ at, row, column, anchor, objectness }) => ({
    x: (column + centre(map[at]!)) / shape.width,
    y: (row + centre(map[at + 1]!)) / shape.height,
    width: (exp(map[at + 2]!) * anchor[0]) / input.width,
    height: (exp(map[at + 3]!) * anchor[1]) / input.height,
    objectness,
    scores: Float64Array.from({ length: classes }, (_, k) => objectness * logistic(map[at + 5 + k]!)),
  }));
}
