/**
 * Some graphs put out a table whose rows are computed each from one cell of one map: exported detectors do. Of such a
 * table a row can be computed alone, with the same numbers as in the whole, so that only rows that matter are.
 */
import {
  type Dims,
  dimensionsOf,
  type Program,
  planGraph,
  type TensorGraph,
  type TensorNode,
} from './graph.js';
import { isMoving, planOperation } from './operators.js';
import { axisOf, countOf, stridesOf, type Tensor } from './tensor.js';

interface RowConstant {
  target: Float64Array;
  source: Float64Array;
  offset(row: number): number;
  places: Int32Array;
}

/** A map that rows are computed from, a cell each. */
export interface RowLeaf {
  /** Its place among the graph's inputs. */
  input: number;
  /** The cell of the first row. */
  cell: number;
  channels: number;
}

/** Rows [first, first + count) of the table: all computed alike. */
export interface RowRange {
  first: number;
  count: number;
  /** The maps that their numbers come from. */
  leaves: RowLeaf[];
  /**
   * What each column is: channel c of the cell as 2·c, σ of that as 2·c + 1, channels of all leaves counted on; −1 for
   * anything else. (columns).
   */
  columns: Int32Array;
  program: Program;
  /** Constants that differ from row to row: where a row's are, and where they go. */
  constants: RowConstant[];
}

/** A table that can be computed row by row. */
export interface RowPlan {
  rows: number;
  ranges: RowRange[];
}

/** Some graph is not of this kind. */
class NotByRows extends Error {}
/** A range of rows is computed in different ways before and from this row on. */
class SplitAt extends Error {
  /** Rows of the range before that. */
  readonly count: number;
  constructor(count: number) {
    super();
    this.count = count;
  }
}

/**
 * Which part of a tensor a range of rows is: row r is at index `base` + r over the axes `rows` (the first of them
 * slowest), and at one index on the axes `fixed`; all of the other axes.
 */
interface Part {
  rows: number[];
  base: number;
  fixed: Map<number, number>;
}

const samePart = (a: Part, b: Part) =>
  a.base === b.base &&
  a.rows.join() === b.rows.join() &&
  JSON.stringify([...a.fixed].sort()) === JSON.stringify([...b.fixed].sort());

/** Dimensions of one row: 1 on the axes that rows or single indices lie on. */
const rowDims = (dims: readonly number[], { rows, fixed }: Part): number[] =>
  dims.map((extent, axis) => (rows.includes(axis) || fixed.has(axis) ? 1 : extent));

/** Groups of axes of two forms of the same numbers, such that each group's extents have the same product. */
function groupsOf(from: readonly number[], to: readonly number[]): [number[], number[]][] {
  const groups: [number[], number[]][] = [];
  let [i, j] = [0, 0];
  while (i < from.length || j < to.length) {
    const group: [number[], number[]] = [[], []];
    let [a, b] = [1, 1];
    const takeFrom = () => {
      group[0].push(i);
      a *= from[i++]!;
    };
    const takeTo = () => {
      group[1].push(j);
      b *= to[j++]!;
    };
    if (i < from.length) takeFrom();
    if (j < to.length) takeTo();
    while (a !== b && (i < from.length || j < to.length)) {
      if (a < b && i < from.length) takeFrom();
      else if (j < to.length) takeTo();
      else takeFrom();
    }
    groups.push(group);
  }
  return groups;
}

/** A constant that differs from row to row: of each axis of rows its extent, and the constant's own axis, if it has one. */
interface VaryingConstant {
  tensor: Tensor;
  axes: { extent: number; axis: number }[];
  base: number;
  fixed: ReadonlyMap<number, number>;
}

/** Traces a range of rows from a graph's output back to its maps, as a graph for a single row. */
class RowTrace {
  private readonly graph: TensorGraph;
  private readonly dims: Dims;
  private readonly producers: ReadonlyMap<string, TensorNode>;
  private readonly count: number;
  private readonly parts = new Map<string, Part>();
  private readonly names = new Map<string, string>();
  readonly nodes: TensorNode[] = [];
  readonly constants: Record<string, Tensor> = {};
  /** Constants that differ from row to row, by the names that they have in the row's graph. */
  readonly varying = new Map<string, VaryingConstant>();
  /** The graph's inputs that come in, by the names that they have in the row's graph. */
  readonly leaves = new Map<string, { name: string; part: Part }>();

  constructor(graph: TensorGraph, dims: Dims, producers: ReadonlyMap<string, TensorNode>, count: number) {
    this.graph = graph;
    this.dims = dims;
    this.producers = producers;
    this.count = count;
  }

  private fresh(): string {
    return `r${this.names.size + Object.keys(this.constants).length + this.varying.size}`;
  }

  private constant(tensor: Tensor): string {
    const name = `${this.fresh()}c`;
    this.constants[name] = tensor;
    return name;
  }

  /** A part of a constant: rows are counted over `extents`, and on the constant's axis, where that is there and not 1. */
  private constantPart(tensor: Tensor, { rows, base, fixed }: Part, extents: readonly number[]): string {
    const differs = (axis: number) => axis >= 0 && tensor.dims[axis]! > 1;
    if (!rows.some(differs) && ![...fixed.keys()].some(differs)) return this.constant(tensor);
    const name = `${this.fresh()}v`;
    const axes = rows.map((axis, i) => ({ extent: extents[i]!, axis: differs(axis) ? axis : -1 }));
    this.varying.set(name, { tensor, axes, base, fixed });
    return name;
  }

  /** The name in the row's graph of a part of a value. */
  value(name: string, part: Part): string {
    const constant = Object.hasOwn(this.graph.constants, name) ? this.graph.constants[name] : undefined;
    if (constant)
      return this.constantPart(
        constant,
        part,
        part.rows.map((axis) => constant.dims[axis]!),
      );
    const known = this.parts.get(name);
    if (known) {
      if (!samePart(known, part)) throw new NotByRows();
      return this.names.get(name)!;
    }
    this.parts.set(name, part);
    const place = this.graph.inputs.indexOf(name);
    const own = place >= 0 ? this.leafOf(name, part) : this.node(this.producers.get(name)!, name, part);
    this.names.set(name, own);
    return own;
  }

  private leafOf(name: string, part: Part): string {
    // all of its cells, row after row
    const dims = this.dims.get(name)!;
    const wide = (axes: readonly number[]) => axes.filter((axis) => dims[axis]! > 1).join();
    if (wide(part.rows) !== wide([2, 3]) || part.fixed.size > 0) throw new NotByRows();
    const own = `map${this.leaves.size}`;
    this.leaves.set(own, { name, part });
    return own;
  }

  private put(op: string, inputs: string[], attributes: TensorNode['attributes'] = {}): string {
    const output = `n${this.nodes.length}`;
    this.nodes.push({ op, inputs, outputs: [output], attributes });
    return output;
  }

  private reshaped(input: string, dims: readonly number[]): string {
    const shape = this.constant({ dims: [dims.length], values: Float64Array.from(dims) });
    return this.put('Reshape', [input, shape]);
  }

  private node(node: TensorNode, output: string, part: Part): string {
    const { op, inputs, outputs, attributes } = node;
    const dims = this.dims.get(output)!;
    const inputDims = inputs.map((name) => this.dims.get(name) ?? []);
    const named = (axis: number) => part.rows.includes(axis) || part.fixed.has(axis);
    const along = (axis: number) => axisOf(axis, dims);
    switch (op) {
      case 'Reshape':
      case 'Flatten':
      case 'Squeeze':
      case 'Unsqueeze':
        return this.reshape(inputs[0]!, inputDims[0]!, dims, part);
      case 'Transpose': {
        const perm = attributes.perm as number[];
        const taken: Part = {
          rows: part.rows.map((axis) => perm[axis]!),
          base: part.base,
          fixed: new Map([...part.fixed].map(([axis, index]) => [perm[axis]!, index])),
        };
        return this.put(op, [this.value(inputs[0]!, taken)], attributes);
      }
      case 'Concat': {
        const axis = along((attributes.axis as number | undefined) ?? 0);
        if (part.fixed.has(axis)) throw new NotByRows();
        if (part.rows.includes(axis)) return this.partOfConcat(inputs, inputDims, axis, part);
        return this.put(
          op,
          inputs.map((name) => this.value(name, part)),
          attributes,
        );
      }
      case 'Split':
      case 'Slice': {
        // along an axis that every row has whole
        if (dims.some((extent, axis) => named(axis) && extent !== inputDims[0]![axis])) throw new NotByRows();
        const place = outputs.indexOf(output);
        const rest = inputs
          .slice(1)
          .map((name) => (name === '' ? '' : this.constant(this.graph.constants[name]!)));
        const result = this.put(op, [this.value(inputs[0]!, part), ...rest], attributes);
        if (op === 'Slice') return result;
        const all = outputs.map((_, i) => `${result}s${i}`);
        this.nodes.at(-1)!.outputs.splice(0, 1, ...all);
        return all[place]!;
      }
      case 'Softmax':
        if (named(along((attributes.axis as number | undefined) ?? -1))) throw new NotByRows();
        return this.put(op, [this.value(inputs[0]!, part)], attributes);
      case 'Conv':
        if (named(1) || dims.length !== 4) throw new NotByRows();
        return this.put(op, [this.value(inputs[0]!, part), ...this.whole(inputs.slice(1))], attributes);
      case 'Clip':
        return this.put(op, [this.value(inputs[0]!, part), ...this.whole(inputs.slice(1))], attributes);
      default:
        if (!ELEMENTWISE.has(op)) throw new NotByRows();
        return this.put(
          op,
          inputs.map((name, i) => this.broadcast(name, inputDims[i]!, dims, part)),
          attributes,
        );
    }
  }

  private whole(names: readonly string[]): string[] {
    return names.map((name) => {
      if (name === '') return '';
      const constant = this.graph.constants[name];
      if (!constant) throw new NotByRows();
      return this.constant(constant);
    });
  }

  /** An operand of an element-wise operation, with fewer axes or extents of 1 where it is broadcast. */
  private broadcast(name: string, own: readonly number[], dims: readonly number[], part: Part): string {
    const offset = dims.length - own.length;
    const rows = part.rows.map((axis) => axis - offset);
    const fixed = new Map([...part.fixed].map(([axis, index]) => [axis - offset, index] as const));
    const constant = this.graph.constants[name];
    if (constant) {
      const extents = part.rows.map((axis) => dims[axis]!);
      return this.constantPart(constant, { rows, base: part.base, fixed }, extents);
    }
    const full = [...rows, ...fixed.keys()].every((axis) => axis >= 0 && own[axis] === dims[axis + offset]);
    if (!full) throw new NotByRows();
    return this.value(name, { rows, base: part.base, fixed });
  }

  private partOfConcat(
    inputs: readonly string[],
    inputDims: readonly Dimensions[],
    axis: number,
    part: Part,
  ): string {
    if (part.rows.length !== 1) throw new NotByRows();
    let first = 0;
    for (const [i, name] of inputs.entries()) {
      const end = first + inputDims[i]![axis]!;
      if (part.base < end) {
        if (part.base + this.count > end) throw new SplitAt(end - part.base);
        return this.value(name, { ...part, base: part.base - first });
      }
      first = end;
    }
    throw new NotByRows();
  }

  /** Another form of the same numbers: axes of rows may become one or several, or be cut out of one with others. */
  private reshape(input: string, from: readonly number[], to: readonly number[], part: Part): string {
    const rows: number[] = [];
    const fixed = new Map<number, number>();
    let { base } = part;
    const left = [...part.rows];
    /** A slice of an axis of the input: [axis, first, count]. */
    const slices: [number, number, number][] = [];
    for (const [inputs, outputs] of groupsOf(from, to)) {
      const ofRows = outputs.filter((axis) => part.rows.includes(axis) && to[axis]! > 1);
      const others = outputs.filter((axis) => !part.rows.includes(axis) && to[axis]! > 1);
      if (ofRows.length === 0 && !others.some((axis) => part.fixed.has(axis))) continue;
      if (others.length === 0) {
        // nothing but rows: the same rows over the input's axes, if they are counted in the same order
        const at = left.indexOf(ofRows[0]!);
        if (ofRows.some((axis, i) => left[at + i] !== axis)) throw new NotByRows();
        left.splice(at, ofRows.length, ...inputs.filter((axis) => from[axis]! > 1).map((axis) => -1 - axis));
        continue;
      }
      // a leading axis of rows beside others, cut out of one: it must be at one index in all of the range
      const [leading, ...inner] = outputs.filter((axis) => to[axis]! > 1);
      const whole = inputs.filter((axis) => from[axis]! > 1);
      if (inner.some((axis) => part.rows.includes(axis) || part.fixed.has(axis)) || whole.length !== 1)
        throw new NotByRows();
      const size = countOf(inner.map((axis) => to[axis]!));
      let index = part.fixed.get(leading!);
      if (index === undefined) {
        if (left[0] !== leading) throw new NotByRows();
        const perIndex = countOf(part.rows.slice(1).map((axis) => to[axis]!));
        index = Math.floor(base / perIndex);
        const end = (index + 1) * perIndex;
        if (base + this.count > end) throw new SplitAt(end - base);
        base -= index * perIndex;
        left.shift();
      }
      slices.push([whole[0]!, index * size, size]);
    }
    for (const axis of left) {
      if (axis < 0) rows.push(-1 - axis);
      else if (to[axis]! > 1) throw new NotByRows();
    }
    let value = this.value(input, { rows, base, fixed });
    for (const [axis, first, count] of slices) {
      const operands = [[first], [first + count], [axis]].map((values) =>
        this.constant({ dims: [1], values: Float64Array.from(values) }),
      );
      value = this.put('Slice', [value, ...operands]);
    }
    return this.reshaped(value, rowDims(to, part));
  }
}

type Dimensions = readonly number[];

const ELEMENTWISE = new Set(
  'Add Sub Mul Div Pow Max Min Sigmoid Exp Tanh Sqrt Floor Ceil Neg Abs Reciprocal Relu LeakyRelu HardSigmoid HardSwish Silu Mish Elu Identity Cast'.split(
    ' ',
  ),
);

/** What each column of a row is: see {@link RowRange.columns}. Numbers that only change places are followed as codes. */
function columnsOf(
  graph: TensorGraph,
  inputDims: readonly (readonly number[])[],
  leaves: number,
): Int32Array {
  const codes = new Map<string, Tensor>();
  let channel = 0;
  for (const [i, name] of graph.inputs.entries()) {
    const dims = [...inputDims[i]!];
    const isLeaf = i < leaves;
    const values = Float64Array.from({ length: countOf(dims) }, () => (isLeaf ? 2 * channel++ : -1));
    codes.set(name, { dims, values });
  }
  for (const [name, tensor] of Object.entries(graph.constants)) codes.set(name, tensor);
  const constant = (name: string) => Object.hasOwn(graph.constants, name);
  for (const { op, inputs, outputs, attributes } of graph.nodes) {
    const taken = inputs.map((name) => codes.get(name)!);
    const moving = isMoving(op);
    // constants among numbers that are moved are nobody's channel
    const own = taken.map((tensor, i) =>
      moving && op === 'Concat' && constant(inputs[i]!)
        ? { ...tensor, values: tensor.values.map(() => -1) }
        : tensor,
    );
    const { outputs: results, run } = planOperation(op, own, attributes);
    if (moving) run?.();
    else if (op === 'Sigmoid')
      results[0]!.values.set(own[0]!.values.map((code) => (code >= 0 && code % 2 === 0 ? code + 1 : -1)));
    else for (const { values } of results) values.fill(-1);
    for (const [i, name] of outputs.entries()) codes.set(name, results[i]!);
  }
  return Int32Array.from(codes.get(graph.outputs[0]!)!.values);
}

/** Where the numbers of one row of a constant are, from the row's offset on, and that offset. */
function placesOf({ tensor, axes, base, fixed }: VaryingConstant) {
  const { dims, values: source } = tensor;
  const strides = stridesOf(dims);
  const own = new Set([...axes.map(({ axis }) => axis), ...fixed.keys()]);
  let places = [0];
  for (const [axis, extent] of dims.entries()) {
    if (own.has(axis)) continue;
    places = places.flatMap((place) => Array.from({ length: extent }, (_, k) => place + k * strides[axis]!));
  }
  let start = 0;
  for (const [axis, index] of fixed) if (axis >= 0 && dims[axis]! > 1) start += index * strides[axis]!;
  const offset = (row: number): number => {
    let at = start;
    let rest = base + row;
    for (let i = axes.length - 1; i >= 0; i--) {
      const { extent, axis } = axes[i]!;
      if (axis >= 0) at += (rest % extent) * strides[axis]!;
      rest = Math.floor(rest / extent);
    }
    return at;
  };
  return { source, places: Int32Array.from(places), offset };
}

/** Plans a range of rows, or throws where it begins to be computed otherwise. */
function planRange(
  graph: TensorGraph,
  dims: Dims,
  producers: ReadonlyMap<string, TensorNode>,
  axis: number,
  first: number,
  count: number,
): RowRange {
  const [output] = graph.outputs as [string];
  const trace = new RowTrace(graph, dims, producers, count);
  const part: Part = { rows: [axis], base: first, fixed: new Map() };
  const result = trace.value(output, part);
  const { nodes, constants, varying } = trace;
  const leaves = [...trace.leaves.values()];
  const row: TensorGraph = {
    inputs: [...trace.leaves.keys(), ...varying.keys()],
    nodes,
    constants,
    outputs: [result],
  };
  const inputDims = [
    ...leaves.map((leaf) => rowDims(dims.get(leaf.name)!, leaf.part)),
    ...[...varying.values()].map(({ tensor, axes, fixed }) =>
      tensor.dims.map((extent, each) =>
        axes.some((one) => one.axis === each) || fixed.has(each) ? 1 : extent,
      ),
    ),
  ];
  const program = planGraph(row, inputDims);
  return {
    first,
    count,
    leaves: leaves.map(({ name, part: { base } }) => ({
      input: graph.inputs.indexOf(name),
      cell: base,
      channels: dims.get(name)![1]!,
    })),
    columns: columnsOf(row, inputDims, leaves.length),
    program,
    constants: [...varying.values()].map((each, i) => ({
      target: program.inputs[leaves.length + i]!.values,
      ...placesOf(each),
    })),
  };
}

/** Most ways in which rows of a table may be computed. */
const MOST_RANGES = 256;

/** Plans the table that a graph puts out row by row, rows on an axis of it; undefined if its rows are not of that kind. */
export function planRows(
  graph: TensorGraph,
  inputDims: readonly (readonly number[])[],
  axis: number,
): RowPlan | undefined {
  const dims = dimensionsOf(graph, inputDims);
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  const rows = dims.get(graph.outputs[0]!)![axis]!;
  const ranges: RowRange[] = [];
  for (let first = 0, end = rows; first < rows; ) {
    try {
      ranges.push(planRange(graph, dims, producers, axis, first, end - first));
      [first, end] = [end, rows];
    } catch (error) {
      if (error instanceof SplitAt && error.count < end - first && ranges.length < MOST_RANGES)
        end = first + error.count;
      else if (error instanceof NotByRows || error instanceof SplitAt) return undefined;
      else throw error;
    }
  }
  return { rows, ranges };
}

/** Computes row `row` of a range from the maps, (H, W, C) each, into the range's program. */
export function computeRow(range: RowRange, row: number, maps: readonly ArrayLike<number>[]): Float64Array {
  const { program, constants, leaves } = range;
  for (let i = 0; i < leaves.length; i++) {
    const { input, cell, channels } = leaves[i]!;
    const target = program.inputs[i]!.values;
    const map = maps[input]!;
    const at = (cell + row) * channels;
    for (let c = 0; c < channels; c++) target[c] = map[at + c]!;
  }
  for (const { target: own, source, places, offset } of constants) {
    const start = offset(row);
    for (let i = 0; i < places.length; i++) own[i] = source[start + places[i]!]!;
  }
  program.run();
  return program.outputs[0]!.values;
}
