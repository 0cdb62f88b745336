// Output rows by their whole input at once: the image, the end of a start delay, layer-synchronous layers, read-outs. A room of
// kernels.inl.

// What multiplies whole counts, all words of them: Op itself, or what it names for that.
template <class Op>
static typename Op::Whole wholeOf(int);
template <class Op>
static Op wholeOf(long);
template <class Op>
using Whole = decltype(wholeOf<Op>(0));

// z of ROWS neighbouring output positions × GROUPS filter groups: (ROWS, GROUPS·16) int32. A kernel's row of input cells is one line
// of words, its weights in the order of all lines. Sums begin at `start`, one of each position, where kOffset is in the weights.
template <class Op, int GROUPS, int ROWS>
static inline void windowTile(const uint8_t* input, int lines, size_t lineBytes, int lineWords, const uint8_t* weights,
                              size_t rowBytes, const int32_t* start, int32_t* z) {
  constexpr int kVectors = GROUPS * Op::kParts;
  typename Op::Sum acc[ROWS][kVectors];
  for (int r = 0; r < ROWS; r++) {
    for (int v = 0; v < kVectors; v++) {
      if constexpr (Op::kOffset != 0) acc[r][v] = Op::all(start[r]);
      else acc[r][v] = Op::zero();
    }
  }
  for (int line = 0; line < lines; line++) {
    const uint8_t* a = input + line * lineBytes;
    for (int i = 0; i < lineWords; i++, a += 4, weights += GROUPS * 64) {
      typename Op::Weights w[kVectors];
      for (int v = 0; v < kVectors; v++) w[v] = Op::load(weights + v * (64 / Op::kParts));
      for (int r = 0; r < ROWS; r++) {
        const auto counts = Op::broadcast(a + r * rowBytes);
        for (int v = 0; v < kVectors; v++) acc[r][v] = Op::dot(acc[r][v], w[v], counts);
      }
    }
  }
  for (int r = 0; r < ROWS; r++)
    for (int v = 0; v < kVectors; v++) Op::store(z + r * GROUPS * 16 + v * (16 / Op::kParts), acc[r][v]);
}

// What a tile's sums begin at so that what kOffset added to every weight is taken again, by the sums of its cells: `size` cells of each
// line.
template <class Op>
static inline void startOf(const Convolution& c, const int32_t* sums, size_t lineCells, int rows, int32_t* start) {
  for (int r = 0; r < rows; r++) {
    int32_t sum = 0;
    for (int i = 0; i < c.size; i++)
      for (int j = 0; j < c.size; j++) sum += sums[i * lineCells + r * c.stride + j];
    start[r] = -Op::kOffset * sum;
  }
}

// Tiles whose rows are neighbouring output positions, all words taken: what a whole silent window adds, the image's
// current, or a read-out. Calls use(x, positions, filter, groups, plane, z) for each, z (positions, groups·16) int32.
template <class Op, class Use>
static void windowTiles(const Convolution& c, int y, const WindowBuffer& window, int firstFilter, int filters, uint8_t* scratch,
                        Use use) {
  int32_t* z = reinterpret_cast<int32_t*>(scratch);
  const int rows = c.tileRows;
  const size_t cellBytes = size_t(c.words) * 4;
  const size_t groupBytes = size_t(c.size) * c.size * c.words * 64;
  for (int x = 0; x < c.outWidth; x += rows) {
    const int count = c.outWidth - x < rows ? c.outWidth - x : rows;
    for (int plane = 0; plane < window.planes; plane++) {
      const size_t cell = plane * window.planeCells + size_t(y) * c.stride * window.widthCells + size_t(x) * c.stride;
      const uint8_t* input = window.data + cell * cellBytes;
      int32_t start[kTileRows];
      if (Whole<Op>::kOffset != 0) startOf<Whole<Op>>(c, window.sums + cell, window.widthCells, rows, start);
      for (int f = 0; f < filters;) {
        const int group = (firstFilter + f) / 16;
        const int tileGroups = groupsFrom(c, group);
        const uint8_t* weights = c.weights + group * groupBytes;
        withTile<Op>(tileGroups, rows, [&](auto wide, auto high) {
          windowTile<Whole<Op>, decltype(wide)::value, decltype(high)::value>(
              input, c.size, window.widthCells * cellBytes, c.size * c.words, weights, c.stride * cellBytes, start, z);
        });
        use(x, count, f, tileGroups, plane, z);
        f += tileGroups * 16;
      }
    }
  }
}

template <class Op>
static void sumRowOf(const Convolution& c, int y, const WindowBuffer& window, int firstFilter, int filters, int64_t* sums,
                     uint8_t* scratch) {
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
  windowTiles<Op>(c, y, window, 0, c.paddedFilters, scratch, [&](int x, int count, int f, int groups, int, const int32_t* z) {
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
        const size_t padded = c.paddedFilters;
        uint8_t* out = outRow + x * strip.cellBytes + f * sizeof(Spike);
        fireOnce<Spike>(c, {1, z, 0, c.potential + neuron, c.counts + neuron, padded, out, 0}, nullptr, strip.firstFilter + f,
                        count, tally);
      }
    }
  } else {
    windowTiles<Op>(c, y, *window, strip.firstFilter, strip.filters, scratch,
                    [&](int x, int count, int f, int groups, int, const int32_t* z) {
                      const int filter = strip.firstFilter + f;
                      const size_t neuron = row + size_t(x) * c.paddedFilters + filter;
                      uint8_t* out = outRow + x * strip.cellBytes + f * sizeof(Spike);
                      fireOnce<Spike>(c,
                                      {count, z, size_t(groups) * 16, c.potential + neuron, c.counts + neuron,
                                       size_t(c.paddedFilters), out, strip.cellBytes},
                                      bias, filter, groups * 16, tally);
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
        c.potential[neuron + i] = int32_t(v > kPotentialLimit ? kPotentialLimit : v < -kPotentialLimit ? -kPotentialLimit : v);
      }
      uint8_t* out = outRow + x * strip.cellBytes + f * sizeof(Spike);
      fire<Spike>(c, {c.potential + neuron, c.counts + neuron, silent, 0, nullptr, out, strip.stepBytes}, filter, 16, 1, 0,
                  tally);
    }
  }
  add(counters, tally);
}
