import { conversionError } from '../../errors.js';
import { ACTIVATIONS, activate, isSlope } from '../activations.js';
import type { AddLayer } from '../network.js';
import type { Operator } from './operator.js';

/** A residual sum (darknet's shortcut): a neuron with one synapse for each input. */
export const add: Operator<AddLayer> = {
  isValid: ({ inputs, activation, slope }) =>
    inputs.length >= 2 &&
    inputs.length <= 16 &&
    ACTIVATIONS.includes(activation) &&
    isSlope({ activation, slope }, Array.isArray(slope) ? slope.length : 1),

  shape({ slope }, inputs) {
    const [first] = inputs;
    const other = inputs.find(
      ({ height, width, channels }) =>
        height !== first!.height || width !== first!.width || channels !== first!.channels,
    );
    if (other)
      throw conversionError(
        `cannot add maps of ${first!.height}×${first!.width}×${first!.channels} and ${other.height}×${other.width}×${other.channels}`,
      );
    if (typeof slope === 'object' && slope.length !== first!.channels)
      throw conversionError(`it has ${slope.length} slopes for ${first!.channels} channels`);
    return first!;
  },

  synapses(_, inputs) {
    const heard = inputs.length;
    return {
      filters: inputs[0]!.channels,
      heard,
      perFilter: heard,
      wireOf: (j, i) => ({ input: i, channel: j }),
      weightOf: () => 1,
    };
  },

  forward(layer, inputs, { values, channels }) {
    for (let i = 0; i < values.length; i++) {
      let sum = inputs[0]!.values[i]!;
      for (let k = 1; k < inputs.length; k++) sum = Math.fround(sum + inputs[k]!.values[i]!);
      values[i] = sum;
    }
    activate(layer, values, channels);
  },
};
