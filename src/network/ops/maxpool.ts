import { conversionError } from '../../errors.js';
import type { MaxPoolLayer, Shape } from '../network.js';
import { isWholeNumber, type Operator, outputExtent } from './operator.js';

/** True if each pooling window along one axis holds at least one real cell. */
function windowsHoldCells(extent: number, outExtent: number, size: number, stride: number, before: number) {
  const lastStart = (outExtent - 1) * stride - before;
  return size - before > 0 && lastStart < extent;
}

/** Max-pooling, which on spikes takes a rule of its own (docs/engine.md, paper section 3.1). */
export const maxpool: Operator<MaxPoolLayer> = {
  isValid: ({ inputs, size, stride, padding }) =>
    inputs.length === 1 &&
    isWholeNumber(size, 1, 64) &&
    isWholeNumber(stride, 1, 64) &&
    isWholeNumber(padding, 0, 128),

  shape({ size, stride, padding }, [input]) {
    const shape: Shape = {
      height: outputExtent(input!.height, padding, size, stride),
      width: outputExtent(input!.width, padding, size, stride),
      channels: input!.channels,
    };
    const before = Math.floor(padding / 2);
    if (
      !windowsHoldCells(input!.height, shape.height, size, stride, before) ||
      !windowsHoldCells(input!.width, shape.width, size, stride, before)
    )
      throw conversionError('a pooling window would hold no real cell');
    return shape;
  },

  wires: (_, [input]) => Array.from({ length: input!.channels }, (_, channel) => ({ input: 0, channel })),

  forward({ size, stride, padding }, [input], output) {
    const { height, width, channels } = input!;
    const offset = Math.floor(padding / 2);
    const { values } = output;
    values.fill(Number.NEGATIVE_INFINITY);
    for (let y = 0; y < output.height; y++) {
      for (let x = 0; x < output.width; x++) {
        const target = (y * output.width + x) * channels;
        const firstRow = Math.max(0, y * stride - offset);
        const lastRow = Math.min(height, y * stride - offset + size);
        const firstColumn = Math.max(0, x * stride - offset);
        const lastColumn = Math.min(width, x * stride - offset + size);
        for (let row = firstRow; row < lastRow; row++) {
          for (let column = firstColumn; column < lastColumn; column++) {
            const source = (row * width + column) * channels;
            for (let c = 0; c < channels; c++) {
              const value = input!.values[source + c]!;
              if (value > values[target + c]!) values[target + c] = value;
            }
          }
        }
      }
    }
  },
};
