import { conversionError } from '../../errors.js';
import { ACTIVATIONS, isSlope } from '../activations.js';
import type { ConvolutionalLayer } from '../network.js';
import { isWholeNumber, type Operator, outputExtent } from './operator.js';

/** A convolution of integrate-and-fire neurons (paper eq. 5). */
export const convolutional: Operator<ConvolutionalLayer> = {
  isValid: ({ inputs, filters, size, stride, padding, groups, ...activated }) =>
    inputs.length === 1 &&
    isWholeNumber(filters, 1, 65536) &&
    isWholeNumber(size, 1, 31) &&
    isWholeNumber(stride, 1, 31) &&
    isWholeNumber(padding, 0, 31) &&
    isWholeNumber(groups, 1, 65536) &&
    ACTIVATIONS.includes(activated.activation) &&
    isSlope(activated, filters),

  shape({ filters, size, stride, padding, groups }, [input]) {
    if (filters % groups !== 0 || input!.channels % groups !== 0)
      throw conversionError(
        `${groups} groups do not divide its ${filters} filters and ${input!.channels} input channels`,
      );
    return {
      height: outputExtent(input!.height, 2 * padding, size, stride),
      width: outputExtent(input!.width, 2 * padding, size, stride),
      channels: filters,
    };
  },

  synapses({ filters, size, groups }, [input]) {
    const heard = input!.channels / groups;
    const perGroup = filters / groups;
    return {
      filters,
      heard,
      perFilter: size * size * heard,
      wireOf: (j, i) => ({ input: 0, channel: Math.floor(j / perGroup) * heard + (i % heard) }),
    };
  },
};
