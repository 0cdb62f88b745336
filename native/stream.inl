// Streams: sums from what changed, and counts that hold (src/engine/reference-stream.ts). A room of kernels.inl.

// 16 changes of counts.
typedef int16_t Deltas __attribute__((vector_size(32)));
typedef int8_t Bytes16 __attribute__((vector_size(16)));
typedef int64_t Fours __attribute__((vector_size(32)));    // four changes each
typedef int32_t PairsOf __attribute__((vector_size(32)));  // sums of two

static inline PairsOf pairSums(Deltas d) {
  const PairsOf both = reinterpret_cast<PairsOf>(d);
  return (both >> 16) + ((both << 16) >> 16);
}

static inline Deltas deltasOf(const uint8_t* p, int8_t) {
  Bytes16 v;
  __builtin_memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, Deltas);
}
static inline Deltas deltasOf(const uint8_t* p, int16_t) {
  Deltas v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

// Writes what changes of a row of kept counts.
template <class Spike>
class ChangeWriter {
 public:
  // `all`: all cells may have changed. If the row's list was too short for the last picture it is not tried then.
  ChangeWriter(const Changes& changes, int y, bool all)
      : c_(changes),
        y_(y),
        words_(changes.words + size_t(y) * (changes.capacity + 16)),
        deltas_(changes.deltas + size_t(y) * (changes.capacity + 16)),
        first_(changes.first + size_t(y) * (changes.width + 1)),
        cell_(size_t(y) * changes.width),
        full_(all && changes.rows[y] == RowState::kFull) {}

  // Cells come in their order, each with those of its groups of 16 channels that may have changed, in theirs.
  void beginCell(int x) {
    first_[x] = count_;
    sums_ = sizes_ = PairsOf{};
    sum_ = sent_ = 0;
  }

  void endCell(int x) {
    for (int i = 0; i < 8; i++) {
      sum_ += sums_[i];
      sent_ += sizes_[i];
    }
    setCell(x);
  }

  // A cell in which nothing changed.
  void skipCell(int x) {
    first_[x] = count_;
    c_.sums[cell_ + x] = c_.sent[cell_ + x] = 0;
  }

  uint8_t* valuesAt(int x, int channel) const { return c_.values + ((cell_ + x) * c_.paddedChannels + channel) * sizeof(Spike); }

  // Sets all of a cell's counts, of 8 bits, to those at `now`: many at once.
  template <class By>
  void putWhole(int x, uint8_t* values, const uint8_t* now) {
    first_[x] = count_;
    sum_ = sent_ = 0;
    bool beyond = false;
    for (int channel = 0, bytes; channel < c_.paddedChannels; channel += bytes) {
      const int left = c_.paddedChannels - channel;
      bytes = left >= 64 ? 64 : left >= 32 ? 32 : 16;
      const By compared(values + channel, now + channel, bytes);
      const int words = compared.words();
      if (words == 0) continue;
      if (compared.beyond()) {
        if (!beyond) sums_ = sizes_ = PairsOf{};
        beyond = true;
        for (int at = channel; at < channel + bytes; at += 16) put(at, values + at, now + at);
        continue;
      }
      compared.sum(sum_, sent_);
      changedWords_ += words;
      full_ |= count_ > c_.capacity;
      if (!full_) {
        compared.list(channel / 4, words_ + count_, deltas_ + count_);
        count_ += words;
      }
      compared.keep(values + channel);
    }
    if (beyond) endCell(x);
    else setCell(x);
  }

  // The row's list is too short: what follows is counted, but not listed.
  bool full() const { return full_; }

  // Sets the 16 counts from `channel` on, at `values`, to those at `now`.
  void put(int channel, uint8_t* values, const uint8_t* now) {
    Changed changed = {};
    const Deltas d = set(values, now, changed);
    if (c_.digits) sent_ += digitsIn(d);
    add(changed);
    constexpr int kChannels = 4 / int(sizeof(Spike));
    if constexpr (sizeof(Spike) == 2) {
      push(channel / kChannels, &d);
    } else {
      const Fours over = reinterpret_cast<Fours>(Deltas((d > 127) | (d < -127)));
      const Bytes16 narrow = __builtin_convertvector(d, Bytes16);
      if ((over[0] | over[1] | over[2] | over[3]) == 0) push(channel / kChannels, &narrow);
      else pushParts(channel / kChannels, d);
    }
  }

  // The same of all of a cell, without the list.
  void putCell(uint8_t* values, const uint8_t* now) {
    // sums of at most 254 each, of which 16 bits hold 100; apart from what is kept, which stores of counts could be stores into
    constexpr int kMost = 100 * 16;
    for (int first = 0; first < c_.paddedChannels; first += kMost) {
      const int end = first + kMost < c_.paddedChannels ? first + kMost : c_.paddedChannels;
      Changed changed = {};
      for (int channel = first; channel < end; channel += 16) {
        const size_t at = channel * sizeof(Spike);
        const Deltas d = set(values + at, now + at, changed);
        if (c_.digits) sent_ += digitsIn(d);
      }
      add(changed);
    }
  }

  void endRow() {
    first_[c_.width] = count_;
    c_.rows[y_] = cells_ == 0 ? RowState::kQuiet : full_ ? RowState::kFull : RowState::kListed;
    c_.listed[y_] = count_;
    c_.changedCells[y_] = cells_;
    c_.groups[y_] = int32_t(changedWords_ + groups_[0] + groups_[1] + groups_[2] + groups_[3]);
    c_.spikes[y_] = spikes_;
  }

 private:
  void setCell(int x) {
    c_.sums[cell_ + x] = sum_;
    c_.sent[cell_ + x] = sent_;
    spikes_ += sent_;
    cells_ += sent_ != 0;
  }

  // A number's canonical form has a digit for each bit in which it differs from three times itself.
  static int digitsIn(const Deltas& d) {
    int digits = 0;
    for (int i = 0; i < 16; i++) {
      const unsigned size = unsigned(d[i] < 0 ? -d[i] : d[i]);
      digits += __builtin_popcount(size ^ (3 * size));
    }
    return digits;
  }

  // Changes beyond ±127, as words that add up to them.
  __attribute__((noinline)) void pushParts(int word, const Deltas& d) {
    int16_t left[16];
    __builtin_memcpy(left, &d, sizeof left);
    for (bool more = true; more;) {
      int8_t part[16];
      more = false;
      for (int i = 0; i < 16; i++) {
        part[i] = int8_t(left[i] > 127 ? 127 : left[i] < -127 ? -127 : left[i]);
        left[i] = int16_t(left[i] - part[i]);
        more |= left[i] != 0;
      }
      push(word, part);
    }
  }

  // What changed, 16 counts at a time.
  struct Changed {
    Deltas sums, sizes;
    Fours groups;
  };

  static inline Deltas set(uint8_t* values, const uint8_t* now, Changed& changed) {
    const Deltas d = deltasOf(now, Spike()) - deltasOf(values, Spike());
    __builtin_memcpy(values, now, 16 * sizeof(Spike));
    changed.sums += d;
    changed.sizes += d < 0 ? -d : d;
    changed.groups -= reinterpret_cast<Fours>(reinterpret_cast<Fours>(d) != 0);
    return d;
  }

  void add(const Changed& changed) {
    sums_ += pairSums(changed.sums);
    if (!c_.digits) sizes_ += pairSums(changed.sizes);
    groups_ += changed.groups;
  }

  // Lists those of 16 channels' words that are not 0; a row's list has room for 16 more than it may hold.
  void push(int word, const void* deltas) {
    full_ |= count_ > c_.capacity;
    if (full_) return;
    constexpr int kWords = 4 * int(sizeof(Spike));
    uint32_t each[kWords];
    __builtin_memcpy(each, deltas, sizeof each);
    // in a variable of its own: what is stored might be count_ for all the compiler knows
    int count = count_;
    uint16_t* words = words_;
    uint32_t* changes = deltas_;
    for (int i = 0; i < kWords; i++) {
      words[count] = uint16_t(word + i);
      changes[count] = each[i];
      count += each[i] != 0;
    }
    count_ = count;
  }

  const Changes& c_;
  const int y_;
  uint16_t* words_;
  uint32_t* deltas_;
  int32_t* first_;
  const size_t cell_;
  PairsOf sums_ = {}, sizes_ = {};  // of a cell
  Fours groups_ = {};
  int count_ = 0, sum_ = 0, sent_ = 0, cells_ = 0, changedWords_ = 0;
  double spikes_ = 0;
  bool full_;
};

// The largest counts of the windows of output row y that are marked, to `now` (outWidth, paddedChannels).
template <class Spike>
static void largestRowOf(const Pool& p, const Changes& input, int y, const uint8_t* marked, uint8_t* now) {
  const int firstRow = y * p.stride - p.offset;
  for (int x = 0; x < p.outWidth; x++, now += p.paddedChannels * sizeof(Spike)) {
    if (!marked[x]) continue;
    const int firstColumn = x * p.stride - p.offset;
    const int rows[] = {firstRow < 0 ? 0 : firstRow, firstRow + p.size < p.height ? firstRow + p.size : p.height};
    const int columns[] = {firstColumn < 0 ? 0 : firstColumn, firstColumn + p.size < p.width ? firstColumn + p.size : p.width};
    for (int channel = 0; channel < p.paddedChannels; channel += 16) {
      Deltas largest = Deltas{} - int16_t(127);
      for (int row = rows[0]; row < rows[1]; row++) {
        for (int column = columns[0]; column < columns[1]; column++) {
          const size_t at = (size_t(row) * p.width + column) * p.paddedChannels + channel;
          const Deltas values = deltasOf(input.values + at * sizeof(Spike), Spike());
          largest = largest > values ? largest : values;
        }
      }
      if constexpr (sizeof(Spike) == 2) {
        __builtin_memcpy(now + channel * 2, &largest, 32);
      } else {
        const Bytes16 bytes = __builtin_convertvector(largest, Bytes16);
        __builtin_memcpy(now + channel, &bytes, 16);
      }
    }
  }
}

// Sets row y of kept counts to `now` (width, paddedChannels) in the cells that are marked (null: all).
template <class Spike, class By = Compared>
static void compareRowOf(const Changes& kept, int y, const uint8_t* now, const uint8_t* marked) {
  ChangeWriter<Spike> writer(kept, y, !marked);
  for (int x = 0; x < kept.width; x++, now += kept.paddedChannels * sizeof(Spike)) {
    if (marked && !marked[x]) {
      writer.skipCell(x);
      continue;
    }
    uint8_t* values = writer.valuesAt(x, 0);
    if constexpr (By::kMany && sizeof(Spike) == 1) {
      if (!kept.digits) {
        writer.template putWhole<By>(x, values, now);
        continue;
      }
    }
    writer.beginCell(x);
    if (writer.full()) {
      writer.putCell(values, now);
    } else {
      for (int channel = 0; channel < kept.paddedChannels; channel += 16) {
        const size_t at = channel * sizeof(Spike);
        if (__builtin_memcmp(values + at, now + at, 16 * sizeof(Spike)) != 0) writer.put(channel, values + at, now + at);
      }
    }
    writer.endCell(x);
  }
  writer.endRow();
}

// What changed of one input cell that a kernel position hears.
struct ChangeTap {
  const uint16_t* words;
  const uint32_t* deltas;
  int32_t count, position, sum;
};

// Adds W·Δ to the sums of one output cell × GROUPS filter groups.
template <class Op, int GROUPS>
static inline void addTaps(const ChangeTap* taps, int tapCount, const uint8_t* packed, int words, int32_t* sums) {
  constexpr int kVectors = GROUPS * Op::kParts;
  typename Op::Sum acc[Op::kChains][kVectors];
  for (int chain = 0; chain < Op::kChains; chain++)
    for (int v = 0; v < kVectors; v++) acc[chain][v] = Op::zero();
  int32_t offset = 0;
  for (int k = 0; k < tapCount; k++) {
    const ChangeTap& tap = taps[k];
    const uint8_t* tapWeights = packed + size_t(tap.position) * words * (GROUPS * 64);
    offset += tap.sum;
    const auto add = [&](int i, int chain) {
      const uint8_t* w = tapWeights + size_t(tap.words[i]) * (GROUPS * 64);
      const auto delta = Op::broadcast(reinterpret_cast<const uint8_t*>(tap.deltas + i));
      for (int v = 0; v < kVectors; v++) acc[chain][v] = Op::dot(acc[chain][v], Op::load(w + v * (64 / Op::kParts)), delta);
    };
    int i = 0;
    for (; i + Op::kChains <= tap.count; i += Op::kChains) {
      for (int chain = 0; chain < Op::kChains; chain++) add(i + chain, chain);
    }
    for (; i < tap.count; i++) add(i, 0);
  }
  alignas(64) int32_t part[GROUPS * 16];
  for (int chain = 0; chain < Op::kChains; chain++) {
    for (int v = 0; v < kVectors; v++) Op::store(part + v * (16 / Op::kParts), acc[chain][v]);
    for (int f = 0; f < GROUPS * 16; f += kLanes) storeInts(sums + f, loadInts(sums + f) + loadInts(part + f));
  }
  if (Op::kOffset != 0) {
    for (int f = 0; f < GROUPS * 16; f += kLanes) storeInts(sums + f, loadInts(sums + f) - allInts(Op::kOffset * offset));
  }
}

// Sums of the filters that hear one word.
template <class Spike>
struct WordSums;
template <>
struct WordSums<int8_t> {
  typedef int32_t Vector __attribute__((vector_size(16)));
  typedef int8_t Narrow __attribute__((vector_size(4)));
};
template <>
struct WordSums<int16_t> {
  typedef int32_t Vector __attribute__((vector_size(8)));
  typedef int16_t Narrow __attribute__((vector_size(4)));
};

// The same for output row y of filters that hear channels of their own: each change goes to all output cells that it reaches.
template <class Spike>
static inline void addToChannels(const Convolution& c, const Changes& input, int y, Range ky, int32_t* sums, uint8_t* reached) {
  constexpr int kChannels = 4 / int(sizeof(Spike));
  typedef typename WordSums<Spike>::Vector Few;
  const int heard = c.channels / c.filters;
  __builtin_memset(reached, 0, c.outWidth);
  for (int i = ky.first; i < ky.end; i++) {
    const size_t row = y * c.stride - c.padding + i;
    if (input.rows[row] == RowState::kQuiet) continue;
    const int32_t* first = input.first + row * (input.width + 1);
    const size_t list = row * (input.capacity + 16);
    for (int column = 0; column < c.width; column++) {
      if (first[column] == first[column + 1]) continue;
      // the cells that this one reaches, and by which weights
      int32_t* cells[64];
      const int32_t* weights[64];
      int taps = 0;
      for (int j = 0; j < c.size; j++) {
        const int place = column + c.padding - j;
        const int x = place / c.stride;
        if (place < 0 || x * c.stride != place || x >= c.outWidth) continue;
        reached[x] = 1;
        cells[taps] = sums + size_t(x) * c.paddedFilters;
        weights[taps++] = c.channelWeights + size_t(i * c.size + j) * heard * c.paddedFilters;
      }
      for (int k = first[column]; k < first[column + 1]; k++) {
        typename WordSums<Spike>::Narrow delta;
        __builtin_memcpy(&delta, input.deltas + list + k, 4);
        const Few change = __builtin_convertvector(delta, Few);
        int filter = input.words[list + k] * kChannels;
        int own = 0;
        for (int h = 1; h < heard && filter >= c.filters; h++) {
          filter -= c.filters;
          own += c.paddedFilters;
        }
        if (heard == 1 || filter + kChannels <= c.filters) {
          for (int tap = 0; tap < taps; tap++) {
            Few sum, weight;
            __builtin_memcpy(&sum, cells[tap] + filter, sizeof sum);
            __builtin_memcpy(&weight, weights[tap] + own + filter, sizeof weight);
            sum += weight * change;
            __builtin_memcpy(cells[tap] + filter, &sum, sizeof sum);
          }
          continue;
        }
        // a word that two of a filter's channels share; beyond the last channel there are no changes
        for (int channel = 0; channel < kChannels; channel++, filter++) {
          if (filter == c.filters) {
            filter = 0;
            own += c.paddedFilters;
          }
          if (change[channel] == 0) continue;
          for (int tap = 0; tap < taps; tap++) cells[tap][filter] += weights[tap][own + filter] * change[channel];
        }
      }
    }
  }
}

template <class Op>
static void addChangesRowOf(const Convolution& c, const Changes& input, int y, int firstFilter, int filters, int32_t* sums,
                            uint8_t* reached, uint8_t* scratch) {
  using Spike = typename Op::Spike;
  ChangeTap* taps = reinterpret_cast<ChangeTap*>(scratch);
  const size_t groupBytes = size_t(c.size) * c.size * c.words * 64;
  const Range ky = tapsInside(y, c.height, c);
  if (c.channelwise) return addToChannels<Spike>(c, input, y, ky, sums, reached);
  for (int x = 0; x < c.outWidth; x++, sums += c.paddedFilters) {
    const Range kx = tapsInside(x, c.width, c);
    int tapCount = 0;
    for (int i = ky.first; i < ky.end; i++) {
      const size_t row = y * c.stride - c.padding + i;
      if (input.rows[row] == RowState::kQuiet) continue;
      const int32_t* first = input.first + row * (input.width + 1) + x * c.stride - c.padding;
      const size_t list = row * (input.capacity + 16);
      for (int j = kx.first; j < kx.end; j++) {
        const int count = first[j + 1] - first[j];
        if (count == 0) continue;
        const int32_t sum = input.sums[row * input.width + x * c.stride - c.padding + j];
        taps[tapCount++] = {input.words + list + first[j], input.deltas + list + first[j], count, i * c.size + j, sum};
      }
    }
    reached[x] = tapCount > 0;
    if (tapCount == 0) continue;
    for (int group = firstFilter / 16; group < (firstFilter + filters) / 16;) {
      const int groups = groupsFrom(c, group);
      withGroups<Op>(groups, [&](auto count) {
        addTaps<Op, decltype(count)::value>(taps, tapCount, c.weights + group * groupBytes, c.words, sums + group * 16);
      });
      group += groups;
    }
  }
}

template <class Op>
static void sumInputRowOf(const Convolution& c, int y, const WindowBuffer* window, const int32_t* bias, int firstFilter,
                          int filters, int32_t* sums, uint8_t* scratch) {
  using Spike = typename Op::Spike;
  if (c.channelwise) {
    const Spike* input = reinterpret_cast<const Spike*>(c.input->data);
    const Range ky = tapsInside(y, c.height, c);
    for (int x = 0; x < c.outWidth; x++, sums += c.paddedFilters) {
      sumChannels(c, input, y, x, ky, tapsInside(x, c.width, c), 0, c.paddedFilters, sums);
      for (int f = 0; f < c.paddedFilters; f += kLanes) storeInts(sums + f, loadInts(sums + f) + loadInts(bias + f));
    }
    return;
  }
  windowTiles<Op>(c, y, *window, firstFilter, filters, scratch, [&](int x, int count, int f, int groups, int, const int32_t* z) {
    for (int r = 0; r < count; r++) {
      int32_t* target = sums + size_t(x + r) * c.paddedFilters + firstFilter + f;
      for (int i = 0; i < groups * 16; i += kLanes) {
        storeInts(target + i, loadInts(z + r * groups * 16 + i) + loadInts(bias + firstFilter + f + i));
      }
    }
  });
}

// Cells whose neurons are held together.
constexpr int kHoldCells = 16;

// Neurons of a few cells from `filter` on, a vector of them: counts that are off what their sums ask for by the hold or more become the
// nearest ones, all others stay. HOLDS: a hold above ½; at ½ all counts are the nearest ones.
template <class Spike, bool HOLDS>
static inline void holdSlopes(const Convolution& c, const HoldRule& rule, int filter, int cells, const int* places,
                              const int32_t* sums, const uint8_t* before, uint8_t* now) {
  const size_t stride = c.paddedFilters;
  const Ints limit = allInts(kPotentialLimit), gamma = allInts(c.gamma);
  const Ints most = allInts(kPotentialLimit / rule.times + 1);
  const Ints take = loadInts(c.firing + filter + 2 * stride), give = loadInts(c.firing + filter + 7 * stride);
  const int32_t* limits = rule.limits + filter;
  const Ints up = loadInts(limits), upBelow = loadInts(limits + stride);
  const Ints downAbove = loadInts(limits + 2 * stride), down = loadInts(limits + 3 * stride);
  // one that never fires down is at 0 where its sum is negative
  const Ints least = choose(above(give, Ints{}), allInts(-kPotentialLimit), Ints{});
  const int times = rule.times;
  const auto sumAt = [&](size_t at) {
    Ints s = loadInts(sums + at);
    if (times > 1) s = minInts(maxInts(s, -most), most) * times;
    return minInts(maxInts(s, -limit), limit);
  };
  const auto leaves = [&](Ints sum, Ints n) {
    const Mask notNegative = above(n, allInts(-1)), positive = above(n, Ints{});
    const Ints v = maxInts(sum, least) - n * choose(notNegative, take, give);
    return either(above(v, choose(notNegative, up, upBelow)), above(-v, choose(positive, downAbove, down)));
  };
  if (c.slopes && rule.bounded) {
    Mask fires[kHoldCells];
    if (HOLDS) {
      Mask some = {};
      for (int k = 0; k < cells; k++) {
        const size_t at = places[k] * stride + filter;
        fires[k] = leaves(loadInts(sums + at) * times, loadSpikes<Spike>(before + at * sizeof(Spike)));
        some = either(some, fires[k]);
      }
      // most stay, together
      if (!any(some)) {
        for (int k = 0; k < cells; k++) {
          const size_t at = (places[k] * stride + filter) * sizeof(Spike);
          __builtin_memcpy(now + at, before + at, kLanes * sizeof(Spike));
        }
        return;
      }
    }
    const SeenSlopes seen(c, filter);
    Sureness sure;
    for (int k = 0; k < cells; k++) {
      const size_t at = places[k] * stride + filter;
      const Ints s = loadInts(sums + at) * times;
      Floats over;
      Ints n = withSign(minInts(seen.spikes(s, over), gamma), s);
      if (HOLDS) {
        n = choose(fires[k], n, loadSpikes<Spike>(before + at * sizeof(Spike)));
        over = where(fires[k], over, Floats{} + 0.5f);
      }
      sure.add(over);
      storeSpikes<Spike>(now + at * sizeof(Spike), n);
    }
    if (!any(sure.near(Floats{} + kSlopesOff))) return;
  }
  const Slopes slopes = slopesOf(c);
  for (int k = 0; k < cells; k++) {
    const size_t at = places[k] * stride + filter;
    const Ints s = sumAt(at);
    const auto [wanted, amount, positive] = wantedSpikes(slopes, filter, maxInts(s, least));
    const Ints sent = minInts(wanted, gamma);
    Ints n = choose(positive, sent, -sent);
    if (HOLDS) {
      const Ints old = loadSpikes<Spike>(before + at * sizeof(Spike));
      n = choose(leaves(s, old), n, old);
    }
    storeSpikes<Spike>(now + at * sizeof(Spike), n);
  }
}

// The same exactly by a curve, of one cell's neurons from `filter` on.
static inline Ints heldByCurve(const Convolution& c, const HoldRule& rule, int filter, const int32_t* sums, Ints before) {
  const double most = 256.0 * c.gamma;
  alignas(64) double far[kLanes];
  if (rule.far) {
    const size_t stride = c.paddedFilters;
    const int64_t middle = int64_t(c.curveEntries - 1) << 14;
    for (int i = 0; i < kLanes; i++) {
      const int32_t* factor = c.curveFactors + filter + i;
      const int64_t s = int64_t(sums[i]) * rule.times;
      int64_t place = ((s * factor[0]) >> factor[stride]) + middle;
      place = place < 0 ? 0 : place > 2 * middle - 1 ? 2 * middle - 1 : place;
      const int32_t* pair = c.curve + 2 * (place >> 15);
      const int64_t value = pair[0] + ((int64_t(pair[1]) * (place & 32767)) >> 15);
      const int64_t above = c.curveLinear && s > 0 ? (s * factor[2 * stride]) >> factor[3 * stride] : 0;
      far[i] = double((above + ((value * factor[4 * stride]) >> factor[5 * stride])) >> 14);
    }
  }
  alignas(64) int32_t old[kLanes], counts[kLanes];
  storeInts(old, before);
  for (int i = 0; i < kLanes; i += kHalf) {
    Doubles part =
        rule.far ? loadDoubles(far + i) : curveParts(c, filter + i, doublesOf(loadHalf(sums + i)) * double(rule.times));
    part = between(part, -most, most);
    const HalfInts n = loadHalf(old + i);
    const HalfInts nearest = intsOf(floorOf((part + 128) * 0x1p-8));
    const HalfInts off = intsOf(part) - n * 256;
    const HalfInts holds = (off >= -rule.hold) & (off < rule.hold);
    storeHalf(counts + i, (n & holds) | (nearest & ~holds));
  }
  return loadInts(counts);
}

template <class Spike, bool HOLDS>
static inline void holdCurves(const Convolution& c, const HoldRule& rule, int filter, int cells, const int* places,
                              const int32_t* sums, const uint8_t* before, uint8_t* now) {
  const size_t stride = c.paddedFilters;
  if (c.curveFloats && !rule.far) {
    const SeenCurves curves(c, filter);
    const Floats hold = Floats{} + float(rule.hold) / 256;
    Sureness sure;
    Mask exact = {};
    for (int k = 0; k < cells; k++) {
      const size_t at = places[k] * stride + filter;
      const Floats x = SeenCurves::clipped(curves.real(loadInts(sums + at) * rule.times), float(c.gamma));
      Floats over;
      Ints n = curves.nearest(x, over);
      if (HOLDS) {
        const Ints old = loadSpikes<Spike>(before + at * sizeof(Spike));
        const Floats off = x - __builtin_convertvector(old, Floats);
        const Floats size = off > 0 ? off : -off;
        const Mask fires = less(hold, size);
        n = choose(fires, n, old);
        over = where(fires, over, Floats{} + 0.5f);
        exact = either(exact, within(less(hold - curves.off, size), less(size, hold + curves.off)));
      }
      sure.add(over);
      storeSpikes<Spike>(now + at * sizeof(Spike), n);
    }
    if (!any(either(exact, sure.near(curves.off)))) return;
  }
  for (int k = 0; k < cells; k++) {
    const size_t at = places[k] * stride + filter;
    const Ints old = loadSpikes<Spike>(before + at * sizeof(Spike));
    storeSpikes<Spike>(now + at * sizeof(Spike), heldByCurve(c, rule, filter, sums + at, old));
  }
}

template <class Spike, bool HOLDS>
static void holdCells(const Convolution& c, const HoldRule& rule, int cells, const int* places, const int32_t* sums,
                      const uint8_t* before, uint8_t* now) {
  for (int filter = 0; filter < c.paddedFilters; filter += kLanes) {
    if (c.curve) holdCurves<Spike, HOLDS>(c, rule, filter, cells, places, sums, before, now);
    else holdSlopes<Spike, HOLDS>(c, rule, filter, cells, places, sums, before, now);
  }
}

template <class Spike>
static void holdRowOf(const Convolution& c, const HoldRule& rule, const int32_t* sums, const uint8_t* reached,
                      const uint8_t* before, uint8_t* now) {
  int places[kHoldCells];
  for (int x = 0; x < c.outWidth;) {
    int cells = 0;
    for (; x < c.outWidth && cells < kHoldCells; x++) {
      places[cells] = x;
      cells += !reached || reached[x];
    }
    if (rule.hold > kNearest) holdCells<Spike, true>(c, rule, cells, places, sums, before, now);
    else holdCells<Spike, false>(c, rule, cells, places, sums, before, now);
  }
}

static void addChangesRow(const Convolution& c, const Changes& input, int y, int firstFilter, int filters, int32_t* sums,
                          uint8_t* reached, uint8_t* scratch) {
  c.wide ? addChangesRowOf<Op16>(c, input, y, firstFilter, filters, sums, reached, scratch)
         : addChangesRowOf<Op8>(c, input, y, firstFilter, filters, sums, reached, scratch);
}
static void sumInputRow(const Convolution& c, int y, const WindowBuffer* window, const int32_t* bias, int firstFilter,
                        int filters, int32_t* sums, uint8_t* scratch) {
  c.wide ? sumInputRowOf<Op16>(c, y, window, bias, firstFilter, filters, sums, scratch)
         : sumInputRowOf<Op8>(c, y, window, bias, firstFilter, filters, sums, scratch);
}
static void holdRow(const Convolution& c, const HoldRule& rule, const int32_t* sums, const uint8_t* reached,
                    const uint8_t* before, uint8_t* now) {
  c.wide ? holdRowOf<Op16::Spike>(c, rule, sums, reached, before, now)
         : holdRowOf<Op8::Spike>(c, rule, sums, reached, before, now);
}
static void largestRow(const Pool& p, const Changes& input, int y, const uint8_t* marked, uint8_t* now) {
  p.spikeBytes == 2 ? largestRowOf<int16_t>(p, input, y, marked, now) : largestRowOf<int8_t>(p, input, y, marked, now);
}
static void compareRow(const Changes& kept, bool wide, int y, const uint8_t* now, const uint8_t* marked) {
  wide ? compareRowOf<int16_t>(kept, y, now, marked) : compareRowOf<int8_t>(kept, y, now, marked);
}
