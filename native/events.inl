// Sums by events: only words that hold spikes are taken, step by step. A room of kernels.inl.

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
static void events(const Tap* taps, const int* tapCounts, int positions, const uint8_t* packed, int words, int steps, int run,
                   int32_t* z) {
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
