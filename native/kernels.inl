// The kernels, written once and compiled once per instruction set. The including file defines, in its own namespace:
//   kVectorBytes and Ints; Mask and its operations (masks.inl where vectors of −1 and 0 serve);
//   Op16, Op8 (Spike, kParts, kMaxGroups, kRows, kOffset, zero, load, broadcast, dot, store, position): a multiply-add of
//   one 4-byte word of spikes with the weights of 16 / kParts filters.
// Everything here is exact integer arithmetic, or float arithmetic in one fixed order without fused multiply-add.

typedef float Floats __attribute__((vector_size(kVectorBytes)));
constexpr int kLanes = kVectorBytes / 4;

static inline Ints loadInts(const int32_t* p) {
  Ints v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
static inline void storeInts(int32_t* p, Ints v) { __builtin_memcpy(p, &v, sizeof v); }
static inline Ints allInts(int32_t value) { return Ints{} + value; }

template <class Spike>
struct Spikes;
template <>
struct Spikes<int8_t> {
  typedef int8_t Vector __attribute__((vector_size(kLanes)));
};
template <>
struct Spikes<int16_t> {
  typedef int16_t Vector __attribute__((vector_size(kLanes * 2)));
};

template <class Spike>
static inline Ints loadSpikes(const uint8_t* p) {
  typename Spikes<Spike>::Vector v;
  __builtin_memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, Ints);
}
template <class Spike>
static inline void storeSpikes(uint8_t* p, Ints s) {
  const auto v = __builtin_convertvector(s, typename Spikes<Spike>::Vector);
  __builtin_memcpy(p, &v, sizeof v);
}

// One kernel position of a tile: the input cell's words (of its first row), which of them to take, and the position.
struct Tap {
  const uint8_t* input;
  const uint16_t* list;
  const int32_t* sums;
  int32_t count;
  int32_t position;
};

// z of ROWS rows (steps, or neighbouring positions) × GROUPS filter groups: (ROWS, GROUPS·16) int32.
template <class Op, int GROUPS, int ROWS>
static inline void tile(const Tap* taps, int tapCount, const uint8_t* packed, int words, size_t rowBytes,
                        size_t sumStride, int32_t* z) {
  constexpr int kVectors = GROUPS * Op::kParts;
  typename Op::Sum acc[ROWS][kVectors];
  for (int r = 0; r < ROWS; r++)
    for (int v = 0; v < kVectors; v++) acc[r][v] = Op::zero();
  for (int k = 0; k < tapCount; k++) {
    const Tap& tap = taps[k];
    const uint8_t* tapWeights = packed + size_t(tap.position) * words * (GROUPS * 64);
    for (int i = 0; i < tap.count; i++) {
      const size_t word = tap.list[i];
      const uint8_t* w = tapWeights + word * (GROUPS * 64);
      typename Op::Weights weights[kVectors];
      for (int v = 0; v < kVectors; v++) weights[v] = Op::load(w + v * (64 / Op::kParts));
      const uint8_t* a = tap.input + word * 4;
      for (int r = 0; r < ROWS; r++) {
        const auto spikes = Op::broadcast(a + r * rowBytes);
        for (int v = 0; v < kVectors; v++) acc[r][v] = Op::dot(acc[r][v], weights[v], spikes);
      }
    }
  }
  for (int r = 0; r < ROWS; r++) {
    for (int v = 0; v < kVectors; v++) Op::store(z + r * GROUPS * 16 + v * (16 / Op::kParts), acc[r][v]);
  }
  if (Op::kOffset != 0) {
    for (int r = 0; r < ROWS; r++) {
      int32_t sum = 0;
      for (int k = 0; k < tapCount; k++) sum += taps[k].sums[r * sumStride];
      for (int f = 0; f < GROUPS * 16; f += kLanes) {
        int32_t* at = z + r * GROUPS * 16 + f;
        storeInts(at, loadInts(at) - allInts(Op::kOffset * sum));
      }
    }
  }
}

template <class Op>
static inline void tileOf(int groups, int rows, const Tap* taps, int tapCount, const uint8_t* packed, int words,
                          size_t rowBytes, size_t sumStride, int32_t* z) {
  // Small layers take twice the rows, to keep as many independent sums in flight.
  if constexpr (Op::kMaxGroups == 1) {
    tile<Op, 1, Op::kRows>(taps, tapCount, packed, words, rowBytes, sumStride, z);
  } else if (rows == 2 * Op::kRows) {
    if (groups == 1) tile<Op, 1, 2 * Op::kRows>(taps, tapCount, packed, words, rowBytes, sumStride, z);
    else tile<Op, 2, 2 * Op::kRows>(taps, tapCount, packed, words, rowBytes, sumStride, z);
  } else if (groups == 4) {
    tile<Op, 4, Op::kRows>(taps, tapCount, packed, words, rowBytes, sumStride, z);
  } else if (groups == 3) {
    tile<Op, 3, Op::kRows>(taps, tapCount, packed, words, rowBytes, sumStride, z);
  } else if (groups == 2) {
    tile<Op, 2, Op::kRows>(taps, tapCount, packed, words, rowBytes, sumStride, z);
  } else {
    tile<Op, 1, Op::kRows>(taps, tapCount, packed, words, rowBytes, sumStride, z);
  }
}

template <class Op>
static int tileStepsOf(int groups) {
  return Op::kMaxGroups > 1 && groups <= 2 ? 2 * Op::kRows : Op::kRows;
}

template <class Op>
static void packWeightsOf(const Convolution& c, const void* source, uint8_t* packed) {
  using Spike = typename Op::Spike;
  constexpr int kChannels = 4 / int(sizeof(Spike));
  const int taps = c.size * c.size;
  const int groups = c.paddedFilters / 16;
  const size_t perGroup = size_t(taps) * c.words * 64;
  __builtin_memset(packed, 0, groups * perGroup);
  for (int f = 0; f < groups * 16; f++) {
    const int group = f / 16;
    const int firstGroup = group / Op::kMaxGroups * Op::kMaxGroups;
    const int tileGroups = groups - firstGroup < Op::kMaxGroups ? groups - firstGroup : Op::kMaxGroups;
    for (int tap = 0; tap < taps; tap++) {
      for (int ch = 0; ch < c.words * kChannels; ch++) {
        int32_t w = 0;
        if (f < c.filters && ch < c.channels) {
          const size_t i = (size_t(f) * taps + tap) * c.channels + ch;
          w = c.wide ? static_cast<const int16_t*>(source)[i] : static_cast<const int8_t*>(source)[i];
        }
        const Spike value = Spike(w + Op::kOffset);
        const size_t at = firstGroup * perGroup +
                          ((size_t(tap) * c.words + ch / kChannels) * tileGroups + group - firstGroup) * 64 +
                          Op::position(f % 16, ch % kChannels) * sizeof(Spike);
        __builtin_memcpy(packed + at, &value, sizeof value);
      }
    }
  }
}

template <class Op>
static double observeRowOf(const Convolution& c, int y, int steps) {
  using Spike = typename Op::Spike;
  const int rows = tileStepsOf<Op>(c.paddedFilters / 16);
  const int tiles = (steps + rows - 1) / rows;
  const int channels = c.input->paddedChannels;
  const size_t cellBytes = size_t(steps) * channels * sizeof(Spike);
  double reached = 0;
  for (int x = 0; x < c.width; x++) {
    const size_t cell = size_t(y) * c.width + x;
    const uint8_t* data = c.input->data + cell * cellBytes;
    const Spike* spikes = reinterpret_cast<const Spike*>(data);
    int64_t magnitude = 0;
    for (int t = 0; t < steps; t++) {
      int32_t stepMagnitude = 0;
      int32_t sum = 0;
      for (int ch = 0; ch < channels; ch++) {
        const int32_t s = spikes[size_t(t) * channels + ch];
        stepMagnitude += s < 0 ? -s : s;
        sum += s;
      }
      magnitude += stepMagnitude;
      if (Op::kOffset != 0 && c.sums) c.sums[cell * steps + t] = sum;
    }
    reached += double(magnitude) * c.fanRows[y] * c.fanColumns[x];
    if (!c.lists) continue;
    const uint32_t* words = reinterpret_cast<const uint32_t*>(data);
    for (int k = 0; k < tiles; k++) {
      uint16_t* list = c.lists + (cell * tiles + k) * c.words;
      const int last = (k + 1) * rows < steps ? (k + 1) * rows : steps;
      int count = 0;
      for (int w = 0; w < c.words; w++) {
        uint32_t seen = 0;
        for (int t = k * rows; t < last; t++) seen |= words[size_t(t) * c.words + w];
        list[count] = uint16_t(w);
        count += seen != 0;
      }
      c.listSizes[cell * tiles + k] = uint16_t(count);
    }
  }
  return reached;
}

// Spikes sent and neurons held back, in integers; folded into doubles once a row.
struct Tally {
  Ints sent;
  int64_t clipped;
};

// From this Γ on, a neuron's spikes of one direction are first counted by division, all but the last few.
constexpr int kBurst = 8;

// How many spikes the distance to the limit amounts to, at most Γ and never too many: float32, rounded down by one.
// The quotient is exact enough: up to 127 it is off by less than 2^-16.
static inline Ints burst(Ints distance, Ints amount, int gamma) {
  Floats quotient = __builtin_convertvector(distance, Floats) / __builtin_convertvector(amount, Floats);
  const Floats most = Floats{} + float(gamma + 1);
  quotient = quotient > 0 ? quotient : Floats{};  // 0 / 0 too: a limit that is never reached
  quotient = quotient < most ? quotient : most;
  return maxInts(__builtin_convertvector(quotient, Ints) - 1, Ints{});
}

// V = sat(V + z), then the neuron rule up to Γ times, for 16 filters over `rows` steps (DESIGN section 2; eq. 7).
// z of row r is at z + r·zStride, plus B from `bias` if not null.
template <class Spike, bool BURST>
static inline void fireLanes(const Convolution& c, const int32_t* z, size_t zStride, const int32_t* bias, int rows,
                        size_t neuron, int filter, uint8_t* out, size_t stepBytes, Tally& tally) {
  for (int lane = 0; lane < 16; lane += kLanes) {
    const int32_t* table = c.firing + filter + lane;
    const int stride = c.paddedFilters;
    const Ints upPositive = loadInts(table), upNegative = loadInts(table + stride);
    const Ints takePositive = loadInts(table + 2 * stride), takeNegative = loadInts(table + 3 * stride);
    const Ints downPositive = -loadInts(table + 4 * stride), downNegative = -loadInts(table + 5 * stride);
    const Ints givePositive = loadInts(table + 6 * stride), giveNegative = loadInts(table + 7 * stride);
    const Ints b = bias ? loadInts(bias + filter + lane) : Ints{};
    const Ints limit = allInts(kPotentialLimit);
    Ints v = loadInts(c.potential + neuron + lane);
    Ints n = loadInts(c.counts + neuron + lane);
    for (int r = 0; r < rows; r++) {
      v = minInts(maxInts(v + (loadInts(z + r * zStride + lane) + b), -limit), limit);
      const Ints before = n;
      Ints left = allInts(c.gamma);
      if (BURST) {
        // up from N ≥ 0 and down from N ≤ 0 the limits stay the same from spike to spike
        const Ints above = v - minInts(upPositive, limit);
        const Ints below = maxInts(downNegative, -limit) - v;
        const Ints ups = zeroUnless(atLeast(n, Ints{}), burst(above, takePositive, c.gamma));
        const Ints downs = zeroUnless(atLeast(Ints{}, n), burst(below, giveNegative, c.gamma));
        v += downs * giveNegative - ups * takePositive;
        n += ups - downs;
        left -= ups + downs;
      }
      for (int k = 0;; k++) {
        const Mask notNegative = atLeast(n, Ints{});
        const Mask notPositive = atLeast(Ints{}, n);
        const Mask up = atLeast(v, choose(notNegative, upPositive, upNegative));
        const Mask down = without(atLeast(choose(notPositive, downNegative, downPositive), v), up);
        const Mask fires = either(up, down);
        if (!any(fires)) break;
        const Mask allowed = BURST ? within(fires, atLeast(left, allInts(1))) : fires;
        if (BURST ? !any(allowed) : k == c.gamma) {
          tally.clipped += countOf(fires);
          break;
        }
        const Mask goingUp = within(up, allowed);
        const Mask goingDown = within(down, allowed);
        v = subtractWhere(v, goingUp, choose(notNegative, takePositive, takeNegative));
        v = addWhere(v, goingDown, choose(notPositive, giveNegative, givePositive));
        n = addWhere(n, goingUp, allInts(1));
        n = subtractWhere(n, goingDown, allInts(1));
        if (BURST) left -= allInts(1);
      }
      const Ints s = n - before;
      tally.sent += maxInts(s, -s);
      storeSpikes<Spike>(out + r * stepBytes + lane * sizeof(Spike), s);
    }
    storeInts(c.potential + neuron + lane, v);
    storeInts(c.counts + neuron + lane, n);
  }
}

template <class Spike>
static inline void fire(const Convolution& c, const int32_t* z, size_t zStride, const int32_t* bias, int rows,
                        size_t neuron, int filter, uint8_t* out, size_t stepBytes, Tally& tally) {
  if (c.gamma >= kBurst) fireLanes<Spike, true>(c, z, zStride, bias, rows, neuron, filter, out, stepBytes, tally);
  else fireLanes<Spike, false>(c, z, zStride, bias, rows, neuron, filter, out, stepBytes, tally);
}

static void add(Counters& counters, const Tally& tally) {
  for (int i = 0; i < kLanes; i++) counters.spikes += tally.sent[i];
  counters.clipped += double(tally.clipped);
}

// Kernel rows or columns of output cell `out` that lie on the map: [first, end).
struct Range {
  int first, end;
};
static inline Range tapsInside(int out, int extent, const Convolution& c) {
  const int start = out * c.stride - c.padding;
  return {start < 0 ? -start : 0, start + c.size > extent ? extent - start : c.size};
}

template <class Op>
static void fireRowOf(const Convolution& c, int y, int steps, const Strip& strip, uint8_t* scratch, Counters& counters) {
  using Spike = typename Op::Spike;
  Tally tally = {};
  uint8_t* outRow = strip.data + (y % strip.rowCount) * strip.rowBytes;
  if (c.current) {
    for (int x = 0; x < c.outWidth; x++) {
      for (int f = 0; f < strip.filters; f += 16) {
        const size_t neuron = (size_t(y) * c.outWidth + x) * c.paddedFilters + strip.firstFilter + f;
        fire<Spike>(c, c.current + neuron, 0, nullptr, steps, neuron, strip.firstFilter + f,
                    outRow + x * strip.cellBytes + f * sizeof(Spike), strip.stepBytes, tally);
      }
    }
    add(counters, tally);
    return;
  }
  Tap* taps = reinterpret_cast<Tap*>(scratch);
  int32_t* z = reinterpret_cast<int32_t*>(scratch + size_t(c.size) * c.size * sizeof(Tap));
  const int groups = c.paddedFilters / 16;
  const int rows = tileStepsOf<Op>(groups);
  const int tiles = (steps + rows - 1) / rows;
  const size_t stepBytes = size_t(c.words) * 4;
  const size_t groupBytes = size_t(c.size) * c.size * c.words * 64;
  const Range ky = tapsInside(y, c.height, c);
  for (int x = 0; x < c.outWidth; x++) {
    const Range kx = tapsInside(x, c.width, c);
    for (int k = 0; k < tiles; k++) {
      const int firstStep = k * rows;
      int tapCount = 0;
      for (int i = ky.first; i < ky.end; i++) {
        for (int j = kx.first; j < kx.end; j++) {
          const size_t cell = size_t(y * c.stride - c.padding + i) * c.width + (x * c.stride - c.padding + j);
          const int count = c.listSizes[cell * tiles + k];
          if (count == 0) continue;
          taps[tapCount++] = {c.input->data + (cell * steps + firstStep) * stepBytes,
                              c.lists + (cell * tiles + k) * c.words, c.sums + cell * steps + firstStep, count,
                              i * c.size + j};
        }
      }
      const int count = steps - firstStep < rows ? steps - firstStep : rows;
      for (int f = 0; f < strip.filters;) {
        const int group = (strip.firstFilter + f) / 16;
        const int tileGroups = groups - group < Op::kMaxGroups ? groups - group : Op::kMaxGroups;
        tileOf<Op>(tileGroups, rows, taps, tapCount, c.weights + group * groupBytes, c.words, stepBytes, 1, z);
        for (int g = 0; g < tileGroups; g++, f += 16) {
          const int filter = strip.firstFilter + f;
          const size_t neuron = (size_t(y) * c.outWidth + x) * c.paddedFilters + filter;
          fire<Spike>(c, z + g * 16, tileGroups * 16, c.bias, count, neuron, filter,
                      outRow + x * strip.cellBytes + firstStep * strip.stepBytes + f * sizeof(Spike), strip.stepBytes,
                      tally);
        }
      }
    }
  }
  add(counters, tally);
}

// Tiles whose rows are neighbouring output positions, all words taken: what a whole silent window adds, or a read-out.
template <class Op>
static void sumRowOf(const Convolution& c, int y, const WindowBuffer& window, int firstFilter, int filters,
                     int64_t* sums, uint8_t* scratch) {
  Tap* taps = reinterpret_cast<Tap*>(scratch);
  int32_t* z = reinterpret_cast<int32_t*>(scratch + size_t(c.size) * c.size * sizeof(Tap));
  const int groups = c.paddedFilters / 16;
  const int rows = tileStepsOf<Op>(groups);
  const size_t cellBytes = size_t(c.words) * 4;
  const size_t groupBytes = size_t(c.size) * c.size * c.words * 64;
  for (size_t i = 0; i < size_t(c.outWidth) * filters; i++) sums[i] = 0;
  for (int x = 0; x < c.outWidth; x += rows) {
    const int count = c.outWidth - x < rows ? c.outWidth - x : rows;
    for (int plane = 0; plane < window.planes; plane++) {
      int tapCount = 0;
      for (int i = 0; i < c.size; i++) {
        for (int j = 0; j < c.size; j++) {
          const size_t cell =
              plane * window.planeCells + size_t(y * c.stride + i) * window.widthCells + (x * c.stride + j);
          taps[tapCount++] = {window.data + cell * cellBytes, c.allWords, window.sums + cell, c.words, i * c.size + j};
        }
      }
      for (int f = 0; f < filters;) {
        const int group = (firstFilter + f) / 16;
        const int tileGroups = groups - group < Op::kMaxGroups ? groups - group : Op::kMaxGroups;
        tileOf<Op>(tileGroups, rows, taps, tapCount, c.weights + group * groupBytes, c.words, c.stride * cellBytes,
                   c.stride, z);
        const int width = tileGroups * 16;
        for (int r = 0; r < count; r++) {
          for (int i = 0; i < width; i++) {
            sums[size_t(x + r) * filters + f + i] += int64_t(z[r * width + i]) * (int64_t(1) << (7 * plane));
          }
        }
        f += width;
      }
    }
  }
}

template <class Op>
static void fireSumsRowOf(const Convolution& c, int y, const int64_t* sums, int64_t times, const Strip& strip,
                          Counters& counters) {
  using Spike = typename Op::Spike;
  Tally tally = {};
  const int32_t silent[16] = {};
  uint8_t* outRow = strip.data + (y % strip.rowCount) * strip.rowBytes;
  for (int x = 0; x < c.outWidth; x++) {
    for (int f = 0; f < strip.filters; f += 16) {
      const int filter = strip.firstFilter + f;
      const size_t neuron = (size_t(y) * c.outWidth + x) * c.paddedFilters + filter;
      for (int i = 0; i < 16; i++) {
        const int64_t constant = c.current ? c.current[neuron + i] : c.bias[filter + i];
        const int64_t v = c.potential[neuron + i] + (sums ? sums[size_t(x) * strip.filters + f + i] : 0) + times * constant;
        c.potential[neuron + i] =
            int32_t(v > kPotentialLimit ? kPotentialLimit : v < -kPotentialLimit ? -kPotentialLimit : v);
      }
      fire<Spike>(c, silent, 0, nullptr, 1, neuron, filter, outRow + x * strip.cellBytes + f * sizeof(Spike),
                  strip.stepBytes, tally);
    }
  }
  add(counters, tally);
}

// Where an input cell of a pooling window has its spikes and counts, for the lanes at hand.
struct PoolCell {
  const uint8_t* spikes;
  const int32_t* counts;
  size_t index;  // of the cell on the map
};

// Exact: out(t) = max N(t) − max N(t − 1); gate:avg: the spike of the first cell with the largest N. Both run backwards
// from the counts at the end of the block, so that they need no state of their own.
template <class Spike, bool EXACT, int CELLS>
static inline void poolLanes(const PoolCell* cells, int cellCount, int lane, int steps, size_t stepBytes, Ints* n,
                             uint8_t* out, size_t outStepBytes, int32_t* counts) {
  const int cellsHere = CELLS > 0 ? CELLS : cellCount;
  for (int i = 0; i < cellsHere; i++) n[i] = loadInts(cells[i].counts + lane);
  Ints largest = n[0];
  if (EXACT) {
    for (int i = 1; i < cellsHere; i++) largest = maxInts(largest, n[i]);
    storeInts(counts + lane, largest);
  }
  Ints total = {};
  for (int t = steps - 1; t >= 0; t--) {
    Ints chosen = loadSpikes<Spike>(cells[0].spikes + t * stepBytes + lane * sizeof(Spike));
    if (EXACT) {
      n[0] -= chosen;
      Ints previous = n[0];
      for (int i = 1; i < cellsHere; i++) {
        n[i] -= loadSpikes<Spike>(cells[i].spikes + t * stepBytes + lane * sizeof(Spike));
        previous = maxInts(previous, n[i]);
      }
      chosen = largest - previous;
      largest = previous;
    } else {
      Ints best = n[0];
      n[0] -= chosen;
      for (int i = 1; i < cellsHere; i++) {
        const Ints s = loadSpikes<Spike>(cells[i].spikes + t * stepBytes + lane * sizeof(Spike));
        const Mask notBetter = atLeast(best, n[i]);
        chosen = choose(notBetter, chosen, s);
        best = choose(notBetter, best, n[i]);
        n[i] -= s;
      }
      total += chosen;
    }
    storeSpikes<Spike>(out + t * outStepBytes + lane * sizeof(Spike), chosen);
  }
  if (!EXACT) storeInts(counts + lane, loadInts(counts + lane) + total);
}

// gate:exp and gate:fir run forwards from the estimates at the start of the block to those at its end; a cell that
// several windows share gets the same end from each.
template <class Spike>
static void gateCell(const Pool& p, const PoolCell* cells, int cellCount, int channel, int firstStep, int steps,
                     size_t stepBytes, uint8_t* out, size_t outStepBytes, int32_t* counts, int32_t* estimates) {
  const size_t stride = p.paddedChannels;
  for (int i = 0; i < cellCount; i++) {
    const size_t at = cells[i].index * stride + channel;
    estimates[i] = p.estimateStart[at];
    if (p.rule == PoolRule::kGateFir) {
      for (int slot = 0; slot < 16; slot++) {
        const size_t recent = (cells[i].index * 16 + slot) * stride + channel;
        p.recentEnd[recent] = p.recentStart[recent];
      }
    }
  }
  for (int t = 0; t < steps; t++) {
    int best = 0;
    Spike chosen = 0;
    for (int i = 0; i < cellCount; i++) {
      Spike s;
      __builtin_memcpy(&s, cells[i].spikes + t * stepBytes, sizeof s);
      if (p.rule == PoolRule::kGateExponential) {
        estimates[i] += s * 65536 - (estimates[i] >> 4);
      } else {
        int8_t& recent = p.recentEnd[(cells[i].index * 16 + (firstStep + t) % 16) * stride + channel];
        estimates[i] += s - recent;
        recent = int8_t(s);
      }
      if (i == 0 || estimates[i] > estimates[best]) {
        best = i;
        chosen = s;
      }
    }
    __builtin_memcpy(out + t * outStepBytes, &chosen, sizeof chosen);
    *counts += chosen;
  }
  for (int i = 0; i < cellCount; i++) p.estimateEnd[cells[i].index * stride + channel] = estimates[i];
}

template <class Spike>
static void poolRowOf(const Pool& p, int y, int firstStep, int steps, const Strip& strip, const int32_t* inputCounts,
                      uint8_t* scratch) {
  PoolCell* cells = reinterpret_cast<PoolCell*>(scratch);
  Ints* n = reinterpret_cast<Ints*>(scratch + size_t(p.size) * p.size * sizeof(PoolCell) / 64 * 64 + 64);
  const size_t outStepBytes = size_t(p.paddedChannels) * sizeof(Spike);
  for (int x = 0; x < p.outWidth; x++) {
    int cellCount = 0;
    for (int i = 0; i < p.size; i++) {
      const int row = y * p.stride - p.offset + i;
      if (row < 0 || row >= p.height) continue;
      for (int j = 0; j < p.size; j++) {
        const int column = x * p.stride - p.offset + j;
        if (column < 0 || column >= p.width) continue;
        const size_t index = size_t(row) * p.width + column;
        cells[cellCount++] = {strip.data + (row % strip.rowCount) * strip.rowBytes + column * strip.cellBytes,
                              inputCounts + index * p.paddedChannels + strip.firstFilter, index};
      }
    }
    const size_t outCell = size_t(y) * p.outWidth + x;
    uint8_t* out = p.out + outCell * steps * outStepBytes + strip.firstFilter * sizeof(Spike);
    int32_t* counts = p.counts + outCell * p.paddedChannels + strip.firstFilter;
    if (p.rule == PoolRule::kExact || p.rule == PoolRule::kGateAverage) {
      const bool exact = p.rule == PoolRule::kExact;
      for (int lane = 0; lane < strip.filters; lane += kLanes) {
        if (exact && cellCount == 4) {
          poolLanes<Spike, true, 4>(cells, 4, lane, steps, strip.stepBytes, n, out, outStepBytes, counts);
        } else if (exact) {
          poolLanes<Spike, true, 0>(cells, cellCount, lane, steps, strip.stepBytes, n, out, outStepBytes, counts);
        } else {
          poolLanes<Spike, false, 0>(cells, cellCount, lane, steps, strip.stepBytes, n, out, outStepBytes, counts);
        }
      }
      continue;
    }
    int32_t* estimates = reinterpret_cast<int32_t*>(n);
    for (int channel = 0; channel < strip.filters; channel++) {
      gateCell<Spike>(p, cells, cellCount, strip.firstFilter + channel, firstStep, steps, strip.stepBytes,
                      out + channel * sizeof(Spike), outStepBytes, counts + channel, estimates);
      for (int i = 0; i < cellCount; i++) cells[i].spikes += sizeof(Spike);
    }
  }
}

// POSITIONS neighbouring output cells × 16 filters of a float convolution: products and sums rounded one by one in the
// order (row, column, channel), the bias last.
template <int POSITIONS>
static inline void floatCells(const FloatConvolution& c, const float* input, float* output, int y, int x, Range ky,
                              Range kx, int filter) {
  constexpr int kParts = 16 / kLanes;
  Floats acc[POSITIONS][kParts] = {};
  for (int i = ky.first; i < ky.end; i++) {
    const float* row = input + size_t(y * c.stride - c.padding + i) * c.width * c.channels;
    for (int j = kx.first; j < kx.end; j++) {
      const float* cell = row + ptrdiff_t(x * c.stride - c.padding + j) * c.channels;
      const float* w = c.weights + size_t(i * c.size + j) * c.channels * c.paddedFilters + filter;
      for (int ch = 0; ch < c.channels; ch++, w += c.paddedFilters) {
        for (int part = 0; part < kParts; part++) {
          Floats weights;
          __builtin_memcpy(&weights, w + part * kLanes, sizeof weights);
          for (int p = 0; p < POSITIONS; p++) {
            acc[p][part] += weights * (Floats{} + cell[size_t(p) * c.stride * c.channels + ch]);
          }
        }
      }
    }
  }
  for (int p = 0; p < POSITIONS; p++) {
    float* out = output + (size_t(y) * c.outWidth + x + p) * c.filters + filter;
    float values[16];
    __builtin_memcpy(values, acc[p], sizeof values);
    const int count = c.filters - filter < 16 ? c.filters - filter : 16;
    for (int f = 0; f < count; f++) {
      const float value = values[f] + c.bias[filter + f];
      out[f] = value > 0 ? value : c.slope * value;
    }
  }
}

static inline Range tapsInside(int out, int extent, const FloatConvolution& c) {
  const int start = out * c.stride - c.padding;
  return {start < 0 ? -start : 0, start + c.size > extent ? extent - start : c.size};
}

static void convolveFloat(const FloatConvolution& c, const float* input, float* output) {
  for (int filter = 0; filter < c.filters; filter += 16) {
    for (int y = 0; y < c.outHeight; y++) {
      const Range ky = tapsInside(y, c.height, c);
      for (int x = 0; x < c.outWidth;) {
        const Range kx = tapsInside(x, c.width, c);
        const bool inside = kx.first == 0 && kx.end == c.size;
        const Range last = tapsInside(x + 3, c.width, c);
        if (inside && x + 4 <= c.outWidth && last.end == c.size) {
          floatCells<4>(c, input, output, y, x, ky, kx, filter);
          x += 4;
        } else {
          floatCells<1>(c, input, output, y, x, ky, kx, filter);
          x += 1;
        }
      }
    }
  }
}

// The table's entries for weights of 16 and of 8 bits, which may use different multiply-adds.
static int spikeBytes(bool wide) { return wide ? sizeof(Op16::Spike) : sizeof(Op8::Spike); }
static int tileGroups(bool wide) { return wide ? Op16::kMaxGroups : Op8::kMaxGroups; }
static int tileSteps(bool wide, int groups) { return wide ? tileStepsOf<Op16>(groups) : tileStepsOf<Op8>(groups); }
static void packWeights(const Convolution& c, const void* weights, uint8_t* packed) {
  c.wide ? packWeightsOf<Op16>(c, weights, packed) : packWeightsOf<Op8>(c, weights, packed);
}
static double observeRow(const Convolution& c, int y, int steps) {
  return c.wide ? observeRowOf<Op16>(c, y, steps) : observeRowOf<Op8>(c, y, steps);
}
static void fireRow(const Convolution& c, int y, int steps, const Strip& strip, uint8_t* scratch, Counters& counters) {
  c.wide ? fireRowOf<Op16>(c, y, steps, strip, scratch, counters) : fireRowOf<Op8>(c, y, steps, strip, scratch, counters);
}
static void sumRow(const Convolution& c, int y, const WindowBuffer& window, int firstFilter, int filters, int64_t* sums,
                   uint8_t* scratch) {
  c.wide ? sumRowOf<Op16>(c, y, window, firstFilter, filters, sums, scratch)
         : sumRowOf<Op8>(c, y, window, firstFilter, filters, sums, scratch);
}
static void fireSumsRow(const Convolution& c, int y, const int64_t* sums, int64_t times, const Strip& strip,
                        Counters& counters) {
  c.wide ? fireSumsRowOf<Op16>(c, y, sums, times, strip, counters)
         : fireSumsRowOf<Op8>(c, y, sums, times, strip, counters);
}
static void poolRow(const Pool& p, int y, int firstStep, int steps, const Strip& strip, const int32_t* inputCounts,
                    uint8_t* scratch) {
  p.spikeBytes == 2 ? poolRowOf<int16_t>(p, y, firstStep, steps, strip, inputCounts, scratch)
                    : poolRowOf<int8_t>(p, y, firstStep, steps, strip, inputCounts, scratch);
}

static Kernels tableNamed(const char* name) {
  return {name,    spikeBytes,    tileGroups, tileSteps,    packWeights,
          observeRow, fireRow, sumRow,    fireSumsRow,
          poolRow, convolveFloat};
}
