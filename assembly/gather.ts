// Wiring over a block of time steps: spikes and counts copied to their places, cells repeated; see native/engine.cpp.
import { Gather } from './layout';

/** A run of channels: its stage's spikes (0 if that is silent) and counts, its channels, from, to, length, shift; 4 bytes each. */
const RUN: usize = 28;

/** The cell that repeated cell `out` comes from along one axis, or the nearer of that one's neighbours. */
// @ts-ignore: decorator
@inline
export function sourceCell(out: i32, scale: i32, extent: i32, shifted: bool): i32 {
  const cell = out / scale;
  if (!shifted) return cell;
  return out % 2 == 0 ? max<i32>(cell - 1, 0) : min<i32>(cell + 1, extent - 1);
}

export function runGather(pointer: usize, steps: i32): void {
  const g = changetype<Gather>(pointer);
  const channels = <usize>g.channels;
  for (let y = 0; y < g.outHeight; y++) {
    for (let x = 0; x < g.outWidth; x++) {
      
      const to = <usize>(y * g.outWidth + x);
      for (let i: usize = 0; i < <usize>g.runCount; i++) {
        const run = g.runs + i * RUN;
        const spikes = <usize>load<u32>(run);
        const counts = <usize>load<u32>(run, 4);
        const sourceChannels = <usize>load<u32>(run, 8);
        const first = <usize>load<u32>(run, 12);
        const target = <usize>load<u32>(run, 16);
        const length = <usize>load<u32>(run, 20);
        const shift = load<u32>(run, 24);
        const row = sourceCell(y, g.scale, g.height, (shift & 2) != 0);
        const from = <usize>(row * g.width + sourceCell(x, g.scale, g.width, (shift & 1) != 0));
        memory.copy(g.counts + (to * channels + target) * 4, counts + (from * sourceChannels + first) * 4, length * 4);
        for (let t: usize = 0; t < <usize>steps; t++) {
          const place = g.output + ((to * <usize>steps + t) * channels + target) * 2;
          if (spikes == 0) memory.fill(place, 0, length * 2);
          else memory.copy(place, spikes + ((from * <usize>steps + t) * sourceChannels + first) * 2, length * 2);
        }
      }
    }
  }
}
