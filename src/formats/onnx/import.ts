import { onnxError, reasonOf, SpikingYoloError } from '../../errors.js';
import {
  type Activated,
  type CurveActivation,
  isSlope,
  isSlopeOfChannel,
} from '../../network/activations.js';
import { IMAGE, type Layer, type Network, type Shape } from '../../network/network.js';
import { checkFloatShares, networkOperations } from '../../network/operations.js';
import { outputExtent } from '../../network/ops/operator.js';
import type { ConvolutionParameters, FoldedParameters } from '../../network/parameters.js';
import { addShape } from '../../network/shapes.js';
import { outputDimsOf, type TensorGraph, type TensorNode } from '../../tensor/graph.js';
import { compute, isOperator, sliceIndices, splitSizes } from '../../tensor/operators.js';
import { axisOf, countOf, type Tensor } from '../../tensor/tensor.js';
import { attributesOf, simplify } from './fold.js';
import type { OnnxGraph, OnnxNode } from './proto.js';
import {
  concatViews,
  dimsOf,
  isPhase,
  reshapeView,
  takeFromView,
  transposeView,
  type View,
  viewOfLayer,
} from './view.js';

/** A file's network: its layers, what it computes behind them, and what comes out. */
export interface ImportedGraph {
  input: Shape;
  layers: Layer[];
  parameters: FoldedParameters;
  tail: TensorGraph;
  /** Dimensions of the tail's outputs. */
  outputDims: number[][];
}

/** Operators that are neurons or wiring, where their inputs are. */
const WIRED = new Set(
  'Conv BatchNormalization Relu LeakyRelu PRelu Silu HardSwish Mish Elu Clip Add MaxPool AveragePool Pad Resize Upsample Concat Split Slice Gather Reshape Transpose Squeeze Unsqueeze Flatten'.split(
    ' ',
  ),
);

/** What files hold that are no networks of neurons, each by operators that only they have, and what to do. */
const FOREIGN: [ops: string[], reason: string][] = [
  [
    ['QuantizeLinear', 'DequantizeLinear', 'QLinearConv', 'ConvInteger'],
    'the file is quantised (QDQ); export the network in float, --weight-bits 8 quantises it here',
  ],
  [
    ['NonMaxSuppression', 'BatchedNMS_TRT', 'EfficientNMS_TRT'],
    'the file was exported with non-maximum suppression inside; export it without (nms=False), it is done here',
  ],
  [
    ['TopK'],
    'the file ends in a head that picks its boxes itself (TopK: YOLOv10, YOLO26, RT-DETR), which is not supported yet',
  ],
];

/** Throws `ONNX` for a file of a kind that is known, and known not to convert. */
function refuseForeign({ nodes }: OnnxGraph): void {
  for (const [ops, reason] of FOREIGN) {
    const node = nodes.find(({ op }) => ops.includes(op.split(':').at(-1)!));
    if (node) throw onnxError(`${reason} (node ${node.name})`);
  }
}

const SUPPORTED = [...WIRED, 'Identity', 'Dropout'].sort().join(', ');

/** Functions of one variable, which an island takes in where they follow it. */
const ACTIVATIONS = new Set('Relu LeakyRelu PRelu Silu HardSwish Mish Elu Clip'.split(' '));
/** What puts neurons in place, or changes those that a node before has put there. */
const MAKING = new Set(['Conv', 'AveragePool', 'Add', 'BatchNormalization', ...ACTIVATIONS]);
/** Wiring that an island takes in where it follows it: it need not leave a map. */
const RESHAPING = new Set('Reshape Transpose Squeeze Unsqueeze Flatten'.split(' '));
/** Wiring that goes on with an island's map where it goes along the channels. */
const CHANNEL_WISE = new Set('Concat Split Slice Gather'.split(' '));

/** The activation of these slopes, one or one a channel; undefined if neurons cannot have them. */
function sloped(given: readonly number[]): Activated | undefined {
  // files hold float32, in which 0.1 is another number
  const slopes = given.map((slope) => (Math.abs(slope - 0.1) > 1e-6 ? slope : 0.1));
  const [first] = slopes as [number];
  if (slopes.length > 1)
    return slopes.every(isSlopeOfChannel) ? { activation: 'leaky', slope: slopes } : undefined;
  if (first === 0) return { activation: 'relu' };
  if (first === 0.1) return { activation: 'leaky' };
  const activated: Activated = { activation: 'leaky', slope: first };
  return isSlope(activated, 1) ? activated : undefined;
}

/** Cells around a map: top, left, bottom, right. */
type Padding = [number, number, number, number];

/** Largest side of a kernel that is looked for. */
const MOST_SIDE = 31;

/**
 * The smallest square kernel, padded alike on all sides, that puts out as much as one of rows × columns; where that one begins in it.
 * Undefined if there is none.
 */
function squareKernel(
  { height, width }: Shape,
  [rows, columns]: readonly [number, number],
  stride: number,
  [top, left, bottom, right]: Padding,
): { size: number; padding: number; top: number; left: number } | undefined {
  const down = outputExtent(height, top + bottom, rows, stride);
  const across = outputExtent(width, left + right, columns, stride);
  for (let size = Math.max(rows, columns); size <= MOST_SIDE; size++)
    for (let padding = Math.max(top, left); padding <= MOST_SIDE; padding++) {
      const from = { top: padding - top, left: padding - left };
      if (from.top + rows > size || from.left + columns > size) break;
      if (
        outputExtent(height, 2 * padding, size, stride) === down &&
        outputExtent(width, 2 * padding, size, stride) === across
      )
        return { size, padding, ...from };
    }
  return undefined;
}

class Importer {
  private readonly graph: OnnxGraph;
  private readonly producers = new Map<string, OnnxNode>();
  private readonly uses = new Map<string, number>();
  private readonly views = new Map<string, View>();
  private readonly wired = new Set<string>();
  /** Values that are neither neurons nor wiring, or follow such inside an island; and those of a single cell. */
  private readonly islands = new Set<string>();
  private readonly cells = new Set<string>();
  private readonly counts = new Map<string, number>();
  /** Zeros around a value, waiting for the convolution or pool behind it: [top, left, bottom, right]. */
  private readonly padding = new Map<string, number[]>();
  /** The layer that a value's node has put in place or changed. */
  private readonly madeBy = new Map<string, string>();
  private readonly layerOf = new Map<string, string>();
  readonly layers: Layer[] = [];
  readonly parameters = new Map<string, ConvolutionParameters>();
  readonly shapes: Map<string, Shape>;

  constructor(graph: OnnxGraph, input: Shape) {
    this.graph = graph;
    this.shapes = new Map([[IMAGE, input]]);
    const { channels, height, width } = input;
    this.views.set(graph.inputs[0]!.name, viewOfLayer(IMAGE, channels, height, width));
    this.wired.add(graph.inputs[0]!.name);
    for (const node of graph.nodes) {
      for (const name of node.outputs) this.producers.set(name, node);
      this.classify(node);
      for (const name of node.inputs) this.uses.set(name, (this.uses.get(name) ?? 0) + 1);
    }
    for (const { name } of graph.outputs) this.uses.set(name, (this.uses.get(name) ?? 0) + 1);
  }

  private constant(name: string | undefined): Tensor | undefined {
    return name ? this.graph.constants.get(name) : undefined;
  }

  private nameOf(kind: string): string {
    const count = (this.counts.get(kind) ?? 0) + 1;
    this.counts.set(kind, count);
    return `${kind}${count}`;
  }

  /** True if a value is computed from the image by neurons, wiring and islands. */
  isWired(value: string): boolean {
    return this.wired.has(value) || this.islands.has(value);
  }

  /** True if a value is computed by what is neither neuron nor wiring, with only wiring behind that. */
  isIsland(value: string): boolean {
    return this.islands.has(value);
  }

  /** Notes what a node's outputs are: neurons or wiring, a part of an island, or neither. */
  private classify(node: OnnxNode): void {
    const { op, inputs, outputs } = node;
    const data = inputs.filter((name) => name !== '' && !this.graph.constants.has(name));
    if (data.length === 0 || !data.every((name) => this.isWired(name))) return;
    const fixed = op === 'Add' && data.length < inputs.length;
    const own = ACTIVATIONS.has(op) ? this.activationOf(node) !== undefined : WIRED.has(op);
    const neuronsOrWiring = own && !fixed;
    const behindIsland = data.some((name) => this.islands.has(name));
    const island = neuronsOrWiring ? behindIsland && this.staysInIsland(node) : isOperator(op);
    if (!neuronsOrWiring && !island) return;
    const cell = data.every((name) => this.cells.has(name)) || (island && this.leavesOneCell(node));
    for (const name of outputs) {
      (island ? this.islands : this.wired).add(name);
      if (island && cell) this.cells.add(name);
    }
  }

  /** True if a node of neurons or wiring belongs to the island that it follows. */
  private staysInIsland(node: OnnxNode): boolean {
    const { op, inputs } = node;
    if (ACTIVATIONS.has(op) || RESHAPING.has(op)) return true;
    // one cell is no map: a gate's layers, and what they are added to
    if (op === 'Conv') return this.cells.has(inputs[0]!);
    if (op === 'Add') return inputs.some((name) => this.cells.has(name));
    if (!CHANNEL_WISE.has(op)) return false;
    const { axis = op === 'Concat' ? 1 : 0, axes } = attributesOf(node);
    const along =
      op === 'Slice' ? [...(this.constant(inputs[3])?.values ?? (axes as number[]) ?? [])] : [axis];
    return along.some((each) => each !== 1) || inputs.some((name) => this.cells.has(name));
  }

  /** True if a node takes all cells of maps together. */
  private leavesOneCell(node: OnnxNode): boolean {
    const { op, inputs } = node;
    if (op.startsWith('Global')) return true;
    if (!op.startsWith('Reduce')) return false;
    const given = this.constant(inputs[1])?.values ?? (attributesOf(node).axes as number[] | undefined) ?? [];
    const axes = new Set([...given].map((axis) => (axis < 0 ? axis + 4 : axis)));
    return axes.size === 2 && axes.has(2) && axes.has(3);
  }

  /** Nodes that values are computed by, in the file's order, as far as they have no views yet. */
  private nodesBehind(values: readonly string[]): OnnxNode[] {
    const found = new Set<OnnxNode>();
    const left = [...values];
    for (let value = left.pop(); value !== undefined; value = left.pop()) {
      const node = this.views.has(value) ? undefined : this.producers.get(value);
      if (!node || found.has(node) || this.islands.has(value)) continue;
      found.add(node);
      left.push(...node.inputs);
    }
    return this.graph.nodes.filter((node) => found.has(node));
  }

  /** Operators before an output layer that are neither neurons nor wiring, each once. */
  unsupported(values: readonly string[]): OnnxNode[] {
    return this.nodesBehind(values).filter(({ op }) => !WIRED.has(op) && !isOperator(op));
  }

  private put(layer: Layer, where: OnnxNode): View {
    try {
      addShape(this.shapes, layer);
    } catch (error) {
      throw onnxError(`node ${where.name} (${where.op}): ${reasonOf(error)}`, error);
    }
    this.layers.push(layer);
    const { height, width, channels } = this.shapes.get(layer.name)!;
    return viewOfLayer(layer.name, channels, height, width);
  }

  /** The layer whose whole output a view is; wiring is put in where it is not one's. */
  private materialise(view: View, where: OnnxNode): string {
    const [batch, , h, w] = view.axes;
    if (view.axes.length !== 4 || batch !== 1 || h !== 'h' || w !== 'w')
      throw onnxError(`node ${where.name} (${where.op}): takes ${dimsOf(view).join('×')}; expected 1×C×H×W`);
    if (view.channels.some(isPhase))
      throw this.refusal(
        where,
        'takes every other row or column, which only a convolution of the image in four parts does',
      );
    const [first] = view.channels;
    const whole =
      this.shapes.get(first!.layer)!.channels === view.channels.length &&
      view.channels.every(({ layer, channel }, i) => layer === first!.layer && channel === i);
    if (whole) return first!.layer;
    const inputs = [...new Set(view.channels.map(({ layer }) => layer))];
    const runs: { input: number; first: number; count: number }[] = [];
    for (const { layer, channel } of view.channels) {
      const input = inputs.indexOf(layer);
      const last = runs.at(-1);
      if (last && last.input === input && last.first + last.count === channel) last.count++;
      else runs.push({ input, first: channel, count: 1 });
    }
    const key = JSON.stringify([inputs, runs]);
    const known = this.layerOf.get(key);
    if (known) return known;
    const name = this.nameOf('wires');
    this.put({ kind: 'wiring', name, inputs, runs }, where);
    this.layerOf.set(key, name);
    return name;
  }

  /** A value as channels of layers, its layers put in place; throws `ONNX`. */
  view(value: string): View {
    const known = this.views.get(value);
    if (known) return known;
    if (this.islands.has(value)) return this.island(value);
    for (const node of this.nodesBehind([value])) {
      const outputs = this.convert(node);
      if (MAKING.has(node.op)) this.madeBy.set(node.outputs[0]!, outputs[0]!.channels[0]!.layer);
      for (const [i, name] of node.outputs.entries()) if (outputs[i]) this.views.set(name, outputs[i]);
    }
    const view = this.views.get(value);
    if (!view) throw onnxError(`"${value.slice(0, 60)}" is computed by no node`);
    return view;
  }

  /** Makes zeros around a value's cells cells themselves, where what reads them takes no padding. */
  private settleZeros(value: string, reader: OnnxNode): void {
    const around = this.padding.get(value);
    if (!around) return;
    this.padding.delete(value);
    const source = this.materialise(this.views.get(value)!, reader);
    this.views.set(value, this.sameAgain(reader, source, around as Padding).view);
  }

  /** A value that is computed in floats from maps: all of it since those is one island. */
  private island(value: string): View {
    const where = this.producers.get(value)!;
    const maps = new Map<string, string>();
    const nodes = new Set<OnnxNode>();
    const left = [value];
    for (let name = left.pop(); name !== undefined; name = left.pop()) {
      if (name === '' || maps.has(name) || this.graph.constants.has(name)) continue;
      const node = this.producers.get(name);
      const isMap = !this.islands.has(name);
      if (isMap) this.view(name);
      this.settleZeros(name, where);
      const view = isMap ? this.view(name) : undefined;
      if (view && (!node || view.axes.join() === `1,${view.channels.length},h,w`)) {
        maps.set(name, this.materialise(view, where));
      } else if (!nodes.has(node!)) {
        nodes.add(node!);
        left.push(...node!.inputs);
      }
    }
    const graph = tensorGraphOf(this.graph, nodes, maps, [value]);
    const shapes = graph.inputs.map((name) => this.shapes.get(name)!);
    let dims: number[];
    try {
      [dims] = outputDimsOf(graph, shapes) as [number[]];
    } catch (error) {
      throw this.refusal(where, `what it computes in floats does not go together: ${reasonOf(error)}`);
    }
    const [batch, channels, height, width] = dims as [number, number, number, number];
    if (dims.length !== 4 || batch !== 1)
      throw this.refusal(where, `puts out ${dims.join('×')} for neurons to take; expected 1×C×H×W`);
    const layer = { inputs: graph.inputs, graph, channels, height, width };
    const view = this.put({ kind: 'island', name: this.nameOf('island'), ...layer }, where);
    this.views.set(value, view);
    return view;
  }

  /** A number as a file has it, infinite or not; throws `ONNX` for what is none. */
  private numberOf(node: OnnxNode, what: string, value: unknown): number {
    if (typeof value !== 'number' || Number.isNaN(value)) throw this.refusal(node, `${what} is not a number`);
    return value;
  }

  /** What neurons compute as a node has it; undefined if only an island can: limits or slopes that they have not. */
  private activationOf(node: OnnxNode): Activated | undefined {
    const { op, inputs } = node;
    const attributes = attributesOf(node);
    switch (op) {
      case 'Relu':
        return { activation: 'relu' };
      case 'LeakyRelu':
        return sloped([this.numberOf(node, 'alpha', attributes.alpha ?? 0.01)]);
      case 'PRelu': {
        const slopes = this.constant(inputs[1]);
        if (!slopes) return undefined;
        for (const slope of slopes.values) this.numberOf(node, 'a slope', slope);
        // one a channel: (C, 1, 1), or a batch of that
        const [rows, columns, channels, ...batch] = [...slopes.dims].reverse();
        const perChannel = channels !== undefined && rows === 1 && columns === 1;
        const single = slopes.values.length === 1;
        if (slopes.values.length === 0 || slopes.dims.length > 4 || batch.some((extent) => extent !== 1))
          throw this.refusal(node, `slopes of ${slopes.dims.join('×')} are not supported`);
        return single || perChannel ? sloped([...slopes.values]) : undefined;
      }
      case 'Clip': {
        const limit = (name: string, place: number): number | undefined => {
          const given = this.constant(inputs[place]);
          if (given && given.values.length !== 1) throw this.refusal(node, `its ${name} is not one number`);
          const value = given?.values[0] ?? attributes[name];
          return value === undefined ? undefined : this.numberOf(node, `its ${name}`, value);
        };
        const most = limit('max', 2) ?? Number.POSITIVE_INFINITY;
        if (limit('min', 1) !== 0) return undefined;
        // no limit is written as the largest float32
        return most === 6 ? { activation: 'relu6' } : most > 1e38 ? { activation: 'relu' } : undefined;
      }
      case 'Elu':
        return (attributes.alpha ?? 1) === 1 ? { activation: 'elu' } : undefined;
      default:
        return { activation: op.toLowerCase() as CurveActivation };
    }
  }

  private refusal(node: OnnxNode, reason: string) {
    return onnxError(`node ${node.name} (${node.op}): ${reason}`);
  }

  private convert(node: OnnxNode): View[] {
    // a convolution takes zeros around its input as its padding; others read them
    if (!['Conv', 'AveragePool', 'Pad'].includes(node.op))
      for (const name of node.inputs) this.settleZeros(name, node);
    const input = () => this.view(node.inputs[0]!);
    const attributes = attributesOf(node);
    const list = (name: string, place: number): number[] | undefined => {
      const given = this.constant(node.inputs[place]);
      return given ? [...given.values] : (attributes[name] as number[] | undefined);
    };
    const wiring = (view: View | undefined): View => {
      if (!view) throw this.refusal(node, 'it mixes channels and cells, which no wiring does');
      return view;
    };
    switch (node.op) {
      case 'Conv':
        return [this.convolution(node)];
      case 'BatchNormalization':
        return [this.batchNormalization(node)];
      case 'Relu':
      case 'LeakyRelu':
      case 'PRelu':
      case 'Silu':
      case 'HardSwish':
      case 'Mish':
      case 'Elu':
      case 'Clip':
        return [this.activation(node)];
      case 'Add': {
        const inputs = node.inputs.map((name) => this.materialise(this.view(name), node));
        return [this.put({ kind: 'add', name: this.nameOf('add'), inputs, activation: 'linear' }, node)];
      }
      case 'MaxPool':
        return [this.maxPool(node)];
      case 'AveragePool':
        return [this.averagePool(node)];
      case 'Pad': {
        const pads = list('pads', 1) ?? [];
        const value =
          this.constant(node.inputs[2])?.values[0] ?? (attributes.value as number | undefined) ?? 0;
        const mode = attributes.mode ?? 'constant';
        if (
          mode !== 'constant' ||
          value !== 0 ||
          pads.length !== 8 ||
          [0, 1, 4, 5].some((i) => pads[i] !== 0)
        )
          throw this.refusal(node, 'only zeros around the cells of a map are supported');
        const [top = 0, left = 0, bottom = 0, right = 0] = this.padding.get(node.inputs[0]!) ?? [];
        const view = input();
        const around = [top + pads[2]!, left + pads[3]!, bottom + pads[6]!, right + pads[7]!];
        this.padding.set(node.outputs[0]!, around);
        return [view];
      }
      case 'Resize':
      case 'Upsample':
        return [this.resize(node)];
      case 'Reshape': {
        const view = input();
        const dims = dimsOf(view);
        const shape = list('shape', 1)!.map((extent, axis) => (extent === 0 ? dims[axis]! : extent));
        const rest = dims.reduce((a, b) => a * b, 1) / shape.reduce((a, b) => (b === -1 ? a : a * b), 1);
        return [
          wiring(
            reshapeView(
              view,
              shape.map((extent) => (extent === -1 ? rest : extent)),
            ),
          ),
        ];
      }
      case 'Flatten':
      case 'Squeeze':
      case 'Unsqueeze': {
        const view = input();
        const operands = node.inputs.slice(1).map((name) => this.constant(name)!);
        const empty = { dims: dimsOf(view), values: new Float64Array() };
        const [shaped] = compute(node.op, [empty, ...operands], attributes);
        return [wiring(reshapeView(view, shaped!.dims))];
      }
      case 'Transpose':
        return [transposeView(input(), attributes.perm as number[])];
      case 'Concat': {
        const views = node.inputs.map((name) => this.view(name));
        return [
          wiring(
            concatViews(
              views,
              axisOf(
                (attributes.axis as number) ?? 1,
                views[0]!.axes.map(() => 1),
              ),
            ),
          ),
        ];
      }
      case 'Split': {
        const view = input();
        const axis = axisOf((attributes.axis as number) ?? 0, dimsOf(view));
        const sizes = splitSizes(dimsOf(view)[axis]!, node.outputs.length, list('split', 1));
        let first = 0;
        return sizes.map((size) => {
          const indices = Array.from({ length: size }, (_, i) => first + i);
          first += size;
          return wiring(takeFromView(view, axis, indices));
        });
      }
      case 'Slice': {
        const view = input();
        const taking = sliceIndices(
          dimsOf(view),
          list('starts', 1)!,
          list('ends', 2)!,
          list('axes', 3),
          list('steps', 4),
        );
        return [
          [...taking].reduce((part, [axis, indices]) => wiring(takeFromView(part, axis, indices)), view),
        ];
      }
      case 'Gather': {
        const view = input();
        const indices = this.constant(node.inputs[1]);
        if (!indices) throw this.refusal(node, 'its indices are not constants');
        const axis = axisOf((attributes.axis as number) ?? 0, dimsOf(view));
        const part = wiring(takeFromView(view, axis, [...indices.values]));
        const dims = dimsOf(part);
        return [
          wiring(reshapeView(part, [...dims.slice(0, axis), ...indices.dims, ...dims.slice(axis + 1)])),
        ];
      }
      default:
        throw this.refusal(node, `not supported; supported are ${SUPPORTED}`);
    }
  }

  /** Padding of a kernel, what the node says and zeros that were put around its input: [top, left, bottom, right]. */
  private paddingOf(
    node: OnnxNode,
    kernel: readonly number[],
    stride: number,
    input: Pick<Shape, 'height' | 'width'>,
  ): Padding {
    const attributes = attributesOf(node);
    const pads = this.wholeNumbers(node, 'pads', 4, 0) ?? [0, 0, 0, 0];
    const auto = attributes.auto_pad ?? 'NOTSET';
    if (!['NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER'].includes(auto as string))
      throw this.refusal(node, `padding by "${auto}" is not known`);
    if (auto === 'VALID') pads.fill(0);
    if (auto === 'SAME_UPPER' || auto === 'SAME_LOWER') {
      for (const [i, extent] of [input.height, input.width].entries()) {
        const total = Math.max(0, (Math.ceil(extent / stride) - 1) * stride + kernel[i]! - extent);
        const less = Math.floor(total / 2);
        [pads[i], pads[i + 2]] = auto === 'SAME_UPPER' ? [less, total - less] : [total - less, less];
      }
    }
    for (const [i, cells] of (this.padding.get(node.inputs[0]!) ?? []).entries()) pads[i]! += cells;
    return pads as Padding;
  }

  /** So many whole numbers from `least` on, of an attribute; undefined without it. Throws `ONNX` for anything else. */
  private wholeNumbers(node: OnnxNode, name: string, count: number, least: number): number[] | undefined {
    const given = attributesOf(node)[name];
    if (given === undefined) return undefined;
    if (
      !Array.isArray(given) ||
      given.length !== count ||
      !given.every((each) => Number.isInteger(each) && each >= least)
    )
      throw this.refusal(
        node,
        `${name} of ${given} are not supported; expected ${count} whole numbers from ${least} on`,
      );
    return [...given];
  }

  /** The stride of a kernel, alike in both directions; throws `ONNX` for others. */
  private strideOf(node: OnnxNode, kernel: readonly number[]): number {
    const [down, right] = (this.wholeNumbers(node, 'strides', 2, 1) ?? [1, 1]) as [number, number];
    if (kernel.length !== 2 || kernel.some((side) => !(side >= 1)) || down !== right)
      throw this.refusal(
        node,
        `a kernel of ${kernel.join('×')} with strides of ${down} and ${right} is not supported; expected one stride in both directions`,
      );
    return down;
  }

  /** Weights of a convolution as they lie on its input: with its dilations' zeros between rows and columns. */
  private dilated(node: OnnxNode, weights: Tensor): Tensor {
    const [down, right] = (this.wholeNumbers(node, 'dilations', 2, 1) ?? [1, 1]) as [number, number];
    if (down === 1 && right === 1) return weights;
    const [filters, heard, rows, columns] = weights.dims as [number, number, number, number];
    const height = (rows - 1) * down + 1;
    const width = (columns - 1) * right + 1;
    if (Math.max(height, width) > MOST_SIDE)
      throw this.refusal(
        node,
        `a kernel of ${rows}×${columns} with dilations of ${down} and ${right} covers ${height}×${width} cells; at most ${MOST_SIDE}×${MOST_SIDE} are supported`,
      );
    const dims = [filters, heard, height, width];
    const values = new Float64Array(countOf(dims));
    for (const [i, weight] of weights.values.entries()) {
      const [kernel, cell] = [Math.floor(i / (rows * columns)), i % (rows * columns)];
      const [y, x] = [Math.floor(cell / columns) * down, (cell % columns) * right];
      values[(kernel * height + y) * width + x] = weight;
    }
    return { dims, values };
  }

  /** Throws `ONNX` for a pool that leaves out cells of its window. */
  private refuseDilations(node: OnnxNode): void {
    const dilations = this.wholeNumbers(node, 'dilations', 2, 1) ?? [1, 1];
    if (dilations.some((dilation) => dilation !== 1))
      throw this.refusal(node, `a pool with dilations of ${dilations.join(' and ')} is not supported`);
  }

  /**
   * YOLOX's and early YOLOv5's first layer: a k×k convolution of the image's four phases (every other row and column), which is
   * one of 2k×2k on the image itself, of twice the stride and padding: its weights.
   */
  private unfocused(node: OnnxNode, { axes, channels }: View, weights: Tensor): Tensor {
    const [filters, heard, height, width] = weights.dims as [number, number, number, number];
    const input = this.shapes.get(IMAGE)!;
    const parts = channels.every(
      ({ layer, row, column }) => layer === IMAGE && row !== undefined && column !== undefined,
    );
    if (!parts || heard !== channels.length || axes.join() !== '1,12,h,w')
      throw this.refusal(
        node,
        'takes every other row or column of something else than the image in four parts',
      );
    const dims = [filters, input.channels, 2 * height, 2 * width];
    const values = new Float64Array(countOf(dims));
    for (let j = 0; j < filters; j++)
      for (const [c, { channel, row, column }] of channels.entries())
        for (let y = 0; y < height; y++)
          for (let x = 0; x < width; x++) {
            const to =
              ((j * input.channels + channel) * 2 * height + 2 * y + row!) * 2 * width + 2 * x + column!;
            values[to]! += weights.values[((j * heard + c) * height + y) * width + x]!;
          }
    return { dims, values };
  }

  private convolution(node: OnnxNode): View {
    const taken = this.view(node.inputs[0]!);
    const given = this.constant(node.inputs[1]);
    const bias = this.constant(node.inputs[2]);
    if (given?.dims.length !== 4)
      throw this.refusal(node, 'its weights are not constants of four dimensions');
    const named = this.wholeNumbers(node, 'kernel_shape', 2, 1) ?? given.dims.slice(2);
    if (named.join() !== given.dims.slice(2).join())
      throw this.refusal(node, `a kernel of ${named.join('×')} has weights of ${given.dims.join('×')}`);
    const dilated = this.dilated(node, given);
    const focus = taken.channels.some(isPhase);
    const weights = focus ? this.unfocused(node, taken, dilated) : dilated;
    const source = focus ? IMAGE : this.materialise(taken, node);
    const finer = focus ? 2 : 1;
    const kernel = dilated.dims.slice(2);
    if (node.inputs[2] && bias?.values.length !== given.dims[0])
      throw this.refusal(node, 'its biases are not constants, one a filter');
    const stride = this.strideOf(node, kernel);
    const own = { height: taken.height, width: taken.width };
    const padding = this.paddingOf(node, kernel, stride, own).map((cells) => cells * finer) as Padding;
    const groups = this.numberOf(node, 'group', attributesOf(node).group ?? 1);
    return this.putConvolution(node, source, weights, bias, { stride: stride * finer, padding, groups });
  }

  /**
   * A convolution by weights (filters, heard, rows, columns). Where rows and columns differ, or the padding on the sides, it is the
   * one of a square kernel with zeros around these weights that puts out the same.
   */
  private putConvolution(
    node: OnnxNode,
    source: string,
    weights: Tensor,
    bias: Tensor | undefined,
    { stride, padding, groups }: { stride: number; padding: Padding; groups: number },
  ): View {
    const input = this.shapes.get(source)!;
    const [filters, heard, height, width] = weights.dims as [number, number, number, number];
    const square = squareKernel(input, [height, width], stride, padding);
    if (!square)
      throw this.refusal(
        node,
        `a kernel of ${height}×${width} with a padding of ${padding.join(', ')} is not supported: no square one puts out as much`,
      );
    if (heard * groups !== input.channels)
      throw this.refusal(
        node,
        `its weights hear ${heard * groups} channels, its input has ${input.channels}`,
      );
    const { size } = square;
    const name = this.nameOf('conv');
    const kernel = { filters, size, stride, padding: square.padding, groups };
    const view = this.put(
      { kind: 'convolutional', name, inputs: [source], ...kernel, activation: 'linear' },
      node,
    );
    const packed = new Float32Array(filters * size * size * heard);
    for (let j = 0; j < filters; j++)
      for (let c = 0; c < heard; c++)
        for (let y = 0; y < height; y++)
          for (let x = 0; x < width; x++)
            packed[((j * size + y + square.top) * size + x + square.left) * heard + c] =
              weights.values[((j * heard + c) * height + y) * width + x]!;
    this.parameters.set(name, {
      weights: packed,
      bias: bias ? Float32Array.from(bias.values) : new Float32Array(filters),
    });
    return view;
  }

  /**
   * The convolution or sum that a node's input is, if nothing else reads it and it has no activation yet; else one more layer of
   * neurons behind it, each of which hears the same channel alone.
   */
  private openLayer(node: OnnxNode): {
    layer: Extract<Layer, { kind: 'convolutional' | 'add' }>;
    view: View;
  } {
    const value = node.inputs[0]!;
    const view = this.view(value);
    const source = this.materialise(view, node);
    const layer = this.layers.find(({ name }) => name === source);
    const open = layer?.kind === 'convolutional' || layer?.kind === 'add' ? layer : undefined;
    // a value of another name is the same layer's in other places, too
    if (open?.activation === 'linear' && this.uses.get(value) === 1 && this.madeBy.get(value) === source)
      return { layer: open, view };
    return this.sameAgain(node, source, [0, 0, 0, 0]);
  }

  /** A layer of neurons each of which hears one channel of a layer, with zeros around. */
  private sameAgain(
    node: OnnxNode,
    source: string,
    padding: Padding,
  ): { layer: Extract<Layer, { kind: 'convolutional' | 'add' }>; view: View } {
    const { channels } = this.shapes.get(source)!;
    // a convolution of the image hears all its channels
    const groups = source === IMAGE ? 1 : channels;
    const heard = channels / groups;
    const same = Float64Array.from({ length: channels * heard }, (_, i) =>
      heard === 1 || i % (channels + 1) === 0 ? 1 : 0,
    );
    const weights = { dims: [channels, heard, 1, 1], values: same };
    const behind = this.putConvolution(node, source, weights, undefined, { stride: 1, padding, groups });
    return { layer: this.layers.at(-1) as Extract<Layer, { kind: 'convolutional' }>, view: behind };
  }

  private batchNormalization(node: OnnxNode): View {
    const opened = this.openLayer(node);
    // a sum has no weights to take the scale
    const { layer, view } =
      opened.layer.kind === 'add' ? this.sameAgain(node, opened.layer.name, [0, 0, 0, 0]) : opened;
    const [scale, shift, mean, variance] = node.inputs.slice(1).map((name) => this.constant(name)?.values);
    const own = this.parameters.get(layer.name);
    if (!own || !scale || !shift || !mean || !variance)
      throw this.refusal(node, 'its parameters are not constants');
    const { epsilon: given, training_mode } = attributesOf(node);
    const epsilon = this.numberOf(node, 'epsilon', given ?? 1e-5);
    if (training_mode) throw this.refusal(node, 'it is in training mode; export the network for inference');
    const { weights, bias } = own;
    const wrong = [scale, shift, mean, variance].find(({ length }) => length !== bias.length);
    if (wrong) throw this.refusal(node, `it has ${wrong.length} parameters for ${bias.length} channels`);
    const perFilter = weights.length / bias.length;
    for (let j = 0; j < bias.length; j++) {
      const factor = scale[j]! / Math.sqrt(variance[j]! + epsilon);
      for (let i = j * perFilter; i < (j + 1) * perFilter; i++) weights[i]! *= factor;
      bias[j] = shift[j]! + (bias[j]! - mean[j]!) * factor;
    }
    return view;
  }

  private activation(node: OnnxNode): View {
    const { layer, view } = this.openLayer(node);
    const { activation, slope } = this.activationOf(node)!;
    const { channels } = this.shapes.get(layer.name)!;
    if (typeof slope === 'object' && slope.length !== channels)
      throw this.refusal(node, `it has ${slope.length} slopes for ${channels} channels`);
    // the same slope in all channels is one
    const one = typeof slope === 'object' && slope.every((each) => each === slope[0]);
    Object.assign(
      layer,
      (one && sloped([slope[0]!])) || { activation, ...(slope !== undefined && { slope }) },
    );
    return view;
  }

  private maxPool(node: OnnxNode): View {
    const source = this.materialise(this.view(node.inputs[0]!), node);
    const attributes = attributesOf(node);
    const kernel = (attributes.kernel_shape as number[] | undefined) ?? [];
    this.refuseDilations(node);
    const stride = this.strideOf(node, kernel);
    const input = this.shapes.get(source)!;
    const [before, left, after, right] = this.paddingOf(node, kernel, stride, input);
    const [size, columns] = kernel as [number, number];
    if (size !== columns || before !== left || after !== right)
      throw this.refusal(
        node,
        `a window of ${kernel.join('×')} with a padding of ${[before, left, after, right].join(', ')} is not supported; expected a square one`,
      );
    const inputs = [source];
    const name = this.nameOf('pool');
    // windows that begin inside count where ceil_mode says so
    const extra = attributes.ceil_mode ? stride - 1 : 0;
    const padding = before + after + extra;
    if (Math.floor(padding / 2) !== before)
      throw this.refusal(node, `padding of ${before} before and ${after + extra} after is not supported`);
    return this.put({ kind: 'maxpool', name, inputs, size, stride, padding }, node);
  }

  /** A depthwise convolution with equal weights. */
  private averagePool(node: OnnxNode): View {
    const source = this.materialise(this.view(node.inputs[0]!), node);
    const attributes = attributesOf(node);
    const kernel = this.wholeNumbers(node, 'kernel_shape', 2, 1) ?? [];
    this.refuseDilations(node);
    const stride = this.strideOf(node, kernel);
    const input = this.shapes.get(source)!;
    const padding = this.paddingOf(node, kernel, stride, input);
    const around = this.padding.get(node.inputs[0]!) ?? [0, 0, 0, 0];
    const own = padding.some((cells, side) => cells !== around[side]);
    const { channels, height, width } = input;
    const [rows, columns] = kernel as [number, number];
    const [top, left, bottom, right] = padding;
    // where windows come out even, rounding their number up adds none
    const rest = (height + top + bottom - rows) % stride || (width + left + right - columns) % stride;
    if ((own && attributes.count_include_pad !== 1) || (attributes.ceil_mode && rest !== 0))
      throw this.refusal(node, 'an average that leaves out its padding is not supported');
    const cells = rows * columns;
    const weights = {
      dims: [channels, 1, rows, columns],
      values: new Float64Array(channels * cells).fill(1 / cells),
    };
    return this.putConvolution(node, source, weights, undefined, { stride, padding, groups: channels });
  }

  private resize(node: OnnxNode): View {
    const source = this.materialise(this.view(node.inputs[0]!), node);
    const attributes = attributesOf(node);
    const { height, width } = this.shapes.get(source)!;
    const scalesInput = node.op === 'Upsample' || this.graph.opset < 11 ? 1 : 2;
    const scales =
      this.constant(node.inputs[scalesInput])?.values ?? (attributes.scales as number[] | undefined);
    const sizes = this.constant(node.inputs[3])?.values;
    const [down, right] = sizes?.length
      ? [sizes[2]! / height, sizes[3]! / width]
      : [scales?.[2], scales?.[3]];
    const mode = attributes.mode ?? 'nearest';
    const transform = (attributes.coordinate_transformation_mode as string | undefined) ?? 'asymmetric';
    if (down === undefined || down !== right || !(Number.isInteger(down) && down >= 1))
      throw this.refusal(
        node,
        `resizing by ${down} and ${right} is not supported; expected one whole factor`,
      );
    const inputs = [source];
    if (mode === 'nearest')
      return this.put({ kind: 'upsample', name: this.nameOf('upsample'), inputs, scale: down }, node);
    if (mode === 'linear' && down === 2 && (transform === 'half_pixel' || transform === 'pytorch_half_pixel'))
      return this.put({ kind: 'bilinear', name: this.nameOf('bilinear'), inputs }, node);
    throw this.refusal(node, `resizing by ${down} in mode ${mode} (${transform}) is not supported`);
  }
}

/** Height and width of a file's input; throws `ONNX` where they are not in the file nor given. */
function inputOf({ inputs }: OnnxGraph, size: readonly [number, number] | undefined): Shape {
  if (inputs.length !== 1) throw onnxError(`the file has ${inputs.length} inputs; expected the image alone`);
  const { name, dims } = inputs[0]!;
  const [batch, channels, height, width] = dims;
  if (
    dims.length !== 4 ||
    (typeof batch === 'number' && batch > 1) ||
    (typeof channels === 'number' && channels > 0 && channels !== 3)
  )
    throw onnxError(`the input ${name} is ${dims.join('×')}; expected 1×3×height×width`);
  const known = (extent: unknown): extent is number => typeof extent === 'number' && extent > 0;
  const [h, w] = [known(height) ? height : size?.[0], known(width) ? width : size?.[1]];
  if (h === undefined || w === undefined)
    throw onnxError(
      'the file does not name the size of its input (it was exported with dynamic axes); say it with --size',
    );
  if (!(h <= 8192 && w <= 8192)) throw onnxError(`the input is ${h}×${w}; at most 8192×8192 are supported`);
  return { height: h, width: w, channels: 3 };
}

/** Values whose dimensions are asked for, as constants: shapes that a file computes are known once its input's size is. */
function foldShapes(
  graph: OnnxGraph,
  importer: (graph: OnnxGraph) => (value: string) => number[] | undefined,
): OnnxGraph {
  let folded = simplify(graph);
  for (let round = 0; round < 50; round++) {
    const dimsOfValue = importer(folded);
    const constants = new Map(folded.constants);
    let found = 0;
    for (const node of folded.nodes) {
      if (node.op !== 'Shape') continue;
      const dims = dimsOfValue(node.inputs[0]!);
      if (!dims) continue;
      constants.set(node.outputs[0]!, { dims: [dims.length], values: Float64Array.from(dims) });
      found++;
    }
    if (found === 0) return folded;
    const nodes = folded.nodes.filter((node) => !(node.op === 'Shape' && constants.has(node.outputs[0]!)));
    folded = simplify({ ...folded, nodes, constants });
  }
  return folded;
}

/**
 * A network from an ONNX graph: layers of neurons and wiring up to the output layers, and the tail behind them. Throws
 * `ONNX`, naming nodes and operators, for what cannot be one.
 */
export function importGraph(graph: OnnxGraph, size?: readonly [number, number]): ImportedGraph {
  try {
    return importNodes(graph, size);
  } catch (error) {
    // a file may give any node any inputs and attributes: what none of the checks names ends here
    if (error instanceof SpikingYoloError) throw error;
    throw onnxError(`the nodes of the graph do not go together: ${reasonOf(error)}`, error);
  }
}

function importNodes(original: OnnxGraph, size?: readonly [number, number]): ImportedGraph {
  refuseForeign(original);
  const input = inputOf(original, size);
  const graph = foldShapes(original, (current) => {
    const trial = new Importer(current, input);
    return (value) => {
      if (!trial.isWired(value)) return undefined;
      try {
        return dimsOf(trial.view(value));
      } catch {
        return undefined;
      }
    };
  });
  const importer = new Importer(graph, input);
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  const tailNodes = new Set<OnnxNode>();
  const outputs = new Map<string, string>();
  const unsupported = new Set<OnnxNode>();
  let imageRead = false;
  const left = graph.outputs.map(({ name }) => name);
  for (let value = left.pop(); value !== undefined; value = left.pop()) {
    if (value === '' || graph.constants.has(value) || outputs.has(value)) continue;
    const node = producers.get(value);
    if (!node) imageRead = true;
    if (!node || tailNodes.has(node)) continue;
    if (node.op === 'Conv') {
      const [source, weights] = node.inputs;
      // a convolution of the tail is a distribution head's: one filter, on what is computed behind the output layers
      const expectation = graph.constants.get(weights ?? '')?.dims[0] === 1 && importer.isIsland(source!);
      if (!expectation && importer.isWired(source!)) {
        outputs.set(value, '');
        continue;
      }
      if (!expectation) for (const bad of importer.unsupported(node.inputs)) unsupported.add(bad);
    }
    tailNodes.add(node);
    left.push(...[...node.inputs].reverse());
  }
  const unknown = [...tailNodes].filter(({ op }) => !isOperator(op));
  const bad = unsupported.size > 0 ? [...unsupported] : unknown;
  if (bad.length > 0) {
    const named = [...new Map(bad.map((node) => [node.name, `${node.name} (${node.op})`])).values()];
    throw onnxError(
      `${named.length} nodes are not supported: ${named.slice(0, 8).join(', ')}${named.length > 8 ? ', …' : ''}; supported are ${SUPPORTED}`,
    );
  }
  if (imageRead) throw onnxError('the output is computed from the image by no convolution');
  for (const value of outputs.keys()) {
    const [first] = importer.view(value).channels;
    outputs.set(value, first!.layer);
  }
  const tail = tensorGraphOf(
    graph,
    tailNodes,
    outputs,
    graph.outputs.map(({ name }) => name),
  );
  const shapes = tail.inputs.map((name) => importer.shapes.get(name)!);
  let outputDims: number[][];
  try {
    outputDims = outputDimsOf(tail, shapes);
  } catch (error) {
    throw onnxError(
      `what the file computes behind its output layers does not go together: ${reasonOf(error)}`,
      error,
    );
  }
  const { layers, parameters } = importer;
  try {
    checkFloatShares(networkOperations({ input, layers, tail }));
  } catch (error) {
    throw onnxError(reasonOf(error), error);
  }
  return { input, layers, parameters, tail, outputDims };
}

/** Nodes in the file's order as a graph of their own, with the constants that they take; `maps` names layers by values. */
function tensorGraphOf(
  graph: OnnxGraph,
  nodes: ReadonlySet<OnnxNode>,
  maps: ReadonlyMap<string, string>,
  outputs: readonly string[],
): TensorGraph {
  const constants: Record<string, Tensor> = {};
  const names = new Map(maps);
  const rename = (value: string): string => {
    if (value === '') return '';
    const constant = graph.constants.get(value);
    const name = names.get(value) ?? `${constant ? 'constant' : 'value'}${names.size}`;
    names.set(value, name);
    if (constant) constants[name] = constant;
    return name;
  };
  const tensorNodes = graph.nodes
    .filter((node) => nodes.has(node))
    .map(
      (node): TensorNode => ({
        op: node.op,
        inputs: node.inputs.map(rename),
        outputs: node.outputs.map(rename),
        attributes: attributesOf(node),
      }),
    );
  return {
    inputs: [...new Set(maps.values())],
    nodes: tensorNodes,
    constants,
    outputs: outputs.map(rename),
  };
}

/** The network of an imported graph, without heads. */
export const networkOf = ({ input, layers, tail }: ImportedGraph): Omit<Network, 'heads'> => ({
  input,
  layers,
  tail,
});
