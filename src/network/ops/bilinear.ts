import type { BilinearLayer } from '../network.js';
import type { Operator } from './operator.js';

/** Weights of a cell's own value, of the nearer ones beside it and above or below, and of the one between those. */
const WEIGHTS = [9 / 16, 3 / 16, 3 / 16, 1 / 16] as const;

/** Bilinear upsampling ×2 (half-pixel): neurons with up to four synapses each, linear. */
export const bilinear: Operator<BilinearLayer> = {
  isValid: ({ inputs }) => inputs.length === 1,

  shape: (_, [input]) => ({
    height: 2 * input!.height,
    width: 2 * input!.width,
    channels: input!.channels,
  }),

  synapses: (_, [input]) => ({
    filters: input!.channels,
    heard: 4,
    perFilter: 4,
    wireOf: (j) => ({ input: 0, channel: j }),
    weightOf: (_, i) => WEIGHTS[i]!,
  }),

  forward(_, [input], output) {
    const { height, width, channels, values } = input!;
    const { fround } = Math;
    const neighbour = (out: number, extent: number) =>
      Math.min(Math.max((out >> 1) + (out % 2 === 0 ? -1 : 1), 0), extent - 1);
    for (let y = 0; y < output.height; y++) {
      const rows = [y >> 1, neighbour(y, height)] as const;
      for (let x = 0; x < output.width; x++) {
        const columns = [x >> 1, neighbour(x, width)] as const;
        const cells = [0, 1, 2, 3].map((i) => (rows[i >> 1]! * width + columns[i & 1]!) * channels);
        for (let c = 0; c < channels; c++) {
          let sum = 0;
          for (let i = 0; i < 4; i++) sum = fround(sum + fround(WEIGHTS[i]! * values[cells[i]! + c]!));
          output.values[(y * output.width + x) * channels + c] = sum;
        }
      }
    }
  },
};
