// Neurons by sums in 64 bits: curves, and slopes of the layer that hears the image. A room of kernels.inl.

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
