/**
 * The operators of tensors: what an exported network computes behind its output layers, and what of shapes is folded at
 * import. In float64, as the ONNX standard has each of them (https://onnx.ai/onnx/operators).
 */
import { logistic } from '../network/activations.js';
import { axisOf, countOf, stridesOf, type Tensor } from './tensor.js';

export type Attributes = Readonly<Record<string, number | string | number[] | undefined>>;
type Operator = (inputs: readonly Tensor[], attributes: Attributes) => Tensor[];

/** Most numbers that an operator may put out: a file could ask for any number of them. */
const MAX_VALUES = 2 ** 26;

function allocate(count: number): Float64Array<ArrayBuffer> {
  if (!(count >= 0 && count <= MAX_VALUES)) throw new Error(`it would put out ${count} values`);
  return new Float64Array(count);
}

const unary =
  (f: (x: number) => number): Operator =>
  ([x]) => [{ dims: x!.dims, values: x!.values.map(f) }];

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

/** For each element of `dims` the index of the one in `x` that is broadcast there. */
function broadcastIndex(x: Tensor, dims: readonly number[]): (i: number) => number {
  if (x.values.length === 1) return () => 0;
  if (x.dims.length === dims.length && x.dims.every((extent, axis) => extent === dims[axis])) return (i) => i;
  const strides = stridesOf(dims);
  const own = stridesOf(x.dims);
  const offset = dims.length - x.dims.length;
  return (i) => {
    let index = 0;
    for (let axis = offset; axis < dims.length; axis++) {
      const extent = x.dims[axis - offset]!;
      if (extent > 1) index += (Math.floor(i / strides[axis]!) % extent) * own[axis - offset]!;
    }
    return index;
  };
}

const binary =
  (f: (a: number, b: number) => number): Operator =>
  ([a, b]) => {
    const dims = broadcastDims(a!.dims, b!.dims);
    const [ofA, ofB] = [broadcastIndex(a!, dims), broadcastIndex(b!, dims)];
    const values = allocate(countOf(dims));
    for (let i = 0; i < values.length; i++) values[i] = f(a!.values[ofA(i)]!, b!.values[ofB(i)]!);
    return [{ dims, values }];
  };

const integers = (tensor: Tensor | undefined): number[] | undefined => tensor && [...tensor.values];

function reshape([x, shape]: readonly Tensor[]): Tensor[] {
  const wanted = integers(shape)!.map((extent, axis) => (extent === 0 ? x!.dims[axis]! : extent));
  const known = countOf(wanted.filter((extent) => extent !== -1));
  const dims = wanted.map((extent) => (extent === -1 ? x!.values.length / known : extent));
  if (countOf(dims) !== x!.values.length)
    throw new Error(`cannot reshape ${x!.dims.join('×')} to ${wanted.join('×')}`);
  return [{ dims, values: x!.values }];
}

/** Copies a run of numbers; a short one faster than a view of it would be made. */
function copyRun(source: Float64Array, from: number, target: Float64Array, to: number, length: number): void {
  if (length > 32) target.set(source.subarray(from, from + length), to);
  else for (let i = 0; i < length; i++) target[to + i] = source[from + i]!;
}

export function transposed(x: Tensor, permutation: readonly number[]): Tensor {
  const dims = permutation.map((axis) => x.dims[axis]!);
  const from = stridesOf(x.dims);
  const steps = permutation.map((axis) => from[axis]!);
  const values = allocate(x.values.length);
  const index = new Array<number>(dims.length).fill(0);
  const innermost = dims.length - 1;
  const [run, stride] = [dims[innermost] ?? 1, steps[innermost] ?? 1];
  for (let i = 0, at = 0; i < values.length; i += run) {
    if (stride === 1) copyRun(x.values, at, values, i, run);
    else for (let k = 0; k < run; k++) values[i + k] = x.values[at + k * stride]!;
    for (let axis = innermost - 1; axis >= 0; axis--) {
      index[axis]!++;
      at += steps[axis]!;
      if (index[axis]! < dims[axis]!) break;
      at -= steps[axis]! * dims[axis]!;
      index[axis] = 0;
    }
  }
  return { dims, values };
}

/** Elements `indices` along an axis. */
export function taken(x: Tensor, axis: number, indices: readonly number[]): Tensor {
  const outer = countOf(x.dims.slice(0, axis));
  const inner = countOf(x.dims.slice(axis + 1));
  const extent = x.dims[axis]!;
  const values = allocate(outer * indices.length * inner);
  const places = indices.map((index) => {
    const at = index < 0 ? index + extent : index;
    if (!(at >= 0 && at < extent)) throw new Error(`index ${index} is outside an axis of ${extent}`);
    return at;
  });
  const adjacent = places.every((at, i) => at === places[0]! + i);
  const [runs, length] = adjacent ? [places.slice(0, 1), places.length * inner] : [places, inner];
  let to = 0;
  for (let o = 0; o < outer; o++) {
    for (const at of runs) {
      copyRun(x.values, (o * extent + at) * inner, values, to, length);
      to += length;
    }
  }
  return { dims: x.dims.map((each, i) => (i === axis ? indices.length : each)), values };
}

/** Most indices along an axis, so many as a file could ask for. */
const MAX_INDICES = 2 ** 22;

function rangeOf(first: number, count: number, step = 1): number[] {
  if (!(count <= MAX_INDICES)) throw new Error(`it would take ${count} indices`);
  return Array.from({ length: Math.max(0, count) }, (_, i) => first + i * step);
}

/** Sizes of the parts that a tensor is split into. */
export function splitSizes(extent: number, parts: number, given: readonly number[] | undefined): number[] {
  if (given) return [...given];
  const size = Math.ceil(extent / parts);
  return rangeOf(0, parts).map((part) => Math.min(size, extent - part * size));
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

function softmax([x]: readonly Tensor[], { axis = -1 }: Attributes): Tensor[] {
  const along = axisOf(axis as number, x!.dims);
  const extent = x!.dims[along]!;
  const inner = countOf(x!.dims.slice(along + 1));
  const values = allocate(x!.values.length);
  for (let start = 0; start < values.length; start += extent * inner) {
    for (let i = 0; i < inner; i++) {
      let largest = Number.NEGATIVE_INFINITY;
      for (let k = 0; k < extent; k++) largest = Math.max(largest, x!.values[start + k * inner + i]!);
      let total = 0;
      for (let k = 0; k < extent; k++) {
        const at = start + k * inner + i;
        total += values[at] = Math.exp(x!.values[at]! - largest);
      }
      for (let k = 0; k < extent; k++) values[start + k * inner + i]! /= total;
    }
  }
  return [{ dims: x!.dims, values }];
}

function concat(inputs: readonly Tensor[], { axis = 0 }: Attributes): Tensor[] {
  const [first] = inputs;
  const along = axisOf(axis as number, first!.dims);
  const inner = countOf(first!.dims.slice(along + 1));
  const outer = countOf(first!.dims.slice(0, along));
  const extent = inputs.reduce((sum, { dims }) => sum + dims[along]!, 0);
  const values = allocate(outer * extent * inner);
  let to = 0;
  for (let o = 0; o < outer; o++) {
    for (const { dims, values: from } of inputs) {
      const length = dims[along]! * inner;
      copyRun(from, o * length, values, to, length);
      to += length;
    }
  }
  return [{ dims: first!.dims.map((each, i) => (i === along ? extent : each)), values }];
}

/** A convolution without padding or groups: that of a distribution head (1×1). */
function convolution([x, w, b]: readonly Tensor[], attributes: Attributes): Tensor[] {
  const [, channels, height, width] = x!.dims as [number, number, number, number];
  const [filters, heard, kernelHeight, kernelWidth] = w!.dims as [number, number, number, number];
  const { group = 1, pads, strides } = attributes;
  const plain =
    kernelHeight === 1 &&
    kernelWidth === 1 &&
    group === 1 &&
    heard === channels &&
    ((pads as number[] | undefined) ?? []).every((pad) => pad === 0) &&
    ((strides as number[] | undefined) ?? []).every((stride) => stride === 1);
  if (!plain) throw new Error('only a 1×1 convolution may stand behind the output layers');
  const cells = height * width;
  const values = allocate(filters * cells);
  for (let j = 0; j < filters; j++) {
    const row = values.subarray(j * cells, (j + 1) * cells);
    for (let c = 0; c < channels; c++) {
      const weight = w!.values[j * channels + c]!;
      for (let i = 0; i < cells; i++) row[i]! += weight * x!.values[c * cells + i]!;
    }
    if (b) for (let i = 0; i < cells; i++) row[i]! += b.values[j]!;
  }
  return [{ dims: [1, filters, height, width], values }];
}

const identity: Operator = ([x]) => [x!];

/** Dimensions without, or with further, axes of extent 1. */
function unsqueezed(x: Tensor, axes: readonly number[]): Tensor {
  const rank = x.dims.length + axes.length;
  const added = new Set(axes.map((axis) => (axis < 0 ? axis + rank : axis)));
  const rest = [...x.dims];
  return { dims: rangeOf(0, rank).map((axis) => (added.has(axis) ? 1 : rest.shift()!)), values: x.values };
}

const listOf = (attribute: Attributes[string], input: Tensor | undefined): number[] | undefined =>
  integers(input) ?? (attribute as number[] | undefined);

/** Every operator that is understood, by its ONNX name. */
export const OPERATORS: Readonly<Record<string, Operator>> = {
  Add: binary((a, b) => a + b),
  Sub: binary((a, b) => a - b),
  Mul: binary((a, b) => a * b),
  Div: binary((a, b) => a / b),
  Pow: binary((a, b) => a ** b),
  Max: (inputs) => [inputs.reduce((a, b) => binary(Math.max)([a, b], {})[0]!)],
  Min: (inputs) => [inputs.reduce((a, b) => binary(Math.min)([a, b], {})[0]!)],
  Sigmoid: unary(logistic),
  Exp: unary(Math.exp),
  Tanh: unary(Math.tanh),
  Sqrt: unary(Math.sqrt),
  Floor: unary(Math.floor),
  Ceil: unary(Math.ceil),
  Neg: unary((x) => -x),
  Relu: unary((x) => Math.max(x, 0)),
  Softmax: softmax,
  Concat: concat,
  Reshape: reshape,
  Identity: identity,
  Dropout: identity,
  Cast: ([x], { to }) => [
    { dims: x!.dims, values: to === 6 || to === 7 ? x!.values.map(Math.trunc) : x!.values },
  ],
  Clip: ([x, low, high], { min, max }) => {
    const [least, most] = [low?.values[0] ?? (min as number), high?.values[0] ?? (max as number)];
    return unary((value) => Math.min(Math.max(value, least ?? -Infinity), most ?? Infinity))([x!], {});
  },
  Transpose: ([x], { perm }) => [transposed(x!, (perm as number[]) ?? rangeOf(0, x!.dims.length).reverse())],
  Flatten: ([x], { axis = 1 }) => {
    const first = countOf(x!.dims.slice(0, axisOf(axis as number, x!.dims)));
    return [{ dims: [first, x!.values.length / first], values: x!.values }];
  },
  Squeeze: ([x, given], { axes }) => {
    const dropped = listOf(axes, given)?.map((axis) => axisOf(axis, x!.dims));
    const keep = (extent: number, axis: number) => (dropped ? !dropped.includes(axis) : extent !== 1);
    return [{ dims: x!.dims.filter(keep), values: x!.values }];
  },
  Unsqueeze: ([x, given], { axes }) => [unsqueezed(x!, listOf(axes, given)!)],
  Gather: ([x, indices], { axis = 0 }) => {
    const along = axisOf(axis as number, x!.dims);
    const { dims, values } = taken(x!, along, integers(indices)!);
    return [{ dims: [...dims.slice(0, along), ...indices!.dims, ...dims.slice(along + 1)], values }];
  },
  Slice: ([x, starts, ends, axes, steps], attributes) => {
    const taking = sliceIndices(
      x!.dims,
      listOf(attributes.starts, starts)!,
      listOf(attributes.ends, ends)!,
      listOf(attributes.axes, axes),
      integers(steps),
    );
    return [[...taking].reduce((part, [axis, indices]) => taken(part, axis, indices), x!)];
  },
  Split: ([x, sizes], { axis = 0, split, num_outputs, outputs }) => {
    const along = axisOf(axis as number, x!.dims);
    let first = 0;
    return splitSizes(x!.dims[along]!, (num_outputs ?? outputs) as number, listOf(split, sizes)).map(
      (size) => {
        const part = taken(x!, along, rangeOf(first, size));
        first += size;
        return part;
      },
    );
  },
  Conv: convolution,
  Shape: ([x]) => [{ dims: [x!.dims.length], values: Float64Array.from(x!.dims) }],
  ConstantOfShape: ([shape], { value }) => {
    const dims = integers(shape)!;
    return [{ dims, values: allocate(countOf(dims)).fill((value as number | undefined) ?? 0) }];
  },
  Range: ([start, limit, delta]) => {
    const [first, end, step] = [start, limit, delta].map((each) => each!.values[0]!) as [
      number,
      number,
      number,
    ];
    const values = Float64Array.from(rangeOf(first, Math.ceil((end - first) / step), step));
    return [{ dims: [values.length], values }];
  },
  Expand: ([x, shape]) =>
    binary((a) => a)([x!, { dims: integers(shape)!, values: allocate(countOf(integers(shape)!)) }], {}),
};
