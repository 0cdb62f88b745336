import { onnxError, reasonOf } from '../../errors.js';
import { type Attributes, OPERATORS } from '../../tail/operators.js';
import type { Tensor } from '../../tail/tensor.js';
import type { Attribute, OnnxGraph, OnnxNode } from './proto.js';

/** Attributes as plain data; a tensor of one value is that value. */
export function attributesOf(node: OnnxNode): Attributes {
  const plain = (value: Attribute) =>
    typeof value === 'object' && !Array.isArray(value) ? value.values[0] : value;
  return {
    ...Object.fromEntries([...node.attributes].map(([name, value]) => [name, plain(value)])),
    outputs: node.outputs.length,
  };
}

/** An operation of constants alone, computed; throws `ONNX`. */
export function foldNode(node: OnnxNode, inputs: readonly (Tensor | undefined)[]): Tensor[] {
  const operator = Object.hasOwn(OPERATORS, node.op) ? OPERATORS[node.op] : undefined;
  if (!operator) throw onnxError(`node ${node.name}: ${node.op} of constants is not supported`);
  try {
    return operator(inputs as readonly Tensor[], attributesOf(node));
  } catch (error) {
    throw onnxError(`node ${node.name} (${node.op}): ${reasonOf(error)}`, error);
  }
}

/** Operators that give their input on as it is. */
const PASSING = new Set(['Identity', 'Dropout', 'Cast']);

/**
 * A graph with its constant nodes computed and its passing nodes taken out. Activations that are written as several nodes
 * become one: x·σ(x) is `Silu`.
 */
export function simplify(graph: OnnxGraph): OnnxGraph {
  const constants = new Map(graph.constants);
  const alias = new Map<string, string>();
  const resolved = (name: string): string => alias.get(name) ?? name;
  let nodes: OnnxNode[] = [];
  for (const given of graph.nodes) {
    const node = { ...given, inputs: given.inputs.map(resolved) };
    const value =
      node.attributes.get('value') ?? node.attributes.get('value_float') ?? node.attributes.get('value_ints');
    if (node.op === 'Constant') {
      const tensor =
        typeof value === 'number'
          ? { dims: [], values: Float64Array.of(value) }
          : Array.isArray(value)
            ? { dims: [value.length], values: Float64Array.from(value) }
            : value;
      if (typeof tensor !== 'object')
        throw onnxError(`node ${node.name}: a constant of this kind is not supported`);
      constants.set(node.outputs[0]!, tensor);
    } else if (node.inputs.length > 0 && node.inputs.every((name) => name === '' || constants.has(name))) {
      const folded = foldNode(
        node,
        node.inputs.map((name) => constants.get(name)),
      );
      for (const [i, name] of node.outputs.entries()) if (folded[i]) constants.set(name, folded[i]);
    } else if (PASSING.has(node.op)) {
      alias.set(node.outputs[0]!, node.inputs[0]!);
    } else {
      nodes.push(node);
    }
  }
  nodes = fuseActivations(nodes);
  const outputs = graph.outputs.map((output) => ({ ...output, name: resolved(output.name) }));
  return { ...graph, nodes, constants, outputs };
}

/** x·σ(x) in two nodes as one, where nothing else reads σ(x). */
function fuseActivations(nodes: readonly OnnxNode[]): OnnxNode[] {
  const producers = new Map(nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  const uses = new Map<string, number>();
  for (const { inputs } of nodes) for (const name of inputs) uses.set(name, (uses.get(name) ?? 0) + 1);
  const dropped = new Set<OnnxNode>();
  const fused = nodes.map((node) => {
    if (node.op !== 'Mul') return node;
    for (const [x, gate] of [node.inputs, [...node.inputs].reverse()] as [string, string][]) {
      const sigmoid = producers.get(gate!);
      if (sigmoid?.op === 'Sigmoid' && sigmoid.inputs[0] === x && uses.get(gate!) === 1) {
        dropped.add(sigmoid);
        return { ...node, op: 'Silu', inputs: [x!] };
      }
    }
    return node;
  });
  return fused.filter((node) => !dropped.has(node));
}
