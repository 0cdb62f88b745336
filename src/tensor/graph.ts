import { reasonOf } from '../errors.js';
import type { Shape } from '../network/network.js';
import {
  type Attributes,
  isOfShapes,
  isOperator,
  type Loops,
  operandsOf,
  planOperation,
  type Work,
  workOf,
} from './operators.js';
import type { Tensor } from './tensor.js';

/** One operation of a graph of tensors. */
export interface TensorNode {
  /** Its ONNX name. */
  op: string;
  /** Names of the graph's inputs, of constants, or of what earlier nodes put out; '' for an input that is left out. */
  inputs: string[];
  outputs: string[];
  attributes: Attributes;
}

/**
 * What an exported network computes that is no network of neurons, in float64 as its file has it: behind its output
 * layers (its tail), or in an island.
 */
export interface TensorGraph {
  /** The layers whose maps come in, each as (1, C, H, W). */
  inputs: string[];
  nodes: TensorNode[];
  constants: Record<string, Tensor>;
  outputs: string[];
}

const isNames = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((name) => typeof name === 'string');

const isAttribute = (value: unknown) =>
  ['number', 'string'].includes(typeof value) ||
  (Array.isArray(value) && value.every((each) => typeof each === 'number'));

/** True for a graph as a file may hold one, its constants aside. */
export function isTensorGraph(value: unknown): value is TensorGraph {
  const graph = value as TensorGraph;
  return (
    isNames(graph?.inputs) &&
    isNames(graph.outputs) &&
    Array.isArray(graph.nodes) &&
    graph.nodes.length <= 5000 &&
    graph.nodes.every(
      (node) =>
        isOperator(node?.op) &&
        isNames(node.inputs) &&
        isNames(node.outputs) &&
        typeof node.attributes === 'object' &&
        Object.values(node.attributes ?? {}).every(isAttribute),
    )
  );
}

/** A graph with all its numbers in place: written into `inputs`, computed by `run`, read from `outputs`. */
export interface Program {
  inputs: Tensor[];
  outputs: Tensor[];
  /** What each of its operations takes that is computed by `run`. */
  work: Work[];
  run(): void;
}

/** Most numbers of a graph, reshaped ones counted again: a file could name any number of operations. */
const MOST_VALUES = 2 ** 28;

/**
 * Plans a graph for inputs of these dimensions: nothing is allocated when it runs. Throws an error that names the
 * operator where shapes do not go together.
 */
export function planGraph(
  graph: TensorGraph,
  inputDims: readonly (readonly number[])[],
  loops?: Loops,
): Program {
  return planAll(graph, inputDims, loops).program;
}

/** Dimensions of every value of a graph, by name. */
export type Dims = ReadonlyMap<string, readonly number[]>;

export const dimensionsOf = (graph: TensorGraph, inputDims: readonly (readonly number[])[]): Dims =>
  new Map([...planAll(graph, inputDims).known].map(([name, { dims }]) => [name, dims]));

function planAll(graph: TensorGraph, inputDims: readonly (readonly number[])[], loops?: Loops) {
  const known = new Map<string, Tensor>(Object.entries(graph.constants));
  /** Values that follow from the inputs. */
  const varying = new Set<string>();
  const inputs = graph.inputs.map((name, i): Tensor => {
    const dims = [...inputDims[i]!];
    const input = { dims, values: new Float64Array(dims.reduce((a, b) => a * b, 1)) };
    known.set(name, input);
    varying.add(name);
    return input;
  });
  let total = 0;
  const runs: (() => void)[] = [];
  const work: Work[] = [];
  for (const { op, inputs: names, outputs, attributes } of graph.nodes) {
    const taken = names.map((name) => {
      const input = known.get(name);
      if (!input && name !== '') throw new Error(`${op} takes "${name}", which nothing puts out`);
      return input as Tensor;
    });
    if (names.slice(operandsOf(op)).some((name) => varying.has(name)))
      throw new Error(`${op} takes a shape or indices that are computed from the image`);
    try {
      const operation = planOperation(op, taken, attributes, loops);
      const varies = !isOfShapes(op) && names.some((name) => varying.has(name));
      if (operation.run && varies) {
        runs.push(operation.run);
        work.push(workOf(op, taken, operation.outputs));
      } else {
        operation.run?.();
      }
      for (const [i, name] of outputs.entries()) {
        total += operation.outputs[i]!.values.length;
        if (total > MOST_VALUES) throw new Error(`all of it together would hold ${total} values`);
        known.set(name, operation.outputs[i]!);
        if (varies) varying.add(name);
      }
    } catch (error) {
      throw new Error(`${op}: ${reasonOf(error)}`, { cause: error });
    }
  }
  const outputs = graph.outputs.map((name) => {
    const output = known.get(name);
    if (!output) throw new Error(`nothing puts out "${name}"`);
    return output;
  });
  const program: Program = {
    inputs,
    outputs,
    work,
    run: () => {
      for (const run of runs) run();
    },
  };
  return { program, known };
}

/** Dimensions of a layer's map as a tensor. */
export const dimsOfMap = ({ height, width, channels }: Shape): number[] => [1, channels, height, width];

/** Brings a map (H, W, C) into a tensor (1, C, H, W). */
function writeMap(map: ArrayLike<number>, { dims, values }: Tensor): void {
  const [, channels, height, width] = dims as [number, number, number, number];
  const cells = height * width;
  for (let cell = 0; cell < cells; cell++)
    for (let c = 0; c < channels; c++) values[c * cells + cell] = map[cell * channels + c]!;
}

/** Runs a planned graph on maps, (H, W, C) each; what it puts out is valid until the next run. */
export function runOnMaps(
  { inputs, outputs, run }: Program,
  maps: readonly ArrayLike<number>[],
): readonly Tensor[] {
  for (const [i, input] of inputs.entries()) writeMap(maps[i]!, input);
  run();
  return outputs;
}

/** Dimensions of what a graph puts out for maps of these shapes; nothing is computed. */
export const outputDimsOf = (graph: TensorGraph, shapes: readonly Shape[]): number[][] =>
  planGraph(graph, shapes.map(dimsOfMap)).outputs.map(({ dims }) => dims);
