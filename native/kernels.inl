// The kernels, written once and compiled once per instruction set. The including file defines, in its own namespace:
//   kVectorBytes and Ints; Mask and its operations (masks.inl where vectors of −1 and 0 serve); storeBytes; floorOf,
//   gatherPairs and widenBytes (lanes.inl where nothing better is there);
//   Op16, Op8 (Spike, kParts, kMaxGroups, rowsOf, kOffset, kEventCosts, kChains, zero, load, broadcast, dot, addMagnitude,
//   store, position): a multiply-add of one 4-byte word of spikes with the weights of 16 / kParts filters; kChains is how
//   many sums of one step run side by side, as one multiply-add waits for the last. With kShortLimit > 0 also one that sums
//   in 16 bits (ShortSum, ShortWeights, shortZero, shortLoad, shortBroadcast, shortDot, widen), exact for kShortLimit / Γ
//   words.
// Everything here is exact integer arithmetic, or float arithmetic in one fixed order without fused multiply-add.

typedef float Floats __attribute__((vector_size(kVectorBytes)));
constexpr int kLanes = kVectorBytes / 4;

static inline Ints loadInts(const int32_t* p) {
  Ints v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
static inline Floats loadFloats(const float* p) {
  Floats v;
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
  if constexpr (sizeof(Spike) == 1) return widenBytes(p);
  typename Spikes<Spike>::Vector v;
  __builtin_memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, Ints);
}
template <class Spike>
static inline void storeSpikes(uint8_t* p, Ints s) {
  if constexpr (sizeof(Spike) == 1) {
    storeBytes(p, s);
  } else {
    const auto v = __builtin_convertvector(s, typename Spikes<Spike>::Vector);
    __builtin_memcpy(p, &v, sizeof v);
  }
}

// One kernel position of a tile: the input cell's words (of its first row), which of them to take, and the position.
struct Tap {
  const uint8_t* input;
  const uint16_t* list;
  const int32_t* sums;
  int32_t count;
  int32_t position;
};

// Words whose products a 16-bit sum holds when spikes are at most Γ: kShortLimit of Γ 1. 0 where the instruction set has
// no such sums, or too few words fit to gain anything.
template <class Op>
static inline int shortRun(int gamma) {
  const int run = Op::kShortLimit / gamma;
  return run >= 4 ? run : 0;
}

// Adds W·spikes to acc through 16-bit sums, which are widened after `run` words.
template <class Op, int GROUPS, int ROWS, class Sums>
static inline void accumulateShort(const Tap* taps, int tapCount, const uint8_t* packed, int words, size_t rowBytes,
                                   int run, Sums& acc) {
  constexpr int kVectors = GROUPS * Op::kParts;
  typename Op::ShortSum part[ROWS][kVectors];
  for (int r = 0; r < ROWS; r++)
    for (int v = 0; v < kVectors; v++) part[r][v] = Op::shortZero();
  int left = run;
  for (int k = 0; k < tapCount; k++) {
    const Tap& tap = taps[k];
    const uint8_t* tapWeights = packed + size_t(tap.position) * words * (GROUPS * 64);
    for (int i = 0; i < tap.count;) {
      const int end = tap.count - i < left ? tap.count : i + left;
      left -= end - i;
      for (; i < end; i++) {
        const size_t word = tap.list[i];
        const uint8_t* w = tapWeights + word * (GROUPS * 64);
        typename Op::ShortWeights weights[kVectors];
        for (int v = 0; v < kVectors; v++) weights[v] = Op::shortLoad(w + v * (64 / Op::kParts));
        const uint8_t* a = tap.input + word * 4;
        for (int r = 0; r < ROWS; r++) {
          const auto spikes = Op::shortBroadcast(a + r * rowBytes);
          for (int v = 0; v < kVectors; v++) part[r][v] = Op::shortDot(part[r][v], weights[v], spikes);
        }
      }
      if (left > 0) break;
      for (int r = 0; r < ROWS; r++) {
        for (int v = 0; v < kVectors; v++) {
          acc[r][v] = Op::widen(acc[r][v], part[r][v]);
          part[r][v] = Op::shortZero();
        }
      }
      left = run;
    }
  }
  for (int r = 0; r < ROWS; r++)
    for (int v = 0; v < kVectors; v++) acc[r][v] = Op::widen(acc[r][v], part[r][v]);
}

template <class Op, int GROUPS, int ROWS, class Sums>
static inline void accumulate(const Tap* taps, int tapCount, const uint8_t* packed, int words, size_t rowBytes,
                              Sums& acc) {
  constexpr int kVectors = GROUPS * Op::kParts;
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
}

// Takes from one row of z, (GROUPS·16), what kOffset added to every weight.
template <class Op, int GROUPS>
static inline void takeOffset(const Tap* taps, int tapCount, size_t row, int32_t* z) {
  int32_t sum = 0;
  for (int k = 0; k < tapCount; k++) sum += taps[k].sums[row];
  for (int f = 0; f < GROUPS * 16; f += kLanes) storeInts(z + f, loadInts(z + f) - allInts(Op::kOffset * sum));
}

// z of ROWS rows (steps, or neighbouring positions) × GROUPS filter groups: (ROWS, GROUPS·16) int32. `run` as shortRun.
template <class Op, int GROUPS, int ROWS>
static inline void tile(const Tap* taps, int tapCount, const uint8_t* packed, int words, size_t rowBytes,
                        size_t sumStride, int run, int32_t* z) {
  constexpr int kVectors = GROUPS * Op::kParts;
  typename Op::Sum acc[ROWS][kVectors];
  for (int r = 0; r < ROWS; r++)
    for (int v = 0; v < kVectors; v++) acc[r][v] = Op::zero();
  if constexpr (Op::kShortLimit > 0) {
    if (run > 0) accumulateShort<Op, GROUPS, ROWS>(taps, tapCount, packed, words, rowBytes, run, acc);
    else accumulate<Op, GROUPS, ROWS>(taps, tapCount, packed, words, rowBytes, acc);
  } else {
    accumulate<Op, GROUPS, ROWS>(taps, tapCount, packed, words, rowBytes, acc);
  }
  for (int r = 0; r < ROWS; r++) {
    for (int v = 0; v < kVectors; v++) Op::store(z + r * GROUPS * 16 + v * (16 / Op::kParts), acc[r][v]);
  }
  if (Op::kOffset != 0) {
    for (int r = 0; r < ROWS; r++) {
      takeOffset<Op, GROUPS>(taps, tapCount, r * sumStride, z + r * GROUPS * 16);
    }
  }
}

template <int N>
struct Groups {
  static constexpr int value = N;
};

// Calls work(Groups<n>) for as many filter groups as there are at run time.
template <class Op, class Work>
static inline void withGroups(int groups, Work work) {
  if constexpr (Op::kMaxGroups >= 4) {
    if (groups == 4) return work(Groups<4>());
  }
  if constexpr (Op::kMaxGroups >= 3) {
    if (groups == 3) return work(Groups<3>());
  }
  if constexpr (Op::kMaxGroups >= 2) {
    if (groups == 2) return work(Groups<2>());
  }
  work(Groups<1>());
}

template <class Op, int ROWS>
static inline void tileOfGroups(int groups, const Tap* taps, int tapCount, const uint8_t* packed, int words,
                                size_t rowBytes, size_t sumStride, int run, int32_t* z) {
  withGroups<Op>(groups, [&](auto count) {
    tile<Op, decltype(count)::value, ROWS>(taps, tapCount, packed, words, rowBytes, sumStride, run, z);
  });
}

// A layer's tiles all have the rows of its widest one; each instruction set has two such numbers at most.
template <class Op>
static inline void tileOf(int groups, int rows, const Tap* taps, int tapCount, const uint8_t* packed, int words,
                          size_t rowBytes, size_t sumStride, int run, int32_t* z) {
  constexpr int kNarrow = Op::rowsOf(1);
  constexpr int kWide = Op::rowsOf(Op::kMaxGroups);
  if (kNarrow != kWide && rows == kNarrow) {
    tileOfGroups<Op, kNarrow>(groups, taps, tapCount, packed, words, rowBytes, sumStride, run, z);
  } else {
    tileOfGroups<Op, kWide>(groups, taps, tapCount, packed, words, rowBytes, sumStride, run, z);
  }
}

// Weights that a step of events is computed with before the next step's turn, so that they stay in the first cache.
constexpr size_t kEventBlock = 32 * 1024;

// Where a step has got to in its taps.
struct Cursor {
  int tap, word;
};

// Adds what the words before wordEnd of the taps before positionEnd come to in one step to z, (GROUPS·16).
template <class Op, int GROUPS>
static inline void addEvents(const Tap* taps, int tapCount, int positionEnd, int wordEnd, const uint8_t* packed, int words,
                             int run, Cursor& cursor, int32_t* z) {
  constexpr int kVectors = GROUPS * Op::kParts;
  typename Op::Sum acc[Op::kChains][kVectors];
  for (int chain = 0; chain < Op::kChains; chain++)
    for (int v = 0; v < kVectors; v++) acc[chain][v] = Op::zero();
  for (; cursor.tap < tapCount && taps[cursor.tap].position < positionEnd; cursor = {cursor.tap + 1, 0}) {
    const Tap& tap = taps[cursor.tap];
    const uint8_t* tapWeights = packed + size_t(tap.position) * words * (GROUPS * 64);
    int end = tap.count;
    if (wordEnd < words) {
      for (int first = cursor.word; first < end;) {
        const int middle = (first + end) / 2;
        if (tap.list[middle] < wordEnd) first = middle + 1;
        else end = middle;
      }
    }
    const auto add = [&](int i, int chain) {
      const size_t word = tap.list[i];
      const uint8_t* w = tapWeights + word * (GROUPS * 64);
      const auto spikes = Op::broadcast(tap.input + word * 4);
      for (int v = 0; v < kVectors; v++) acc[chain][v] = Op::dot(acc[chain][v], Op::load(w + v * (64 / Op::kParts)), spikes);
    };
    int i = cursor.word;
    if constexpr (Op::kShortLimit > 0) {
      while (run > 0 && i < end) {
        typename Op::ShortSum part[kVectors];
        for (int v = 0; v < kVectors; v++) part[v] = Op::shortZero();
        for (const int stop = end - i < run ? end : i + run; i < stop; i++) {
          const size_t word = tap.list[i];
          const uint8_t* w = tapWeights + word * (GROUPS * 64);
          const auto spikes = Op::shortBroadcast(tap.input + word * 4);
          for (int v = 0; v < kVectors; v++) part[v] = Op::shortDot(part[v], Op::shortLoad(w + v * (64 / Op::kParts)), spikes);
        }
        for (int v = 0; v < kVectors; v++) acc[0][v] = Op::widen(acc[0][v], part[v]);
      }
    }
    for (; i + Op::kChains <= end; i += Op::kChains) {
      for (int chain = 0; chain < Op::kChains; chain++) add(i + chain, chain);
    }
    for (; i < end; i++) add(i, 0);
    if (end < tap.count) {
      cursor.word = end;
      break;
    }
  }
  for (int chain = 0; chain < Op::kChains; chain++) {
    alignas(64) int32_t sums[GROUPS * 16];
    for (int v = 0; v < kVectors; v++) Op::store(sums + v * (16 / Op::kParts), acc[chain][v]);
    for (int f = 0; f < GROUPS * 16; f += kLanes) storeInts(z + f, loadInts(z + f) + loadInts(sums + f));
  }
}

// z of `steps` steps × GROUPS filter groups by events: weights block by block, and with each block step by step.
template <class Op, int GROUPS>
static void events(const Tap* taps, const int* tapCounts, int positions, const uint8_t* packed, int words, int steps,
                           int run, int32_t* z) {
  const size_t tapBytes = size_t(words) * GROUPS * 64;
  const int tapsTogether = tapBytes < kEventBlock ? int(kEventBlock / tapBytes) : 1;
  const int parts = int((tapBytes + kEventBlock - 1) / kEventBlock);
  const int wordsTogether = tapsTogether > 1 ? words : (words + parts - 1) / parts;
  Cursor cursors[64] = {};
  __builtin_memset(z, 0, size_t(steps) * GROUPS * 64);
  for (int position = 0; position < positions; position += tapsTogether) {
    for (int word = 0; word < words; word += wordsTogether) {
      for (int t = 0; t < steps; t++) {
        addEvents<Op, GROUPS>(taps + size_t(t) * positions, tapCounts[t], position + tapsTogether, word + wordsTogether, packed,
                              words, run, cursors[t], z + size_t(t) * GROUPS * 16);
      }
    }
  }
  if (Op::kOffset == 0) return;
  for (int t = 0; t < steps; t++) {
    takeOffset<Op, GROUPS>(taps + size_t(t) * positions, tapCounts[t], 0, z + t * GROUPS * 16);
  }
}

static inline int groupsFrom(const Convolution& c, int group) {
  const int left = c.paddedFilters / 16 - group;
  return left < c.tileGroups ? left : c.tileGroups;
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
    const int firstGroup = group / c.tileGroups * c.tileGroups;
    const int tileGroups = groupsFrom(c, firstGroup);
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
static inline int64_t totalOf(typename Op::Sum acc) {
  int32_t lanes[16 / Op::kParts];
  Op::store(lanes, acc);
  int64_t total = 0;
  for (int32_t lane : lanes) total += lane;
  return total;
}

template <class Op>
static double observeRowOf(const Convolution& c, int y, int steps) {
  using Spike = typename Op::Spike;
  constexpr int kBytes = 64 / Op::kParts;
  const int rows = c.listRows;
  const int tiles = (steps + rows - 1) / rows;
  const size_t stepBytes = size_t(c.words) * 4;
  double reached = 0;
  for (int x = 0; x < c.width; x++) {
    const size_t cell = size_t(y) * c.width + x;
    const uint8_t* data = c.input->data + cell * steps * stepBytes;
    typename Op::Sum magnitude = Op::zero();
    size_t at = 0;
    for (; at + kBytes <= steps * stepBytes; at += kBytes) magnitude = Op::addMagnitude(magnitude, data + at);
    int64_t total = totalOf<Op>(magnitude);
    for (; at < steps * stepBytes; at += sizeof(Spike)) {
      const int s = *reinterpret_cast<const Spike*>(data + at);
      total += s < 0 ? -s : s;
    }
    reached += double(total) * c.fanRows[y] * c.fanColumns[x];
    if (!c.lists) continue;
    if (Op::kOffset != 0) {
      for (int t = 0; t < steps; t++) {
        const int8_t* spikes = reinterpret_cast<const int8_t*>(data + t * stepBytes);
        int32_t sum = 0;
        for (size_t i = 0; i < stepBytes; i += 16) {
          int32_t part = 0;
          for (int k = 0; k < 16; k++) part += spikes[i + k];
          sum += part;
        }
        c.sums[cell * steps + t] = sum;
      }
    }
    const uint32_t* words = reinterpret_cast<const uint32_t*>(data);
    for (int k = 0; k < tiles; k++) {
      uint16_t* list = c.lists + (cell * tiles + k) * c.words;
      const int last = (k + 1) * rows < steps ? (k + 1) * rows : steps;
      int count = 0;
      for (int w = 0; w < c.words; w++) {
        uint32_t seen = 0;
        for (int t = k * rows; t < last; t++) seen |= words[size_t(t) * c.words + w];
        list[count] = uint16_t(w);
        count += (seen != 0) | c.everyWord;
      }
      c.listSizes[cell * tiles + k] = uint16_t(count);
    }
  }
  return reached;
}

// Adds what input row y has to compute with, either way.
static void countWords(const Convolution& c, int y, int steps, Activity& activity) {
  const int rows = c.tileRows;
  const size_t cellWords = size_t(c.words) * steps;
  int64_t dense = 0, events = 0, lists = 0;
  for (int x = 0; x < c.width; x++) {
    const uint32_t* words = reinterpret_cast<const uint32_t*>(c.input->data) + (size_t(y) * c.width + x) * cellWords;
    for (int t = 0; t < steps; t++) {
      int32_t sent = 0;
      for (int w = 0; w < c.words; w++) sent += words[size_t(t) * c.words + w] != 0;
      events += sent;
      lists += sent > 0;
    }
    for (int first = 0; first < steps; first += rows) {
      const int last = first + rows < steps ? first + rows : steps;
      int32_t listed = 0;
      for (int w = 0; w < c.words; w++) {
        uint32_t seen = 0;
        for (int t = first; t < last; t++) seen |= words[size_t(t) * c.words + w];
        listed += seen != 0;
      }
      dense += int64_t(listed) * rows;
    }
  }
  activity.dense += double(dense);
  activity.events += double(events);
  activity.lists += double(lists);
}

// Spikes sent and neurons held back, in integers; folded into doubles once a row.
struct Tally {
  Ints sent;
  int64_t clipped;
};

// From this Γ on, a neuron's spikes of one direction are first counted by division.
constexpr int kBurst = 8;

// How many spikes a distance ≥ 0 to the limit amounts to, at most Γ: one, and one more for each whole amount in it. Never
// too many: the float32 quotient is off by less than 2^-15 where it matters, so 2^-10 less of it is on the safe side; in
// rare cases one too few, which the loop behind makes good.
static inline Floats smaller(Floats a, Floats b) { return a < b ? a : b; }

static inline Ints burst(Ints distance, Floats reciprocal, int gamma) {
  const Floats most = Floats{} + float(gamma - 1);
  Floats quotient = __builtin_convertvector(distance, Floats) * reciprocal - 0x1p-10f;
  quotient = quotient < most ? quotient : most;
  quotient = quotient > 0 ? quotient : Floats{};
  return __builtin_convertvector(quotient, Ints) + 1;
}

// What fireLanes works on: neighbouring neurons, a vector of kLanes each. Vector p has its potential and count at
// p·kLanes, z of row r at z + r·zStride + p·kLanes, its filter and its place in the output at the offsets below.
struct Neurons {
  int32_t* potential;
  int32_t* counts;
  const int32_t* z;
  size_t zStride;
  const int32_t* bias;  // per filter, or null
  uint8_t* out;
  size_t stepBytes;
};

// V = sat(V + z), then the neuron rule up to Γ times, for VECTORS vectors over `rows` steps (docs/engine.md; eq. 7).
// Several vectors share one loop so that its branches are taken for all of them at once.
template <class Spike, bool BURST, int VECTORS>
static inline void fireLanes(const Convolution& c, const Neurons& neurons, const int* filters, const size_t* places,
                             int rows, Tally& tally) {
  const size_t stride = c.paddedFilters;
  const Ints limit = allInts(kPotentialLimit);
  const int32_t* table[VECTORS];
  Ints v[VECTORS], n[VECTORS], bias[VECTORS];
  for (int p = 0; p < VECTORS; p++) {
    table[p] = c.firing + filters[p];
    // neurons that have not run yet are at their start potential, whatever is in memory
    v[p] = loadInts(c.fresh ? c.startPotential + filters[p] : neurons.potential + p * kLanes);
    n[p] = c.fresh ? Ints{} : loadInts(neurons.counts + p * kLanes);
    bias[p] = neurons.bias ? loadInts(neurons.bias + filters[p]) : Ints{};
  }
  for (int r = 0; r < rows; r++) {
    Ints before[VECTORS], left[VECTORS];
    for (int p = 0; p < VECTORS; p++) {
      const Ints z = loadInts(neurons.z + r * neurons.zStride + p * kLanes) + bias[p];
      v[p] = minInts(maxInts(v[p] + z, -limit), limit);
      before[p] = n[p];
      left[p] = allInts(c.gamma);
      if (BURST) {
        // up from N ≥ 0 and down from N ≤ 0 the limits stay the same from spike to spike
        const Ints take = loadInts(table[p] + 2 * stride);
        const Ints give = loadInts(table[p] + 7 * stride);
        const Ints upLimit = loadInts(table[p]);
        const Ints downLimit = loadInts(table[p] + 5 * stride);
        const Mask up = within(above(n[p], allInts(-1)), above(v[p], upLimit));
        const Mask down = within(above(allInts(1), n[p]), above(-v[p], downLimit));
        const Ints ups = zeroUnless(up, burst(v[p] - minInts(upLimit + 1, limit), loadFloats(c.reciprocals + filters[p]), c.gamma));
        const Ints downs = zeroUnless(
            down, burst(-v[p] - minInts(downLimit + 1, limit), loadFloats(c.reciprocals + stride + filters[p]), c.gamma));
        v[p] += downs * give - ups * take;
        n[p] += ups - downs;
        left[p] -= ups + downs;
      }
    }
    for (int k = 0;; k++) {
      Mask up[VECTORS], down[VECTORS], notNegative[VECTORS], positive[VECTORS];
      Mask fires = {};
      Mask allowed = {};
      for (int p = 0; p < VECTORS; p++) {
        notNegative[p] = above(n[p], allInts(-1));
        positive[p] = above(n[p], Ints{});
        up[p] = above(v[p], choose(notNegative[p], loadInts(table[p]), loadInts(table[p] + stride)));
        down[p] = above(-v[p], choose(positive[p], loadInts(table[p] + 4 * stride), loadInts(table[p] + 5 * stride)));
        if (BURST) allowed = either(allowed, within(either(up[p], down[p]), above(left[p], Ints{})));
        fires = either(fires, either(up[p], down[p]));
      }
      if (!any(fires)) break;
      if (BURST ? !any(allowed) : k == c.gamma) {
        for (int p = 0; p < VECTORS; p++) tally.clipped += countOf(either(up[p], down[p]));
        break;
      }
      for (int p = 0; p < VECTORS; p++) {
        if (BURST) {
          up[p] = within(up[p], above(left[p], Ints{}));
          down[p] = within(down[p], above(left[p], Ints{}));
          left[p] -= allInts(1);
        }
        const Ints take = choose(notNegative[p], loadInts(table[p] + 2 * stride), loadInts(table[p] + 3 * stride));
        const Ints give = choose(positive[p], loadInts(table[p] + 6 * stride), loadInts(table[p] + 7 * stride));
        v[p] = addWhere(subtractWhere(v[p], up[p], take), down[p], give);
        n[p] = lessWhere(moreWhere(n[p], up[p]), down[p]);
      }
    }
    for (int p = 0; p < VECTORS; p++) {
      const Ints s = n[p] - before[p];
      tally.sent += maxInts(s, -s);
      storeSpikes<Spike>(neurons.out + r * neurons.stepBytes + places[p], s);
    }
  }
  for (int p = 0; p < VECTORS; p++) {
    storeInts(neurons.potential + p * kLanes, v[p]);
    storeInts(neurons.counts + p * kLanes, n[p]);
  }
}

// Fires `count` neighbouring neurons, a multiple of 16: filters from `filter` on, or, of a layer with 16 filters only,
// cell after cell (their spikes cellBytes apart).
template <class Spike>
static inline void fire(const Convolution& c, Neurons neurons, int filter, int count, int rows, size_t cellBytes,
                        Tally& tally) {
  constexpr int kTogether = 4;
  const int perCell = c.paddedFilters == 16 ? 16 : count;
  for (int first = 0; first < count;) {
    int filters[kTogether];
    size_t places[kTogether];
    const int left = (count - first) / kLanes;
    const int vectors = left >= kTogether ? kTogether : left >= 2 ? 2 : 1;
    for (int p = 0; p < vectors; p++) {
      const int at = first + p * kLanes;
      filters[p] = filter + at % perCell;
      places[p] = at / perCell * cellBytes + at % perCell * sizeof(Spike);
    }
    if (vectors == kTogether) {
      if (c.gamma >= kBurst) fireLanes<Spike, true, kTogether>(c, neurons, filters, places, rows, tally);
      else fireLanes<Spike, false, kTogether>(c, neurons, filters, places, rows, tally);
    } else if (vectors == 2) {
      if (c.gamma >= kBurst) fireLanes<Spike, true, 2>(c, neurons, filters, places, rows, tally);
      else fireLanes<Spike, false, 2>(c, neurons, filters, places, rows, tally);
    } else {
      if (c.gamma >= kBurst) fireLanes<Spike, true, 1>(c, neurons, filters, places, rows, tally);
      else fireLanes<Spike, false, 1>(c, neurons, filters, places, rows, tally);
    }
    neurons.potential += vectors * kLanes;
    neurons.counts += vectors * kLanes;
    neurons.z += vectors * kLanes;
    first += vectors * kLanes;
  }
}

// Half as many lanes as a vector of integers has, in double width.
constexpr int kHalf = kLanes / 2;
typedef int32_t HalfInts __attribute__((vector_size(kVectorBytes / 2)));
typedef double Doubles __attribute__((vector_size(kVectorBytes)));

static inline HalfInts loadHalf(const int32_t* p) {
  HalfInts v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
static inline void storeHalf(int32_t* p, HalfInts v) { __builtin_memcpy(p, &v, sizeof v); }
static inline Doubles loadDoubles(const double* p) {
  Doubles v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
static inline Doubles doublesOf(HalfInts v) { return __builtin_convertvector(v, Doubles); }
static inline HalfInts intsOf(Doubles v) { return __builtin_convertvector(v, HalfInts); }
static inline Doubles between(Doubles v, double low, double high) {
  const Doubles least = Doubles{} + low, most = Doubles{} + high;
  v = v > least ? v : least;
  return v < most ? v : most;
}

// ⌊256·x⌋ of neurons of the filters from `filter` on whose activation is a curve (src/engine/curve.ts), by sums within 32 bits. In
// float64, which holds every product here exactly: a factor has 22 bits, or 28 for a table's value of 21.
static inline Doubles curveParts(const Convolution& c, int filter, Doubles sum) {
  const double middle = double(int64_t(c.curveEntries - 1) << 14);
  // far beyond what counts can be, and within what floorOf takes
  const double far = 0x1p50;
  const double* scales = c.curveScales + filter;
  const Doubles place = floorOf(between(sum * loadDoubles(scales), -far, far)) + middle;
  const HalfInts inside = intsOf(between(place, 0, 2 * middle - 1));
  const HalfInts entry = inside >> 15;
  HalfInts low, rise;
  gatherPairs(c.curve, entry, low, rise);
  const Doubles value = doublesOf(low + ((rise * (inside & 32767)) >> 15));
  Doubles part = floorOf(value * loadDoubles(scales + 2 * size_t(c.paddedFilters)));
  if (c.curveLinear) part += floorOf(between(sum * loadDoubles(scales + c.paddedFilters), 0, far));
  return floorOf(part * 0x1p-14);
}

// Neurons whose activation is a curve, `count` of one cell from `filter` on, by z + bias in 32 bits: they fire once.
template <class Spike>
static inline void fireCurve(const Convolution& c, const Neurons& neurons, int filter, int count, Tally& tally) {
  const double gamma = c.gamma;
  Doubles over = {};
  HalfInts sent = {};
  for (int i = 0; i < count; i += kHalf) {
    HalfInts s = loadHalf(neurons.z + i);
    if (neurons.bias) s += loadHalf(neurons.bias + filter + i);
    // the nearest count, halves upward
    const Doubles wanted = floorOf((curveParts(c, filter + i, doublesOf(s)) + 128) * 0x1p-8);
    const Doubles given = between(wanted, -gamma, gamma);
    over += wanted == given ? Doubles{} : Doubles{} + 1;
    const HalfInts n = intsOf(given);
    sent += n < 0 ? -n : n;
    HalfInts v = s > kPotentialLimit ? HalfInts{} + kPotentialLimit : s;
    v = v < -kPotentialLimit ? HalfInts{} - kPotentialLimit : v;
    storeHalf(neurons.potential + i, v);
    storeHalf(neurons.counts + i, n);
  }
  for (int i = 0; i < count; i += kLanes) {
    storeSpikes<Spike>(neurons.out + i * sizeof(Spike), loadInts(neurons.counts + i));
  }
  for (int i = 0; i < kHalf; i++) {
    tally.sent[i] += sent[i];
    tally.clipped += int64_t(over[i]);
  }
}

// How many spikes neurons want to send by a whole window, if none after those of the first direction (c.settles): at a potential V
// within its limits ⌊(|V| − limit) / amount⌋ + 1 towards 0 if V is at its limit or beyond. Numbers above Γ are not exact.
struct Wanted {
  Ints spikes, amount;
  Mask positive;
};
static inline Wanted wantedSpikes(const Convolution& c, int filter, Ints v) {
  const size_t stride = c.paddedFilters;
  const Ints limit = allInts(kPotentialLimit);
  const Floats most = Floats{} + float(c.gamma + 1);
  const int32_t* table = c.firing + filter;
  const float* reciprocals = c.reciprocals + filter;
  const Mask positive = above(v, Ints{});
  const Ints reached = choose(positive, loadInts(table), loadInts(table + 5 * stride));
  const Ints amount = choose(positive, loadInts(table + 2 * stride), loadInts(table + 7 * stride));
  const Ints size = maxInts(v, -v);
  const Mask fires = above(size, reached);
  // what is left after the first spike's limit; limits that nothing reaches do not overflow, as `fires` is false then
  const Ints distance = zeroUnless(fires, size - minInts(reached, limit) - 1);
  const Floats up = loadFloats(reciprocals), down = loadFloats(reciprocals + stride);
  const Ints ups = __builtin_convertvector(smaller(__builtin_convertvector(distance, Floats) * up, most), Ints);
  const Ints downs = __builtin_convertvector(smaller(__builtin_convertvector(distance, Floats) * down, most), Ints);
  // of at most Γ + 1 ≤ 128 amounts a quotient in floats is right to one
  Ints quotient = choose(positive, ups, downs);
  const Ints rest = distance - quotient * amount;
  quotient = lessWhere(quotient, above(Ints{}, rest));
  quotient = moreWhere(quotient, above(rest, amount - 1));
  return {zeroUnless(fires, quotient + 1), amount, positive};
}

// Neurons that have not fired yet, `count` of one cell from `filter` on, by a whole window: V = sat(start + z + bias), then what
// they want to send, at most Γ.
template <class Spike>
static inline void fireFresh(const Convolution& c, const Neurons& neurons, int filter, int count, Tally& tally) {
  const Ints limit = allInts(kPotentialLimit);
  const Ints gamma = allInts(c.gamma);
  for (int i = 0; i < count; i += kLanes) {
    Ints z = loadInts(neurons.z + i);
    if (neurons.bias) z += loadInts(neurons.bias + filter + i);
    Ints v = minInts(maxInts(loadInts(c.startPotential + filter + i) + z, -limit), limit);
    const auto [wanted, amount, positive] = wantedSpikes(c, filter + i, v);
    const Ints sent = minInts(wanted, gamma);
    tally.clipped += countOf(above(wanted, gamma));
    tally.sent += sent;
    const Ints taken = sent * amount;
    v = choose(positive, v - taken, v + taken);
    const Ints n = choose(positive, sent, -sent);
    storeInts(neurons.potential + i, v);
    storeInts(neurons.counts + i, n);
    storeSpikes<Spike>(neurons.out + i * sizeof(Spike), n);
  }
}

// Fires `count` neurons of one cell once, by a whole window. Not inlined: the compiler's limits for a file would then leave out
// what the loops over steps need.
template <class Spike>
__attribute__((noinline)) static void fireOnce(const Convolution& c, const Neurons& neurons, int filter, int count, Tally& tally) {
  if (c.curve) fireCurve<Spike>(c, neurons, filter, count, tally);
  else if (c.fresh && c.settles) fireFresh<Spike>(c, neurons, filter, count, tally);
  else fire<Spike>(c, neurons, filter, count, 1, 0, tally);
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

// Fires all neurons of output row y whose z, the same at every step, is at z (outWidth, paddedFilters).
template <class Spike>
static void fireCells(const Convolution& c, int y, const int32_t* z, int steps, const Strip& strip, Tally& tally) {
  const size_t row = size_t(y) * c.outWidth * c.paddedFilters;
  uint8_t* outRow = strip.data + (y % strip.rowCount) * strip.rowBytes;
  // of a layer with 16 filters, several cells at once; else the strip's filters of each cell
  const int cells = c.paddedFilters == 16 ? 64 / 16 : 1;
  for (int x = 0; x < c.outWidth; x += cells) {
    const int count = (c.outWidth - x < cells ? c.outWidth - x : cells) * strip.filters;
    const size_t at = size_t(x) * c.paddedFilters + strip.firstFilter;
    fire<Spike>(c, {c.potential + row + at, c.counts + row + at, z + at, 0, nullptr, outRow + x * strip.cellBytes, strip.stepBytes},
                strip.firstFilter, count, steps, strip.cellBytes, tally);
  }
}

template <class Op>
static void fireRowOf(const Convolution& c, int y, int steps, const Strip& strip, uint8_t* scratch, Counters& counters) {
  using Spike = typename Op::Spike;
  Tally tally = {};
  uint8_t* outRow = strip.data + (y % strip.rowCount) * strip.rowBytes;
  if (c.current) {
    fireCells<Spike>(c, y, c.current + size_t(y) * c.outWidth * c.paddedFilters, steps, strip, tally);
    add(counters, tally);
    return;
  }
  const int run = shortRun<Op>(c.gamma);
  const int rows = c.listRows;
  const int tiles = (steps + rows - 1) / rows;
  const size_t stepBytes = size_t(c.words) * 4;
  const size_t groupBytes = size_t(c.size) * c.size * c.words * 64;
  Tap* taps = reinterpret_cast<Tap*>(scratch);
  int32_t* z = reinterpret_cast<int32_t*>(taps + size_t(c.size) * c.size * tiles);
  int tapCounts[64];
  const Range ky = tapsInside(y, c.height, c);
  for (int x = 0; x < c.outWidth; x++) {
    const Range kx = tapsInside(x, c.width, c);
    for (int k = 0; k < tiles; k++) {
      Tap* tile = taps + size_t(k) * c.size * c.size;
      int tapCount = 0;
      for (int i = ky.first; i < ky.end; i++) {
        for (int j = kx.first; j < kx.end; j++) {
          const size_t cell = size_t(y * c.stride - c.padding + i) * c.width + (x * c.stride - c.padding + j);
          const int count = c.listSizes[cell * tiles + k];
          if (count == 0) continue;
          tile[tapCount++] = {c.input->data + (cell * steps + size_t(k) * rows) * stepBytes,
                              c.lists + (cell * tiles + k) * c.words, c.sums + cell * steps + size_t(k) * rows, count,
                              i * c.size + j};
        }
      }
      tapCounts[k] = tapCount;
    }
    for (int f = 0; f < strip.filters;) {
      const int filter = strip.firstFilter + f;
      const int groups = groupsFrom(c, filter / 16);
      const uint8_t* packed = c.weights + filter / 16 * groupBytes;
      if (rows == 1) {
        withGroups<Op>(groups, [&](auto count) {
          events<Op, decltype(count)::value>(taps, tapCounts, c.size * c.size, packed, c.words, steps, run, z);
        });
      } else {
        for (int k = 0; k < tiles; k++) {
          tileOf<Op>(groups, rows, taps + size_t(k) * c.size * c.size, tapCounts[k], packed, c.words, stepBytes, 1, run,
                     z + size_t(k) * rows * groups * 16);
        }
      }
      const size_t neuron = (size_t(y) * c.outWidth + x) * c.paddedFilters + filter;
      uint8_t* out = outRow + x * strip.cellBytes + f * sizeof(Spike);
      fire<Spike>(c, {c.potential + neuron, c.counts + neuron, z, size_t(groups) * 16, c.bias, out, strip.stepBytes},
                  filter, groups * 16, steps, 0, tally);
      f += groups * 16;
    }
  }
  add(counters, tally);
}

// Tiles whose rows are neighbouring output positions, all words taken: what a whole silent window adds, the image's
// current, or a read-out. Calls use(x, positions, filter, groups, plane, z) for each, z (positions, groups·16) int32.
template <class Op, class Use>
static void windowTiles(const Convolution& c, int y, const WindowBuffer& window, int firstFilter, int filters,
                        uint8_t* scratch, Use use) {
  Tap* taps = reinterpret_cast<Tap*>(scratch);
  int32_t* z = reinterpret_cast<int32_t*>(scratch + size_t(c.size) * c.size * sizeof(Tap));
  const int rows = c.tileRows;
  const size_t cellBytes = size_t(c.words) * 4;
  const size_t groupBytes = size_t(c.size) * c.size * c.words * 64;
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
        const int tileGroups = groupsFrom(c, group);
        tileOf<Op>(tileGroups, rows, taps, tapCount, c.weights + group * groupBytes, c.words, c.stride * cellBytes,
                   c.stride, 0, z);
        use(x, count, f, tileGroups, plane, z);
        f += tileGroups * 16;
      }
    }
  }
}

template <class Op>
static void sumRowOf(const Convolution& c, int y, const WindowBuffer& window, int firstFilter, int filters,
                     int64_t* sums, uint8_t* scratch) {
  for (size_t i = 0; i < size_t(c.outWidth) * filters; i++) sums[i] = 0;
  windowTiles<Op>(c, y, window, firstFilter, filters, scratch,
                  [&](int x, int count, int f, int groups, int plane, const int32_t* z) {
                    const int width = groups * 16;
                    for (int r = 0; r < count; r++) {
                      int64_t* target = sums + size_t(x + r) * filters + f;
                      for (int i = 0; i < width; i++) {
                        target[i] += int64_t(z[r * width + i]) * (int64_t(1) << (7 * plane));
                      }
                    }
                  });
}

template <class Op>
static int32_t presentRowOf(const Convolution& c, int y, const WindowBuffer& window, int32_t* current, uint8_t* scratch) {
  Ints largest = {};
  windowTiles<Op>(c, y, window, 0, c.paddedFilters, scratch,
                  [&](int x, int count, int f, int groups, int, const int32_t* z) {
                    for (int r = 0; r < count; r++) {
                      int32_t* target = current + size_t(x + r) * c.paddedFilters + f;
                      for (int i = 0; i < groups * 16; i += kLanes) {
                        const Ints value = loadInts(c.bias + f + i) + loadInts(z + r * groups * 16 + i);
                        storeInts(target + i, value);
                        largest = maxInts(largest, maxInts(value, -value));
                      }
                    }
                  });
  int32_t found = 0;
  for (int i = 0; i < kLanes; i++) found = largest[i] > found ? largest[i] : found;
  return found;
}

template <class Op>
static void fireWindowRowOf(const Convolution& c, int y, const WindowBuffer* window, const int32_t* bias, int32_t times,
                            const Strip& strip, uint8_t* scratch, Counters& counters) {
  using Spike = typename Op::Spike;
  Tally tally = {};
  const size_t row = size_t(y) * c.outWidth * c.paddedFilters;
  uint8_t* outRow = strip.data + (y % strip.rowCount) * strip.rowBytes;
  if (!window) {
    alignas(64) int32_t z[64];
    for (int x = 0; x < c.outWidth; x++) {
      for (int f = 0; f < strip.filters; f += 64) {
        const int count = strip.filters - f < 64 ? strip.filters - f : 64;
        const size_t neuron = row + size_t(x) * c.paddedFilters + strip.firstFilter + f;
        for (int i = 0; i < count; i += kLanes) storeInts(z + i, loadInts(c.current + neuron + i) * times);
        fireOnce<Spike>(c, {c.potential + neuron, c.counts + neuron, z, 0, nullptr, outRow + x * strip.cellBytes + f * sizeof(Spike), strip.stepBytes},
                        strip.firstFilter + f, count, tally);
      }
    }
  } else {
    windowTiles<Op>(c, y, *window, strip.firstFilter, strip.filters, scratch,
                    [&](int x, int count, int f, int groups, int, const int32_t* z) {
                      for (int r = 0; r < count; r++) {
                        const int filter = strip.firstFilter + f;
                        const size_t neuron = row + size_t(x + r) * c.paddedFilters + filter;
                        uint8_t* out = outRow + (x + r) * strip.cellBytes + f * sizeof(Spike);
                        fireOnce<Spike>(c, {c.potential + neuron, c.counts + neuron, z + r * groups * 16, 0, bias, out, strip.stepBytes},
                                        filter, groups * 16, tally);
                      }
                    });
  }
  add(counters, tally);
}

template <class Op>
static void fireSlopesRowOf(const Convolution& c, int y, const int64_t* sums, int64_t times, const Strip& strip,
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
      uint8_t* out = outRow + x * strip.cellBytes + f * sizeof(Spike);
      fire<Spike>(c, {c.potential + neuron, c.counts + neuron, silent, 0, nullptr, out, strip.stepBytes}, filter, 16, 1, 0,
                  tally);
    }
  }
  add(counters, tally);
}

static inline Ints loadValues(const int8_t* p) { return loadSpikes<int8_t>(reinterpret_cast<const uint8_t*>(p)); }
static inline Ints loadValues(const int16_t* p) { return loadSpikes<int16_t>(reinterpret_cast<const uint8_t*>(p)); }
static inline Ints loadValues(const int32_t* p) { return loadInts(p); }

// Fires output row y of a channelwise convolution; input (height, width, steps, channels). Lanes run across filters, whose
// channels lie side by side; those beyond the last filter have no weight.
template <class Spike>
static void fireChannels(const Convolution& c, int y, const Spike* input, int steps, const int32_t* bias,
                         const Strip& strip, uint8_t* scratch, Counters& counters) {
  constexpr int kTogether = 64;
  Tally tally = {};
  int32_t* z = reinterpret_cast<int32_t*>(scratch);
  const int heard = c.channels / c.filters;
  const size_t stepValues = c.input->paddedChannels;
  const size_t tapWeights = size_t(heard) * c.paddedFilters;
  uint8_t* outRow = strip.data + (y % strip.rowCount) * strip.rowBytes;
  const Range ky = tapsInside(y, c.height, c);
  for (int x = 0; x < c.outWidth; x++) {
    const Range kx = tapsInside(x, c.width, c);
    for (int f = 0; f < strip.filters; f += kTogether) {
      const int filter = strip.firstFilter + f;
      const int count = strip.filters - f < kTogether ? strip.filters - f : kTogether;
      __builtin_memset(z, 0, size_t(steps) * count * 4);
      for (int i = ky.first; i < ky.end; i++) {
        for (int j = kx.first; j < kx.end; j++) {
          const size_t cell = size_t(y * c.stride - c.padding + i) * c.width + (x * c.stride - c.padding + j);
          const int32_t* weights = c.channelWeights + size_t(i * c.size + j) * tapWeights + filter;
          for (int h = 0; h < heard; h++, weights += c.paddedFilters) {
            const Spike* values = input + cell * steps * stepValues + size_t(h) * c.filters + filter;
            for (int t = 0; t < steps; t++, values += stepValues) {
              int32_t* row = z + size_t(t) * count;
              for (int lane = 0; lane < count; lane += kLanes) {
                storeInts(row + lane, loadInts(row + lane) + loadInts(weights + lane) * loadValues(values + lane));
              }
            }
          }
        }
      }
      const size_t neuron = (size_t(y) * c.outWidth + x) * c.paddedFilters + filter;
      fire<Spike>(c, {c.potential + neuron, c.counts + neuron, z, size_t(count), bias, outRow + x * strip.cellBytes + f * sizeof(Spike), strip.stepBytes},
                  filter, count, steps, 0, tally);
    }
  }
  add(counters, tally);
}

// The same of one step, or of counts as one: sums stay in registers. Fires as fireWindowRow does.
template <int VECTORS, class Value>
static inline void sumChannels(const Convolution& c, const Value* input, const int32_t* weights, int y, int x, Range ky, Range kx,
                               int filter, int32_t* z) {
  const int heard = c.channels / c.filters;
  Ints sums[VECTORS];
  for (int p = 0; p < VECTORS; p++) sums[p] = Ints{};
  for (int i = ky.first; i < ky.end; i++) {
    for (int j = kx.first; j < kx.end; j++) {
      const size_t cell = size_t(y * c.stride - c.padding + i) * c.width + (x * c.stride - c.padding + j);
      const Value* values = input + cell * c.input->paddedChannels + filter;
      const int32_t* own = weights + size_t(i * c.size + j) * heard * c.paddedFilters;
      for (int h = 0; h < heard; h++, own += c.paddedFilters, values += c.filters) {
        for (int p = 0; p < VECTORS; p++) sums[p] += loadInts(own + p * kLanes) * loadValues(values + p * kLanes);
      }
    }
  }
  for (int p = 0; p < VECTORS; p++) storeInts(z + p * kLanes, sums[p]);
}

template <class Spike, class Value>
static void fireChannelsOnce(const Convolution& c, int y, const Value* input, const int32_t* bias, const Strip& strip,
                             Counters& counters) {
  constexpr int kTogether = 64;
  constexpr int kMost = kTogether / kLanes < 4 ? kTogether / kLanes : 4;
  Tally tally = {};
  uint8_t* outRow = strip.data + (y % strip.rowCount) * strip.rowBytes;
  const Range ky = tapsInside(y, c.height, c);
  alignas(64) int32_t z[kTogether];
  for (int x = 0; x < c.outWidth; x++) {
    const Range kx = tapsInside(x, c.width, c);
    for (int f = 0; f < strip.filters; f += kTogether) {
      const int filter = strip.firstFilter + f;
      const int count = strip.filters - f < kTogether ? strip.filters - f : kTogether;
      int at = 0;
      for (; at + kMost * kLanes <= count; at += kMost * kLanes) {
        sumChannels<kMost>(c, input, c.channelWeights + filter + at, y, x, ky, kx, filter + at, z + at);
      }
      for (; at < count; at += kLanes) {
        sumChannels<1>(c, input, c.channelWeights + filter + at, y, x, ky, kx, filter + at, z + at);
      }
      const size_t neuron = (size_t(y) * c.outWidth + x) * c.paddedFilters + filter;
      uint8_t* out = outRow + x * strip.cellBytes + f * sizeof(Spike);
      fireOnce<Spike>(c, {c.potential + neuron, c.counts + neuron, z, 0, bias, out, strip.stepBytes}, filter, count, tally);
    }
  }
  add(counters, tally);
}

template <class Op>
static void fireChannelsRowOf(const Convolution& c, int y, int steps, const Strip& strip, uint8_t* scratch,
                              Counters& counters) {
  using Spike = typename Op::Spike;
  fireChannels<Spike>(c, y, reinterpret_cast<const Spike*>(c.input->data), steps, c.bias, strip, scratch, counters);
}

// Neurons whose activation is a curve, `count` filters of one output cell (src/engine/curve.ts). Without branches, so that
// compilers take several at a time; what is padding has factors of 0 and sends nothing. Returns spikes and clipped neurons.
template <class Spike, bool kSums>
static inline void fireCurveCell(const Convolution& c, int firstFilter, int count, const int64_t* __restrict sums,
                                 const int32_t* __restrict constants, int64_t times, int32_t* __restrict potential,
                                 int32_t* __restrict counts, Spike* __restrict out, int64_t& spikes, int64_t& clipped) {
  const size_t stride = c.paddedFilters;
  const int32_t* __restrict factors = c.curveFactors + firstFilter;
  const int32_t* __restrict curve = c.curve;
  const int64_t middle = int64_t(c.curveEntries - 1) << 14, last = 2 * middle - 1;
  const int64_t linear = c.curveLinear ? -1 : 0;
  const int64_t gamma = c.gamma;
  int64_t sent = 0, over = 0;
  for (int first = 0; first < count; first += kFilterGroup) {
    int64_t s[kFilterGroup], given[kFilterGroup];
    int32_t entry[kFilterGroup], fraction[kFilterGroup], low[kFilterGroup], rise[kFilterGroup];
    for (int i = 0; i < kFilterGroup; i++) {
      s[i] = times * constants[first + i];
      if (kSums) s[i] += sums[first + i];
      int64_t place = ((s[i] * factors[first + i]) >> factors[stride + first + i]) + middle;
      place = place < 0 ? 0 : place;
      place = place > last ? last : place;
      entry[i] = int32_t(place >> 15);
      fraction[i] = int32_t(place & 32767);
    }
    for (int i = 0; i < kFilterGroup; i++) {
      low[i] = curve[2 * entry[i]];
      rise[i] = curve[2 * entry[i] + 1];
    }
    for (int i = 0; i < kFilterGroup; i++) {
      const int32_t* __restrict factor = factors + first + i;
      const int64_t value = low[i] + ((int64_t(rise[i]) * fraction[i]) >> 15);
      const int64_t above = (((s[i] > 0 ? s[i] : 0) * factor[2 * stride]) >> factor[3 * stride]) & linear;
      const int64_t part = (above + ((value * factor[4 * stride]) >> factor[5 * stride])) >> 14;
      const int64_t wanted = (part + 128) >> 8;
      int64_t n = wanted > gamma ? gamma : wanted;
      n = n < -gamma ? -gamma : n;
      over += n != wanted;
      sent += n < 0 ? -n : n;
      given[i] = n;
    }
    // stored apart: what is narrower would make vectors of all of it shorter
    for (int i = 0; i < kFilterGroup; i++) {
      const int64_t v = s[i] > kPotentialLimit ? kPotentialLimit : s[i];
      potential[first + i] = int32_t(v < -kPotentialLimit ? -kPotentialLimit : v);
      counts[first + i] = int32_t(given[i]);
    }
    for (int i = 0; i < kFilterGroup; i++) out[first + i] = Spike(counts[first + i]);
  }
  spikes += sent;
  clipped += over;
}

template <class Op>
static void fireCurveRowOf(const Convolution& c, int y, const int64_t* sums, int64_t times, const Strip& strip,
                           Counters& counters) {
  using Spike = typename Op::Spike;
  uint8_t* outRow = strip.data + (y % strip.rowCount) * strip.rowBytes;
  int64_t spikes = 0, clipped = 0;
  for (int x = 0; x < c.outWidth; x++) {
    const size_t neuron = (size_t(y) * c.outWidth + x) * c.paddedFilters + strip.firstFilter;
    const auto fire = sums ? fireCurveCell<Spike, true> : fireCurveCell<Spike, false>;
    fire(c, strip.firstFilter, strip.filters, sums ? sums + size_t(x) * strip.filters : nullptr,
         c.current ? c.current + neuron : c.bias + strip.firstFilter, times, c.potential + neuron, c.counts + neuron,
         reinterpret_cast<Spike*>(outRow + x * strip.cellBytes), spikes, clipped);
  }
  counters.spikes += double(spikes);
  counters.clipped += double(clipped);
}

template <class Op>
static void fireSumsRowOf(const Convolution& c, int y, const int64_t* sums, int64_t times, const Strip& strip,
                          Counters& counters) {
  if (c.curve) fireCurveRowOf<Op>(c, y, sums, times, strip, counters);
  else fireSlopesRowOf<Op>(c, y, sums, times, strip, counters);
}

// Where an input cell of a pooling window has its spikes and counts, for the lanes at hand.
struct PoolCell {
  const uint8_t* spikes;
  const int32_t* counts;
  size_t index;  // of the cell on the map
};

// Counts in 16 bits, for one filter group: relative to the window's largest at the end of the block, and no less than
// kFarBelow; a cell so far below cannot become the largest within a block, whose spikes sum to ±8,128 at most.
typedef int16_t Shorts __attribute__((vector_size(32)));
constexpr int32_t kFarBelow = -16384;

static inline Shorts maxShorts(Shorts a, Shorts b) { return a > b ? a : b; }

static inline Shorts loadShorts(const uint8_t* p, int16_t) {
  Shorts v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
static inline Shorts loadShorts(const uint8_t* p, int8_t) {
  typedef int8_t Bytes __attribute__((vector_size(16)));
  Bytes v;
  __builtin_memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, Shorts);
}
static inline void storeShorts(uint8_t* p, Shorts v, int16_t) { __builtin_memcpy(p, &v, sizeof v); }
static inline void storeShorts(uint8_t* p, Shorts v, int8_t) {
  typedef int8_t Bytes __attribute__((vector_size(16)));
  const Bytes bytes = __builtin_convertvector(v, Bytes);
  __builtin_memcpy(p, &bytes, sizeof bytes);
}

// Exact: out(t) = max N(t) − max N(t − 1); gate:avg: the spike of the first cell with the largest N. Both run backwards
// from the counts at the end of the block, so that they need no state of their own. CELLS is 0 if it is not known.
template <class Spike, bool EXACT, int CELLS>
static inline void poolGroup(const PoolCell* cells, int cellCount, int channel, int steps, size_t stepBytes, Shorts* n,
                             uint8_t* out, size_t outStepBytes, int32_t* counts) {
  const int count = CELLS > 0 ? CELLS : cellCount;
  int32_t largest[16];
  for (int lane = 0; lane < 16; lane += kLanes) {
    Ints high = loadInts(cells[0].counts + channel + lane);
    for (int i = 1; i < count; i++) high = maxInts(high, loadInts(cells[i].counts + channel + lane));
    storeInts(largest + lane, high);
  }
  for (int i = 0; i < count; i++) {
    int16_t relative[16];
    for (int lane = 0; lane < 16; lane += kLanes) {
      const Ints below = loadInts(cells[i].counts + channel + lane) - loadInts(largest + lane);
      storeSpikes<int16_t>(reinterpret_cast<uint8_t*>(relative + lane), maxInts(below, allInts(kFarBelow)));
    }
    __builtin_memcpy(&n[i], relative, sizeof relative);
  }
  Shorts total = {};
  Shorts before = {};  // the largest count at step t, relative too
  for (int t = steps - 1; t >= 0; t--) {
    const size_t at = t * stepBytes + channel * sizeof(Spike);
    Shorts chosen = loadShorts(cells[0].spikes + at, Spike());
    if (EXACT) {
      n[0] -= chosen;
      Shorts previous = n[0];
      for (int i = 1; i < count; i++) {
        n[i] -= loadShorts(cells[i].spikes + at, Spike());
        previous = maxShorts(previous, n[i]);
      }
      chosen = before - previous;
      before = previous;
    } else {
      Shorts best = n[0];
      n[0] -= chosen;
      for (int i = 1; i < count; i++) {
        const Shorts s = loadShorts(cells[i].spikes + at, Spike());
        const Shorts better = n[i] > best;
        chosen = (s & better) | (chosen & ~better);
        best = maxShorts(best, n[i]);
        n[i] -= s;
      }
      total += chosen;
    }
    storeShorts(out + t * outStepBytes + channel * sizeof(Spike), chosen, Spike());
  }
  for (int i = 0; i < 16; i++) counts[channel + i] = EXACT ? largest[i] : counts[channel + i] + total[i];
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
  Shorts* n = reinterpret_cast<Shorts*>(scratch + size_t(p.size) * p.size * sizeof(PoolCell) / 64 * 64 + 64);
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
      for (int f = 0; f < strip.filters; f += 16) {
        if (exact && cellCount == 4) {
          poolGroup<Spike, true, 4>(cells, 4, f, steps, strip.stepBytes, n, out, outStepBytes, counts);
        } else if (exact) {
          poolGroup<Spike, true, 0>(cells, cellCount, f, steps, strip.stepBytes, n, out, outStepBytes, counts);
        } else {
          poolGroup<Spike, false, 0>(cells, cellCount, f, steps, strip.stepBytes, n, out, outStepBytes, counts);
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

// One output cell × 16 filters that hear a channel each; what lies beyond the last channel is not read.
static inline void floatChannels(const FloatConvolution& c, const float* input, float* output, int y, int x, Range ky,
                                 Range kx, int filter) {
  const int count = c.filters - filter < 16 ? c.filters - filter : 16;
  float sums[16] = {};
  for (int i = ky.first; i < ky.end; i++) {
    const float* row = input + size_t(y * c.stride - c.padding + i) * c.width * c.channels;
    for (int j = kx.first; j < kx.end; j++) {
      const float* cell = row + ptrdiff_t(x * c.stride - c.padding + j) * c.channels + filter;
      const float* w = c.weights + size_t(i * c.size + j) * c.paddedFilters + filter;
      for (int f = 0; f < count; f++) sums[f] += w[f] * cell[f];
    }
  }
  float* out = output + (size_t(y) * c.outWidth + x) * c.filters + filter;
  for (int f = 0; f < count; f++) {
    const float value = sums[f] + c.bias[filter + f];
    out[f] = value > 0 ? value : c.slope * value;
  }
}

static void convolveFloat(const FloatConvolution& c, const float* input, float* output) {
  for (int filter = 0; filter < c.filters; filter += 16) {
    for (int y = 0; y < c.outHeight; y++) {
      const Range ky = tapsInside(y, c.height, c);
      for (int x = 0; x < c.outWidth;) {
        const Range kx = tapsInside(x, c.width, c);
        const bool inside = kx.first == 0 && kx.end == c.size;
        const Range last = tapsInside(x + 3, c.width, c);
        if (c.channelwise) {
          floatChannels(c, input, output, y, x, ky, kx, filter);
          x += 1;
        } else if (inside && x + 4 <= c.outWidth && last.end == c.size) {
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

#include "stream.inl"

// The table's entries for weights of 16 and of 8 bits, which may use different multiply-adds.
static int spikeBytes(bool wide) { return wide ? sizeof(Op16::Spike) : sizeof(Op8::Spike); }
template <class Op>
static int tileGroupsOf(int groups) {
  return groups < Op::kMaxGroups ? groups : Op::kMaxGroups;
}
static int tileGroups(bool wide, int groups) { return wide ? tileGroupsOf<Op16>(groups) : tileGroupsOf<Op8>(groups); }
static int tileRows(bool wide, int groups) { return wide ? Op16::rowsOf(groups) : Op8::rowsOf(groups); }
static EventCosts eventCosts(bool wide) { return wide ? Op16::kEventCosts : Op8::kEventCosts; }
static void packWeights(const Convolution& c, const void* weights, uint8_t* packed) {
  c.wide ? packWeightsOf<Op16>(c, weights, packed) : packWeightsOf<Op8>(c, weights, packed);
}
static double observeRow(const Convolution& c, int y, int steps) {
  return c.wide ? observeRowOf<Op16>(c, y, steps) : observeRowOf<Op8>(c, y, steps);
}
static void fireRow(const Convolution& c, int y, int steps, const Strip& strip, uint8_t* scratch, Counters& counters) {
  c.wide ? fireRowOf<Op16>(c, y, steps, strip, scratch, counters) : fireRowOf<Op8>(c, y, steps, strip, scratch, counters);
}
static int32_t presentRow(const Convolution& c, int y, const WindowBuffer& window, int32_t* current, uint8_t* scratch) {
  return c.wide ? presentRowOf<Op16>(c, y, window, current, scratch) : presentRowOf<Op8>(c, y, window, current, scratch);
}
static void fireWindowRow(const Convolution& c, int y, const WindowBuffer* window, const int32_t* bias, int32_t times,
                          const Strip& strip, uint8_t* scratch, Counters& counters) {
  c.wide ? fireWindowRowOf<Op16>(c, y, window, bias, times, strip, scratch, counters)
         : fireWindowRowOf<Op8>(c, y, window, bias, times, strip, scratch, counters);
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
static void fireChannelsRow(const Convolution& c, int y, int steps, const Strip& strip, uint8_t* scratch,
                            Counters& counters) {
  c.wide ? fireChannelsRowOf<Op16>(c, y, steps, strip, scratch, counters)
         : fireChannelsRowOf<Op8>(c, y, steps, strip, scratch, counters);
}
template <class Spike>
static void fireChannelsWindowRowOf(const Convolution& c, int y, bool bySpikes, const int32_t* bias, const Strip& strip,
                                    Counters& counters) {
  if (bySpikes) fireChannelsOnce<Spike>(c, y, reinterpret_cast<const Spike*>(c.input->data), bias, strip, counters);
  else fireChannelsOnce<Spike>(c, y, c.input->counts, bias, strip, counters);
}
static void fireChannelsWindowRow(const Convolution& c, int y, bool bySpikes, const int32_t* bias, const Strip& strip,
                                  Counters& counters) {
  c.wide ? fireChannelsWindowRowOf<Op16::Spike>(c, y, bySpikes, bias, strip, counters)
         : fireChannelsWindowRowOf<Op8::Spike>(c, y, bySpikes, bias, strip, counters);
}
static void poolRow(const Pool& p, int y, int firstStep, int steps, const Strip& strip, const int32_t* inputCounts,
                    uint8_t* scratch) {
  p.spikeBytes == 2 ? poolRowOf<int16_t>(p, y, firstStep, steps, strip, inputCounts, scratch)
                    : poolRowOf<int8_t>(p, y, firstStep, steps, strip, inputCounts, scratch);
}

static constexpr Kernels tableNamed(const char* name) {
  return {name,       spikeBytes,    tileGroups, tileRows, eventCosts, packWeights, countWords, observeRow,
          fireRow,    presentRow,    fireWindowRow, sumRow, fireSumsRow,
          fireChannelsRow, fireChannelsWindowRow,
          poolRow,    convolveFloat,
          addChangesRow, sumInputRow, fireHeldRow, compareRow, largestRow};
}
