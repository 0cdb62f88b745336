// How weights are packed for words of spikes, and which words of a row there are to compute with. A room of kernels.inl.

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

// Lanes that add up to 32 bits.
template <class Op>
static inline int32_t totalOf(typename Op::Sum acc) {
  alignas(64) int32_t lanes[16 / Op::kParts];
  Op::store(lanes, acc);
  int32_t total = 0;
  for (int32_t lane : lanes) total += lane;
  return total;
}

// Σ|spike| of so many bytes.
template <class Op>
static inline int64_t magnitudeOf(const uint8_t* data, size_t bytes) {
  using Spike = typename Op::Spike;
  constexpr int kBytes = 64 / Op::kParts;
  typename Op::Sum magnitude = Op::zero();
  size_t at = 0;
  for (; at + kBytes <= bytes; at += kBytes) magnitude = Op::addMagnitude(magnitude, data + at);
  int64_t total = totalOf<Op>(magnitude);
  for (; at < bytes; at += sizeof(Spike)) {
    const int s = *reinterpret_cast<const Spike*>(data + at);
    total += s < 0 ? -s : s;
  }
  return total;
}

template <class Op>
static void sumCellsOf(const uint8_t* cells, int count, int channels, int32_t* sums) {
  if constexpr (Op::kOffset != 0) {
    // as by weights of 1, and of 0 for what is read past a cell's end
    constexpr int kBytes = 64 / Op::kParts;
    uint8_t ones[2 * kBytes] = {};
    for (int i = 0; i < kBytes; i++) ones[i] = 1;
    const auto all = Op::load(ones);
    if (channels == 4) {
      constexpr int kCells = kBytes / 4;
      for (int x = 0; x < count; x += kCells) {
        int32_t some[kCells];
        Op::store(some, Op::dot(Op::zero(), all, Op::load(cells + 4 * x)));
        __builtin_memcpy(sums + x, some, (count - x < kCells ? count - x : kCells) * 4);
      }
      return;
    }
    const auto part = Op::load(ones + (kBytes - channels % kBytes) % kBytes);
    for (int x = 0; x < count; x++, cells += channels) {
      auto acc = Op::zero();
      int at = 0;
      for (; at + kBytes <= channels; at += kBytes) acc = Op::dot(acc, all, Op::load(cells + at));
      if (at < channels) acc = Op::dot(acc, part, Op::load(cells + at));
      sums[x] = int32_t(totalOf<Op>(acc));
    }
  }
}

constexpr size_t kSummed = 1 << 20;

template <class Op>
static double observeRowOf(const Convolution& c, int y, int steps) {
  const int rows = c.listRows;
  const int tiles = (steps + rows - 1) / rows;
  const size_t stepBytes = size_t(c.words) * 4;
  const size_t cellBytes = steps * stepBytes;
  const uint8_t* row = c.input->data + size_t(y) * c.width * cellBytes;
  double reached = 0;
  // neighbours that are heard as often are one run of spikes, of which 32 bits hold the sum
  const int most = cellBytes < kSummed ? int(kSummed / cellBytes) : 1;
  for (int x = 0, end; x < c.width; x = end) {
    for (end = x + 1; end < c.width && end - x < most && c.fanColumns[end] == c.fanColumns[x]; end++) continue;
    const int64_t total = magnitudeOf<Op>(row + x * cellBytes, (end - x) * cellBytes);
    reached += double(total) * c.fanRows[y] * c.fanColumns[x];
  }
  if (!c.lists) return reached;
  for (int x = 0; x < c.width; x++) {
    const size_t cell = size_t(y) * c.width + x;
    const uint8_t* data = row + x * cellBytes;
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
