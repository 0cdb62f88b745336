// The float network’s convolutions. A room of kernels.inl.

// POSITIONS neighbouring output cells × 16 filters of a float convolution: products and sums rounded one by one in the
// order (row, column, channel), the bias last.
template <int POSITIONS>
static inline void floatCells(const FloatConvolution& c, const float* input, float* output, int y, int x, Range ky, Range kx,
                              int filter) {
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
static inline void floatChannels(const FloatConvolution& c, const float* input, float* output, int y, int x, Range ky, Range kx,
                                 int filter) {
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
