import { describe, expect, it } from 'vitest';
import { decodeRegion } from '../../src/heads/region.js';
import { decodeTable, tableMismatch } from '../../src/heads/table.js';
import { decodeYolo } from '../../src/heads/yolo.js';
import type { TableHead } from '../../src/network/network.js';

const input = { width: 64, height: 32, channels: 3 };
const head = (kind: TableHead['kind'], classes: number): TableHead => ({ kind, input: 'output', classes });

/** A table (1, rows, columns) that is `fill` but for some rows. */
function rows(count: number, columns: number, fill: number, given: Record<number, number[]>) {
  const values = new Float64Array(count * columns).fill(fill);
  for (const [row, line] of Object.entries(given)) values.set(line, Number(row) * columns);
  return { dims: [1, count, columns], values };
}

/** Cells of grids of the strides over the input. */
const cells = (...strides: number[]) =>
  strides.reduce((sum, stride) => sum + Math.ceil(32 / stride) * Math.ceil(64 / stride), 0);

describe('a table of boxes', () => {
  it('nanodet: distances to the sides as distributions over bins, from the cell’s corner, by strides', () => {
    const [classes, bins] = [2, 8];
    const sharp = (bin: number) => Array.from({ length: bins }, (_, i) => (i === bin ? 100 : 0));
    const even = (low: number, high: number) =>
      Array.from({ length: bins }, (_, i) => (i === low || i === high ? 100 : 0));
    // the second grid is of stride 16: 2 rows of 4 cells; this is row 1, column 2
    const at = cells(8) + 6;
    const table = rows(cells(8, 16, 32, 64), classes + 4 * bins, 0, {
      [at]: [0.1, 0.8, ...sharp(1), ...even(0, 1), ...sharp(0), ...sharp(1)],
    });
    const found = decodeTable(head('nanodet', classes), table, 0.5, input);
    expect(found).toHaveLength(1);
    // x from 32 − 16 to 32, y from 16 − 8 to 16 + 16
    expect(found[0]!.x).toBeCloseTo(24 / 64, 9);
    expect(found[0]!.width).toBeCloseTo(16 / 64, 9);
    expect(found[0]!.y).toBeCloseTo(20 / 32, 9);
    expect(found[0]!.height).toBeCloseTo(24 / 32, 9);
    expect([...found[0]!.scores]).toEqual([0.1, 0.8]);
  });

  it('yolox: centre and logarithm of the size in strides, score times objectness', () => {
    const at = cells(8) + 6;
    const table = rows(cells(8, 16, 32), 7, 0, { [at]: [0.5, 0.25, Math.log(2), 0, 0.5, 0.2, 0.9] });
    const [one, ...others] = decodeTable(head('yolox', 2), table, 0.3, input);
    expect(others).toEqual([]);
    expect(one!.x).toBeCloseTo((2.5 * 16) / 64, 9);
    expect(one!.y).toBeCloseTo((1.25 * 16) / 32, 9);
    expect(one!.width).toBeCloseTo(32 / 64, 9);
    expect(one!.height).toBeCloseTo(16 / 32, 9);
    expect([...one!.scores]).toEqual([0.1, 0.45]);
  });

  it('yolov5 and yolov8: boxes in pixels, rows or columns, with and without objectness', () => {
    const five = rows(3, 6, 0, { 1: [32, 16, 8, 4, 0.8, 0.5] });
    const [one] = decodeTable(head('yolov5', 1), five, 0.3, input);
    expect([one!.x, one!.y, one!.width, one!.height, ...one!.scores]).toEqual([0.5, 0.5, 0.125, 0.125, 0.4]);
    expect(decodeTable(head('yolov5', 1), five, 0.45, input)).toEqual([]);
    // 4 + 200 classes, three boxes as columns; the last has class 199
    const eight = { dims: [1, 204, 3], values: new Float64Array(204 * 3) };
    for (const [row, value] of [32, 16, 8, 4].entries()) eight.values[row * 3 + 2] = value;
    eight.values[203 * 3 + 2] = 0.7;
    const [other, ...none] = decodeTable(head('yolov8', 200), eight, 0.3, input);
    expect(none).toEqual([]);
    expect([other!.x, other!.y, other!.width, other!.height]).toEqual([0.5, 0.5, 0.125, 0.125]);
    expect(other!.scores[199]).toBe(0.7);
  });

  it('fastestdet: obj^.6 · class^.4 of the largest class, offsets by tanh, sizes by σ', () => {
    // 2 rows of 4 cells, 2 classes
    const values = new Float64Array(7 * 8);
    const cell = 6;
    for (const [channel, value] of [0.5, 0.5, -0.5, 0, 1, 0.3, 0.8].entries())
      values[channel * 8 + cell] = value;
    const [one, ...none] = decodeTable(head('fastestdet', 2), { dims: [1, 7, 2, 4], values }, 0.1, input);
    expect(none).toEqual([]);
    expect(one!.x).toBeCloseTo((Math.tanh(0.5) + 2) / 4, 12);
    expect(one!.y).toBeCloseTo((Math.tanh(-0.5) + 1) / 2, 12);
    expect(one!.width).toBeCloseTo(0.5, 12);
    expect(one!.height).toBeCloseTo(1 / (1 + Math.exp(-1)), 12);
    expect(one!.scores[0]).toBe(0);
    expect(one!.scores[1]).toBeCloseTo(0.5 ** 0.6 * 0.8 ** 0.4, 12);
  });

  it.each([
    ['nanodet', [1, cells(8, 16, 32, 64), 2 + 32], [1, cells(8, 16, 32), 2 + 32]],
    ['nanodet', [1, cells(8, 16, 32, 64), 2 + 32], [1, cells(8, 16, 32, 64), 2 + 33]],
    ['yolox', [1, cells(8, 16, 32), 7], [1, cells(8, 16, 32), 8]],
    ['yolov5', [1, 17, 7], [1, 7, 17]],
    ['yolov8', [1, 6, 17], [1, 17, 6]],
    ['yolov8', [1, 6, 17], [2, 6, 17]],
    ['fastestdet', [1, 7, 2, 4], [1, 7, 8]],
  ] as [TableHead['kind'], number[], number[]][])('%s is of the form %j, not %j', (kind, good, bad) => {
    expect(tableMismatch(kind, good, 2, input)).toBeUndefined();
    expect(tableMismatch(kind, bad, 2, input)).toMatch(new RegExp(`a ${kind} head of 2 classes reads 1×`));
  });
});

it('each anchor has numbers and an extent of its own, behind those of the anchors before it', () => {
  const shape = { height: 1, width: 2, channels: 14 };
  const map = new Float64Array(28).fill(-20);
  // cell 1, the second of two anchors with two classes: x, y, w, h, objectness, classes
  map.set([0, 0, 0, 0, 20, -20, 20], 14 + 7);
  const anchors: [number, number][] = [
    [1, 1],
    [16, 8],
  ];
  const yolo = { kind: 'yolo' as const, input: 'output', classes: 2, anchors, scaleXY: 1 };
  const region = { kind: 'region' as const, input: 'output', classes: 2, anchors, softmax: false };
  for (const found of [decodeYolo(yolo, shape, map, 0.5, input), decodeRegion(region, shape, map, 0.5)]) {
    expect(found).toHaveLength(1);
    expect([found[0]!.x, found[0]!.y]).toEqual([0.75, 0.5]);
    expect([...found[0]!.scores].map(Math.round)).toEqual([0, 1]);
  }
  const [one] = decodeYolo(yolo, shape, map, 0.5, input);
  expect([one!.width, one!.height]).toEqual([16 / 64, 8 / 32]);
});
