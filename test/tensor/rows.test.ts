import { describe, expect, it } from 'vitest';
import { LazyTable, rowAxisOf, type Table, wholeTable } from '../../src/heads/rows.js';
import { decodeRows } from '../../src/heads/table.js';
import type { TableHead } from '../../src/network/network.js';
import { planGraph, runOnMaps, type TensorGraph, type TensorNode } from '../../src/tensor/graph.js';
import { planRows } from '../../src/tensor/rows.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { randomNumbers } from '../support/plans.js';

const CLASSES = 3;
const MAPS: [rows: number, columns: number, stride: number][] = [
  [4, 6, 8],
  [2, 3, 16],
  [1, 2, 32],
];
const INPUT = { height: 32, width: 48, channels: 3 };

/** Puts a graph together on some maps. */
class Tail {
  readonly nodes: TensorNode[] = [];
  readonly constants: Record<string, Tensor> = {};
  readonly inputs: string[] = [];
  readonly dims: number[][] = [];
  private count = 0;

  map(channels: number, rows: number, columns: number): string {
    this.inputs.push(`map${this.inputs.length}`);
    this.dims.push([1, channels, rows, columns]);
    return this.inputs.at(-1)!;
  }

  constant(dims: number[], at: (i: number) => number): string {
    const name = `c${this.count++}`;
    const length = dims.reduce((a, b) => a * b, 1);
    this.constants[name] = { dims, values: Float64Array.from({ length }, (_, i) => at(i)) };
    return name;
  }

  list = (...values: number[]): string => this.constant([values.length], (i) => values[i]!);

  add(op: string, inputs: string[], attributes = {}, outputs = 1): string[] {
    const names = Array.from({ length: outputs }, () => `v${this.count++}`);
    this.nodes.push({ op, inputs, outputs: names, attributes });
    return names;
  }

  one = (op: string, inputs: string[], attributes = {}): string => this.add(op, inputs, attributes)[0]!;

  graph = (output: string): TensorGraph => ({
    inputs: this.inputs,
    nodes: this.nodes,
    constants: this.constants,
    outputs: [output],
  });
}

const cellsOf = (extents: readonly [number, number, number][]) =>
  extents.reduce((sum, [rows, columns]) => sum + rows * columns, 0);

/** v8 and 11: distributions over four bins, boxes from points of each cell, σ of the classes; (1, 4 + C, N). */
function yolov8(separate: boolean): Tail {
  const t = new Tail();
  const parts = MAPS.map(([rows, columns]) => {
    const map = separate
      ? t.one('Concat', [t.map(16, rows, columns), t.map(CLASSES, rows, columns)], { axis: 1 })
      : t.map(16 + CLASSES, rows, columns);
    return t.one('Reshape', [map, t.list(1, 16 + CLASSES, -1)]);
  });
  const count = cellsOf(MAPS);
  const all = t.one('Concat', parts, { axis: 2 });
  const [boxes, classes] = t.add('Split', [all, t.list(16, CLASSES)], { axis: 1 }, 2);
  const bins = t.one('Transpose', [t.one('Reshape', [boxes!, t.list(1, 4, 4, count)])], {
    perm: [0, 2, 1, 3],
  });
  const weights = t.constant([1, 4, 1, 1], (i) => i);
  const distances = t.one('Reshape', [
    t.one('Conv', [t.one('Softmax', [bins], { axis: 1 }), weights]),
    t.list(1, 4, count),
  ]);
  const take = (first: number, end: number) =>
    t.one('Slice', [distances, t.list(first), t.list(end), t.list(1)]);
  const points = t.constant([1, 2, count], (i) => (i % 7) + 0.5);
  const [low, high] = [t.one('Sub', [points, take(0, 2)]), t.one('Add', [points, take(2, 4)])];
  const middle = t.one('Div', [t.one('Add', [low, high]), t.constant([], () => 2)]);
  const box = t.one('Concat', [middle, t.one('Sub', [high, low])], { axis: 1 });
  const scaled = t.one('Mul', [box, t.constant([1, count], (i) => 8 + (i % 3))]);
  t.one('Concat', [scaled, t.one('Sigmoid', [classes!])], { axis: 1 });
  return t;
}

/** v5: three anchors a cell, all of it behind a σ; (1, N, 5 + C). */
function yolov5(): Tail {
  const t = new Tail();
  const width = 5 + CLASSES;
  const parts = MAPS.map(([rows, columns, stride]) => {
    const map = t.map(3 * width, rows, columns);
    const cut = t.one('Reshape', [map, t.list(1, 3, width, rows, columns)]);
    const turned = t.one('Sigmoid', [t.one('Transpose', [cut], { perm: [0, 1, 3, 4, 2] })]);
    const [xy, wh, rest] = t.add('Split', [turned, t.list(2, 2, 1 + CLASSES)], { axis: 4 }, 3);
    const grid = t.constant([1, 3, rows, columns, 2], (i) => (i % 5) - 0.5);
    const doubled = (value: string) => t.one('Mul', [value, t.constant([], () => 2)]);
    const centre = t.one('Mul', [t.one('Add', [doubled(xy!), grid]), t.constant([], () => stride)]);
    const anchors = t.constant([1, 3, 1, 1, 2], (i) => 10 + i);
    const extent = t.one('Mul', [t.one('Pow', [doubled(wh!), t.constant([], () => 2)]), anchors]);
    const joined = t.one('Concat', [centre, extent, rest!], { axis: 4 });
    return t.one('Reshape', [joined, t.list(1, 3 * rows * columns, width)]);
  });
  t.one('Concat', parts, { axis: 1 });
  return t;
}

/** Scores behind a σ, boxes as they are; (1, N, …) by a transposition. */
function flat(box: number, objectness: boolean): Tail {
  const t = new Tail();
  const parts = MAPS.map(([rows, columns]) => {
    const scores = t.one('Sigmoid', [t.map(CLASSES, rows, columns)]);
    const own = t.map(box, rows, columns);
    const pieces = objectness ? [own, t.one('Sigmoid', [t.map(1, rows, columns)]), scores] : [scores, own];
    const map = t.one('Concat', pieces, { axis: 1 });
    return t.one('Flatten', [t.one('Transpose', [map], { perm: [0, 2, 3, 1] })], { axis: 3 });
  });
  const table = t.one('Concat', parts, { axis: 0 });
  t.one('Unsqueeze', [table, t.list(0)]);
  return t;
}

const tails: [TableHead['kind'], string, Tail][] = [
  ['yolov8', 'boxes and classes of one map', yolov8(false)],
  ['yolov8', 'boxes and classes of two maps', yolov8(true)],
  ['yolov5', 'three anchors a cell', yolov5()],
  ['yolox', 'objectness', flat(4, true)],
];

/** All of a table's rows, and the maps that they come from. */
function tablesOf(kind: TableHead['kind'], tail: Tail, seed: number) {
  const graph = tail.graph(tail.nodes.at(-1)!.outputs[0]!);
  const random = randomNumbers(seed);
  const maps = tail.dims.map((dims) =>
    Float64Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => 9 * random() - 6),
  );
  const program = planGraph(graph, tail.dims);
  runOnMaps(program, maps);
  const plan = planRows(graph, tail.dims, rowAxisOf(kind));
  if (!plan) throw new Error('not by rows');
  const head: TableHead = { kind, input: 'table', classes: CLASSES };
  const lazy = new LazyTable(plan, head);
  lazy.begin(maps);
  return { head, lazy, whole: wholeTable(kind, program.outputs[0]!) };
}

const rowsOf = (table: Table) =>
  Array.from({ length: table.count }, (_, i) => [...Array.from(table.read(i))]);

describe('a table that is computed row by row', () => {
  it.each(tails)('of %s, %s, has the numbers of the whole, bit for bit', (kind, _, tail) => {
    for (let seed = 0; seed < 5; seed++) {
      const { lazy, whole } = tablesOf(kind, tail, seed);
      expect(lazy.count).toBe(whole.count);
      expect(rowsOf(lazy)).toEqual(rowsOf(whole));
    }
  });

  it.each(tails)('of %s, %s, gives the boxes of the whole and computes few rows', (kind, _, tail) => {
    for (const threshold of [0, 0.005, 0.3, 0.6, 1]) {
      const { lazy, whole, head } = tablesOf(kind, tail, 11);
      let read = 0;
      const counted: Table = {
        count: lazy.count,
        across: lazy.across,
        mayPass: (row, limit) => lazy.mayPass(row, limit),
        read: (row) => {
          read++;
          return lazy.read(row);
        },
      };
      const expected = decodeRows(head, whole, threshold, INPUT);
      expect(decodeRows(head, counted, threshold, INPUT)).toEqual(expected);
      if (threshold === 0) expect(expected.length).toBe(whole.count);
      if (threshold === 0.6) {
        expect(expected.length).toBeGreaterThan(0);
        expect(read).toBeLessThan(0.8 * whole.count);
        expect(read).toBeGreaterThanOrEqual(expected.length);
      }
      if (threshold === 1) expect(read).toBe(0);
    }
  });

  it('is not one whose rows share numbers, or come from cells of several sizes', () => {
    const soft = new Tail();
    const map = soft.one('Reshape', [soft.map(6, 2, 3), soft.list(1, 6, 6)]);
    soft.one('Softmax', [map], { axis: 1 });
    const planned = (tail: Tail, axis: number) =>
      planRows(tail.graph(tail.nodes.at(-1)!.outputs[0]!), tail.dims, axis);
    expect(planned(soft, 1)).toBeUndefined();
    expect(planned(soft, 2)).toBeDefined();
    const mixed = new Tail();
    const one = mixed.one('Reshape', [mixed.map(2, 2, 3), mixed.list(1, 2, 6)]);
    const other = mixed.one('Reshape', [mixed.map(2, 3, 2), mixed.list(1, 2, 6)]);
    const product = mixed.one('MatMul', [mixed.one('Transpose', [one], { perm: [0, 2, 1] }), other]);
    expect(planned(mixed, 1)).toBeUndefined();
    mixed.one('Add', [product, product]);
    expect(planned(mixed, 1)).toBeUndefined();
  });
});
