// Vectors of integers and floats, and tiles: sums of ROWS rows (time steps, or neighbouring positions) × groups of 16 filters. A room of
// kernels.inl.

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
static inline void accumulateShort(const Tap* taps, int tapCount, const uint8_t* packed, int words, size_t rowBytes, int run,
                                   Sums& acc) {
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
static inline void accumulate(const Tap* taps, int tapCount, const uint8_t* packed, int words, size_t rowBytes, Sums& acc) {
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
static inline void tile(const Tap* taps, int tapCount, const uint8_t* packed, int words, size_t rowBytes, size_t sumStride,
                        int run, int32_t* z) {
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
struct Number {
  static constexpr int value = N;
};

// Calls work(Number<n>) for as many filter groups as there are at run time.
template <class Op, class Work>
static inline void withGroups(int groups, Work work) {
  if constexpr (Op::kMaxGroups >= 4) {
    if (groups == 4) return work(Number<4>());
  }
  if constexpr (Op::kMaxGroups >= 3) {
    if (groups == 3) return work(Number<3>());
  }
  if constexpr (Op::kMaxGroups >= 2) {
    if (groups == 2) return work(Number<2>());
  }
  work(Number<1>());
}

// The same for the rows of a tile, too: a layer's tiles all have those of its widest one; each instruction set has two such numbers
// at most.
template <class Op, class Work>
static inline void withTile(int groups, int rows, Work work) {
  constexpr int kNarrow = Op::rowsOf(1);
  constexpr int kWide = Op::rowsOf(Op::kMaxGroups);
  if (kNarrow != kWide && rows == kNarrow) {
    withGroups<Op>(groups, [&](auto count) { work(count, Number<kNarrow>()); });
  } else {
    withGroups<Op>(groups, [&](auto count) { work(count, Number<kWide>()); });
  }
}

template <class Op>
static inline void tileOf(int groups, int rows, const Tap* taps, int tapCount, const uint8_t* packed, int words, size_t rowBytes,
                          size_t sumStride, int run, int32_t* z) {
  withTile<Op>(groups, rows, [&](auto wide, auto high) {
    tile<Op, decltype(wide)::value, decltype(high)::value>(taps, tapCount, packed, words, rowBytes, sumStride, run, z);
  });
}
