import type { UpsampleLayer } from '../network.js';
import { isWholeNumber, type Operator } from './operator.js';

/** Nearest-neighbour upsampling: wiring, which repeats spikes. */
export const upsample: Operator<UpsampleLayer> = {
  isValid: ({ inputs, scale }) => inputs.length === 1 && isWholeNumber(scale, 1, 64),

  shape: ({ scale }, [input]) => ({
    height: input!.height * scale,
    width: input!.width * scale,
    channels: input!.channels,
  }),

  wires: (_, [input]) => Array.from({ length: input!.channels }, (_, channel) => ({ input: 0, channel })),

  forward({ scale }, [input], output) {
    const { width, channels, values } = input!;
    for (let y = 0; y < output.height; y++) {
      for (let x = 0; x < output.width; x++) {
        const from = (Math.floor(y / scale) * width + Math.floor(x / scale)) * channels;
        output.values.set(values.subarray(from, from + channels), (y * output.width + x) * channels);
      }
    }
  },
};
