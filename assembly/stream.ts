// Streams: counts and sums that are kept from picture to picture, and what changes of them; see native/stream.cpp and
// native/stream.inl. Counts have 16 bits.
import {
  countsByCurve,
  curveOff,
  curvePart,
  isNearWhole,
  SLOPES_OFF,
  spikesBySlopes,
  sumOfLanes,
  wholeNumbers,
  windowTile,
} from './convolution';
import { sourceCell } from './gather';
import { Convolution, Gather, Kept, Pool, StreamLayer } from './layout';

const LIMIT: i32 = 1 << 30;
const QUIET: u8 = 0;
const LISTED: u8 = 1;
const FULL: u8 = 2;

// What is written of the row at hand.
let count: i32 = 0;
let full: bool = false;
let cells: i32 = 0;
let groups: i32 = 0;
let spikes: f64 = 0;
let sent: i32 = 0;
let words: usize = 0;
let deltas: usize = 0;

// @ts-ignore: decorator
@inline
function beginRow(k: Kept, y: i32): void {
  count = 0;
  full = false;
  cells = 0;
  groups = 0;
  spikes = 0;
  words = k.words + <usize>(y * (k.capacity + 16)) * 2;
  deltas = k.deltas + <usize>(y * (k.capacity + 16)) * 4;
}

// @ts-ignore: decorator
@inline
function beginCell(k: Kept, y: i32, x: i32): void {
  store<i32>(k.first + <usize>(y * (k.width + 1) + x) * 4, count);
  sent = 0;
}

// @ts-ignore: decorator
@inline
function endCell(k: Kept, y: i32, x: i32): void {
  store<i32>(k.sent + <usize>(y * k.width + x) * 4, sent);
  spikes += <f64>sent;
  cells += sent != 0 ? 1 : 0;
}

function endRow(k: Kept, y: i32): void {
  store<i32>(k.first + <usize>(y * (k.width + 1) + k.width) * 4, count);
  store<u8>(k.rows + y, cells == 0 ? QUIET : full ? FULL : LISTED);
  store<i32>(k.listed + (<usize>y << 2), count);
  store<i32>(k.changedCells + (<usize>y << 2), cells);
  store<i32>(k.groups + (<usize>y << 2), groups);
  store<f64>(k.spikes + (<usize>y << 3), spikes);
}

export function endQuietRow(pointer: usize, y: i32): void {
  const k = changetype<Kept>(pointer);
  beginRow(k, y);
  endRow(k, y);
}

/** Digits of a change that are not 0: a bit each in which it differs from three times itself. */
// @ts-ignore: decorator
@inline
function digitsIn(change: i32): i32 {
  const size = abs<i32>(change);
  return popcnt<i32>(size ^ (3 * size));
}

/** Which of two 4-channel groups changed. */
// @ts-ignore: decorator
@inline
function groupsIn(change: v128): i32 {
  return i64x2.bitmask(i64x2.ne(change, i64x2.splat(0)));
}

/** Sets 16 counts from `channel` on, at `values`, to those at `now`. */
function put(k: Kept, channel: usize, values: usize, now: usize): void {
  const before = v128.load(values);
  const beforeNext = v128.load(values, 16);
  const change = i16x8.sub(v128.load(now), before);
  const changeNext = i16x8.sub(v128.load(now, 16), beforeNext);
  groups += popcnt<i32>(groupsIn(change) | (groupsIn(changeNext) << 2));
  if (k.digits == 0) {
    const sizes = i32x4.extadd_pairwise_i16x8_u(i16x8.add(i16x8.abs(change), i16x8.abs(changeNext)));
    sent += sumOfLanes(sizes);
  }
  if (k.digits != 0 || !full) {
    const zero = i32x4.splat(0);
    let changed = i32x4.bitmask(i32x4.ne(change, zero)) | (i32x4.bitmask(i32x4.ne(changeNext, zero)) << 4);
    for (; changed != 0; changed &= changed - 1) {
      const i = <usize>ctz<i32>(changed);
      const low = <i32>load<i16>(now + i * 4) - <i32>load<i16>(values + i * 4);
      const high = <i32>load<i16>(now + i * 4, 2) - <i32>load<i16>(values + i * 4, 2);
      if (k.digits != 0) sent += digitsIn(low) + digitsIn(high);
      if (count > k.capacity) full = true;
      if (full) continue;
      store<u16>(words + (<usize>count << 1), <u16>((channel >> 1) + i));
      store<i16>(deltas + (<usize>count << 2), <i16>low);
      store<i16>(deltas + (<usize>count << 2), <i16>high, 2);
      count++;
    }
  }
  v128.store(values, v128.load(now));
  v128.store(values, v128.load(now, 16), 16);
}

/** Takes over a picture, (height, width, channels) bytes. */
export function compareImage(pointer: usize, pixels: usize, channels: i32): void {
  const k = changetype<Kept>(pointer);
  for (let y = 0; y < k.height; y++) {
    beginRow(k, y);
    for (let x = 0; x < k.width; x++) {
      beginCell(k, y, x);
      const cell = <usize>(y * k.width + x);
      const values = k.values + cell * <usize>k.channels * 2;
      const from = pixels + cell * <usize>channels;
      for (let c = 0; c < channels; c += 2) {
        const at = values + <usize>c * 2;
        const low = <i32>load<u8>(from + c);
        const high = c + 1 < channels ? <i32>load<u8>(from + c, 1) : 0;
        const changedLow = low - <i32>load<i16>(at);
        const changedHigh = high - <i32>load<i16>(at, 2);
        if ((changedLow | changedHigh) == 0) continue;
        store<i16>(at, <i16>low);
        store<i16>(at, <i16>high, 2);
        sent = 1;
        if (count > k.capacity) full = true;
        if (full) continue;
        store<u16>(words + (<usize>count << 1), <u16>(c >> 1));
        store<i16>(deltas + (<usize>count << 2), <i16>changedLow);
        store<i16>(deltas + (<usize>count << 2), <i16>changedHigh, 2);
        count++;
      }
      endCell(k, y, x);
    }
    endRow(k, y);
  }
}

/** Kernel rows or columns of output cell `out` that lie on the map. */
// @ts-ignore: decorator
@inline
function firstTap(out: i32, c: Convolution): i32 {
  return max<i32>(0, c.padding - out * c.stride);
}
// @ts-ignore: decorator
@inline
function endTap(out: i32, extent: i32, c: Convolution): i32 {
  return min<i32>(c.size, extent - out * c.stride + c.padding);
}

/** Adds W·Δ of the taps (16 bytes each: words, deltas, how many, position) to the sums of 16 filters. */
function addTaps(taps: usize, tapCount: i32, weights: usize, cellWords: i32, sums: usize): void {
  let a = v128.load(sums);
  let b = v128.load(sums, 16);
  let c = v128.load(sums, 32);
  let d = v128.load(sums, 48);
  for (let k: usize = 0; k < <usize>tapCount; k++) {
    const tap = taps + k * 16;
    const list = <usize>load<u32>(tap);
    const changes = <usize>load<u32>(tap, 4);
    const end = <usize>load<u32>(tap, 8);
    const own = weights + <usize>load<u32>(tap, 12) * <usize>cellWords * 64;
    for (let i: usize = 0; i < end; i++) {
      const w = own + (<usize>load<u16>(list + i * 2) << 6);
      const delta = v128.load32_splat(changes + i * 4);
      a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load(w), delta));
      b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load(w, 16), delta));
      c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load(w, 32), delta));
      d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load(w, 48), delta));
    }
  }
  v128.store(sums, a);
  v128.store(sums, b, 16);
  v128.store(sums, c, 32);
  v128.store(sums, d, 48);
}

/** The same where a filter hears channels of its own, for one list of words. */
function addToChannels(c: Convolution, list: usize, changes: usize, end: usize, position: i32, sums: usize): void {
  const weights = c.weights + <usize>(position * c.heard * c.filters) * 4;
  for (let i: usize = 0; i < end; i++) {
    for (let half: usize = 0; half < 2; half++) {
      const change = <i32>load<i16>(changes + i * 4 + half * 2);
      if (change == 0) continue;
      let filter = (<i32>load<u16>(list + i * 2) << 1) + <i32>half;
      let own = weights;
      while (filter >= c.ownFilters) {
        filter -= c.ownFilters;
        own += <usize>c.filters * 4;
      }
      const at = sums + (<usize>filter << 2);
      store<i32>(at, load<i32>(at) + load<i32>(own + (<usize>filter << 2)) * change);
    }
  }
}

/** Sums of output row y from what changed of the input; marks the cells that a change reached. */
function addChangesRow(layer: StreamLayer, c: Convolution, input: Kept, y: i32): void {
  const firstRow = firstTap(y, c);
  const endRowTap = endTap(y, c.height, c);
  const groupBytes = <usize>(c.size * c.size * c.words) * 64;
  for (let x = 0; x < c.outWidth; x++) {
    const sums = layer.sums + <usize>((y * c.outWidth + x) * c.filters) * 4;
    const firstColumn = firstTap(x, c);
    const endColumn = endTap(x, c.width, c);
    let tapCount = 0;
    for (let i = firstRow; i < endRowTap; i++) {
      const row = y * c.stride - c.padding + i;
      if (load<u8>(input.rows + row) == QUIET) continue;
      const list = <usize>(row * (input.capacity + 16));
      for (let j = firstColumn; j < endColumn; j++) {
        const first = input.first + <usize>(row * (input.width + 1) + x * c.stride - c.padding + j) * 4;
        const start = <usize>load<i32>(first);
        const end = <usize>load<i32>(first, 4) - start;
        if (end == 0) continue;
        const position = i * c.size + j;
        const at = c.taps + (<usize>tapCount << 4);
        tapCount++;
        store<u32>(at, <u32>(input.words + (list + start) * 2));
        store<u32>(at, <u32>(input.deltas + (list + start) * 4), 4);
        store<u32>(at, <u32>end, 8);
        store<u32>(at, <u32>position, 12);
        if (c.heard > 0) addToChannels(c, load<u32>(at), load<u32>(at, 4), end, position, sums);
      }
    }
    store<u8>(layer.reached + x, tapCount > 0 ? 1 : 0);
    if (tapCount == 0 || c.heard > 0) continue;
    for (let f: usize = 0; f < <usize>c.filters; f += 16)
      addTaps(c.taps, tapCount, c.weights + (f >> 4) * groupBytes, c.words, sums + f * 4);
  }
}

/** times·B + W·N of 16 filters at one output cell. */
function sumCell(c: Convolution, input: Kept, y: i32, x: i32, f: usize, times: i32, sums: usize): void {
  const by = i32x4.splat(times);
  let s0 = i32x4.mul(v128.load(c.bias + f * 4), by);
  let s1 = i32x4.mul(v128.load(c.bias + f * 4, 16), by);
  let s2 = i32x4.mul(v128.load(c.bias + f * 4, 32), by);
  let s3 = i32x4.mul(v128.load(c.bias + f * 4, 48), by);
  const endRowTap = endTap(y, c.height, c);
  const endColumn = endTap(x, c.width, c);
  const weights = c.weights + (f >> 4) * <usize>(c.size * c.size * c.words) * 64;
  for (let i = firstTap(y, c); i < endRowTap; i++) {
    for (let j = firstTap(x, c); j < endColumn; j++) {
      const cell = <usize>((y * c.stride - c.padding + i) * c.width + x * c.stride - c.padding + j);
      const values = input.values + cell * <usize>input.channels * 2;
      if (c.heard == 0) {
        let w = weights + <usize>((i * c.size + j) * c.words) * 64;
        for (let word: usize = 0; word < <usize>c.words; word++, w += 64) {
          const spike = v128.load32_splat(values + word * 4);
          s0 = i32x4.add(s0, i32x4.dot_i16x8_s(v128.load(w), spike));
          s1 = i32x4.add(s1, i32x4.dot_i16x8_s(v128.load(w, 16), spike));
          s2 = i32x4.add(s2, i32x4.dot_i16x8_s(v128.load(w, 32), spike));
          s3 = i32x4.add(s3, i32x4.dot_i16x8_s(v128.load(w, 48), spike));
        }
        continue;
      }
      for (let h = 0; h < c.heard; h++) {
        const w = c.weights + (<usize>((i * c.size + j) * c.heard + h) * <usize>c.filters + f) * 4;
        const from = values + (<usize>(h * c.ownFilters) + f) * 2;
        s0 = i32x4.add(s0, i32x4.mul(v128.load(w), v128.load16x4_s(from)));
        s1 = i32x4.add(s1, i32x4.mul(v128.load(w, 16), v128.load16x4_s(from, 8)));
        s2 = i32x4.add(s2, i32x4.mul(v128.load(w, 32), v128.load16x4_s(from, 16)));
        s3 = i32x4.add(s3, i32x4.mul(v128.load(w, 48), v128.load16x4_s(from, 24)));
      }
    }
  }
  v128.store(sums, s0);
  v128.store(sums, s1, 16);
  v128.store(sums, s2, 32);
  v128.store(sums, s3, 48);
}

/** times·B + W·N of output row y, (outWidth, filters): two cells at once where both windows lie inside the map. */
function sumRow(c: Convolution, input: Kept, y: i32, times: i32, sums: usize): void {
  const cellBytes = <usize>input.channels * 2;
  const inside = c.heard == 0 && firstTap(y, c) == 0 && endTap(y, c.height, c) == c.size;
  const groupBytes = <usize>(c.size * c.size * c.words) * 64;
  const row = input.values + <usize>((y * c.stride - c.padding) * c.width) * cellBytes;
  const lineBytes = <usize>c.width * cellBytes;
  const filterBytes = <usize>c.filters * 4;
  for (let f: usize = 0; f < <usize>c.filters; f += 16) {
    const weights = c.weights + (f >> 4) * groupBytes;
    for (let x = 0; x < c.outWidth; x++) {
      const first = x * c.stride - c.padding;
      const target = sums + <usize>x * filterBytes + f * 4;
      if (!inside || first < 0 || x + 1 == c.outWidth || first + c.stride + c.size > c.width) {
        sumCell(c, input, y, x, f, times, target);
        continue;
      }
      windowTile(c.size, row + <usize>first * cellBytes, lineBytes, c.size * c.words, weights, <usize>c.stride * cellBytes, c.z);
      for (let lane: usize = 0; lane < 64; lane += 16) {
        const bias = i32x4.mul(v128.load(c.bias + f * 4 + lane), i32x4.splat(times));
        v128.store(target + lane, i32x4.add(v128.load(c.z + lane), bias));
        v128.store(target + filterBytes + lane, i32x4.add(v128.load(c.z + lane, 64), bias));
      }
      x++;
    }
  }
}

/** The nearest count of a neuron of filter f that never fired, by its sum s. */
// @ts-ignore: decorator
@inline
function nearest(c: Convolution, f: usize, s: i32): i32 {
  const stride = <usize>c.filters * 4;
  const table = c.firing + f * 4;
  if (s > 0) {
    const limit = load<i32>(table);
    return s >= limit ? min<i32>((s - limit) / load<i32>(table + 2 * stride) + 1, c.gamma) : 0;
  }
  const limit = load<i32>(table + 5 * stride);
  return -s >= limit ? -min<i32>((-s - limit) / load<i32>(table + 7 * stride) + 1, c.gamma) : 0;
}

/** New counts of 16 neurons from filter f on; false if none is new: `now` is then not written. */
function holdOrFire(layer: StreamLayer, c: Convolution, limits: usize, f: usize, sums: usize, before: usize, now: usize): bool {
  const stride = <usize>c.filters * 4;
  const zero = i32x4.splat(0);
  const most = i32x4.splat(LIMIT / layer.times + 1);
  let fired = false;
  for (let lane: usize = 0; lane < 16; lane += 4) {
    const table = c.firing + (f + lane) * 4;
    const own = limits + (f + lane) * 4;
    const take = v128.load(table + 2 * stride);
    const give = v128.load(table + 7 * stride);
    let s = i32x4.max_s(i32x4.min_s(v128.load(sums + lane * 4), most), i32x4.neg(most));
    if (layer.times > 1) s = i32x4.mul(s, i32x4.splat(layer.times));
    s = i32x4.max_s(i32x4.min_s(s, i32x4.splat(LIMIT)), i32x4.splat(-LIMIT));
    // one that never fires down is at 0 where its sum is negative
    s = v128.bitselect(s, i32x4.max_s(s, zero), i32x4.gt_s(give, zero));
    const n = v128.load16x4_s(before + lane * 2);
    const notNegative = i32x4.ge_s(n, zero);
    const v = i32x4.sub(s, i32x4.mul(n, v128.bitselect(take, give, notNegative)));
    const up = i32x4.ge_s(v, v128.bitselect(v128.load(own), v128.load(own + stride), notNegative));
    const downLimit = v128.bitselect(v128.load(own + 2 * stride), v128.load(own + 3 * stride), i32x4.gt_s(n, zero));
    const firing = v128.or(up, i32x4.le_s(v, i32x4.neg(downLimit)));
    const fires = i32x4.bitmask(firing);
    if (fires == 0) continue;
    if (!fired) memory.copy(now, before, 32);
    fired = true;
    let unsure = fires;
    if (c.slopes != 0) {
      const x = spikesBySlopes(c, (f + lane) * 4, s);
      const whole = f32x4.floor(x);
      const size = i32x4.min_s(wholeNumbers(whole), i32x4.splat(c.gamma));
      const wanted = v128.bitselect(size, i32x4.neg(size), i32x4.gt_s(s, zero));
      const next = v128.bitselect(wanted, n, firing);
      v128.store64_lane(now + lane * 2, i16x8.narrow_i32x4_s(next, next), 0);
      unsure &= i32x4.bitmask(isNearWhole(x, whole, f32x4.splat(SLOPES_OFF)));
    }
    if (unsure == 0) continue;
    v128.store(c.z, s);
    for (let i: usize = 0; i < 4; i++)
      if ((unsure >> <i32>i) & 1) store<i16>(now + (lane + i) * 2, <i16>nearest(c, f + lane + i, load<i32>(c.z + i * 4)));
  }
  return fired;
}

/** The same by a curve. */
function holdOrBend(layer: StreamLayer, c: Convolution, hold: i32, f: usize, sums: usize, before: usize, now: usize): bool {
  // on the image sums may be beyond 32 bits
  if (c.curveShort == 0 || layer.times > 1) return bendExactly(layer, c, hold, f, sums, before, now, 0xffff);
  const gamma = f32x4.splat(<f32>c.gamma);
  const limit = f32x4.splat(<f32>hold / 256);
  let unsure: i32 = 0;
  let any = i32x4.splat(0);
  for (let lane: usize = 0; lane < 16; lane += 4) {
    const at = (f + lane) * 4;
    const off = curveOff(c, at);
    const real = countsByCurve(c, at, v128.load(sums + lane * 4));
    const x = f32x4.pmin(f32x4.pmax(real, f32x4.neg(gamma)), gamma);
    const n = v128.load16x4_s(before + lane * 2);
    const distance = f32x4.abs(f32x4.sub(x, f32x4.convert_i32x4_s(n)));
    const fires = f32x4.gt(distance, limit);
    const shifted = f32x4.add(x, f32x4.splat(0.5));
    const whole = f32x4.floor(shifted);
    const halves = isNearWhole(shifted, whole, off);
    const ends = f32x4.lt(f32x4.abs(f32x4.sub(distance, limit)), off);
    unsure |= i32x4.bitmask(v128.or(ends, v128.and(fires, halves))) << <i32>lane;
    const next = v128.bitselect(wholeNumbers(whole), n, fires);
    any = v128.or(any, i32x4.ne(next, n));
    v128.store64_lane(now + lane * 2, i16x8.narrow_i32x4_s(next, next), 0);
  }
  if (unsure != 0) return bendExactly(layer, c, hold, f, sums, before, now, unsure) || v128.any_true(any);
  return v128.any_true(any);
}

/** Of those neurons that `which` has a bit for; the others' counts stay as they are at `now`, or, of all of them, as they were. */
function bendExactly(layer: StreamLayer, c: Convolution, hold: i32, f: usize, sums: usize, before: usize, now: usize, which: i32): bool {
  const most = <i64>256 * <i64>c.gamma;
  let fired = false;
  if (which == 0xffff) memory.copy(now, before, 32);
  for (let i: usize = 0; i < 16 && f + i < <usize>c.ownFilters; i++) {
    if (((which >> <i32>i) & 1) == 0) continue;
    const s = <i64>load<i32>(sums + i * 4) * <i64>layer.times;
    const part = <i32>min<i64>(max<i64>(curvePart(c, f + i, s), -most), most);
    const count = <i32>load<i16>(before + i * 2);
    const off = part - 256 * count;
    const held = off >= -hold && off < hold;
    store<i16>(now + i * 2, <i16>(held ? count : (part + 128) >> 8));
    fired = fired || !held;
  }
  return fired;
}

/** Runs a convolution; `fresh`: after a reset, limits and hold being those of the nearest count. */
export function streamConvolution(pointer: usize, limits: usize, hold: i32, fresh: bool): void {
  const layer = changetype<StreamLayer>(pointer);
  const c = changetype<Convolution>(layer.convolution);
  const input = changetype<Kept>(layer.input);
  const output = changetype<Kept>(layer.output);
  const now = layer.now;
  for (let y = 0; y < c.outHeight; y++) {
    const start = max<i32>(0, y * c.stride - c.padding);
    const end = min<i32>(c.height, y * c.stride - c.padding + c.size);
    let quiet = !fresh;
    let afresh = fresh;
    let listed = 0;
    for (let row = start; row < end; row++) {
      const state = load<u8>(input.rows + row);
      if (state != QUIET) quiet = false;
      if (state == FULL) afresh = true;
      if (state != QUIET) listed += load<i32>(input.listed + (<usize>row << 2)) * 2 + load<i32>(input.changedCells + (<usize>row << 2)) * 4;
    }
    if (quiet) {
      if (layer.output != 0) endQuietRow(layer.output, y);
      continue;
    }
    // a listed word costs some two of a row that is computed as a whole, for as many cells
    if (listed * c.size > c.outWidth * c.size * (end - start) * c.words * c.stride) afresh = true;
    if (!afresh) addChangesRow(layer, c, input, y);
    if (afresh) sumRow(c, input, y, layer.biasTimes, layer.sums + <usize>(y * c.outWidth * c.filters) * 4);
    if (layer.output == 0) continue;
    beginRow(output, y);
    for (let x = 0; x < c.outWidth; x++) {
      const cell = <usize>(y * c.outWidth + x);
      beginCell(output, y, x);
      if (afresh || load<u8>(layer.reached + x) != 0) {
        for (let f: usize = 0; f < <usize>c.filters; f += 16) {
          const neuron = cell * <usize>c.filters + f;
          const sums = layer.sums + neuron * 4;
          const values = output.values + neuron * 2;
          const fired = c.curve != 0 ? holdOrBend(layer, c, hold, f, sums, values, now) : holdOrFire(layer, c, limits, f, sums, values, now);
          if (fired) put(output, f, values, now);
        }
      }
      endCell(output, y, x);
    }
    endRow(output, y);
  }
}

// @ts-ignore: decorator
@inline
function hasChanged(k: Kept, row: i32, column: i32): bool {
  return load<u8>(k.rows + row) != QUIET && load<i32>(k.sent + <usize>(row * k.width + column) * 4) != 0;
}

/** Sets a cell's counts to those at `now`. */
function compareCell(k: Kept, y: i32, x: i32, now: usize): void {
  const values = k.values + <usize>((y * k.width + x) * k.channels) * 2;
  for (let channel: usize = 0; channel < <usize>k.channels; channel += 16) {
    const at = channel * 2;
    const same = v128.and(
      i64x2.eq(v128.load(values + at), v128.load(now + at)),
      i64x2.eq(v128.load(values + at, 16), v128.load(now + at, 16)));
    if (!i64x2.all_true(same)) put(k, channel, values + at, now + at);
  }
}

/** Sets all counts to those at `now`, (height, width, channels). */
export function streamIsland(pointer: usize, now: usize): void {
  const k = changetype<Kept>(pointer);
  for (let y = 0; y < k.height; y++) {
    beginRow(k, y);
    for (let x = 0; x < k.width; x++) {
      beginCell(k, y, x);
      compareCell(k, y, x, now + <usize>((y * k.width + x) * k.channels) * 2);
      endCell(k, y, x);
    }
    endRow(k, y);
  }
}

export function streamPool(pool: usize, from: usize, to: usize, now: usize, fresh: bool): void {
  const p = changetype<Pool>(pool);
  const input = changetype<Kept>(from);
  const output = changetype<Kept>(to);
  for (let y = 0; y < p.outHeight; y++) {
    const firstRow = max<i32>(0, y * p.stride - p.offset);
    const endRowCell = min<i32>(p.height, y * p.stride - p.offset + p.size);
    let quiet = !fresh;
    for (let row = firstRow; row < endRowCell; row++) if (load<u8>(input.rows + row) != QUIET) quiet = false;
    beginRow(output, y);
    for (let x = 0; !quiet && x < p.outWidth; x++) {
      beginCell(output, y, x);
      const firstColumn = max<i32>(0, x * p.stride - p.offset);
      const endColumn = min<i32>(p.width, x * p.stride - p.offset + p.size);
      let changed = fresh;
      for (let row = firstRow; row < endRowCell; row++)
        for (let column = firstColumn; column < endColumn; column++) if (hasChanged(input, row, column)) changed = true;
      if (changed) {
        for (let channel: usize = 0; channel < <usize>p.channels; channel += 8) {
          let largest = i16x8.splat(i16.MIN_VALUE);
          for (let row = firstRow; row < endRowCell; row++)
            for (let column = firstColumn; column < endColumn; column++) {
              const cell = <usize>((row * p.width + column) * p.channels);
              largest = i16x8.max_s(largest, v128.load(input.values + (cell + channel) * 2));
            }
          v128.store(now + channel * 2, largest);
        }
        compareCell(output, y, x, now);
      }
      endCell(output, y, x);
    }
    endRow(output, y);
  }
}

/** A run of channels: its stage's Kept, from, to, length, shift; 4 bytes each. */
const RUN: usize = 20;

export function streamGather(pointer: usize, to: usize, now: usize, fresh: bool): void {
  const g = changetype<Gather>(pointer);
  const output = changetype<Kept>(to);
  memory.fill(now, 0, <usize>g.channels * 2);
  for (let y = 0; y < g.outHeight; y++) {
    let quiet = !fresh;
    for (let i: usize = 0; i < <usize>g.runCount && quiet; i++) {
      const run = g.runs + i * RUN;
      const input = changetype<Kept>(<usize>load<u32>(run));
      if (load<u8>(input.rows + sourceCell(y, g.scale, g.height, (load<u32>(run, 16) & 2) != 0)) != QUIET) quiet = false;
    }
    beginRow(output, y);
    for (let x = 0; !quiet && x < g.outWidth; x++) {
      beginCell(output, y, x);
      let changed = fresh;
      for (let i: usize = 0; i < <usize>g.runCount && !changed; i++) {
        const run = g.runs + i * RUN;
        const shift = load<u32>(run, 16);
        const row = sourceCell(y, g.scale, g.height, (shift & 2) != 0);
        changed = hasChanged(changetype<Kept>(<usize>load<u32>(run)), row, sourceCell(x, g.scale, g.width, (shift & 1) != 0));
      }
      if (changed) {
        for (let i: usize = 0; i < <usize>g.runCount; i++) {
          const run = g.runs + i * RUN;
          const input = changetype<Kept>(<usize>load<u32>(run));
          const shift = load<u32>(run, 16);
          const row = sourceCell(y, g.scale, g.height, (shift & 2) != 0);
          const cell = <usize>(row * input.width + sourceCell(x, g.scale, g.width, (shift & 1) != 0));
          const from = input.values + (cell * <usize>input.channels + <usize>load<u32>(run, 4)) * 2;
          memory.copy(now + (<usize>load<u32>(run, 8) << 1), from, <usize>load<u32>(run, 12) << 1);
        }
        compareCell(output, y, x, now);
      }
      endCell(output, y, x);
    }
    endRow(output, y);
  }
}
