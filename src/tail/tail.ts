import { reasonOf } from '../errors.js';
import type { Shape } from '../network/network.js';
import { type Attributes, OPERATORS } from './operators.js';
import type { Tensor } from './tensor.js';

/** One operation behind the output layers. */
export interface TailNode {
  /** An ONNX operator. */
  op: string;
  /** Names of output layers, of constants, or of what earlier nodes put out; '' for an input that is left out. */
  inputs: string[];
  outputs: string[];
  attributes: Attributes;
}

/**
 * What an exported network computes behind its output layers: no network of neurons, run in float64 as the file has it
 * on what the output layers read.
 */
export interface Tail {
  /** The output layers. */
  inputs: string[];
  nodes: TailNode[];
  constants: Record<string, Tensor>;
  /** What heads read. */
  outputs: string[];
}

/** An output layer's map, (H, W, C), as a tensor (1, C, H, W). */
function tensorOfMap(map: ArrayLike<number>, { height, width, channels }: Shape): Tensor {
  const cells = height * width;
  const values = new Float64Array(cells * channels);
  for (let cell = 0; cell < cells; cell++)
    for (let c = 0; c < channels; c++) values[c * cells + cell] = map[cell * channels + c]!;
  return { dims: [1, channels, height, width], values };
}

/** Runs a tail; throws an error that names the node where shapes do not go together. */
export function runTail(tail: Tail, maps: readonly ArrayLike<number>[], shapes: readonly Shape[]): Tensor[] {
  const known = new Map<string, Tensor>(Object.entries(tail.constants));
  for (const [i, name] of tail.inputs.entries()) known.set(name, tensorOfMap(maps[i]!, shapes[i]!));
  for (const node of tail.nodes) {
    const inputs = node.inputs.map((name) => {
      const input = known.get(name);
      if (!input && name !== '') throw new Error(`${node.op} takes "${name}", which nothing puts out`);
      return input as Tensor;
    });
    let outputs: Tensor[];
    try {
      outputs = OPERATORS[node.op]!(inputs, node.attributes);
    } catch (error) {
      throw new Error(`${node.op}: ${reasonOf(error)}`, { cause: error });
    }
    for (const [i, name] of node.outputs.entries()) known.set(name, outputs[i]!);
  }
  return tail.outputs.map((name) => {
    const output = known.get(name);
    if (!output) throw new Error(`nothing puts out "${name}"`);
    return output;
  });
}
