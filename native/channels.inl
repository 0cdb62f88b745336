// Convolutions whose filters hear a channel each. A room of kernels.inl.

static inline Ints loadValues(const int8_t* p) { return loadSpikes<int8_t>(reinterpret_cast<const uint8_t*>(p)); }
static inline Ints loadValues(const int16_t* p) { return loadSpikes<int16_t>(reinterpret_cast<const uint8_t*>(p)); }
static inline Ints loadValues(const int32_t* p) { return loadInts(p); }

// Fires output row y of a channelwise convolution; input (height, width, steps, channels). Lanes run across filters, whose
// channels lie side by side; those beyond the last filter have no weight.
template <class Spike>
static void fireChannels(const Convolution& c, int y, const Spike* input, int steps, const int32_t* bias, const Strip& strip,
                         uint8_t* scratch, Counters& counters) {
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
      fire<Spike>(c,
                  {c.potential + neuron, c.counts + neuron, z, size_t(count), bias,
                   outRow + x * strip.cellBytes + f * sizeof(Spike), strip.stepBytes},
                  filter, count, steps, 0, tally);
    }
  }
  add(counters, tally);
}

// Σ W·spikes of VECTORS vectors of one cell's neurons of one step, or of counts as one: sums stay in registers.
template <int VECTORS, class Value>
static inline void sumSynapses(const Convolution& c, const Value* input, const int32_t* weights, int y, int x, Range ky, Range kx,
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

// The same two synapses a multiply-add, of a cell whose window lies inside the map; `input` is its first cell's.
template <int VECTORS, class Pairing, class Value>
static inline void sumPairs(const Convolution& c, const Value* input, int filter, int32_t* z) {
  const int32_t* weights = c.channelPairs + filter;
  const int32_t* places = c.channelPlaces;
  Ints sums[VECTORS];
  for (int p = 0; p < VECTORS; p++) sums[p] = Ints{};
  for (int k = 0; k < c.channelPairCount; k++, places += 2, weights += c.paddedFilters) {
    const Value* first = input + places[0] + filter;
    const Value* second = input + places[1] + filter;
    for (int p = 0; p < VECTORS; p++)
      sums[p] = Pairing::add(sums[p], weights + p * kLanes, first + p * kLanes, second + p * kLanes);
  }
  for (int p = 0; p < VECTORS; p++) storeInts(z + p * kLanes, sums[p]);
}

// Calls sum(Number<vectors>, at) for `count` neurons, several vectors at once.
template <class Sum>
static inline void inVectors(int count, Sum sum) {
  constexpr int kMost = 4;
  int at = 0;
  for (; at + kMost * kLanes <= count; at += kMost * kLanes) sum(Number<kMost>(), at);
  for (; at < count; at += kLanes) sum(Number<1>(), at);
}

// z of `count` neurons of one cell from `filter` on; input (height, width, paddedChannels).
template <class Value, class Pairing = Synapses>
static inline void sumChannels(const Convolution& c, const Value* input, int y, int x, Range ky, Range kx, int filter, int count,
                               int32_t* z) {
  if constexpr (Pairing::kByPairs && sizeof(Value) < 4) {
    if (ky.end - ky.first == c.size && kx.end - kx.first == c.size) {
      const size_t cell = size_t(y * c.stride - c.padding) * c.width + (x * c.stride - c.padding);
      inVectors(count, [&](auto vectors, int at) {
        sumPairs<decltype(vectors)::value, Pairing>(c, input + cell * c.input->paddedChannels, filter + at, z + at);
      });
      return;
    }
  }
  inVectors(count, [&](auto vectors, int at) {
    sumSynapses<decltype(vectors)::value>(c, input, c.channelWeights + filter + at, y, x, ky, kx, filter + at, z + at);
  });
}

// Fires output row y of one step, or of counts as one, as fireWindowRow does: a few cells at a time.
template <class Spike, class Value>
static void fireChannelsOnce(const Convolution& c, int y, const Value* input, const int32_t* bias, const Strip& strip,
                             Counters& counters) {
  constexpr int kTogether = 64, kCells = 4;
  Tally tally = {};
  uint8_t* outRow = strip.data + (y % strip.rowCount) * strip.rowBytes;
  const Range ky = tapsInside(y, c.height, c);
  alignas(64) int32_t z[kCells * kTogether];
  for (int x = 0; x < c.outWidth; x += kCells) {
    const int cells = c.outWidth - x < kCells ? c.outWidth - x : kCells;
    for (int f = 0; f < strip.filters; f += kTogether) {
      const int filter = strip.firstFilter + f;
      const int count = strip.filters - f < kTogether ? strip.filters - f : kTogether;
      for (int r = 0; r < cells; r++)
        sumChannels(c, input, y, x + r, ky, tapsInside(x + r, c.width, c), filter, count, z + r * kTogether);
      const size_t neuron = (size_t(y) * c.outWidth + x) * c.paddedFilters + filter;
      uint8_t* out = outRow + x * strip.cellBytes + f * sizeof(Spike);
      fireOnce<Spike>(
          c, {cells, z, kTogether, c.potential + neuron, c.counts + neuron, size_t(c.paddedFilters), out, strip.cellBytes}, bias,
          filter, count, tally);
    }
  }
  add(counters, tally);
}

template <class Op>
static void fireChannelsRowOf(const Convolution& c, int y, int steps, const Strip& strip, uint8_t* scratch, Counters& counters) {
  using Spike = typename Op::Spike;
  fireChannels<Spike>(c, y, reinterpret_cast<const Spike*>(c.input->data), steps, c.bias, strip, scratch, counters);
}
