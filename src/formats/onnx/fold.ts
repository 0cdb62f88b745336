import { onnxError, reasonOf } from '../../errors.js';
import { type Attributes, compute, isOperator } from '../../tensor/operators.js';
import type { Tensor } from '../../tensor/tensor.js';
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
  if (!isOperator(node.op)) throw onnxError(`node ${node.name}: ${node.op} of constants is not supported`);
  try {
    return compute(node.op, inputs as readonly Tensor[], attributesOf(node));
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

/** An activation x·g(x) and the nodes that compute g. */
interface Gated {
  op: 'Silu' | 'HardSwish' | 'Mish';
  nodes: OnnxNode[];
}

/** The activation that multiplying x with what `gate` puts out would be: SiLU, HardSwish or Mish. */
function gatedBy(
  gate: OnnxNode | undefined,
  x: string,
  producers: ReadonlyMap<string, OnnxNode>,
): Gated | undefined {
  if (!gate) return undefined;
  const [taken] = gate.inputs;
  if (gate.op === 'Sigmoid' && taken === x) return { op: 'Silu', nodes: [gate] };
  if (gate.op === 'HardSigmoid' && taken === x) {
    const { alpha = 0.2, beta = 0.5 } = attributesOf(gate);
    const sixth = Math.abs((alpha as number) - 1 / 6) < 1e-6;
    return sixth && beta === 0.5 ? { op: 'HardSwish', nodes: [gate] } : undefined;
  }
  const softplus = gate.op === 'Tanh' ? producers.get(taken!) : undefined;
  if (softplus?.op === 'Softplus' && softplus.inputs[0] === x) return { op: 'Mish', nodes: [gate, softplus] };
  return undefined;
}

/** Activations that are written as several nodes as one, where nothing else reads what is in between. */
function fuseActivations(nodes: readonly OnnxNode[]): OnnxNode[] {
  const producers = new Map(nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  const uses = new Map<string, number>();
  for (const { inputs } of nodes) for (const name of inputs) uses.set(name, (uses.get(name) ?? 0) + 1);
  const dropped = new Set<OnnxNode>();
  const fused = nodes.map((node) => {
    if (node.op !== 'Mul') return node;
    for (const [x, gate] of [node.inputs, [...node.inputs].reverse()] as [string, string][]) {
      const found = gatedBy(producers.get(gate), x, producers);
      if (!found?.nodes.every(({ outputs }) => uses.get(outputs[0]!) === 1)) continue;
      for (const between of found.nodes) dropped.add(between);
      return { ...node, op: found.op, inputs: [x] };
    }
    return node;
  });
  return fused.filter((node) => !dropped.has(node));
}
