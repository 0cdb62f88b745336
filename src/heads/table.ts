import type { Shape, TableHead } from '../network/network.js';
import { exp, logistic, tanh } from '../tensor/exp.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Candidate } from './candidate.js';
import { type Table, wholeTable } from './rows.js';

/** Cells of grids of several strides, ⌈S / s⌉ a side. */
const cellCount = ({ width, height }: Shape, strides: readonly number[]): number =>
  strides.reduce((sum, stride) => sum + Math.ceil(height / stride) * Math.ceil(width / stride), 0);

/** Rows of a table that may pass, a row for each cell of grids of several strides, one grid after the other. */
function forCells(
  { width, height }: Shape,
  strides: readonly number[],
  table: Table,
  threshold: number,
  visit: (numbers: ArrayLike<number>, stride: number, row: number, column: number) => void,
): void {
  let i = 0;
  for (const stride of strides) {
    const [rows, columns] = [Math.ceil(height / stride), Math.ceil(width / stride)];
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++, i++)
        if (table.mayPass(i, threshold)) visit(table.read(i), stride, row, column);
  }
}

const NANODET_STRIDES = [8, 16, 32, 64];
const YOLOX_STRIDES = [8, 16, 32];

/** Expectation of a distribution over bins 0, 1, …, given by logits. */
function expectation(numbers: ArrayLike<number>, first: number, bins: number): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let bin = 0; bin < bins; bin++) largest = Math.max(largest, numbers[first + bin]!);
  let [total, sum] = [0, 0];
  for (let bin = 0; bin < bins; bin++) {
    const weight = exp(numbers[first + bin]! - largest);
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

/** Scores of classes whose numbers begin at `first`, times `factor`; undefined if none passes. */
function scoresOf(
  classes: number,
  factor: number,
  threshold: number,
  numbers: ArrayLike<number>,
  first: number,
): Float64Array | undefined {
  for (let classId = 0; classId < classes; classId++) {
    if (!(factor * numbers[first + classId]! > threshold)) continue;
    return Float64Array.from({ length: classes }, (_, i) => factor * numbers[first + i]!);
  }
  return undefined;
}

function decodeNanodet(head: TableHead, table: Table, threshold: number, input: Shape): Candidate[] {
  const { classes } = head;
  const candidates: Candidate[] = [];
  forCells(input, NANODET_STRIDES, table, threshold, (numbers, stride, row, column) => {
    const scores = scoresOf(classes, 1, threshold, numbers, 0);
    if (!scores) return;
    const bins = (numbers.length - classes) / 4;
    const distance = (side: number) => stride * expectation(numbers, classes + side * bins, bins);
    const [left, top, right, bottom] = [0, 1, 2, 3].map(distance) as [number, number, number, number];
    const [x1, y1] = [column * stride - left, row * stride - top];
    const [x2, y2] = [column * stride + right, row * stride + bottom];
    const box = fromCentre((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, input);
    candidates.push({ ...box, objectness: 1, scores });
  });
  return candidates;
}

function decodeYolox(head: TableHead, table: Table, threshold: number, input: Shape): Candidate[] {
  const candidates: Candidate[] = [];
  forCells(input, YOLOX_STRIDES, table, threshold, (numbers, stride, row, column) => {
    const objectness = numbers[4]!;
    const scores = scoresOf(head.classes, objectness, threshold, numbers, 5);
    if (!scores) return;
    const [x, y] = [(numbers[0]! + column) * stride, (numbers[1]! + row) * stride];
    const [width, height] = [exp(numbers[2]!) * stride, exp(numbers[3]!) * stride];
    candidates.push({ ...fromCentre(x, y, width, height, input), objectness, scores });
  });
  return candidates;
}

/** Boxes in pixels; `first` is where the classes begin. */
function decodePixels(
  table: Table,
  first: 4 | 5,
  head: TableHead,
  threshold: number,
  input: Shape,
): Candidate[] {
  const candidates: Candidate[] = [];
  for (let i = 0; i < table.count; i++) {
    if (!table.mayPass(i, threshold)) continue;
    const numbers = table.read(i);
    const objectness = first === 5 ? numbers[4]! : 1;
    if (!(objectness > threshold)) continue;
    const scores = scoresOf(head.classes, objectness, threshold, numbers, first);
    if (!scores) continue;
    const box = fromCentre(numbers[0]!, numbers[1]!, numbers[2]!, numbers[3]!, input);
    candidates.push({ ...box, objectness, scores });
  }
  return candidates;
}

/** FastestDet's grid: the score is obj^.6 · class^.4, of the largest class only. */
function decodeFastestdet(head: TableHead, table: Table, threshold: number): Candidate[] {
  const candidates: Candidate[] = [];
  const { across: width } = table;
  const height = table.count / width;
  for (let cell = 0; cell < table.count; cell++) {
    const numbers = table.read(cell);
    let best = 0;
    for (let classId = 1; classId < head.classes; classId++)
      if (numbers[5 + classId]! > numbers[5 + best]!) best = classId;
    const objectness = numbers[0]!;
    const score = objectness ** 0.6 * numbers[5 + best]! ** 0.4;
    if (!(score > threshold)) continue;
    const scores = new Float64Array(head.classes);
    scores[best] = score;
    candidates.push({
      x: (tanh(numbers[1]!) + (cell % width)) / width,
      y: (tanh(numbers[2]!) + Math.floor(cell / width)) / height,
      width: logistic(numbers[3]!),
      height: logistic(numbers[4]!),
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
export const decodeTable = (head: TableHead, table: Tensor, threshold: number, input: Shape): Candidate[] =>
  decodeRows(head, wholeTable(head.kind, table), threshold, input);

/** The same of rows that may be computed only now. */
export function decodeRows(head: TableHead, table: Table, threshold: number, input: Shape): Candidate[] {
  switch (head.kind) {
    case 'nanodet':
      return decodeNanodet(head, table, threshold, input);
    case 'yolox':
      return decodeYolox(head, table, threshold, input);
    case 'yolov5':
      return decodePixels(table, 5, head, threshold, input);
    case 'yolov8':
      return decodePixels(table, 4, head, threshold, input);
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
      const cells = cellCount(input, NANODET_STRIDES);
      const bins = (third! - classes) / 4;
      const fits =
        dims.length === 3 && second === cells && Number.isInteger(bins) && bins >= 2 && bins <= 1024;
      return expect(fits, `1×${cells}×(${classes} + 4·bins)`);
    }
    case 'yolox': {
      const cells = cellCount(input, YOLOX_STRIDES);
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
