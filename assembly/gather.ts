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

/** One step of maps of the same size: run by run, of whose many in a shuffle none is worth a call. */
function moveRuns(g: Gather): void {
  const channels = <usize>g.channels;
  const cells = <usize>(g.height * g.width);
  for (let i: usize = 0; i < <usize>g.runCount; i++) {
    const run = g.runs + i * RUN;
    const spikes = <usize>load<u32>(run);
    const sourceChannels = <usize>load<u32>(run, 8);
    const first = <usize>load<u32>(run, 12);
    const target = <usize>load<u32>(run, 16);
    const length = <usize>load<u32>(run, 20);
    let fromSpikes = spikes + first * 2;
    let fromCounts = <usize>load<u32>(run, 4) + first * 4;
    let toSpikes = g.output + target * 2;
    let toCounts = g.counts + target * 4;
    for (let cell: usize = 0; cell < cells; cell++) {
      if (length >= 16) {
        memory.copy(toCounts, fromCounts, length * 4);
        if (spikes == 0) memory.fill(toSpikes, 0, length * 2);
        else memory.copy(toSpikes, fromSpikes, length * 2);
      } else {
        for (let j: usize = 0; j < length; j++) {
          store<i32>(toCounts + j * 4, load<i32>(fromCounts + j * 4));
          store<i16>(toSpikes + j * 2, spikes == 0 ? 0 : load<i16>(fromSpikes + j * 2));
        }
      }
      fromSpikes += sourceChannels * 2;
      fromCounts += sourceChannels * 4;
      toSpikes += channels * 2;
      toCounts += channels * 4;
    }
  }
}

export function runGather(pointer: usize, steps: i32): void {
  const g = changetype<Gather>(pointer);
  const channels = <usize>g.channels;
  if (steps == 1 && g.scale == 1) return moveRuns(g);
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
