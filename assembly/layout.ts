// What src/backend/wasm.ts writes into memory for the kernels. Every field is 4 bytes, in this order; pointers are
// byte offsets. Spikes are int16, [y][x][step][channel], channels and filters padded with zeros to multiples of 16.

/** An integrate-and-fire convolution; see native/kernels.h for the meaning of each field. */
@unmanaged
export class Convolution {
  height: i32;
  width: i32;
  channels: i32;
  outHeight: i32;
  outWidth: i32;
  filters: i32;
  size: i32;
  stride: i32;
  padding: i32;
  /** Pairs of channels per input cell and step. */
  words: i32;
  /** [filter group][tap][word][16 filters][2 channels] int16; channelwise [tap][heard][filters] int32. */
  weights: usize;
  bias: usize;
  /** (8, filters) int32. */
  firing: usize;
  potential: usize;
  counts: usize;
  /** z of every step, of a layer on the image; else 0. */
  current: usize;
  /** The input's spikes and counts; 0 on the image. */
  input: usize;
  inputCounts: usize;
  lists: usize;
  listSizes: usize;
  fanRows: usize;
  fanColumns: usize;
  gamma: i32;
  /** Rows of spikes: the output buffer, or a ring of `ringRows` rows on their way to the pool. */
  output: usize;
  ringRows: i32;
  /** A window's base-128 digits, five planes; (outWidth, filters) int64 sums. */
  window: usize;
  windowWidth: i32;
  windowCells: i32;
  sums: usize;
  /** Kernel positions of a tile, 16 bytes each; z of a tile. */
  taps: usize;
  z: usize;
  /** float64: spikes, clipped, synaptic operations. */
  statistics: usize;
  /** The pool that takes the rows directly, or 0. */
  pool: usize;
  /** Channels that a filter hears alone (j, filters + j, …), or 0 if it hears all; their `filters` without padding. */
  heard: i32;
  ownFilters: i32;
  /** Of neurons whose activation is a curve (src/engine/curve.ts): its table, and factors (6, filters); else 0. */
  curve: usize;
  curveEntries: i32;
  curveLinear: i32;
  curveFactors: usize;
  /** Of neurons that fire once, in float32 (see native/kernels.h, `slopes`, `curveShort` and `curveFloats`): 0 if that cannot be sure. */
  slopes: usize;
  curveShort: usize;
  curveFloats: usize;
  /** (filters) int32. */
  startPotential: usize;
  /** 1 until a neuron has run since `begin`: potential and counts are still to be written. */
  fresh: i32;
  /** Of a layer on the image, the largest magnitude of `current`. */
  largestCurrent: i32;
  /** Spikes and clipped neurons of a row, lane by lane. */
  tally: usize;
  /**
   * Of a channelwise layer, by pairs of synapses: where they are from the first cell of a kernel on, (pairs, 2) bytes; weights
   * (pairs, filters, 2) int16, a 0 where the last one is alone.
   */
  pairs: i32;
  pairPlaces: usize;
  pairWeights: usize;
}

/** Wiring; see native/engine.h. */
@unmanaged
export class Gather {
  height: i32;
  width: i32;
  outHeight: i32;
  outWidth: i32;
  scale: i32;
  channels: i32;
  output: usize;
  counts: usize;
  runs: usize;
  runCount: i32;
}

/** A spiking max-pool. */
@unmanaged
export class Pool {
  height: i32;
  width: i32;
  channels: i32;
  outHeight: i32;
  outWidth: i32;
  size: i32;
  stride: i32;
  offset: i32;
  /** 0 exact, 1 gate:avg, 2 gate:exp, 3 gate:fir. */
  rule: i32;
  input: usize;
  inputCounts: usize;
  output: usize;
  counts: usize;
  /** Window cells, 12 bytes each, and 16 bytes of counts for each. */
  cells: usize;
  windowCounts: usize;
  estimateStart: usize;
  estimateEnd: usize;
  recentStart: usize;
  recentEnd: usize;
}

/** Counts that a stage of a stream keeps, or the image, and what the last picture changed of them; see Changes in native/kernels.h. */
@unmanaged
export class Kept {
  height: i32;
  width: i32;
  channels: i32;
  values: usize;
  capacity: i32;
  words: usize;
  deltas: usize;
  first: usize;
  sent: usize;
  rows: usize;
  listed: usize;
  changedCells: usize;
  groups: usize;
  spikes: usize;
  /** 1 if spikes are signed digits, not units. */
  digits: i32;
}

/** A convolution of a stream. */
@unmanaged
export class StreamLayer {
  convolution: usize;
  /** Kept: of what comes in, and of what is sent; 0 for an output layer. */
  input: usize;
  output: usize;
  /** (outHeight, outWidth, filters) int32: S, or of a layer on the image z. */
  sums: usize;
  /** What sums are multiplied by when neurons fire, and biases when they are summed: T and 1 on the image, else 1 and T. */
  times: i32;
  biasTimes: i32;
  /** (outWidth) bytes: cells that a change reached. */
  reached: usize;
  /** 16 counts. */
  now: usize;
}
