// Spiking convolution over a block of time steps; the names are those of native/kernels.inl and native/engine.cpp.
import { Convolution, Pool } from './layout';
import { poolRow } from './pool';

const LIMIT: i32 = 1 << 30;
const ROWS: i32 = 2;

/** Kernel rows or columns of output cell `out` that lie on the map. */
// @ts-ignore: decorator
@inline
function firstTap(out: i32, stride: i32, padding: i32): i32 {
  return max<i32>(0, padding - out * stride);
}
// @ts-ignore: decorator
@inline
function endTap(out: i32, extent: i32, size: i32, stride: i32, padding: i32): i32 {
  return min<i32>(size, extent - out * stride + padding);
}

/** z of two rows (steps or positions) × 16 filters, (2, 16) int32: pairs of channels by i32x4.dot_i16x8_s. */
function tile(tapCount: i32, taps: usize, packed: usize, words: i32, rowBytes: usize, z: usize): void {
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  for (let k: usize = 0; k < <usize>tapCount; k++) {
    const tap = taps + k * 16;
    const input = <usize>load<u32>(tap);
    let list = <usize>load<u32>(tap, 4);
    const end = list + (<usize>load<u32>(tap, 8) << 1);
    const weights = packed + <usize>load<u32>(tap, 12) * <usize>words * 64;
    for (; list < end; list += 2) {
      const word = <usize>load<u16>(list);
      const w = weights + word * 64;
      const spikes = input + word * 4;
      const w0 = v128.load(w);
      const w1 = v128.load(w, 16);
      const w2 = v128.load(w, 32);
      const w3 = v128.load(w, 48);
      const s = v128.load32_splat(spikes);
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(w0, s));
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(w1, s));
      a2 = i32x4.add(a2, i32x4.dot_i16x8_s(w2, s));
      a3 = i32x4.add(a3, i32x4.dot_i16x8_s(w3, s));
      const t = v128.load32_splat(spikes + rowBytes);
      b0 = i32x4.add(b0, i32x4.dot_i16x8_s(w0, t));
      b1 = i32x4.add(b1, i32x4.dot_i16x8_s(w1, t));
      b2 = i32x4.add(b2, i32x4.dot_i16x8_s(w2, t));
      b3 = i32x4.add(b3, i32x4.dot_i16x8_s(w3, t));
    }
  }
  v128.store(z, a0);
  v128.store(z, a1, 16);
  v128.store(z, a2, 32);
  v128.store(z, a3, 48);
  v128.store(z, b0, 64);
  v128.store(z, b1, 80);
  v128.store(z, b2, 96);
  v128.store(z, b3, 112);
}

/**
 * The same of a window's words, all of them: a kernel's row of input cells is one line of words, its weights in the order of all lines.
 */
export function windowTile(lines: i32, input: usize, lineBytes: usize, lineWords: i32, weights: usize, rowBytes: usize, z: usize): void {
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  for (let line = 0; line < lines; line++, input += lineBytes) {
    const end = input + <usize>lineWords * 4;
    for (let word = input; word < end; word += 4, weights += 64) {
      const w0 = v128.load(weights);
      const w1 = v128.load(weights, 16);
      const w2 = v128.load(weights, 32);
      const w3 = v128.load(weights, 48);
      const s = v128.load32_splat(word);
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(w0, s));
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(w1, s));
      a2 = i32x4.add(a2, i32x4.dot_i16x8_s(w2, s));
      a3 = i32x4.add(a3, i32x4.dot_i16x8_s(w3, s));
      const t = v128.load32_splat(word + rowBytes);
      b0 = i32x4.add(b0, i32x4.dot_i16x8_s(w0, t));
      b1 = i32x4.add(b1, i32x4.dot_i16x8_s(w1, t));
      b2 = i32x4.add(b2, i32x4.dot_i16x8_s(w2, t));
      b3 = i32x4.add(b3, i32x4.dot_i16x8_s(w3, t));
    }
  }
  v128.store(z, a0);
  v128.store(z, a1, 16);
  v128.store(z, a2, 32);
  v128.store(z, a3, 48);
  v128.store(z, b0, 64);
  v128.store(z, b1, 80);
  v128.store(z, b2, 96);
  v128.store(z, b3, 112);
}

/** Counts synaptic operations, and, if `listed`, lists the words of each input cell that are not silent over a tile of steps. */
export function observe(pointer: usize, steps: i32, listed: bool): void {
  const c = changetype<Convolution>(pointer);
  const stepBytes = <usize>c.words * 4;
  const tiles = (steps + ROWS - 1) / ROWS;
  let operations: f64 = 0;
  for (let y = 0; y < c.height; y++) {
    const rowFan = load<i32>(c.fanRows + (<usize>y << 2));
    for (let x = 0; x < c.width; x++) {
      const cell = <usize>(y * c.width + x);
      const data = c.input + cell * <usize>steps * stepBytes;
      let sums = i32x4.splat(0);
      for (let at: usize = 0; at < <usize>steps * stepBytes; at += 16) {
        const s = v128.load(data + at);
        sums = i32x4.add(sums, i32x4.extadd_pairwise_i16x8_s(i16x8.abs(s)));
      }
      const magnitude =
        sumOfLanes(sums);
      operations += <f64>magnitude * <f64>rowFan * <f64>load<i32>(c.fanColumns + (<usize>x << 2));
      if (c.lists == 0 || !listed) continue;
      for (let k = 0; k < tiles; k++) {
        const tileIndex = cell * <usize>tiles + <usize>k;
        const first = data + <usize>(k * ROWS) * stepBytes;
        const second = k * ROWS + 1 < steps ? first + stepBytes : first;
        const list = c.lists + tileIndex * <usize>c.words * 2;
        let end = list;
        for (let word: usize = 0; word < <usize>c.words; word++) {
          store<u16>(end, <u16>word);
          end += select<usize>(2, 0, (load<u32>(first + word * 4) | load<u32>(second + word * 4)) != 0);
        }
        store<u16>(c.listSizes + tileIndex * 2, <u16>((end - list) >> 1));
      }
    }
  }
  store<f64>(c.statistics, load<f64>(c.statistics, 16) + operations, 16);
}

/** Nothing came in during this block: every list is empty. */
export function observeSilence(pointer: usize, steps: i32): void {
  const c = changetype<Convolution>(pointer);
  const tiles = (steps + ROWS - 1) / ROWS;
  if (c.listSizes != 0) memory.fill(c.listSizes, 0, <usize>(c.height * c.width * tiles) * 2);
}

/** From this Γ on, spikes of one direction are first counted by division. */
const BURST = 8;

/**
 * How many spikes |V| is worth that fires from `limit` on by `amount` each, at most Γ; one too few in rare cases, never too
 * many (see native/kernels.inl). Of a limit that is not reached, anything.
 */
// @ts-ignore: decorator
@inline
function burst(magnitude: v128, limit: v128, amount: v128, gamma: i32): v128 {
  const distance = f32x4.convert_i32x4_s(i32x4.sub(magnitude, i32x4.min_s(limit, i32x4.splat(LIMIT))));
  let quotient = f32x4.sub(f32x4.div(distance, f32x4.convert_i32x4_s(amount)), f32x4.splat(0.0009765625));
  quotient = f32x4.max(f32x4.min(quotient, f32x4.splat(<f32>(gamma - 1))), f32x4.splat(0));
  return i32x4.add(i32x4.trunc_sat_f32x4_s(quotient), i32x4.splat(1));
}

/** V = sat(V + z), then the neuron rule up to Γ times, for 16 filters over `rows` steps (docs/engine.md; eq. 7). */
function fire(
  c: Convolution, z: usize, zStride: usize, bias: usize, rows: i32, neuron: usize, filter: usize, output: usize,
  stepBytes: usize,
): void {
  const stride = <usize>c.filters * 4;
  let spikes = i32x4.splat(0);
  let clipped: i64 = 0;
  const limit = i32x4.splat(LIMIT);
  const lowest = i32x4.splat(-LIMIT);
  const zero = i32x4.splat(0);
  for (let lane: usize = 0; lane < 16; lane += 4) {
    const table = c.firing + (filter + lane) * 4;
    const upPositive = v128.load(table);
    const upNegative = v128.load(table + stride);
    const takePositive = v128.load(table + 2 * stride);
    const takeNegative = v128.load(table + 3 * stride);
    const downPositive = i32x4.neg(v128.load(table + 4 * stride));
    const downNegative = i32x4.neg(v128.load(table + 5 * stride));
    const givePositive = v128.load(table + 6 * stride);
    const giveNegative = v128.load(table + 7 * stride);
    const b = bias != 0 ? v128.load(bias + (filter + lane) * 4) : zero;
    const at = (neuron + lane) * 4;
    let v = v128.load(c.potential + at);
    let n = v128.load(c.counts + at);
    for (let r = 0; r < rows; r++) {
      v = i32x4.add(v, i32x4.add(v128.load(z + <usize>r * zStride + lane * 4), b));
      v = i32x4.min_s(i32x4.max_s(v, lowest), limit);
      const before = n;
      let left = i32x4.splat(c.gamma);
      if (c.gamma >= BURST && !v128.any_true(n)) {
        // from N = 0 the limits stay the same from spike to spike
        const ups = v128.and(i32x4.ge_s(v, upPositive), burst(v, upPositive, takePositive, c.gamma));
        const downs = v128.and(
          i32x4.le_s(v, downNegative), burst(i32x4.neg(v), i32x4.neg(downNegative), giveNegative, c.gamma));
        v = i32x4.add(v, i32x4.sub(i32x4.mul(downs, giveNegative), i32x4.mul(ups, takePositive)));
        n = i32x4.sub(ups, downs);
        left = i32x4.sub(left, i32x4.add(ups, downs));
      }
      for (;;) {
        const notNegative = i32x4.ge_s(n, zero);
        const positive = i32x4.gt_s(n, zero);
        const up = i32x4.ge_s(v, v128.bitselect(upPositive, upNegative, notNegative));
        const down = v128.andnot(i32x4.le_s(v, v128.bitselect(downPositive, downNegative, positive)), up);
        const fires = v128.or(up, down);
        if (!v128.any_true(fires)) break;
        const allowed = i32x4.gt_s(left, zero);
        if (!v128.any_true(v128.and(fires, allowed))) {
          clipped += <i64>popcnt<i32>(i32x4.bitmask(fires));
          break;
        }
        const upNow = v128.and(up, allowed);
        const downNow = v128.and(down, allowed);
        v = i32x4.sub(v, v128.and(upNow, v128.bitselect(takePositive, takeNegative, notNegative)));
        v = i32x4.add(v, v128.and(downNow, v128.bitselect(givePositive, giveNegative, positive)));
        n = i32x4.add(n, i32x4.sub(downNow, upNow));
        left = i32x4.sub(left, i32x4.splat(1));
      }
      const s = i32x4.sub(n, before);
      spikes = i32x4.add(spikes, i32x4.abs(s));
      v128.store64_lane(output + <usize>r * stepBytes + lane * 2, i16x8.narrow_i32x4_s(s, s), 0);
    }
    v128.store(c.potential + at, v);
    v128.store(c.counts + at, n);
  }
  const sent =
    sumOfLanes(spikes);
  store<f64>(c.statistics, load<f64>(c.statistics) + <f64>sent);
  store<f64>(c.statistics, load<f64>(c.statistics, 8) + <f64>clipped, 8);
}

/** Sum of four integers. */
// @ts-ignore: decorator
@inline
export function sumOfLanes(v: v128): i32 {
  return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3);
}

/** Integers of floats that are whole, within ±2^22: what is added to 1.5·2^23 are its low bits. Saturating conversions take many instructions. */
@inline
export function wholeNumbers(x: v128): v128 {
  return i32x4.sub(f32x4.add(x, f32x4.splat(12582912)), i32x4.splat(0x4b400000));
}

/** How far off a neuron's spikes by slopes in float32 may be; see native/kernels.h. */
export const SLOPES_OFF: f32 = 1.0 / 8192.0;

/** What neurons start from, where nothing else has been written since `begin`. */
export function settle(pointer: usize): void {
  const c = changetype<Convolution>(pointer);
  if (c.fresh == 0) return;
  c.fresh = 0;
  const cells = <usize>(c.outHeight * c.outWidth);
  const bytes = <usize>c.filters * 4;
  memory.fill(c.counts, 0, cells * bytes);
  for (let cell: usize = 0; cell < cells; cell++) memory.copy(c.potential + cell * bytes, c.startPotential, bytes);
}

/** Adds what one call has sent and clipped to the row's tally. */
// @ts-ignore: decorator
@inline
function count(c: Convolution, sent: v128, clipped: v128): void {
  v128.store(c.tally, i32x4.add(v128.load(c.tally), sent));
  v128.store(c.tally, i32x4.add(v128.load(c.tally, 16), clipped), 16);
}

/** Adds the row's tally to the statistics, and begins another. */
function fold(c: Convolution): void {
  let sent: i32 = 0;
  let clipped: i32 = 0;
  for (let lane: usize = 0; lane < 16; lane += 4) {
    sent += load<i32>(c.tally + lane);
    clipped += load<i32>(c.tally + lane, 16);
  }
  memory.fill(c.tally, 0, 32);
  store<f64>(c.statistics, load<f64>(c.statistics) + <f64>sent);
  store<f64>(c.statistics, load<f64>(c.statistics, 8) + <f64>clipped, 8);
}

/** Spikes of 4 neurons that have not fired by V, not yet rounded down; `at`: their filter's place in a row of 4-byte values. */
// @ts-ignore: decorator
@inline
export function spikesBySlopes(c: Convolution, at: usize, v: v128): v128 {
  const stride = <usize>c.filters * 4;
  const slopes = c.slopes + at;
  const size = f32x4.convert_i32x4_s(v);
  // on its other side V lies below a first spike
  const x = f32x4.pmax(
    f32x4.add(f32x4.mul(size, v128.load(slopes)), v128.load(slopes + stride)),
    f32x4.sub(v128.load(slopes + 3 * stride), f32x4.mul(size, v128.load(slopes + 2 * stride))));
  return f32x4.pmin(f32x4.pmax(x, f32x4.splat(0.5)), f32x4.splat(<f32>c.gamma + 1.5));
}

/** Where a number, which may be `off`, is so near to a whole one that rounding it down is not sure; `whole`: it rounded down. */
// @ts-ignore: decorator
@inline
export function isNearWhole(x: v128, whole: v128, off: v128): v128 {
  const over = f32x4.sub(x, whole);
  return v128.or(f32x4.lt(over, off), f32x4.gt(over, f32x4.sub(f32x4.splat(1), off)));
}

/** Counts of 4 neurons by a curve, not yet rounded, of any size; `at` as above. */
// @ts-ignore: decorator
@inline
export function countsByCurve(c: Convolution, at: usize, s: v128): v128 {
  const stride = <usize>c.filters * 4;
  const last = <f32>(c.curveEntries - 1);
  const scales = c.curveFloats + at;
  const sum = f32x4.convert_i32x4_s(s);
  let place = f32x4.add(f32x4.mul(sum, v128.load(scales)), f32x4.splat(last / 2));
  place = f32x4.pmax(f32x4.pmin(place, f32x4.splat(last)), f32x4.splat(0));
  const before = f32x4.pmin(f32x4.floor(place), f32x4.splat(last - 1));
  const entry = wholeNumbers(before);
  const fraction = f32x4.sub(place, before);
  let packed = i32x4.splat(load<i32>(c.curveShort + <usize>i32x4.extract_lane(entry, 0) * 4));
  packed = i32x4.replace_lane(packed, 1, load<i32>(c.curveShort + <usize>i32x4.extract_lane(entry, 1) * 4));
  packed = i32x4.replace_lane(packed, 2, load<i32>(c.curveShort + <usize>i32x4.extract_lane(entry, 2) * 4));
  packed = i32x4.replace_lane(packed, 3, load<i32>(c.curveShort + <usize>i32x4.extract_lane(entry, 3) * 4));
  const rise = f32x4.convert_i32x4_s(i32x4.shr_s(i32x4.shl(packed, 20), 20));
  const value = f32x4.add(
    f32x4.convert_i32x4_s(i32x4.shr_s(packed, 12)), f32x4.mul(rise, f32x4.mul(fraction, f32x4.splat(0.5))));
  const x = f32x4.mul(value, v128.load(scales + 2 * stride));
  if (!c.curveLinear) return x;
  return f32x4.add(x, f32x4.mul(f32x4.pmax(sum, f32x4.splat(0)), v128.load(scales + stride)));
}

/** How far off countsByCurve may be. */
// @ts-ignore: decorator
@inline
export function curveOff(c: Convolution, at: usize): v128 {
  return v128.load(c.curveFloats + at + 3 * <usize>c.filters * 4);
}

/** 16 neurons that have not fired yet, by a whole window: V = sat(start + z + bias), then what they want to send, at most Γ. */
function fireFresh(c: Convolution, z: usize, bias: usize, neuron: usize, filter: usize, output: usize): void {
  const stride = <usize>c.filters * 4;
  const zero = i32x4.splat(0);
  const gamma = i32x4.splat(c.gamma);
  let sent = zero;
  let clipped = zero;
  let near = zero;
  for (let lane: usize = 0; lane < 16; lane += 4) {
    const at = (filter + lane) * 4;
    let v = i32x4.add(v128.load(z + lane * 4), v128.load(c.startPotential + at));
    if (bias != 0) v = i32x4.add(v, v128.load(bias + at));
    v = i32x4.min_s(i32x4.max_s(v, i32x4.splat(-LIMIT)), i32x4.splat(LIMIT));
    const positive = i32x4.gt_s(v, zero);
    const x = spikesBySlopes(c, at, v);
    const whole = f32x4.floor(x);
    const wanted = wholeNumbers(whole);
    near = v128.or(near, isNearWhole(x, whole, f32x4.splat(SLOPES_OFF)));
    const spikes = i32x4.min_s(wanted, gamma);
    clipped = i32x4.sub(clipped, i32x4.gt_s(wanted, gamma));
    sent = i32x4.add(sent, spikes);
    const n = v128.bitselect(spikes, i32x4.neg(spikes), positive);
    const firing = c.firing + at;
    const amount = v128.bitselect(v128.load(firing + 2 * stride), v128.load(firing + 7 * stride), positive);
    v128.store(c.potential + (neuron + lane) * 4, i32x4.sub(v, i32x4.mul(n, amount)));
    v128.store(c.counts + (neuron + lane) * 4, n);
    v128.store64_lane(output + lane * 2, i16x8.narrow_i32x4_s(n, n), 0);
  }
  if (!v128.any_true(near)) {
    count(c, sent, clipped);
    return;
  }
  // one is so near to a whole number that float32 may be off
  memory.copy(c.potential + neuron * 4, c.startPotential + filter * 4, 64);
  memory.fill(c.counts + neuron * 4, 0, 64);
  fire(c, z, 0, bias, 1, neuron, filter, output, 0);
}

/** 16 neurons whose activation is a curve, by a whole window: S = z + bias, which stays as V. */
function fireCurve(c: Convolution, z: usize, bias: usize, neuron: usize, filter: usize, output: usize): void {
  const zero = i32x4.splat(0);
  const gamma = i32x4.splat(c.gamma);
  const least = i32x4.neg(gamma);
  const most = f32x4.splat(<f32>(c.gamma + 2));
  let sent = zero;
  let clipped = zero;
  let near = zero;
  for (let lane: usize = 0; lane < 16; lane += 4) {
    let s = v128.load(z + lane * 4);
    if (bias != 0) s = i32x4.add(s, v128.load(bias + (filter + lane) * 4));
    const x = countsByCurve(c, (filter + lane) * 4, s);
    const shifted = f32x4.add(f32x4.pmin(f32x4.pmax(x, f32x4.neg(most)), most), f32x4.splat(0.5));
    const whole = f32x4.floor(shifted);
    near = v128.or(near, isNearWhole(shifted, whole, curveOff(c, (filter + lane) * 4)));
    const wanted = wholeNumbers(whole);
    const n = i32x4.min_s(i32x4.max_s(wanted, least), gamma);
    clipped = i32x4.sub(clipped, i32x4.ne(wanted, n));
    sent = i32x4.add(sent, i32x4.abs(n));
    const v = i32x4.min_s(i32x4.max_s(s, i32x4.splat(-LIMIT)), i32x4.splat(LIMIT));
    v128.store(c.potential + (neuron + lane) * 4, v);
    v128.store(c.counts + (neuron + lane) * 4, n);
    v128.store64_lane(output + lane * 2, i16x8.narrow_i32x4_s(n, n), 0);
  }
  if (!v128.any_true(near)) {
    count(c, sent, clipped);
    return;
  }
  for (let i: usize = 0; i < 16; i++) {
    let s = load<i32>(z + i * 4);
    if (bias != 0) s += load<i32>(bias + (filter + i) * 4);
    const wanted = (curvePart(c, filter + i, <i64>s) + 128) >> 8;
    const n = <i32>min<i64>(max<i64>(wanted, -(<i64>c.gamma)), <i64>c.gamma);
    count(c, i32x4.replace_lane(zero, 0, abs<i32>(n)), i32x4.replace_lane(zero, 0, <i32>(<i64>n != wanted)));
    store<i32>(c.counts + (neuron + i) * 4, n);
    store<i16>(output + i * 2, <i16>n);
  }
}

/** Neurons that fire once, by a window's sums in 32 bits. */
// @ts-ignore: decorator
@inline
function fireOnce(c: Convolution, z: usize, bias: usize, neuron: usize, filter: usize, output: usize): void {
  if (c.curve != 0) fireCurve(c, z, bias, neuron, filter, output);
  else if (c.fresh != 0) fireFresh(c, z, bias, neuron, filter, output);
  else fire(c, z, 0, bias, 1, neuron, filter, output, 0);
}

/** Convolves and fires output row y over a block of steps. */
function fireRow(c: Convolution, y: i32, steps: i32): void {
  const filterBytes = <usize>c.filters * 2;
  const cellBytes = filterBytes * <usize>steps;
  const outRow = c.output + <usize>(y % c.ringRows) * <usize>c.outWidth * cellBytes;
  const rowNeuron = <usize>y * <usize>c.outWidth * <usize>c.filters;
  if (c.current != 0) {
    for (let x: usize = 0; x < <usize>c.outWidth; x++) {
      for (let f: usize = 0; f < <usize>c.filters; f += 16) {
        const neuron = rowNeuron + x * <usize>c.filters + f;
        fire(c, c.current + neuron * 4, 0, 0, steps, neuron, f, outRow + x * cellBytes + f * 2, filterBytes);
      }
    }
    return;
  }
  const tiles = (steps + ROWS - 1) / ROWS;
  const stepBytes = <usize>c.words * 4;
  const groupBytes = <usize>(c.size * c.size * c.words) * 64;
  const firstRow = firstTap(y, c.stride, c.padding);
  const endRow = endTap(y, c.height, c.size, c.stride, c.padding);
  for (let x = 0; x < c.outWidth; x++) {
    const firstColumn = firstTap(x, c.stride, c.padding);
    const endColumn = endTap(x, c.width, c.size, c.stride, c.padding);
    for (let k = 0; k < tiles; k++) {
      let tapCount = 0;
      for (let i = firstRow; i < endRow; i++) {
        for (let j = firstColumn; j < endColumn; j++) {
          const cell = <usize>((y * c.stride - c.padding + i) * c.width + x * c.stride - c.padding + j);
          const tileIndex = cell * <usize>tiles + <usize>k;
          const count = <u32>load<u16>(c.listSizes + tileIndex * 2);
          if (count == 0) continue;
          const tap = c.taps + <usize>tapCount * 16;
          tapCount++;
          store<u32>(tap, <u32>(c.input + (cell * <usize>steps + <usize>(k * ROWS)) * stepBytes));
          store<u32>(tap, <u32>(c.lists + tileIndex * <usize>c.words * 2), 4);
          store<u32>(tap, count, 8);
          store<u32>(tap, <u32>(i * c.size + j), 12);
        }
      }
      const rows = min<i32>(ROWS, steps - k * ROWS);
      const output = outRow + <usize>x * cellBytes + <usize>(k * ROWS) * filterBytes;
      for (let f: usize = 0; f < <usize>c.filters; f += 16) {
        tile(tapCount, c.taps, c.weights + (f >> 4) * groupBytes, c.words, stepBytes, c.z);
        fire(c, c.z, 64, c.bias, rows, rowNeuron + <usize>x * <usize>c.filters + f, f, output + f * 2, filterBytes);
      }
    }
  }
}

/** Convolves and fires output row y of a channelwise layer over a block of steps: 4 filters at a time, their channels side by side. */
function fireChannelsRow(c: Convolution, y: i32, steps: i32): void {
  const filterBytes = <usize>c.filters * 2;
  const cellBytes = filterBytes * <usize>steps;
  const outRow = c.output + <usize>(y % c.ringRows) * <usize>c.outWidth * cellBytes;
  const rowNeuron = <usize>y * <usize>c.outWidth * <usize>c.filters;
  const stepBytes = <usize>c.words * 4;
  const firstRow = firstTap(y, c.stride, c.padding);
  const endRow = endTap(y, c.height, c.size, c.stride, c.padding);
  for (let x = 0; x < c.outWidth; x++) {
    const firstColumn = firstTap(x, c.stride, c.padding);
    const endColumn = endTap(x, c.width, c.size, c.stride, c.padding);
    for (let f: usize = 0; f < <usize>c.filters; f += 16) {
      for (let t = 0; t < steps; t += ROWS) {
        const rows = min<i32>(ROWS, steps - t);
        memory.fill(c.z, 0, ROWS * 64);
        for (let i = firstRow; i < endRow; i++) {
          for (let j = firstColumn; j < endColumn; j++) {
            const cell = <usize>((y * c.stride - c.padding + i) * c.width + x * c.stride - c.padding + j);
            for (let h = 0; h < c.heard; h++) {
              const weights = c.weights + (<usize>((i * c.size + j) * c.heard + h) * <usize>c.filters + f) * 4;
              for (let r = 0; r < rows; r++) {
                const spikes = c.input + (cell * <usize>steps + <usize>(t + r)) * stepBytes + (<usize>(h * c.ownFilters) + f) * 2;
                const z = c.z + <usize>r * 64;
                for (let lane: usize = 0; lane < 16; lane += 4) {
                  const product = i32x4.mul(v128.load(weights + lane * 4), v128.load16x4_s(spikes + lane * 2));
                  v128.store(z + lane * 4, i32x4.add(v128.load(z + lane * 4), product));
                }
              }
            }
          }
        }
        const output = outRow + <usize>x * cellBytes + <usize>t * filterBytes + f * 2;
        fire(c, c.z, 64, c.bias, rows, rowNeuron + <usize>x * <usize>c.filters + f, f, output, filterBytes);
      }
    }
  }
}

/** Σ W·N_in of a channelwise layer for output row y: (outWidth, filters) int64 sums, exact. */
function sumChannelsRow(c: Convolution, y: i32): void {
  memory.fill(c.sums, 0, <usize>(c.outWidth * c.filters) * 8);
  const inputChannels = <usize>c.words * 2;
  const firstRow = firstTap(y, c.stride, c.padding);
  const endRow = endTap(y, c.height, c.size, c.stride, c.padding);
  for (let x = 0; x < c.outWidth; x++) {
    const firstColumn = firstTap(x, c.stride, c.padding);
    const endColumn = endTap(x, c.width, c.size, c.stride, c.padding);
    for (let i = firstRow; i < endRow; i++) {
      for (let j = firstColumn; j < endColumn; j++) {
        const cell = <usize>((y * c.stride - c.padding + i) * c.width + x * c.stride - c.padding + j);
        for (let h = 0; h < c.heard; h++) {
          const weights = c.weights + <usize>((i * c.size + j) * c.heard + h) * <usize>c.filters * 4;
          const counts = c.inputCounts + (cell * inputChannels + <usize>(h * c.ownFilters)) * 4;
          for (let f: usize = 0; f < <usize>c.ownFilters; f++) {
            const target = c.sums + (<usize>x * <usize>c.filters + f) * 8;
            const product = <i64>load<i32>(weights + f * 4) * <i64>load<i32>(counts + f * 4);
            store<i64>(target, load<i64>(target) + product);
          }
        }
      }
    }
  }
}

/** True if a window's sums and `times` biases fit 32 bits, of weights whose counts are one digit. */
function isNarrow(c: Convolution, times: i32): bool {
  let largest: i32 = 0;
  for (let f: usize = 0; f < <usize>c.ownFilters; f++) largest = max(largest, abs<i32>(load<i32>(c.bias + f * 4)));
  // a start potential is at most 2^23
  return <i64>largest * <i64>times < <i64>(LIMIT - (1 << 23));
}

/** times·B of each filter, at c.sums. */
function scaleBias(c: Convolution, times: i32): void {
  for (let f: usize = 0; f < <usize>c.filters; f += 4)
    v128.store(c.sums + f * 4, i32x4.mul(v128.load(c.bias + f * 4), i32x4.splat(times)));
}

/** z of the tile at (y, x) of a window's plane, of the 16 filters whose weights these are. */
// @ts-ignore: decorator
@inline
function tileOfWindow(c: Convolution, y: i32, x: i32, plane: i32, weights: usize): void {
  const cellBytes = <usize>c.words * 4;
  const cell = <usize>(plane * c.windowCells + y * c.stride * c.windowWidth + x * c.stride);
  const lineBytes = <usize>c.windowWidth * cellBytes;
  windowTile(c.size, c.window + cell * cellBytes, lineBytes, c.size * c.words, weights, <usize>c.stride * cellBytes, c.z);
}

/** A window's row by sums of 32 bits, fired at once; biases as scaleBias has them. */
function fireNarrowRow(c: Convolution, y: i32): void {
  const groupBytes = <usize>(c.size * c.size * c.words) * 64;
  const outBytes = <usize>c.filters * 2;
  const outRow = c.output + <usize>(y % c.ringRows) * <usize>c.outWidth * outBytes;
  for (let x = 0; x < c.outWidth; x += ROWS) {
    const rows = min<i32>(ROWS, c.outWidth - x);
    for (let f: usize = 0; f < <usize>c.filters; f += 16) {
      tileOfWindow(c, y, x, 0, c.weights + (f >> 4) * groupBytes);
      for (let r = 0; r < rows; r++) {
        const neuron = <usize>(y * c.outWidth + x + r) * <usize>c.filters + f;
        fireOnce(c, c.z + <usize>r * 64, c.sums, neuron, f, outRow + <usize>(x + r) * outBytes + f * 2);
      }
    }
  }
  fold(c);
}

/** A row of a layer on the image, whose current fits 32 bits over all steps. */
function fireNarrowCurrentRow(c: Convolution, y: i32, times: i32): void {
  const outBytes = <usize>c.filters * 2;
  const outRow = c.output + <usize>(y % c.ringRows) * <usize>c.outWidth * outBytes;
  const factor = i32x4.splat(times);
  for (let x = 0; x < c.outWidth; x++) {
    for (let f: usize = 0; f < <usize>c.filters; f += 16) {
      const neuron = <usize>(y * c.outWidth + x) * <usize>c.filters + f;
      for (let lane: usize = 0; lane < 64; lane += 16)
        v128.store(c.z + lane, i32x4.mul(v128.load(c.current + neuron * 4 + lane), factor));
      fireOnce(c, c.z, 0, neuron, f, outRow + <usize>x * outBytes + f * 2);
    }
  }
  fold(c);
}

/** True if no input's count is above one digit. */
function isOneDigit(c: Convolution): bool {
  const count = <usize>(c.height * c.width) * <usize>c.words * 2;
  let largest = i32x4.splat(0);
  for (let i: usize = 0; i < count; i += 4) largest = i32x4.max_s(largest, i32x4.abs(v128.load(c.inputCounts + i * 4)));
  return !v128.any_true(i32x4.gt_s(largest, i32x4.splat(127)));
}

/** Σ W·N_in of 16 filters of a channelwise layer at one output cell, in 32 bits, to c.z. */
function sumChannels(c: Convolution, y: i32, x: i32, f: usize): void {
  const inputChannels = <usize>c.words * 2;
  const firstRow = firstTap(y, c.stride, c.padding);
  const endRow = endTap(y, c.height, c.size, c.stride, c.padding);
  const firstColumn = firstTap(x, c.stride, c.padding);
  const endColumn = endTap(x, c.width, c.size, c.stride, c.padding);
  let s0 = i32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  for (let i = firstRow; i < endRow; i++) {
    for (let j = firstColumn; j < endColumn; j++) {
      const cell = <usize>((y * c.stride - c.padding + i) * c.width + x * c.stride - c.padding + j);
      for (let h = 0; h < c.heard; h++) {
        const w = c.weights + (<usize>((i * c.size + j) * c.heard + h) * <usize>c.filters + f) * 4;
        const counts = c.inputCounts + (cell * inputChannels + <usize>(h * c.ownFilters) + f) * 4;
        s0 = i32x4.add(s0, i32x4.mul(v128.load(w), v128.load(counts)));
        s1 = i32x4.add(s1, i32x4.mul(v128.load(w, 16), v128.load(counts, 16)));
        s2 = i32x4.add(s2, i32x4.mul(v128.load(w, 32), v128.load(counts, 32)));
        s3 = i32x4.add(s3, i32x4.mul(v128.load(w, 48), v128.load(counts, 48)));
      }
    }
  }
  v128.store(c.z, s0);
  v128.store(c.z, s1, 16);
  v128.store(c.z, s2, 32);
  v128.store(c.z, s3, 48);
}

/**
 * The same where all of the kernel lies on the map, from spikes that are all that has come in, of which `first` is that of the kernel's
 * first cell: two synapses a multiply-add.
 */
function sumPairs(c: Convolution, first: usize, f: usize): void {
  let s0 = i32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  const stride = <usize>c.filters * 4;
  let w = c.pairWeights + f * 4;
  let places = c.pairPlaces;
  first += f * 2;
  for (let k = 0; k < c.pairs; k++, places += 8, w += stride) {
    const a = first + <usize>load<u32>(places);
    const b = first + <usize>load<u32>(places, 4);
    const a0 = v128.load(a);
    const a1 = v128.load(a, 16);
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const low0 = i8x16.shuffle(a0, b0, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
    const high0 = i8x16.shuffle(a0, b0, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31);
    const low1 = i8x16.shuffle(a1, b1, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
    const high1 = i8x16.shuffle(a1, b1, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31);
    s0 = i32x4.add(s0, i32x4.dot_i16x8_s(low0, v128.load(w)));
    s1 = i32x4.add(s1, i32x4.dot_i16x8_s(high0, v128.load(w, 16)));
    s2 = i32x4.add(s2, i32x4.dot_i16x8_s(low1, v128.load(w, 32)));
    s3 = i32x4.add(s3, i32x4.dot_i16x8_s(high1, v128.load(w, 48)));
  }
  v128.store(c.z, s0);
  v128.store(c.z, s1, 16);
  v128.store(c.z, s2, 32);
  v128.store(c.z, s3, 48);
}

/** The same for a row of a channelwise layer; `fromSpikes` if these are all that has come in. */
function fireNarrowChannelsRow(c: Convolution, y: i32, fromSpikes: bool): void {
  const outBytes = <usize>c.filters * 2;
  const outRow = c.output + <usize>(y % c.ringRows) * <usize>c.outWidth * outBytes;
  const top = y * c.stride - c.padding;
  const wholeRows = fromSpikes && top >= 0 && top + c.size <= c.height;
  for (let x = 0; x < c.outWidth; x++) {
    const left = x * c.stride - c.padding;
    const whole = wholeRows && left >= 0 && left + c.size <= c.width;
    const first = whole ? c.input + <usize>(top * c.width + left) * <usize>c.words * 4 : 0;
    for (let f: usize = 0; f < <usize>c.filters; f += 16) {
      if (whole) sumPairs(c, first, f);
      else sumChannels(c, y, x, f);
      const neuron = <usize>(y * c.outWidth + x) * <usize>c.filters + f;
      fireOnce(c, c.z, c.sums, neuron, f, outRow + <usize>x * outBytes + f * 2);
    }
  }
  fold(c);
}

/** The image's bytes into the window's one plane, zeros around. */
function imageWindow(c: Convolution, pixels: usize): void {
  const channels = <usize>c.words * 2;
  memory.fill(c.window, 0, <usize>c.windowCells * channels * 2);
  for (let y = 0; y < c.height; y++) {
    for (let x = 0; x < c.width; x++) {
      const to = c.window + <usize>((y + c.padding) * c.windowWidth + x + c.padding) * channels * 2;
      for (let channel: usize = 0; channel < <usize>c.channels; channel++, pixels++) store<i16>(to + channel * 2, <i16>load<u8>(pixels));
    }
  }
}

/**
 * The input's counts as base-128 digits in the window's planes, zeros around; returns how many planes there are. With `fromSpikes` they
 * are its spikes, one digit each.
 */
function windowOf(c: Convolution, fromSpikes: bool): i32 {
  const channels = <usize>c.words * 2;
  const values = <usize>(c.height * c.width) * channels;
  let planes = 1;
  if (!fromSpikes) {
    let highest = i32x4.splat(0);
    for (let i: usize = 0; i < values; i += 4) highest = i32x4.max_s(highest, i32x4.abs(v128.load(c.inputCounts + i * 4)));
    let largest = max<i32>(
      max<i32>(i32x4.extract_lane(highest, 0), i32x4.extract_lane(highest, 1)),
      max<i32>(i32x4.extract_lane(highest, 2), i32x4.extract_lane(highest, 3)),
    );
    for (; largest > 127; largest /= 128) planes++;
  }
  memory.fill(c.window, 0, <usize>(planes * c.windowCells) * channels * 2);
  const rowValues = <usize>c.width * channels;
  let unit: i32 = 1;
  for (let plane = 0; plane < planes; plane++, unit *= 128) {
    for (let y = 0; y < c.height; y++) {
      const from = c.inputCounts + <usize>y * rowValues * 4;
      const to = c.window + <usize>(plane * c.windowCells + (y + c.padding) * c.windowWidth + c.padding) * channels * 2;
      if (fromSpikes) {
        memory.copy(to, c.input + <usize>y * rowValues * 2, rowValues * 2);
        continue;
      }
      if (planes == 1) {
        // whole numbers of 16 channels at a time
        for (let i: usize = 0; i < rowValues; i += 8)
          v128.store(to + i * 2, i16x8.narrow_i32x4_s(v128.load(from + i * 4), v128.load(from + i * 4, 16)));
        continue;
      }
      for (let i: usize = 0; i < rowValues; i++) store<i16>(to + i * 2, <i16>((load<i32>(from + i * 4) / unit) % 128));
    }
  }
  return planes;
}

/** W·window for output row y: (outWidth, filters) int64 sums, exact. */
function sumRow(c: Convolution, y: i32, planes: i32): void {
  const groupBytes = <usize>(c.size * c.size * c.words) * 64;
  memory.fill(c.sums, 0, <usize>(c.outWidth * c.filters) * 8);
  for (let x = 0; x < c.outWidth; x += ROWS) {
    const rows = min<i32>(ROWS, c.outWidth - x);
    for (let plane = 0; plane < planes; plane++) {
      for (let f: usize = 0; f < <usize>c.filters; f += 16) {
        tileOfWindow(c, y, x, plane, c.weights + (f >> 4) * groupBytes);
        for (let r = 0; r < rows; r++) {
          const target = c.sums + (<usize>(x + r) * <usize>c.filters + f) * 8;
          for (let i: usize = 0; i < 16; i += 4) {
            const z = v128.load(c.z + (<usize>r * 16 + i) * 4);
            const low = i64x2.shl(i64x2.extend_low_i32x4_s(z), 7 * plane);
            const high = i64x2.shl(i64x2.extend_high_i32x4_s(z), 7 * plane);
            v128.store(target + i * 8, i64x2.add(v128.load(target + i * 8), low));
            v128.store(target + i * 8, i64x2.add(v128.load(target + i * 8, 16), high), 16);
          }
        }
      }
    }
  }
}

/** Ends a silent window for output row y: V = sat(V + sums + times·(B or current)) once, then fires into step 0. */
function fireSumsRow(c: Convolution, y: i32, times: i64): void {
  const cellBytes = <usize>c.filters * 2;
  const outRow = c.output + <usize>(y % c.ringRows) * <usize>c.outWidth * cellBytes;
  memory.fill(c.z, 0, 64);
  for (let x: usize = 0; x < <usize>c.outWidth; x++) {
    for (let f: usize = 0; f < <usize>c.filters; f += 16) {
      const neuron = (<usize>y * <usize>c.outWidth + x) * <usize>c.filters + f;
      for (let i: usize = 0; i < 16; i++) {
        const constant = c.current != 0 ? load<i32>(c.current + (neuron + i) * 4) : load<i32>(c.bias + (f + i) * 4);
        let v = <i64>load<i32>(c.potential + (neuron + i) * 4) + times * <i64>constant;
        if (c.current == 0) v += load<i64>(c.sums + (x * <usize>c.filters + f + i) * 8);
        store<i32>(c.potential + (neuron + i) * 4, <i32>min<i64>(max<i64>(v, -(<i64>LIMIT)), <i64>LIMIT));
      }
      fire(c, c.z, 0, 0, 1, neuron, f, outRow + x * cellBytes + f * 2, cellBytes);
    }
  }
}

/** ⌊256·x⌋ of a neuron of filter f whose input came to S (src/engine/curve.ts). */
// @ts-ignore: decorator
@inline
export function curvePart(c: Convolution, f: usize, s: i64): i64 {
  const stride = <usize>c.filters * 4;
  const factors = c.curveFactors + f * 4;
  const last = <i64>(c.curveEntries - 1) << 15;
  let place = ((s * <i64>load<i32>(factors)) >> <i64>load<i32>(factors + stride)) + last / 2;
  place = min<i64>(max<i64>(place, 0), last - 1);
  const entry = c.curve + <usize>(place >> 15) * 4;
  const low = <i64>load<i32>(entry);
  const value = low + (((<i64>load<i32>(entry, 4) - low) * (place & 32767)) >> 15);
  let part = (value * <i64>load<i32>(factors + 4 * stride)) >> <i64>load<i32>(factors + 5 * stride);
  if (c.curveLinear && s > 0) part += (s * <i64>load<i32>(factors + 2 * stride)) >> <i64>load<i32>(factors + 3 * stride);
  return part >> 14;
}

/** As fireSumsRow, for neurons whose activation is a curve: they fire once, by S = sums + times·(B or current), which stays as V. */
function fireCurveRow(c: Convolution, y: i32, times: i64): void {
  const gamma = <i64>c.gamma;
  const outRow = c.output + <usize>(y % c.ringRows) * <usize>c.outWidth * <usize>c.filters * 2;
  let spikes: i64 = 0;
  let clipped: i64 = 0;
  for (let x: usize = 0; x < <usize>c.outWidth; x++) {
    for (let f: usize = 0; f < <usize>c.ownFilters; f++) {
      const inRow = x * <usize>c.filters + f;
      const neuron = <usize>y * <usize>c.outWidth * <usize>c.filters + inRow;
      const constant = c.current != 0 ? load<i32>(c.current + neuron * 4) : load<i32>(c.bias + f * 4);
      let s = times * <i64>constant;
      if (c.current == 0) s += load<i64>(c.sums + inRow * 8);
      const wanted = (curvePart(c, f, s) + 128) >> 8;
      const n = min<i64>(max<i64>(wanted, -gamma), gamma);
      if (n != wanted) clipped++;
      spikes += abs<i64>(n);
      store<i32>(c.potential + neuron * 4, <i32>min<i64>(max<i64>(s, -(<i64>LIMIT)), <i64>LIMIT));
      store<i32>(c.counts + neuron * 4, <i32>n);
      store<i16>(outRow + inRow * 2, <i16>n);
    }
  }
  store<f64>(c.statistics, load<f64>(c.statistics) + <f64>spikes);
  store<f64>(c.statistics, load<f64>(c.statistics, 8) + <f64>clipped, 8);
}

/** Computes the constant current of a layer on the image, (outHeight, outWidth, filters): Σ W·p + B, which 32 bits hold. */
export function present(pointer: usize, pixels: usize): void {
  const c = changetype<Convolution>(pointer);
  imageWindow(c, pixels);
  const groupBytes = <usize>(c.size * c.size * c.words) * 64;
  let highest = i32x4.splat(0);
  for (let y = 0; y < c.outHeight; y++) {
    for (let x = 0; x < c.outWidth; x += ROWS) {
      const rows = min<i32>(ROWS, c.outWidth - x);
      for (let f: usize = 0; f < <usize>c.filters; f += 16) {
        tileOfWindow(c, y, x, 0, c.weights + (f >> 4) * groupBytes);
        for (let r = 0; r < rows; r++) {
          const target = c.current + (<usize>(y * c.outWidth + x + r) * <usize>c.filters + f) * 4;
          for (let lane: usize = 0; lane < 64; lane += 16) {
            const value = i32x4.add(v128.load(c.z + <usize>r * 64 + lane), v128.load(c.bias + f * 4 + lane));
            v128.store(target + lane, value);
            highest = i32x4.max_s(highest, i32x4.abs(value));
          }
        }
      }
    }
  }
  c.largestCurrent = max<i32>(
    max<i32>(i32x4.extract_lane(highest, 0), i32x4.extract_lane(highest, 1)),
    max<i32>(i32x4.extract_lane(highest, 2), i32x4.extract_lane(highest, 3)),
  );
}

/** What neurons start from is not written before one has run: they may fire once and have it all written then. */
export function begin(pointer: usize): void {
  changetype<Convolution>(pointer).fresh = 1;
}

/**
 * Runs all rows of a firing layer over a block; `window` if its whole input comes at once, in the block's only step, and `fromSpikes` if
 * that is the spikes of this step.
 */
export function run(pointer: usize, step: i32, steps: i32, window: bool, fromSpikes: bool): void {
  const c = changetype<Convolution>(pointer);
  const planes = window && c.current == 0 && c.heard == 0 ? windowOf(c, fromSpikes) : 0;
  const pool = changetype<Pool>(c.pool);
  let pooled = 0;
  const onImage = c.current != 0;
  const times = step + 1;
  const oneDigit = window && !onImage && (c.heard > 0 ? fromSpikes || isOneDigit(c) : planes == 1);
  const fits = onImage ? window && <i64>times * <i64>c.largestCurrent < <i64>(LIMIT - (1 << 23)) : oneDigit && isNarrow(c, times);
  const narrow = fits && (c.curve != 0 ? c.curveShort != 0 : !onImage || (c.fresh != 0 && c.slopes != 0));
  if (!narrow || (c.curve == 0 && c.slopes == 0)) settle(pointer);
  if (narrow && !onImage) scaleBias(c, times);
  for (let y = 0; y < c.outHeight; y++) {
    if (narrow) {
      if (onImage) fireNarrowCurrentRow(c, y, times);
      else if (c.heard > 0) fireNarrowChannelsRow(c, y, fromSpikes);
      else fireNarrowRow(c, y);
    } else if (window) {
      if (planes > 0) sumRow(c, y, planes);
      else if (c.heard > 0) sumChannelsRow(c, y);
      if (c.curve != 0) fireCurveRow(c, y, <i64>step + 1);
      else fireSumsRow(c, y, <i64>step + 1);
    } else if (c.heard > 0) {
      fireChannelsRow(c, y, steps);
    } else {
      fireRow(c, y, steps);
    }
    if (c.pool == 0) continue;
    while (pooled < pool.outHeight && min<i32>(pool.height - 1, pooled * pool.stride - pool.offset + pool.size - 1) <= y) {
      poolRow(pool, pooled++, step, steps, c.ringRows);
    }
  }
  c.fresh = 0;
}

/** V = W·N_in + steps·B of the output layer as float64, (outHeight, outWidth, filters) with padded filters. */
export function outputPotential(pointer: usize, steps: i32, target: usize, fromSpikes: bool): void {
  const c = changetype<Convolution>(pointer);
  const planes = c.current == 0 ? windowOf(c, fromSpikes) : 0;
  for (let y = 0; y < c.outHeight; y++) {
    if (planes > 0) sumRow(c, y, planes);
    for (let i: usize = 0; i < <usize>(c.outWidth * c.filters); i++) {
      const at = <usize>(y * c.outWidth * c.filters) + i;
      const constant = c.current != 0 ? load<i32>(c.current + at * 4) : load<i32>(c.bias + (i % <usize>c.filters) * 4);
      const sum = planes > 0 ? load<i64>(c.sums + i * 8) : 0;
      store<f64>(target + at * 8, <f64>(sum + <i64>steps * <i64>constant));
    }
  }
}
