import type { Shape, TableHead } from '../network/network.js';
import { logistic } from '../tensor/exp.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Candidate } from './candidate.js';

/** Values of a table's rows: `at(row, column)`, whichever way it lies. */
interface Rows {
  count: number;
  at(row: number, column: number): number;
}

/** (1, N, K): a row after the other. */
const rowsOf = ({ dims, values }: Tensor): Rows => ({
  count: dims[1]!,
  at: (row, column) => values[row * dims[2]! + column]!,
});

/** (1, K, N): a column after the other. */
const columnsOf = ({ dims, values }: Tensor): Rows => ({
  count: dims[2]!,
  at: (row, column) => values[column * dims[2]! + row]!,
});

/** A cell of one of a head's grids. */
interface Cell {
  stride: number;
  row: number;
  column: number;
}

/** Cells of grids of several strides, one after the other, ⌈S / s⌉ a side. */
function cellsOf({ width, height }: Shape, strides: readonly number[]): Cell[] {
  return strides.flatMap((stride) => {
    const [rows, columns] = [Math.ceil(height / stride), Math.ceil(width / stride)];
    return Array.from({ length: rows * columns }, (_, i) => ({
      stride,
      row: Math.floor(i / columns),
      column: i % columns,
    }));
  });
}

const NANODET_STRIDES = [8, 16, 32, 64];
const YOLOX_STRIDES = [8, 16, 32];

/** Expectation of a distribution over bins 0, 1, …, given by logits. */
function expectation(logits: readonly number[]): number {
  const largest = Math.max(...logits);
  let [total, sum] = [0, 0];
  for (const [bin, logit] of logits.entries()) {
    const weight = Math.exp(logit - largest);
    total += weight;
    sum += weight * bin;
  }
  return sum / total;
}

/** A box by its corners or its centre, in pixels of the network's input. */
const fromCentre = (x: number, y: number, width: number, height: number, input: Shape) => ({
  x: x / input.width,
  y: y / input.height,
  width: width / input.width,
  height: height / input.height,
});

/** Class scores times `factor`; undefined if none passes. */
function scoresOf(
  classes: number,
  factor: number,
  threshold: number,
  at: (classId: number) => number,
): Float64Array | undefined {
  const scores = new Float64Array(classes);
  let passes = false;
  for (let classId = 0; classId < classes; classId++) {
    scores[classId] = factor * at(classId);
    passes ||= scores[classId]! > threshold;
  }
  return passes ? scores : undefined;
}

function decodeNanodet(head: TableHead, table: Tensor, threshold: number, input: Shape): Candidate[] {
  const { classes } = head;
  const rows = rowsOf(table);
  const bins = (table.dims[2]! - classes) / 4;
  return cellsOf(input, NANODET_STRIDES).flatMap(({ stride, row, column }, i) => {
    const scores = scoresOf(classes, 1, threshold, (classId) => rows.at(i, classId));
    if (!scores) return [];
    const distance = (side: number) =>
      stride * expectation(Array.from({ length: bins }, (_, bin) => rows.at(i, classes + side * bins + bin)));
    const [left, top, right, bottom] = [0, 1, 2, 3].map(distance) as [number, number, number, number];
    const [x1, y1] = [column * stride - left, row * stride - top];
    const [x2, y2] = [column * stride + right, row * stride + bottom];
    return [{ ...fromCentre((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, input), objectness: 1, scores }];
  });
}

function decodeYolox(head: TableHead, table: Tensor, threshold: number, input: Shape): Candidate[] {
  const rows = rowsOf(table);
  return cellsOf(input, YOLOX_STRIDES).flatMap(({ stride, row, column }, i) => {
    const objectness = rows.at(i, 4);
    const scores = scoresOf(head.classes, objectness, threshold, (classId) => rows.at(i, 5 + classId));
    if (!scores) return [];
    const [x, y] = [(rows.at(i, 0) + column) * stride, (rows.at(i, 1) + row) * stride];
    const [width, height] = [Math.exp(rows.at(i, 2)) * stride, Math.exp(rows.at(i, 3)) * stride];
    return [{ ...fromCentre(x, y, width, height, input), objectness, scores }];
  });
}

/** Boxes in pixels; `first` is where the classes begin. */
function decodePixels(
  rows: Rows,
  first: 4 | 5,
  head: TableHead,
  threshold: number,
  input: Shape,
): Candidate[] {
  const candidates: Candidate[] = [];
  for (let i = 0; i < rows.count; i++) {
    const objectness = first === 5 ? rows.at(i, 4) : 1;
    if (!(objectness > threshold)) continue;
    const scores = scoresOf(head.classes, objectness, threshold, (classId) => rows.at(i, first + classId));
    if (!scores) continue;
    const box = fromCentre(rows.at(i, 0), rows.at(i, 1), rows.at(i, 2), rows.at(i, 3), input);
    candidates.push({ ...box, objectness, scores });
  }
  return candidates;
}

/** FastestDet's grid: the score is obj^.6 · class^.4, of the largest class only. */
function decodeFastestdet(head: TableHead, { dims, values }: Tensor, threshold: number): Candidate[] {
  const [, , height, width] = dims as [number, number, number, number];
  const cells = height * width;
  const candidates: Candidate[] = [];
  for (let cell = 0; cell < cells; cell++) {
    const at = (channel: number) => values[channel * cells + cell]!;
    let best = 0;
    for (let classId = 1; classId < head.classes; classId++)
      if (at(5 + classId) > at(5 + best)) best = classId;
    const objectness = at(0);
    const score = objectness ** 0.6 * at(5 + best) ** 0.4;
    if (!(score > threshold)) continue;
    const scores = new Float64Array(head.classes);
    scores[best] = score;
    candidates.push({
      x: (Math.tanh(at(1)) + (cell % width)) / width,
      y: (Math.tanh(at(2)) + Math.floor(cell / width)) / height,
      width: logistic(at(3)),
      height: logistic(at(4)),
      objectness,
      scores,
    });
  }
  return candidates;
}

/**
 * Decodes a table that an exported network computes (see {@link TableHead} for the forms).
 *
 * @param input the network's input
 *
 * @example
 * ```ts
 * import { decodeTable } from 'spiking-yolo';
 *
 * const table = { dims: [1, 1, 6], values: Float64Array.of(32, 16, 8, 4, 0.9, 0.5) };
 * const head = { kind: 'yolov5', input: 'output', classes: 1 };
 * const [{ x, width, scores }] = decodeTable(head, table, 0.1, { width: 64, height: 64, channels: 3 });
 * console.log(x, width, scores[0]); // 0.5 0.125 0.45
 * ```
 */
export function decodeTable(head: TableHead, table: Tensor, threshold: number, input: Shape): Candidate[] {
  switch (head.kind) {
    case 'nanodet':
      return decodeNanodet(head, table, threshold, input);
    case 'yolox':
      return decodeYolox(head, table, threshold, input);
    case 'yolov5':
      return decodePixels(rowsOf(table), 5, head, threshold, input);
    case 'yolov8':
      return decodePixels(columnsOf(table), 4, head, threshold, input);
    case 'fastestdet':
      return decodeFastestdet(head, table, threshold);
  }
}

/** Why a table cannot be of a kind of head, or undefined if it can. */
export function tableMismatch(
  kind: TableHead['kind'],
  dims: readonly number[],
  classes: number,
  input: Shape,
): string | undefined {
  const [batch, second, third] = dims;
  const found = dims.join('×');
  const expect = (fits: boolean, form: string) =>
    fits && batch === 1
      ? undefined
      : `the output is ${found}; a ${kind} head of ${classes} classes reads ${form}`;
  switch (kind) {
    case 'nanodet': {
      const cells = cellsOf(input, NANODET_STRIDES).length;
      const bins = (third! - classes) / 4;
      const fits =
        dims.length === 3 && second === cells && Number.isInteger(bins) && bins >= 2 && bins <= 1024;
      return expect(fits, `1×${cells}×(${classes} + 4·bins)`);
    }
    case 'yolox': {
      const cells = cellsOf(input, YOLOX_STRIDES).length;
      return expect(
        dims.length === 3 && second === cells && third === 5 + classes,
        `1×${cells}×${5 + classes}`,
      );
    }
    case 'yolov5':
      return expect(dims.length === 3 && third === 5 + classes, `1×N×${5 + classes}`);
    case 'yolov8':
      return expect(dims.length === 3 && second === 4 + classes, `1×${4 + classes}×N`);
    case 'fastestdet':
      return expect(dims.length === 4 && second === 5 + classes, `1×${5 + classes}×rows×columns`);
  }
}
