import type { Shape, YoloHead } from '../network/network.js';
import { type Candidate, logistic } from './candidate.js';

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
  const { anchors, classes, scaleXY } = yolo;
  const candidates: Candidate[] = [];
  const centre = (t: number) => logistic(t) * scaleXY - (scaleXY - 1) / 2;
  for (let row = 0; row < shape.height; row++) {
    for (let column = 0; column < shape.width; column++) {
      for (const [a, [anchorWidth, anchorHeight]] of anchors.entries()) {
        const at = (row * shape.width + column) * shape.channels + a * (5 + classes);
        const objectness = logistic(map[at + 4]!);
        if (!(objectness > threshold)) continue;
        candidates.push({
          x: (column + centre(map[at]!)) / shape.width,
          y: (row + centre(map[at + 1]!)) / shape.height,
          width: (Math.exp(map[at + 2]!) * anchorWidth) / input.width,
          height: (Math.exp(map[at + 3]!) * anchorHeight) / input.height,
          objectness,
          scores: Float64Array.from({ length: classes }, (_, k) => objectness * logistic(map[at + 5 + k]!)),
        });
      }
    }
  }
  return candidates;
}
