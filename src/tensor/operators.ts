/**
 * The operators of tensors: what an exported network computes behind its output layers and in its islands, and what of
 * shapes is folded at import. In float64, as the ONNX standard has each of them (https://onnx.ai/onnx/operators). An
 * operator is planned once for the shapes of its inputs and then run any number of times, into the same numbers.
 */
import { exp, logistic, mish, tanh } from './exp.js';
import { axisOf, countOf, stridesOf, type Tensor } from './tensor.js';

export type Attributes = Readonly<Record<string, number | string | number[] | undefined>>;

/** An operator with its outputs in place; without `run` they are its input's own numbers, or known already. */
export interface Operation {
  outputs: Tensor[];
  run?: () => void;
}

/**
 * Loops that a back-end may have instructions for, to the same bits. A product of matrices (rows, inner) and (inner, columns) that begin
 * at these places, each sum from the first to the last product.
 */
export interface Loops {
  multiply(
    left: Float64Array,
    firstLeft: number,
    right: Float64Array,
    firstRight: number,
    out: Float64Array,
    firstOut: number,
    rows: number,
    inner: number,
    columns: number,
  ): void;
}

type Planner = (inputs: readonly Tensor[], attributes: Attributes, loops?: Loops) => Operation;

/** An operator: `operands` is the first input that must be known when it is planned, its numbers included. */
interface Operator {
  plan: Planner;
  operands?: number;
}

/** Most numbers that an operator may put out: a file could ask for any number of them. */
const MAX_VALUES = 2 ** 26;

function allocate(dims: readonly number[]): Tensor {
  const count = countOf(dims);
  if (!(count >= 0 && count <= MAX_VALUES)) throw new Error(`it would put out ${count} values`);
  return { dims: [...dims], values: new Float64Array(count) };
}

/** The same numbers in another form. */
const formed = (x: Tensor, dims: number[]): Operation => ({ outputs: [{ dims, values: x.values }] });

const unary =
  (f: (x: number) => number): Planner =>
  ([x]) => {
    const output = allocate(x!.dims);
    const [from, to] = [x!.values, output.values];
    return {
      outputs: [output],
      run: () => {
        for (let i = 0; i < to.length; i++) to[i] = f(from[i]!);
      },
    };
  };

/** Dimensions of two tensors together, as NumPy broadcasts them. */
function broadcastDims(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const [m, n] = [a[axis - rank + a.length] ?? 1, b[axis - rank + b.length] ?? 1];
    if (m !== n && m !== 1 && n !== 1)
      throw new Error(`shapes ${a.join('×')} and ${b.join('×')} do not go together`);
    return m === 1 ? n : m;
  });
}

/**
 * Where the elements of `x` are that are broadcast to those of `dims`: element i is at ⌊i / inner⌋ mod `extent` (in runs of
 * `inner`), or where a table says.
 */
type Broadcast = { extent: number; inner: number } | Int32Array;

function broadcastOf(x: Tensor, dims: readonly number[]): Broadcast {
  const offset = dims.length - x.dims.length;
  const extents = dims.map((_, axis) => x.dims[axis - offset] ?? 1);
  const first = extents.findIndex((extent) => extent > 1);
  if (first < 0) return { extent: 1, inner: 1 };
  const last = extents.findLastIndex((extent) => extent > 1);
  const whole = extents.slice(first, last + 1).every((extent, i) => extent === dims[first + i]);
  if (whole) return { extent: x.values.length, inner: countOf(dims.slice(last + 1)) };
  const [strides, own] = [stridesOf(dims), stridesOf(x.dims)];
  return Int32Array.from({ length: countOf(dims) }, (_, i) => {
    let index = 0;
    for (let axis = offset; axis < dims.length; axis++) {
      const extent = x.dims[axis - offset]!;
      if (extent > 1) index += (Math.floor(i / strides[axis]!) % extent) * own[axis - offset]!;
    }
    return index;
  });
}

/** A tensor's elements as they are broadcast: `next(i)` for i = 0, 1, 2, … */
function reader(x: Tensor, dims: readonly number[]): (i: number) => number {
  const { values } = x;
  const place = broadcastOf(x, dims);
  if (place instanceof Int32Array) return (i) => values[place[i]!]!;
  const { extent, inner } = place;
  if (extent === 1) return () => values[0]!;
  if (inner === 1) return extent === countOf(dims) ? (i) => values[i]! : (i) => values[i % extent]!;
  return (i) => values[Math.floor(i / inner) % extent]!;
}

const binary =
  (f: (a: number, b: number) => number): Planner =>
  ([a, b]) => {
    const dims = broadcastDims(a!.dims, b!.dims);
    const output = allocate(dims);
    const { values } = output;
    const [ofA, ofB] = [reader(a!, dims), reader(b!, dims)];
    return {
      outputs: [output],
      run: () => {
        for (let i = 0; i < values.length; i++) values[i] = f(ofA(i), ofB(i));
      },
    };
  };

/** An operator of any number of inputs as one of two, from the left. */
const folded =
  (f: (a: number, b: number) => number): Planner =>
  (inputs) => {
    const runs: (() => void)[] = [];
    const output = inputs.reduce((a, b) => {
      const { outputs, run } = binary(f)([a, b], {});
      runs.push(run!);
      return outputs[0]!;
    });
    return {
      outputs: [output],
      run: () => {
        for (const run of runs) run();
      },
    };
  };

const integers = (tensor: Tensor | undefined): number[] | undefined => tensor && [...tensor.values];

const reshape: Planner = ([x, shape]) => {
  const wanted = integers(shape)!.map((extent, axis) => (extent === 0 ? x!.dims[axis]! : extent));
  const known = countOf(wanted.filter((extent) => extent !== -1));
  const dims = wanted.map((extent) => (extent === -1 ? x!.values.length / known : extent));
  if (countOf(dims) !== x!.values.length)
    throw new Error(`cannot reshape ${x!.dims.join('×')} to ${wanted.join('×')}`);
  return formed(x!, dims);
};

/** Copies a run of numbers; a short one faster than a view of it would be made. */
function copyRun(source: Float64Array, from: number, target: Float64Array, to: number, length: number): void {
  if (length > 64) target.set(source.subarray(from, from + length), to);
  else for (let i = 0; i < length; i++) target[to + i] = source[from + i]!;
}

function transpose(x: Tensor, permutation: readonly number[]): Operation {
  const output = allocate(permutation.map((axis) => x.dims[axis]!));
  const { dims, values } = output;
  const from = stridesOf(x.dims);
  const steps = permutation.map((axis) => from[axis]!);
  const index = new Int32Array(dims.length);
  const innermost = dims.length - 1;
  const [extent, stride] = [dims[innermost] ?? 1, steps[innermost] ?? 1];
  const run = () => {
    index.fill(0);
    for (let i = 0, at = 0; i < values.length; i += extent) {
      if (stride === 1) copyRun(x.values, at, values, i, extent);
      else for (let k = 0; k < extent; k++) values[i + k] = x.values[at + k * stride]!;
      for (let axis = innermost - 1; axis >= 0; axis--) {
        index[axis]!++;
        at += steps[axis]!;
        if (index[axis]! < dims[axis]!) break;
        at -= steps[axis]! * dims[axis]!;
        index[axis] = 0;
      }
    }
  };
  return { outputs: [output], run };
}

/** Elements `indices` along an axis. */
function take(x: Tensor, axis: number, indices: readonly number[]): Operation {
  const outer = countOf(x.dims.slice(0, axis));
  const inner = countOf(x.dims.slice(axis + 1));
  const extent = x.dims[axis]!;
  const output = allocate(x.dims.map((each, i) => (i === axis ? indices.length : each)));
  const places = indices.map((index) => {
    const at = index < 0 ? index + extent : index;
    if (!(at >= 0 && at < extent)) throw new Error(`index ${index} is outside an axis of ${extent}`);
    return at;
  });
  const adjacent = places.every((at, i) => at === places[0]! + i);
  const [runs, length] = adjacent ? [places.slice(0, 1), places.length * inner] : [places, inner];
  const run = () => {
    let to = 0;
    for (let o = 0; o < outer; o++) {
      for (const at of runs) {
        copyRun(x.values, (o * extent + at) * inner, output.values, to, length);
        to += length;
      }
    }
  };
  return { outputs: [output], run };
}

/** Most indices along an axis, so many as a file could ask for. */
const MAX_INDICES = 2 ** 22;

function rangeOf(first: number, count: number, step = 1): number[] {
  if (!(count <= MAX_INDICES)) throw new Error(`it would take ${count} indices`);
  return Array.from({ length: Math.max(0, count) }, (_, i) => first + i * step);
}

/** Sizes of the parts that a tensor is split into; throws unless they make up the tensor. */
export function splitSizes(extent: number, parts: number, given: readonly number[] | undefined): number[] {
  const size = Math.ceil(extent / parts);
  const sizes = given ?? rangeOf(0, parts).map((part) => Math.min(size, extent - part * size));
  const total = sizes.reduce((sum, each) => sum + each, 0);
  if (!sizes.every((each) => Number.isInteger(each) && each >= 0) || total !== extent)
    throw new Error(`a Split into ${sizes.slice(0, 8).join(', ')} of ${extent}`);
  return [...sizes];
}

/** What a Slice takes of each axis: indices. */
export function sliceIndices(
  dims: readonly number[],
  starts: readonly number[],
  ends: readonly number[],
  axes: readonly number[] = rangeOf(0, starts.length),
  steps: readonly number[] = starts.map(() => 1),
): Map<number, number[]> {
  const result = new Map<number, number[]>();
  for (const [i, given] of axes.entries()) {
    const axis = axisOf(given, dims);
    const extent = dims[axis]!;
    const step = steps[i]!;
    const bound = (value: number, low: number, high: number) =>
      Math.min(Math.max(value < 0 ? value + extent : value, low), high);
    const start = step > 0 ? bound(starts[i]!, 0, extent) : bound(starts[i]!, 0, extent - 1);
    const end =
      step > 0 ? bound(ends[i]!, 0, extent) : ends[i]! <= -extent - 1 ? -1 : bound(ends[i]!, -1, extent - 1);
    result.set(axis, rangeOf(start, Math.ceil((end - start) / step), step));
  }
  return result;
}

/** Several operations one after the other, the last one's output. */
function chained(x: Tensor, steps: readonly ((x: Tensor) => Operation)[]): Operation {
  const operations: Operation[] = [];
  for (const step of steps) operations.push(step(operations.at(-1)?.outputs[0] ?? x));
  const runs = operations.flatMap(({ run }) => (run ? [run] : []));
  return {
    outputs: [operations.at(-1)?.outputs[0] ?? x],
    run: () => {
      for (const run of runs) run();
    },
  };
}

const softmax: Planner = ([x], { axis = -1 }) => {
  const along = axisOf(axis as number, x!.dims);
  const extent = x!.dims[along]!;
  const inner = countOf(x!.dims.slice(along + 1));
  const output = allocate(x!.dims);
  const [from, values] = [x!.values, output.values];
  const run = () => {
    for (let start = 0; start < values.length; start += extent * inner) {
      for (let i = 0; i < inner; i++) {
        const end = start + i + extent * inner;
        let largest = Number.NEGATIVE_INFINITY;
        for (let at = start + i; at < end; at += inner) if (from[at]! > largest) largest = from[at]!;
        let total = 0;
        for (let at = start + i; at < end; at += inner) total += values[at] = exp(from[at]! - largest);
        for (let at = start + i; at < end; at += inner) values[at]! /= total;
      }
    }
  };
  return { outputs: [output], run };
};

const concat: Planner = (inputs, { axis = 0 }) => {
  const [first] = inputs;
  const along = axisOf(axis as number, first!.dims);
  const inner = countOf(first!.dims.slice(along + 1));
  const outer = countOf(first!.dims.slice(0, along));
  const extent = inputs.reduce((sum, { dims }) => sum + dims[along]!, 0);
  const other = inputs.find(
    ({ dims }) =>
      dims.length !== first!.dims.length || dims.some((each, i) => i !== along && each !== first!.dims[i]),
  );
  if (other) throw new Error(`cannot concatenate ${first!.dims.join('×')} and ${other.dims.join('×')}`);
  const output = allocate(first!.dims.map((each, i) => (i === along ? extent : each)));
  const run = () => {
    let to = 0;
    for (let o = 0; o < outer; o++) {
      for (const { dims, values: from } of inputs) {
        const length = dims[along]! * inner;
        copyRun(from, o * length, output.values, to, length);
        to += length;
      }
    }
  };
  return { outputs: [output], run };
};

/** A 1×1 convolution: that of a distribution head, or of a gate. */
const convolution: Planner = ([x, w, b], { group = 1, pads, strides }) => {
  const [batch, channels, height, width] = x!.dims as [number, number, number, number];
  const [filters, heard, kernelHeight, kernelWidth] = w!.dims as [number, number, number, number];
  const plain =
    batch === 1 &&
    x!.dims.length === 4 &&
    w!.dims.length === 4 &&
    kernelHeight === 1 &&
    kernelWidth === 1 &&
    group === 1 &&
    heard === channels &&
    ((pads as number[] | undefined) ?? []).every((pad) => pad === 0) &&
    ((strides as number[] | undefined) ?? []).every((stride) => stride === 1) &&
    (!b || b.values.length === filters);
  if (!plain) throw new Error('only a 1×1 convolution without groups can be computed in floats');
  const cells = height * width;
  const output = allocate([1, filters, height, width]);
  const { values } = output;
  const run = () => {
    values.fill(0);
    for (let j = 0; j < filters; j++) {
      const first = j * cells;
      for (let c = 0; c < channels; c++) {
        const weight = w!.values[j * channels + c]!;
        const from = c * cells;
        for (let i = 0; i < cells; i++) values[first + i]! += weight * x!.values[from + i]!;
      }
      if (b) for (let i = 0; i < cells; i++) values[first + i]! += b.values[j]!;
    }
  };
  return { outputs: [output], run };
};

/** Sums in registers, two rows by four columns. */
const multiply: Loops['multiply'] = (left, firstA, right, firstB, values, to, rows, inner, columns) => {
  let i = 0;
  for (; i + 2 <= rows; i += 2) {
    let j = 0;
    for (; j + 4 <= columns; j += 4) {
      let a = 0;
      let b = 0;
      let c = 0;
      let d = 0;
      let e = 0;
      let f = 0;
      let g = 0;
      let h = 0;
      let at = firstB + j;
      const upper = firstA + i * inner;
      const lower = upper + inner;
      for (let k = 0; k < inner; k++, at += columns) {
        const p = left[upper + k]!;
        const q = left[lower + k]!;
        const r = right[at]!;
        const s = right[at + 1]!;
        const t = right[at + 2]!;
        const u = right[at + 3]!;
        a += p * r;
        b += p * s;
        c += p * t;
        d += p * u;
        e += q * r;
        f += q * s;
        g += q * t;
        h += q * u;
      }
      const place = to + i * columns + j;
      values[place] = a;
      values[place + 1] = b;
      values[place + 2] = c;
      values[place + 3] = d;
      values[place + columns] = e;
      values[place + columns + 1] = f;
      values[place + columns + 2] = g;
      values[place + columns + 3] = h;
    }
    for (; j < columns; j++) {
      values[to + i * columns + j] = product(left, firstA + i * inner, right, firstB + j, inner, columns);
      values[to + (i + 1) * columns + j] = product(
        left,
        firstA + (i + 1) * inner,
        right,
        firstB + j,
        inner,
        columns,
      );
    }
  }
  for (; i < rows; i++)
    for (let j = 0; j < columns; j++)
      values[to + i * columns + j] = product(left, firstA + i * inner, right, firstB + j, inner, columns);
};

/** A row of `left` by a column of `right`. */
function product(
  left: Float64Array,
  row: number,
  right: Float64Array,
  column: number,
  inner: number,
  columns: number,
): number {
  let sum = 0;
  for (let k = 0; k < inner; k++) sum += left[row + k]! * right[column + k * columns]!;
  return sum;
}

/** Products of matrices, those of the leading dimensions broadcast. */
const matMul: Planner = ([a, b], _, loops = { multiply }) => {
  if (a!.dims.length < 2 || b!.dims.length < 2) throw new Error('expected matrices');
  const [rows, inner] = a!.dims.slice(-2) as [number, number];
  const [height, columns] = b!.dims.slice(-2) as [number, number];
  if (inner !== height)
    throw new Error(`matrices of ${rows}×${inner} and ${height}×${columns} do not go together`);
  const batch = broadcastDims(a!.dims.slice(0, -2), b!.dims.slice(0, -2));
  const [ofA, ofB] = [a!, b!].map(({ dims }) => {
    const leading = dims.slice(0, -2);
    const numbers = Float64Array.from({ length: countOf(leading) }, (_, i) => i);
    return reader({ dims: leading, values: numbers }, batch);
  }) as [(i: number) => number, (i: number) => number];
  const output = allocate([...batch, rows, columns]);
  const places = Array.from(
    { length: countOf(batch) },
    (_, m) => [ofA(m) * rows * inner, ofB(m) * inner * columns, m * rows * columns] as const,
  );
  const run = () => {
    for (const [left, right, to] of places)
      loops.multiply(a!.values, left, b!.values, right, output.values, to, rows, inner, columns);
  };
  return { outputs: [output], run };
};

/** A fully connected layer: alpha·A·B + beta·C, either matrix transposed. */
const gemm: Planner = ([a, b, c], { alpha = 1, beta = 1, transA = 0, transB = 0 }, loops) => {
  const first = transA ? transpose(a!, [1, 0]) : { outputs: [a!] };
  const second = transB ? transpose(b!, [1, 0]) : { outputs: [b!] };
  const product = matMul([first.outputs[0]!, second.outputs[0]!], {}, loops);
  const scaled = chained(product.outputs[0]!, [
    (x) => unary((value) => (alpha as number) * value)([x], {}),
    (x) => (c ? binary((p, q) => p + (beta as number) * q)([x, c], {}) : { outputs: [x] }),
  ]);
  return {
    outputs: scaled.outputs,
    run: () => {
      for (const { run } of [first, second, product, scaled] as Operation[]) run?.();
    },
  };
};

/** A sum, mean or maximum over some axes, all of them if none are named. */
const reduce =
  (start: number, f: (a: number, b: number) => number, mean = false): Planner =>
  ([x, given], { axes, keepdims = 1 }) => {
    const named = listOf(axes, given)?.map((axis) => axisOf(axis, x!.dims));
    const over = new Set(named?.length ? named : rangeOf(0, x!.dims.length));
    const kept = x!.dims.map((extent, axis) => (over.has(axis) ? 1 : extent));
    const output = allocate(kept);
    const { values } = output;
    const place = reader({ dims: kept, values: Float64Array.from(values, (_, i) => i) }, x!.dims);
    const count = x!.values.length / values.length;
    const run = () => {
      values.fill(start);
      for (let i = 0; i < x!.values.length; i++) {
        const at = place(i);
        values[at] = f(values[at]!, x!.values[i]!);
      }
      if (mean) for (let i = 0; i < values.length; i++) values[i]! /= count;
    };
    const dims = keepdims ? kept : kept.filter((_, axis) => !over.has(axis));
    return { outputs: [{ dims, values }], run };
  };

const sum = (a: number, b: number) => a + b;

/** Over the cells of a map. */
const overCells =
  (planner: Planner): Planner =>
  ([x]) =>
    planner([x!], { axes: rangeOf(2, x!.dims.length - 2) });

const identity: Planner = ([x]) => ({ outputs: [x!] });

/** Dimensions with further axes of extent 1. */
function unsqueezed(dims: readonly number[], axes: readonly number[]): number[] {
  const rank = dims.length + axes.length;
  const added = new Set(axes.map((axis) => (axis < 0 ? axis + rank : axis)));
  const rest = [...dims];
  return rangeOf(0, rank).map((axis) => (added.has(axis) ? 1 : rest.shift()!));
}

const listOf = (attribute: Attributes[string], input: Tensor | undefined): number[] | undefined =>
  integers(input) ?? (attribute as number[] | undefined);

/** The function of one variable that attributes describe. */
const described =
  (describe: (attributes: Attributes) => (x: number) => number): Planner =>
  (inputs, attributes) =>
    unary(describe(attributes))(inputs, attributes);

const bound = (x: number, low: number, high: number) => Math.min(Math.max(x, low), high);

/** A power; squares and roots are what they are in every engine. */
const power = (a: number, b: number) => (b === 2 ? a * a : b === 0.5 ? Math.sqrt(a) : a ** b);

/** Every operator that is understood, by its ONNX name. */
const KNOWN: Readonly<Record<string, Operator>> = {
  Add: { plan: binary((a, b) => a + b) },
  Sub: { plan: binary((a, b) => a - b) },
  Mul: { plan: binary((a, b) => a * b) },
  Div: { plan: binary((a, b) => a / b) },
  Pow: { plan: binary(power) },
  Max: { plan: folded(Math.max) },
  Min: { plan: folded(Math.min) },
  Sigmoid: { plan: unary(logistic) },
  Exp: { plan: unary(exp) },
  Tanh: { plan: unary(tanh) },
  Sqrt: { plan: unary(Math.sqrt) },
  Floor: { plan: unary(Math.floor) },
  Ceil: { plan: unary(Math.ceil) },
  Neg: { plan: unary((x) => -x) },
  Abs: { plan: unary(Math.abs) },
  Reciprocal: { plan: unary((x) => 1 / x) },
  Relu: { plan: unary((x) => Math.max(x, 0)) },
  LeakyRelu: {
    plan: described(
      ({ alpha = 0.01 }) =>
        (x) =>
          x > 0 ? x : (alpha as number) * x,
    ),
  },
  PRelu: { plan: binary((x, slope) => (x > 0 ? x : slope * x)) },
  HardSigmoid: {
    plan: described(
      ({ alpha = 0.2, beta = 0.5 }) =>
        (x) =>
          bound((alpha as number) * x + (beta as number), 0, 1),
    ),
  },
  HardSwish: { plan: unary((x) => (x * bound(x + 3, 0, 6)) / 6) },
  Silu: { plan: unary((x) => x * logistic(x)) },
  Mish: { plan: unary(mish) },
  Elu: {
    plan: described(
      ({ alpha = 1 }) =>
        (x) =>
          x > 0 ? x : (alpha as number) * (exp(x) - 1),
    ),
  },
  Softmax: { plan: softmax },
  MatMul: { plan: matMul },
  Gemm: { plan: gemm },
  ReduceMean: { plan: reduce(0, sum, true), operands: 1 },
  ReduceSum: { plan: reduce(0, sum), operands: 1 },
  ReduceMax: { plan: reduce(Number.NEGATIVE_INFINITY, Math.max), operands: 1 },
  GlobalAveragePool: { plan: overCells(reduce(0, sum, true)) },
  GlobalMaxPool: { plan: overCells(reduce(Number.NEGATIVE_INFINITY, Math.max)) },
  Concat: { plan: concat },
  Reshape: { plan: reshape, operands: 1 },
  Identity: { plan: identity },
  Dropout: { plan: identity },
  Cast: { plan: ([x], { to }) => (to === 6 || to === 7 ? unary(Math.trunc)([x!], {}) : { outputs: [x!] }) },
  Clip: {
    operands: 1,
    plan: ([x, low, high], { min, max }) => {
      const [least, most] = [low?.values[0] ?? (min as number), high?.values[0] ?? (max as number)];
      return unary((value) => bound(value, least ?? -Infinity, most ?? Infinity))([x!], {});
    },
  },
  Transpose: {
    plan: ([x], { perm }) => transpose(x!, (perm as number[]) ?? rangeOf(0, x!.dims.length).reverse()),
  },
  Flatten: {
    plan: ([x], { axis = 1 }) => {
      const first = countOf(x!.dims.slice(0, axisOf(axis as number, x!.dims)));
      return formed(x!, [first, x!.values.length / first]);
    },
  },
  Squeeze: {
    operands: 1,
    plan: ([x, given], { axes }) => {
      const dropped = listOf(axes, given)?.map((axis) => axisOf(axis, x!.dims));
      const keep = (extent: number, axis: number) => (dropped ? !dropped.includes(axis) : extent !== 1);
      return formed(x!, x!.dims.filter(keep));
    },
  },
  Unsqueeze: {
    operands: 1,
    plan: ([x, given], { axes }) => formed(x!, unsqueezed(x!.dims, listOf(axes, given)!)),
  },
  Gather: {
    operands: 1,
    plan: ([x, indices], { axis = 0 }) => {
      const along = axisOf(axis as number, x!.dims);
      const { outputs, run } = take(x!, along, integers(indices)!);
      const dims = [...x!.dims.slice(0, along), ...indices!.dims, ...x!.dims.slice(along + 1)];
      return { outputs: [{ dims, values: outputs[0]!.values }], run: run! };
    },
  },
  Slice: {
    operands: 1,
    plan: ([x, starts, ends, axes, steps], attributes) => {
      const taking = sliceIndices(
        x!.dims,
        listOf(attributes.starts, starts)!,
        listOf(attributes.ends, ends)!,
        listOf(attributes.axes, axes),
        integers(steps),
      );
      return chained(
        x!,
        [...taking].map(
          ([axis, indices]) =>
            (part: Tensor) =>
              take(part, axis, indices),
        ),
      );
    },
  },
  Split: {
    operands: 1,
    plan: ([x, sizes], { axis = 0, split, num_outputs, outputs }) => {
      const along = axisOf(axis as number, x!.dims);
      let first = 0;
      const parts = splitSizes(x!.dims[along]!, (num_outputs ?? outputs) as number, listOf(split, sizes)).map(
        (size) => {
          const part = take(x!, along, rangeOf(first, size));
          first += size;
          return part;
        },
      );
      return {
        outputs: parts.map((part) => part.outputs[0]!),
        run: () => {
          for (const { run } of parts) run!();
        },
      };
    },
  },
  Conv: { plan: convolution },
  // what follows from shapes alone is known when it is planned
  Shape: {
    plan: ([x]) => ({ outputs: [{ dims: [x!.dims.length], values: Float64Array.from(x!.dims) }] }),
  },
  ConstantOfShape: {
    operands: 0,
    plan: ([shape], { value }) => {
      const output = allocate(integers(shape)!);
      output.values.fill((value as number | undefined) ?? 0);
      return { outputs: [output] };
    },
  },
  Range: {
    operands: 0,
    plan: ([start, limit, delta]) => {
      const [first, end, step] = [start, limit, delta].map((each) => each!.values[0]!) as [
        number,
        number,
        number,
      ];
      const values = Float64Array.from(rangeOf(first, Math.ceil((end - first) / step), step));
      return { outputs: [{ dims: [values.length], values }] };
    },
  },
  Expand: {
    operands: 1,
    plan: ([x, shape]) => binary((a) => a)([x!, allocate(integers(shape)!)], {}),
  },
};

/** True for an operator that can be computed. */
export const isOperator = (op: unknown): op is string => typeof op === 'string' && Object.hasOwn(KNOWN, op);

/** True for an operator that only brings numbers to other places. */
export const isMoving = (op: string): boolean => MOVING.has(op);

/** True if an operator's outputs follow from the shapes of its inputs alone. */
export const isOfShapes = (op: string): boolean => op === 'Shape';

/** The first input of an operator that must be known when it is planned; Infinity if none must. */
export const operandsOf = (op: string): number => KNOWN[op]!.operands ?? Number.POSITIVE_INFINITY;

/** What an operator takes: multiply-accumulates, and all its operations with those. */
export interface Work {
  op: string;
  multiplications: number;
  operations: number;
}

/** Operators that only bring numbers to other places. */
const MOVING = new Set(
  'Concat Reshape Identity Dropout Cast Transpose Flatten Squeeze Unsqueeze Gather Slice Split Expand'.split(
    ' ',
  ),
);

/** What a planned operator takes: a product counts with its sum as one, any other number that it puts out as one. */
export function workOf(op: string, inputs: readonly Tensor[], outputs: readonly Tensor[]): Work {
  const out = outputs.reduce((sum, { values }) => sum + values.length, 0);
  const [x, w] = inputs;
  if (op === 'MatMul' || op === 'Gemm' || op === 'Conv') {
    const multiplications = out * (op === 'Conv' ? w!.dims[1]! : x!.dims.at(-1)!);
    return { op, multiplications, operations: multiplications };
  }
  const taken = op.startsWith('Reduce') || op.startsWith('Global') ? x!.values.length : out;
  // the largest, the exponential and the quotient
  const operations = MOVING.has(op) ? 0 : op === 'Softmax' ? 3 * out : taken;
  return { op, multiplications: 0, operations };
}

/** Plans an operator for inputs of these shapes (and, from its operands on, these numbers). */
export function planOperation(
  op: string,
  inputs: readonly Tensor[],
  attributes: Attributes,
  loops?: Loops,
): Operation {
  try {
    return KNOWN[op]!.plan(inputs, attributes, loops);
  } catch (error) {
    // a file may leave out any input and give any attribute
    if (error instanceof TypeError) throw new Error('its inputs or attributes are not what it takes');
    throw error;
  }
}

/** Computes an operator once. */
export function compute(op: string, inputs: readonly Tensor[], attributes: Attributes): Tensor[] {
  const { outputs, run } = planOperation(op, inputs, attributes);
  run?.();
  return outputs;
}
