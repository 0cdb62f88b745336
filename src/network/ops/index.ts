/** Every kind of layer. A new kind is a file beside this one and a line here; the compiler lists what it lacks. */
import type { Activated } from '../activations.js';
import type { Layer } from '../network.js';
import { add } from './add.js';
import { bilinear } from './bilinear.js';
import { convolutional } from './convolutional.js';
import { island } from './island.js';
import { maxpool } from './maxpool.js';
import type { Operator } from './operator.js';
import { upsample } from './upsample.js';
import { wiring } from './wiring.js';

const OPERATORS: { [Kind in Layer['kind']]: Operator<Extract<Layer, { kind: Kind }>> } = {
  convolutional,
  add,
  bilinear,
  island,
  maxpool,
  upsample,
  wiring,
};

/** What a layer's kind is. */
export const operatorOf = <L extends Layer>(layer: L): Operator<L> =>
  OPERATORS[layer.kind] as unknown as Operator<L>;

/** True for a kind of layer that there is. */
export const isKind = (kind: unknown): kind is Layer['kind'] =>
  typeof kind === 'string' && Object.hasOwn(OPERATORS, kind);

/** The layers that send spikes of their own, each with an activation; an island's are rounded as a neuron's are. */
export type NeuronLayer = Extract<Layer, { kind: 'convolutional' | 'add' | 'bilinear' | 'island' }>;

/** The activation of a layer's neurons, and its slope. */
export const activatedOf = (layer: NeuronLayer): Activated =>
  layer.kind === 'bilinear' || layer.kind === 'island' ? { activation: 'linear' } : layer;

export const hasNeurons = (layer: Layer): layer is NeuronLayer => operatorOf(layer).synapses !== undefined;
