/** Numbers in float64, row-major. */
export interface Tensor {
  dims: number[];
  values: Float64Array;
}

export const countOf = (dims: readonly number[]): number =>
  dims.reduce((product, extent) => product * extent, 1);

/** Row-major strides of each dimension. */
export function stridesOf(dims: readonly number[]): number[] {
  const strides = new Array<number>(dims.length);
  for (let axis = dims.length - 1, stride = 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= dims[axis]!;
  }
  return strides;
}

/** An axis counted from the end if it is below 0. */
export const axisOf = (axis: number, dims: readonly number[]): number =>
  axis < 0 ? axis + dims.length : axis;
