// Output rows over time steps. A room of kernels.inl.

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
    fire<Spike>(c,
                {c.potential + row + at, c.counts + row + at, z + at, 0, nullptr, outRow + x * strip.cellBytes, strip.stepBytes},
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
      fire<Spike>(c, {c.potential + neuron, c.counts + neuron, z, size_t(groups) * 16, c.bias, out, strip.stepBytes}, filter,
                  groups * 16, steps, 0, tally);
      f += groups * 16;
    }
  }
  add(counters, tally);
}
