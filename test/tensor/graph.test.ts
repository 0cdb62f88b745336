import { describe, expect, it } from 'vitest';
import { planGraph, type TensorGraph, type TensorNode } from '../../src/tensor/graph.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { runGraph } from '../support/tensor.js';

const node = (op: string, inputs: string[], outputs: string[], attributes = {}): TensorNode => ({
  op,
  inputs,
  outputs,
  attributes,
});
const table = (dims: number[], values: number[]): Tensor => ({ dims, values: Float64Array.from(values) });

/** What nodes make of one input `x`; the last node's output is `y`. */
function computed(x: Tensor, nodes: TensorNode[], constants: Record<string, Tensor> = {}): Tensor {
  const program = planGraph({ inputs: ['x'], nodes, constants, outputs: ['y'] }, [x.dims]);
  program.inputs[0]!.values.set(x.values);
  program.run();
  return program.outputs[0]!;
}

describe('a graph of tensors', () => {
  it('runs again and again into the same numbers, and gives each time what it gave the first', () => {
    const graph: TensorGraph = {
      inputs: ['map'],
      nodes: [
        node('Conv', ['map', 'w'], ['a']),
        node('Softmax', ['a'], ['b'], { axis: 1 }),
        node('MatMul', ['b', 'm'], ['c']),
        node('ReduceMean', ['c'], ['d'], { axes: [2, 3] }),
        node('Mul', ['c', 'd'], ['e']),
      ],
      constants: {
        w: table([3, 2, 1, 1], [1, 2, 3, 4, 5, 6]),
        m: table([2, 2], [1, -1, 0.5, 2]),
      },
      outputs: ['e'],
    };
    const shape = { height: 2, width: 2, channels: 2 };
    const maps = [
      [1, 2, 3, 4, 5, 6, 7, 8],
      [-1, 0, 2, 0, 1, 3, 1, 2],
    ].map((values) => Float64Array.from(values));
    const fresh = maps.map((map) => [...runGraph(graph, [map], [shape])[0]!.values]);
    const program = planGraph(graph, [[1, 2, 2, 2]]);
    const { values } = program.outputs[0]!;
    for (const i of [0, 1, 0, 0, 1]) {
      for (let cell = 0; cell < 4; cell++)
        for (let c = 0; c < 2; c++) program.inputs[0]!.values[c * 4 + cell] = maps[i]![cell * 2 + c]!;
      program.run();
      expect([...values]).toEqual(fresh[i]);
      expect(program.outputs[0]!.values).toBe(values);
    }
    expect(fresh[0]).not.toEqual(fresh[1]);
  });

  it('multiplies matrices, those of leading dimensions broadcast', () => {
    const x = table([2, 1, 2, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    const m = table([3, 2], [1, 2, 3, 4, 5, 6]);
    const { dims, values } = computed(x, [node('MatMul', ['x', 'm'], ['y'])], { m });
    expect(dims).toEqual([2, 1, 2, 2]);
    expect([...values]).toEqual([22, 28, 49, 64, 76, 100, 103, 136]);
  });

  it('has fully connected layers, reductions and elements broadcast from anywhere', () => {
    const x = table([2, 3], [1, 2, 3, 4, 5, 6]);
    const gemm = node('Gemm', ['x', 'w', 'b'], ['y'], { transB: 1, alpha: 2, beta: 3 });
    const w = table([2, 3], [1, 0, 1, 0, 1, 0]);
    expect([...computed(x, [gemm], { w, b: table([2], [1, 2]) }).values]).toEqual([11, 10, 23, 16]);
    const reduced = (op: string, attributes: object) => {
      const { dims, values } = computed(x, [node(op, ['x'], ['y'], attributes)]);
      return [dims, [...values]];
    };
    expect(reduced('ReduceMean', { axes: [-1] })).toEqual([
      [2, 1],
      [2, 5],
    ]);
    expect(reduced('ReduceSum', { axes: [0], keepdims: 0 })).toEqual([[3], [5, 7, 9]]);
    expect(reduced('ReduceMax', {})).toEqual([[1, 1], [6]]);
    const add = (dims: number[], values: number[]) =>
      computed(x, [node('Add', ['x', 'c'], ['y'])], { c: table(dims, values) });
    expect([...add([3], [10, 20, 30]).values]).toEqual([11, 22, 33, 14, 25, 36]);
    expect([...add([2, 1], [10, 20]).values]).toEqual([11, 12, 13, 24, 25, 26]);
    expect(add([2, 1, 3], [1, 2, 3, 4, 5, 6]).dims).toEqual([2, 2, 3]);
    expect([...add([2, 1, 3], [1, 2, 3, 4, 5, 6]).values]).toEqual([2, 4, 6, 5, 7, 9, 5, 7, 9, 8, 10, 12]);
  });

  it('counts what it takes: products with their sums, and numbers that are no copies', () => {
    const { work } = planGraph(
      {
        inputs: ['x'],
        nodes: [
          node('Reshape', ['x', 'dims'], ['a']),
          node('MatMul', ['a', 'm'], ['b']),
          node('Softmax', ['b'], ['c']),
          node('Sigmoid', ['k'], ['unused']),
        ],
        constants: { dims: table([2], [3, 4]), m: table([4, 5], new Array(20).fill(1)), k: table([1], [1]) },
        outputs: ['c'],
      },
      [[1, 12, 1, 1]],
    );
    expect(work).toEqual([
      { op: 'MatMul', multiplications: 60, operations: 60 },
      { op: 'Softmax', multiplications: 0, operations: 45 },
    ]);
  });

  it('holds no more numbers than a network could need', () => {
    const nodes = Array.from({ length: 40 }, (_, i) =>
      node('Add', [i === 0 ? 'x' : `v${i - 1}`, 'c'], [`v${i}`]),
    );
    const graph = { inputs: ['x'], nodes, constants: { c: table([], [1]) }, outputs: ['v39'] };
    const dims = (count: number) => [[1, count, 1, 1]];
    expect(() => planGraph(graph, dims(2 ** 23))).toThrow(/all of it together would hold \d{9} values/);
    expect(() => planGraph(graph, dims(2 ** 10))).not.toThrow();
  });

  it('says what does not go together', () => {
    const x = table([1, 4], [1, 2, 3, 4]);
    const failure = (nodes: TensorNode[], constants = {}) => {
      try {
        computed(x, nodes, constants);
        return 'computed';
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(failure([node('Reshape', ['x', 'x'], ['y'])])).toMatch(
      /^Reshape takes a shape or indices that are computed from the image$/,
    );
    expect(failure([node('MatMul', ['x', 'x'], ['y'])])).toMatch(/^MatMul: matrices of 1×4 and 1×4/);
    expect(failure([node('Add', ['x', 'z'], ['y'])])).toMatch(/^Add takes "z", which nothing puts out$/);
    expect(failure([node('Add', ['x'], ['y'])])).toMatch(
      /^Add: its inputs or attributes are not what it takes/,
    );
    expect(failure([node('Concat', ['x', 'c'], ['y'], { axis: 0 })], { c: table([3], [1, 2, 3]) })).toMatch(
      /^Concat: cannot concatenate 1×4 and 3$/,
    );
  });
});
