import { conversionError } from '../errors.js';
import { dimsOfMap, planGraph, type TensorGraph } from '../tensor/graph.js';
import type { Network, Shape } from './network.js';
import { denseMultiplications, inferShapes } from './shapes.js';

/** What an exported network computes in floats, in an island or behind its output layers. */
export interface FloatPart {
  /** The island's name; `tail` behind the output layers. */
  name: string;
  /** Operators that compute something, each once: `MatMul, Softmax`. */
  operators: string[];
  multiplications: number;
  /** All its operations, multiply-accumulates included. */
  operations: number;
}

/** Operations of one pass of a float network. */
export interface NetworkOperations {
  /** Multiply-accumulates of its convolutions, without weights outside the border. */
  multiplications: number;
  islands: FloatPart[];
  tail: FloatPart | undefined;
}

/** Largest parts of a network's operations that may be no spikes: in islands, and multiply-accumulates of the tail. */
const MOST_ISLANDS = 0.05;
const MOST_TAIL = 0.01;

function floatPart(name: string, graph: TensorGraph, shapes: ReadonlyMap<string, Shape>): FloatPart {
  const { work } = planGraph(
    graph,
    graph.inputs.map((input) => dimsOfMap(shapes.get(input)!)),
  );
  const operators = [...new Set(work.filter(({ operations }) => operations > 0).map(({ op }) => op))];
  const sum = (of: (each: (typeof work)[number]) => number) =>
    work.reduce((total, each) => total + of(each), 0);
  return {
    name,
    operators,
    multiplications: sum(({ multiplications }) => multiplications),
    operations: sum(({ operations }) => operations),
  };
}

/**
 * Counts what one pass of a float network takes.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { decodeModel, networkOperations } from 'spiking-yolo';
 *
 * const { network } = decodeModel(readFileSync('models/tiny-yolo-lite-voc.safetensors'));
 * const { multiplications, islands } = networkOperations(network);
 * console.log((multiplications / 1e6).toFixed(0), islands.length); // 369 0
 * ```
 */
export function networkOperations(network: Pick<Network, 'input' | 'layers' | 'tail'>): NetworkOperations {
  const shapes = inferShapes({ heads: [], ...network });
  let multiplications = 0;
  const islands: FloatPart[] = [];
  for (const layer of network.layers) {
    if (layer.kind === 'island') islands.push(floatPart(layer.name, layer.graph, shapes));
    if (layer.kind !== 'convolutional') continue;
    const input = shapes.get(layer.inputs[0]!)!;
    const { height: outHeight, width: outWidth } = shapes.get(layer.name)!;
    const reach = layer.filters / layer.groups;
    multiplications += denseMultiplications({ ...input, ...layer, outHeight, outWidth, reach });
  }
  return { multiplications, islands, tail: network.tail && floatPart('tail', network.tail, shapes) };
}

/** Parts of all operations that are islands', and the tail's. */
export function floatShares({ multiplications, islands, tail }: NetworkOperations): {
  islands: number;
  tail: number;
} {
  const inIslands = islands.reduce((sum, { operations }) => sum + operations, 0);
  const all = multiplications + inIslands + (tail?.operations ?? 0);
  return { islands: inIslands / all, tail: (tail?.operations ?? 0) / all };
}

/** A line that says how much is computed in floats, or none. */
export const describeShares = ({ islands, tail }: { islands: number; tail: number }): string[] =>
  islands + tail > 0
    ? [
        `computed in floats: ${percent(islands)} of the operations in islands, ${percent(tail)} behind the output layers`,
      ]
    : [];

const percent = (share: number) => `${(100 * share).toFixed(2)} %`;

/** Throws `CONVERSION` for a network too much of which would not spike. */
export function checkFloatShares(operations: NetworkOperations): void {
  const { multiplications, islands, tail } = operations;
  const share = floatShares(operations).islands;
  if (share > MOST_ISLANDS) {
    const named = islands.map(({ name, operators }) => `${name} (${operators.join(', ')})`);
    throw conversionError(
      `${percent(share)} of its operations are neither neurons nor wiring, and would be computed in floats; at most ${percent(MOST_ISLANDS)} are converted: ${named.slice(0, 8).join('; ')}${named.length > 8 ? '; …' : ''}`,
    );
  }
  const behind = (tail?.multiplications ?? 0) / (multiplications + (tail?.multiplications ?? 0));
  if (behind > MOST_TAIL)
    throw conversionError(
      `${percent(behind)} of its multiply-accumulates are behind its output layers, and would be computed in floats; at most ${percent(MOST_TAIL)} are converted`,
    );
}
