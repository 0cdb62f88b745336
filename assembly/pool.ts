// Spiking max-pool over a block of time steps; the rules are those of native/kernels.inl.
import { Pool } from './layout';

const EXACT = 0;
const AVERAGE = 1;
const EXPONENTIAL = 2;

/** A window cell: its spikes, its counts (both at the channel 0), its index on the map. */
const CELL: usize = 12;

/** Exact: out(t) = max N(t) − max N(t − 1), backwards from the counts at the end of the block; 4 channels. */
function poolExact(p: Pool, cells: usize, channel: usize, steps: i32, stepBytes: usize, out: usize, counts: usize): void {
  let largest = i32x4.splat(i32.MIN_VALUE);
  const n = p.windowCounts;
  for (let i: usize = 0; i < cells; i++) {
    const count = v128.load(<usize>load<u32>(p.cells + i * CELL, 4) + channel * 4);
    v128.store(n + i * 16, count);
    largest = i32x4.max_s(largest, count);
  }
  v128.store(counts + channel * 4, largest);
  for (let t = steps - 1; t >= 0; t--) {
    const at = <usize>t * stepBytes + channel * 2;
    let previous = i32x4.splat(i32.MIN_VALUE);
    for (let i: usize = 0; i < cells; i++) {
      const s = v128.load16x4_s(<usize>load<u32>(p.cells + i * CELL) + at);
      const count = i32x4.sub(v128.load(n + i * 16), s);
      v128.store(n + i * 16, count);
      previous = i32x4.max_s(previous, count);
    }
    const grown = i32x4.sub(largest, previous);
    largest = previous;
    v128.store64_lane(out + at, i16x8.narrow_i32x4_s(grown, grown), 0);
  }
}

/** gate:avg: the spike of the first cell with the largest N, backwards like the exact pool; 4 channels. */
function poolAverage(p: Pool, cells: usize, channel: usize, steps: i32, stepBytes: usize, out: usize, counts: usize): void {
  const n = p.windowCounts;
  let total = i32x4.splat(0);
  for (let i: usize = 0; i < cells; i++) {
    v128.store(n + i * 16, v128.load(<usize>load<u32>(p.cells + i * CELL, 4) + channel * 4));
  }
  for (let t = steps - 1; t >= 0; t--) {
    const at = <usize>t * stepBytes + channel * 2;
    let best = i32x4.splat(i32.MIN_VALUE);
    let chosen = i32x4.splat(0);
    for (let i: usize = 0; i < cells; i++) {
      const s = v128.load16x4_s(<usize>load<u32>(p.cells + i * CELL) + at);
      const count = v128.load(n + i * 16);
      const better = i32x4.gt_s(count, best);
      best = v128.bitselect(count, best, better);
      chosen = v128.bitselect(s, chosen, better);
      v128.store(n + i * 16, i32x4.sub(count, s));
    }
    total = i32x4.add(total, chosen);
    v128.store64_lane(out + at, i16x8.narrow_i32x4_s(chosen, chosen), 0);
  }
  v128.store(counts + channel * 4, i32x4.add(v128.load(counts + channel * 4), total));
}

/** gate:exp and gate:fir, forwards from the estimates at the start of the block to those at its end; 1 channel. */
function poolEstimate(
  p: Pool, cells: usize, channel: usize, firstStep: i32, steps: i32, stepBytes: usize, out: usize, counts: usize,
): void {
  const stride = <usize>p.channels;
  for (let i: usize = 0; i < cells; i++) {
    const index = <usize>load<u32>(p.cells + i * CELL, 8);
    store<i32>(p.windowCounts + i * 16, load<i32>(p.estimateStart + (index * stride + channel) * 4));
    if (p.rule == EXPONENTIAL) continue;
    for (let slot: usize = 0; slot < 16; slot++) {
      const at = (index * 16 + slot) * stride + channel;
      store<i8>(p.recentEnd + at, load<i8>(p.recentStart + at));
    }
  }
  let total = load<i32>(counts + channel * 4);
  for (let t = 0; t < steps; t++) {
    const at = <usize>t * stepBytes + channel * 2;
    let best = 0;
    let chosen = 0;
    for (let i: usize = 0; i < cells; i++) {
      const s = <i32>load<i16>(<usize>load<u32>(p.cells + i * CELL) + at);
      let estimate = load<i32>(p.windowCounts + i * 16);
      if (p.rule == EXPONENTIAL) {
        estimate += (s << 16) - (estimate >> 4);
      } else {
        const index = <usize>load<u32>(p.cells + i * CELL, 8);
        const recent = p.recentEnd + (index * 16 + <usize>((firstStep + t) & 15)) * stride + channel;
        estimate += s - <i32>load<i8>(recent);
        store<i8>(recent, <i8>s);
      }
      store<i32>(p.windowCounts + i * 16, estimate);
      if (i == 0 || estimate > best) {
        best = estimate;
        chosen = s;
      }
    }
    store<i16>(out + at, <i16>chosen);
    total += chosen;
  }
  store<i32>(counts + channel * 4, total);
  for (let i: usize = 0; i < cells; i++) {
    const index = <usize>load<u32>(p.cells + i * CELL, 8);
    store<i32>(p.estimateEnd + (index * stride + channel) * 4, load<i32>(p.windowCounts + i * 16));
  }
}

/** Pools output row y over a block of steps; input rows are a ring of `ringRows`. */
export function poolRow(p: Pool, y: i32, firstStep: i32, steps: i32, ringRows: i32): void {
  const stepBytes = <usize>p.channels * 2;
  const cellBytes = stepBytes * <usize>steps;
  for (let x = 0; x < p.outWidth; x++) {
    let cells: usize = 0;
    for (let i = 0; i < p.size; i++) {
      const row = y * p.stride - p.offset + i;
      if (row < 0 || row >= p.height) continue;
      for (let j = 0; j < p.size; j++) {
        const column = x * p.stride - p.offset + j;
        if (column < 0 || column >= p.width) continue;
        const index = <usize>(row * p.width + column);
        const cell = p.cells + cells * CELL;
        cells++;
        store<u32>(cell, <u32>(p.input + <usize>((row % ringRows) * p.width + column) * cellBytes));
        store<u32>(cell, <u32>(p.inputCounts + index * <usize>p.channels * 4), 4);
        store<u32>(cell, <u32>index, 8);
      }
    }
    const outCell = <usize>(y * p.outWidth + x);
    const out = p.output + outCell * cellBytes;
    const counts = p.counts + outCell * <usize>p.channels * 4;
    if (p.rule == EXACT) {
      for (let channel: usize = 0; channel < <usize>p.channels; channel += 4) {
        poolExact(p, cells, channel, steps, stepBytes, out, counts);
      }
    } else if (p.rule == AVERAGE) {
      for (let channel: usize = 0; channel < <usize>p.channels; channel += 4) {
        poolAverage(p, cells, channel, steps, stepBytes, out, counts);
      }
    } else {
      for (let channel: usize = 0; channel < <usize>p.channels; channel++) {
        poolEstimate(p, cells, channel, firstStep, steps, stepBytes, out, counts);
      }
    }
  }
}

/** Pools a whole map whose rows all lie in memory. */
export function runPool(pointer: usize, firstStep: i32, steps: i32): void {
  const p = changetype<Pool>(pointer);
  for (let y = 0; y < p.outHeight; y++) poolRow(p, y, firstStep, steps, p.height);
}
