import { onnxError, usageError } from '../../errors.js';
import type { Shape } from '../../network/network.js';
import type { TensorGraph, TensorNode } from '../../tensor/graph.js';
import { countOf, type Tensor } from '../../tensor/tensor.js';
import type { ImportedGraph } from './import.js';

/** Anchors of a stride. */
const PER_STRIDE = 3;

/** A raw head's grid: (1, 3·K, h, w), (1, 3, h, w, K) or (1, 3, h·w, K), K numbers an anchor and cell. */
interface Grid {
  output: string;
  dims: number[];
  height: number;
  width: number;
  stride: number;
}

function gridOf(output: string, dims: number[], numbers: number, input: Shape): Grid {
  const area = input.height * input.width;
  const stride = Math.sqrt((area * PER_STRIDE * numbers) / countOf(dims));
  const [height, width] = [input.height / stride, input.width / stride];
  const forms = [
    [1, PER_STRIDE * numbers, height, width],
    [1, PER_STRIDE, height, width, numbers],
    [1, PER_STRIDE, height * width, numbers],
  ];
  if (!forms.some((form) => form.join() === dims.join()))
    throw onnxError(
      `an output is ${dims.join('×')}; a raw head of ${numbers - 5} classes is 1×${PER_STRIDE * numbers}×rows×columns, 1×3×rows×columns×${numbers} or 1×3×cells×${numbers}, its cells squares`,
    );
  return { output, dims, height, width, stride };
}

/**
 * A network whose outputs are YOLOv5's raw heads, before the sigmoid, with what decodes them put behind: one table as its
 * decoded export has. xy = (2σ − ½ + cell)·stride, wh = (2σ)²·anchor.
 *
 * @param anchors widths and heights in pixels, finest stride first, three a stride
 */
export function withRawHeads(
  imported: ImportedGraph,
  anchors: readonly number[],
  classes: number,
): ImportedGraph {
  const { tail, outputDims, input } = imported;
  const expected = 2 * PER_STRIDE * outputDims.length;
  if (anchors.length !== expected || !anchors.every((extent) => extent > 0 && extent < 1e6))
    throw usageError(
      `--anchors has ${anchors.length} numbers; expected ${expected} above 0: widths and heights in pixels, three anchors for each of ${outputDims.length} outputs, finest first`,
    );
  const numbers = 5 + classes;
  const grids = outputDims.map((dims, i) => gridOf(tail.outputs[i]!, dims, numbers, input));
  grids.sort((a, b) => a.stride - b.stride);

  const nodes: TensorNode[] = [];
  const constants: Record<string, Tensor> = {};
  let count = 0;
  const constant = (dims: number[], values: ArrayLike<number>) => {
    const name = `decoded${count++}`;
    constants[name] = { dims, values: Float64Array.from(values) };
    return name;
  };
  const list = (...values: number[]) => constant([values.length], values);
  const put = (op: string, inputs: string[], attributes: TensorNode['attributes'] = {}, outputs = 1) => {
    const names = Array.from({ length: outputs }, () => `decoded${count++}`);
    nodes.push({ op, inputs, outputs: names, attributes });
    return names;
  };
  const one = (...node: [string, string[], TensorNode['attributes']?]) => put(...node)[0]!;
  const two = constant([], [2]);

  const tables = grids.map(({ output, dims, height, width, stride }, level) => {
    const channelsFirst = dims.length === 4 && dims[1] === PER_STRIDE * numbers;
    const grid = channelsFirst
      ? one('Transpose', [one('Reshape', [output, list(1, PER_STRIDE, numbers, height, width)])], {
          perm: [0, 1, 3, 4, 2],
        })
      : one('Reshape', [output, list(1, PER_STRIDE, height, width, numbers)]);
    const [centre, extent, scores] = put(
      'Split',
      [one('Sigmoid', [grid]), list(2, 2, numbers - 4)],
      { axis: 4 },
      3,
    );
    const cells = Float64Array.from({ length: height * width * 2 }, (_, i) => {
      const cell = i >> 1;
      return (i % 2 === 0 ? cell % width : Math.floor(cell / width)) - 0.5;
    });
    const moved = one('Add', [one('Mul', [centre!, two]), constant([1, 1, height, width, 2], cells)]);
    const own = anchors.slice(level * 2 * PER_STRIDE, (level + 1) * 2 * PER_STRIDE);
    const squared = one('Pow', [one('Mul', [extent!, two]), two]);
    const boxes = [
      one('Mul', [moved, constant([], [stride])]),
      one('Mul', [squared, constant([1, PER_STRIDE, 1, 1, 2], own)]),
    ];
    const rows = one('Concat', [...boxes, scores!], { axis: 4 });
    return one('Reshape', [rows, list(1, PER_STRIDE * height * width, numbers)]);
  });
  const table = one('Concat', tables, { axis: 1 });
  const decoded: TensorGraph = {
    ...tail,
    nodes: [...tail.nodes, ...nodes],
    constants: { ...tail.constants, ...constants },
    outputs: [table],
  };
  const cells = grids.reduce((sum, { height, width }) => sum + height * width, 0);
  return { ...imported, tail: decoded, outputDims: [[1, PER_STRIDE * cells, numbers]] };
}
