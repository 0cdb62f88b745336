// Max-pools on spikes: exact, or gates (paper section 3.1). A room of kernels.inl.

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
static void gateCell(const Pool& p, const PoolCell* cells, int cellCount, int channel, int firstStep, int steps, size_t stepBytes,
                     uint8_t* out, size_t outStepBytes, int32_t* counts, int32_t* estimates) {
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

// Exact, of spikes that are all that has been sent: the largest of each window.
template <class Spike>
static void largestSpikesRow(const Pool& p, int y, const Strip& strip) {
  typedef Spike Lanes __attribute__((vector_size(16)));
  constexpr int kSpikes = 16 / sizeof(Spike);
  const int firstRow = y * p.stride - p.offset < 0 ? 0 : y * p.stride - p.offset;
  const int endRow = y * p.stride - p.offset + p.size > p.height ? p.height : y * p.stride - p.offset + p.size;
  for (int x = 0; x < p.outWidth; x++) {
    const int firstColumn = x * p.stride - p.offset < 0 ? 0 : x * p.stride - p.offset;
    const int endColumn = x * p.stride - p.offset + p.size > p.width ? p.width : x * p.stride - p.offset + p.size;
    uint8_t* out = p.out + ((size_t(y) * p.outWidth + x) * p.paddedChannels + strip.firstFilter) * sizeof(Spike);
    for (int f = 0; f < strip.filters; f += kSpikes) {
      Lanes largest = {};
      for (int row = firstRow; row < endRow; row++) {
        const uint8_t* cells = strip.data + (row % strip.rowCount) * strip.rowBytes + f * sizeof(Spike);
        for (int column = firstColumn; column < endColumn; column++) {
          Lanes spikes;
          __builtin_memcpy(&spikes, cells + column * strip.cellBytes, sizeof spikes);
          const bool first = row == firstRow && column == firstColumn;
          largest = first ? spikes : (spikes > largest ? spikes : largest);
        }
      }
      __builtin_memcpy(out + f * sizeof(Spike), &largest, sizeof largest);
    }
  }
}

template <class Spike>
static void poolRowOf(const Pool& p, int y, int firstStep, int steps, const Strip& strip, const int32_t* inputCounts,
                      uint8_t* scratch) {
  if (!inputCounts) return largestSpikesRow<Spike>(p, y, strip);
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
