import { countOf, stridesOf } from '../../tensor/tensor.js';

/** A channel of a layer's output. */
export interface ChannelRef {
  layer: string;
  channel: number;
  /** Of every other row or column of the layer only: whether from its first (0) or its second (1). */
  row?: 0 | 1;
  column?: 0 | 1;
}

/** True for a channel of every other row or column. */
export const isPhase = ({ row, column }: ChannelRef): boolean => row !== undefined || column !== undefined;

/** An axis of a value: so many channels, or the rows, the columns, or all cells of a map. */
export type Axis = number | 'h' | 'w' | 'hw';

/**
 * A value that is nothing but channels of layers, in some order and some shape: what reshapes, transpositions, slices and
 * concatenations make of maps. Channels are listed row-major over the axes that are numbers.
 */
export interface View {
  height: number;
  width: number;
  axes: Axis[];
  channels: ChannelRef[];
}

export const extentOf = ({ height, width }: View, axis: Axis): number =>
  axis === 'h' ? height : axis === 'w' ? width : axis === 'hw' ? height * width : axis;

export const dimsOf = (view: View): number[] => view.axes.map((axis) => extentOf(view, axis));

/** A layer's whole output: (1, C, H, W). */
export const viewOfLayer = (layer: string, channels: number, height: number, width: number): View => ({
  height,
  width,
  axes: [1, channels, 'h', 'w'],
  channels: Array.from({ length: channels }, (_, channel) => ({ layer, channel })),
});

/** The same elements in other dimensions; undefined where channels and cells would mix. */
export function reshapeView(view: View, dims: readonly number[]): View | undefined {
  const atoms: Axis[] = view.axes.flatMap((axis): Axis[] => (axis === 'hw' ? ['h', 'w'] : [axis]));
  const axes: Axis[] = [];
  let at = 0;
  for (const extent of dims) {
    let left = extent;
    let spatial = '';
    let channels = 1;
    while (left > 1) {
      const atom = atoms[at];
      if (atom === undefined) return undefined;
      const size = extentOf(view, atom);
      if (typeof atom !== 'number') {
        if (left % size !== 0) return undefined;
        spatial += atom;
        left /= size;
        at++;
      } else if (size <= left) {
        if (left % size !== 0) return undefined;
        channels *= size;
        left /= size;
        at++;
      } else {
        if (size % left !== 0) return undefined;
        channels *= left;
        atoms[at] = size / left;
        left = 1;
      }
    }
    if (spatial !== '' && channels > 1) return undefined;
    if (spatial === '') axes.push(channels);
    else if (spatial === 'h' || spatial === 'w' || spatial === 'hw') axes.push(spatial);
    else return undefined;
  }
  // what is left may hold nothing: extents of 1
  if (atoms.slice(at).some((atom) => extentOf(view, atom) !== 1)) return undefined;
  return countOf(dims) === countOf(dimsOf(view)) ? { ...view, axes } : undefined;
}

export function transposeView(view: View, permutation: readonly number[]): View {
  const axes = permutation.map((axis) => view.axes[axis]!);
  const numeric = view.axes.flatMap((axis, i) => (typeof axis === 'number' ? [i] : []));
  const extents = numeric.map((i) => view.axes[i] as number);
  const strides = stridesOf(extents);
  const order = permutation.filter((axis) => numeric.includes(axis)).map((axis) => numeric.indexOf(axis));
  const target = order.map((i) => extents[i]!);
  const targetStrides = stridesOf(target);
  const channels = Array.from({ length: countOf(target) }, (_, i) => {
    let from = 0;
    for (const [k, axis] of order.entries())
      from += (Math.floor(i / targetStrides[k]!) % target[k]!) * strides[axis]!;
    return view.channels[from]!;
  });
  return { ...view, axes, channels };
}

/** Every other row or column of a map, from its first or its second; undefined for anything else. */
function phaseOf(view: View, axis: 'h' | 'w', indices: readonly number[]): View | undefined {
  const extent = extentOf(view, axis);
  const [first] = indices;
  const every = indices.every((index, i) => index === first! + 2 * i);
  const direction = axis === 'h' ? 'row' : 'column';
  if (!every || (first !== 0 && first !== 1) || indices.length !== extent / 2) return undefined;
  if (view.channels.some((channel) => channel[direction] !== undefined)) return undefined;
  const channels = view.channels.map((channel) => ({ ...channel, [direction]: first }));
  return { ...view, [axis === 'h' ? 'height' : 'width']: extent / 2, channels };
}

/** Elements of an axis of channels, or every other of an axis of cells; undefined for other parts of it, unless all are taken in order. */
export function takeFromView(view: View, axis: number, indices: readonly number[]): View | undefined {
  const extent = extentOf(view, view.axes[axis]!);
  if (indices.length === extent && indices.every((index, i) => index === i)) return view;
  const kind = view.axes[axis];
  if (kind === 'h' || kind === 'w') return phaseOf(view, kind, indices);
  if (typeof kind !== 'number') return undefined;
  const numeric = view.axes.map((each) => (typeof each === 'number' ? each : 1));
  const inner = countOf(numeric.slice(axis + 1));
  const outer = countOf(numeric.slice(0, axis));
  const channels: ChannelRef[] = [];
  for (let o = 0; o < outer; o++) {
    for (const index of indices) {
      const at = (o * extent + (index < 0 ? index + extent : index)) * inner;
      channels.push(...view.channels.slice(at, at + inner));
    }
  }
  return { ...view, axes: view.axes.map((each, i) => (i === axis ? indices.length : each)), channels };
}

/** Views of one shape but for an axis of channels, one behind the other along it. */
export function concatViews(views: readonly View[], axis: number): View | undefined {
  const [first] = views;
  const alike = views.every(
    (view) =>
      view.height === first!.height &&
      view.width === first!.width &&
      view.axes.length === first!.axes.length &&
      typeof view.axes[axis] === 'number' &&
      view.axes.every((each, i) => i === axis || each === first!.axes[i]),
  );
  if (!alike) return undefined;
  const numeric = first!.axes.map((each) => (typeof each === 'number' ? each : 1));
  const outer = countOf(numeric.slice(0, axis));
  const channels: ChannelRef[] = [];
  for (let o = 0; o < outer; o++) {
    for (const view of views) {
      const length = view.channels.length / outer;
      channels.push(...view.channels.slice(o * length, (o + 1) * length));
    }
  }
  const extent = views.reduce((sum, view) => sum + (view.axes[axis] as number), 0);
  return { ...first!, axes: first!.axes.map((each, i) => (i === axis ? extent : each)), channels };
}
