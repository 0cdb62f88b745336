import { conversionError } from '../../errors.js';
import type { WiringLayer } from '../network.js';
import { isWholeNumber, type Operator } from './operator.js';

/** Concatenation, slices and any other way of putting channels side by side (darknet's route). */
export const wiring: Operator<WiringLayer> = {
  isValid: ({ inputs, runs }) =>
    inputs.length >= 1 &&
    inputs.length <= 64 &&
    Array.isArray(runs) &&
    runs.length >= 1 &&
    runs.length <= 65536 &&
    runs.every(
      (run) =>
        isWholeNumber(run?.input, 0, inputs.length - 1) &&
        isWholeNumber(run.first, 0, 65536) &&
        isWholeNumber(run.count, 1, 65536),
    ),

  shape({ runs }, inputs) {
    const [first] = inputs;
    const other = inputs.find(({ height, width }) => height !== first!.height || width !== first!.width);
    if (other)
      throw conversionError(
        `cannot put maps of ${first!.height}×${first!.width} and ${other.height}×${other.width} cells side by side`,
      );
    const beyond = runs.find((run) => run.first + run.count > inputs[run.input]!.channels);
    if (beyond)
      throw conversionError(
        `it takes channels up to ${beyond.first + beyond.count} of a map of ${inputs[beyond.input]!.channels}`,
      );
    return { ...first!, channels: runs.reduce((sum, { count }) => sum + count, 0) };
  },

  wires: ({ runs }) =>
    runs.flatMap(({ input, first, count }) =>
      Array.from({ length: count }, (_, i) => ({ input, channel: first + i })),
    ),

  forward({ runs }, inputs, output) {
    const cells = output.height * output.width;
    for (let cell = 0; cell < cells; cell++) {
      let to = cell * output.channels;
      for (const { input, first, count } of runs) {
        const { channels, values } = inputs[input]!;
        const from = cell * channels + first;
        output.values.set(values.subarray(from, from + count), to);
        to += count;
      }
    }
  },
};
