// What neurons do with their sums: step by step (eq. 7), at once, or by a curve. A room of kernels.inl.

// Spikes sent and neurons held back, lane by lane; folded into doubles once a row.
struct Tally {
  Ints sent, clipped;
};

// From this Γ on, a neuron's spikes of one direction are first counted by division.
constexpr int kBurst = 8;

// How many spikes a distance ≥ 0 to the limit amounts to, at most Γ: one, and one more for each whole amount in it. Never
// too many: the float32 quotient is off by less than 2^-15 where it matters, so 2^-10 less of it is on the safe side; in
// rare cases one too few, which the loop behind makes good.
static inline Ints burst(Ints distance, Floats reciprocal, int gamma) {
  const Floats most = Floats{} + float(gamma - 1);
  Floats quotient = __builtin_convertvector(distance, Floats) * reciprocal - 0x1p-10f;
  quotient = quotient < most ? quotient : most;
  quotient = quotient > 0 ? quotient : Floats{};
  return __builtin_convertvector(quotient, Ints) + 1;
}

// What fireLanes works on: neighbouring neurons, a vector of kLanes each. Vector p has its potential and count at
// p·kLanes, z of row r at z + r·zStride + p·kLanes, its filter and its place in the output at the offsets below.
struct Neurons {
  int32_t* potential;
  int32_t* counts;
  const int32_t* z;
  size_t zStride;
  const int32_t* bias;  // per filter, or null
  uint8_t* out;
  size_t stepBytes;
};

// V = sat(V + z), then the neuron rule up to Γ times, for VECTORS vectors over `rows` steps (docs/engine.md; eq. 7).
// Several vectors share one loop so that its branches are taken for all of them at once.
template <class Spike, bool BURST, int VECTORS>
static inline void fireLanes(const Convolution& c, const Neurons& neurons, const int* filters, const size_t* places, int rows,
                             Tally& tally) {
  const size_t stride = c.paddedFilters;
  const Ints limit = allInts(kPotentialLimit);
  const int32_t* table[VECTORS];
  Ints v[VECTORS], n[VECTORS], bias[VECTORS];
  for (int p = 0; p < VECTORS; p++) {
    table[p] = c.firing + filters[p];
    // neurons that have not run yet are at their start potential, whatever is in memory
    v[p] = loadInts(c.fresh ? c.startPotential + filters[p] : neurons.potential + p * kLanes);
    n[p] = c.fresh ? Ints{} : loadInts(neurons.counts + p * kLanes);
    bias[p] = neurons.bias ? loadInts(neurons.bias + filters[p]) : Ints{};
  }
  for (int r = 0; r < rows; r++) {
    Ints before[VECTORS], left[VECTORS];
    for (int p = 0; p < VECTORS; p++) {
      const Ints z = loadInts(neurons.z + r * neurons.zStride + p * kLanes) + bias[p];
      v[p] = minInts(maxInts(v[p] + z, -limit), limit);
      before[p] = n[p];
      left[p] = allInts(c.gamma);
      if (BURST) {
        // up from N ≥ 0 and down from N ≤ 0 the limits stay the same from spike to spike
        const Ints take = loadInts(table[p] + 2 * stride);
        const Ints give = loadInts(table[p] + 7 * stride);
        const Ints upLimit = loadInts(table[p]);
        const Ints downLimit = loadInts(table[p] + 5 * stride);
        const Mask up = within(above(n[p], allInts(-1)), above(v[p], upLimit));
        const Mask down = within(above(allInts(1), n[p]), above(-v[p], downLimit));
        const Ints ups =
            zeroUnless(up, burst(v[p] - minInts(upLimit + 1, limit), loadFloats(c.reciprocals + filters[p]), c.gamma));
        const Ints downs = zeroUnless(
            down, burst(-v[p] - minInts(downLimit + 1, limit), loadFloats(c.reciprocals + stride + filters[p]), c.gamma));
        v[p] += downs * give - ups * take;
        n[p] += ups - downs;
        left[p] -= ups + downs;
      }
    }
    for (int k = 0;; k++) {
      Mask up[VECTORS], down[VECTORS], notNegative[VECTORS], positive[VECTORS];
      Mask fires = {};
      Mask allowed = {};
      for (int p = 0; p < VECTORS; p++) {
        notNegative[p] = above(n[p], allInts(-1));
        positive[p] = above(n[p], Ints{});
        up[p] = above(v[p], choose(notNegative[p], loadInts(table[p]), loadInts(table[p] + stride)));
        down[p] = above(-v[p], choose(positive[p], loadInts(table[p] + 4 * stride), loadInts(table[p] + 5 * stride)));
        if (BURST) allowed = either(allowed, within(either(up[p], down[p]), above(left[p], Ints{})));
        fires = either(fires, either(up[p], down[p]));
      }
      if (!any(fires)) break;
      if (BURST ? !any(allowed) : k == c.gamma) {
        for (int p = 0; p < VECTORS; p++) tally.clipped = moreWhere(tally.clipped, either(up[p], down[p]));
        break;
      }
      for (int p = 0; p < VECTORS; p++) {
        if (BURST) {
          up[p] = within(up[p], above(left[p], Ints{}));
          down[p] = within(down[p], above(left[p], Ints{}));
          left[p] -= allInts(1);
        }
        const Ints take = choose(notNegative[p], loadInts(table[p] + 2 * stride), loadInts(table[p] + 3 * stride));
        const Ints give = choose(positive[p], loadInts(table[p] + 6 * stride), loadInts(table[p] + 7 * stride));
        v[p] = addWhere(subtractWhere(v[p], up[p], take), down[p], give);
        n[p] = lessWhere(moreWhere(n[p], up[p]), down[p]);
      }
    }
    for (int p = 0; p < VECTORS; p++) {
      const Ints s = n[p] - before[p];
      tally.sent += maxInts(s, -s);
      storeSpikes<Spike>(neurons.out + r * neurons.stepBytes + places[p], s);
    }
  }
  for (int p = 0; p < VECTORS; p++) {
    storeInts(neurons.potential + p * kLanes, v[p]);
    storeInts(neurons.counts + p * kLanes, n[p]);
  }
}

// Fires `count` neighbouring neurons, a multiple of 16: filters from `filter` on, or, of a layer with 16 filters only,
// cell after cell (their spikes cellBytes apart).
template <class Spike>
static inline void fire(const Convolution& c, Neurons neurons, int filter, int count, int rows, size_t cellBytes, Tally& tally) {
  constexpr int kTogether = 4;
  const int perCell = c.paddedFilters == 16 ? 16 : count;
  for (int first = 0; first < count;) {
    int filters[kTogether];
    size_t places[kTogether];
    const int left = (count - first) / kLanes;
    const int vectors = left >= kTogether ? kTogether : left >= 2 ? 2 : 1;
    for (int p = 0; p < vectors; p++) {
      const int at = first + p * kLanes;
      filters[p] = filter + at % perCell;
      places[p] = at / perCell * cellBytes + at % perCell * sizeof(Spike);
    }
    if (vectors == kTogether) {
      if (c.gamma >= kBurst) fireLanes<Spike, true, kTogether>(c, neurons, filters, places, rows, tally);
      else fireLanes<Spike, false, kTogether>(c, neurons, filters, places, rows, tally);
    } else if (vectors == 2) {
      if (c.gamma >= kBurst) fireLanes<Spike, true, 2>(c, neurons, filters, places, rows, tally);
      else fireLanes<Spike, false, 2>(c, neurons, filters, places, rows, tally);
    } else {
      if (c.gamma >= kBurst) fireLanes<Spike, true, 1>(c, neurons, filters, places, rows, tally);
      else fireLanes<Spike, false, 1>(c, neurons, filters, places, rows, tally);
    }
    neurons.potential += vectors * kLanes;
    neurons.counts += vectors * kLanes;
    neurons.z += vectors * kLanes;
    first += vectors * kLanes;
  }
}

// Half as many lanes as a vector of integers has, in double width.
constexpr int kHalf = kLanes / 2;
typedef int32_t HalfInts __attribute__((vector_size(kVectorBytes / 2)));
typedef double Doubles __attribute__((vector_size(kVectorBytes)));

static inline HalfInts loadHalf(const int32_t* p) {
  HalfInts v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
static inline void storeHalf(int32_t* p, HalfInts v) { __builtin_memcpy(p, &v, sizeof v); }
static inline Doubles loadDoubles(const double* p) {
  Doubles v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
static inline Doubles doublesOf(HalfInts v) { return __builtin_convertvector(v, Doubles); }
static inline HalfInts intsOf(Doubles v) { return __builtin_convertvector(v, HalfInts); }
static inline Doubles between(Doubles v, double low, double high) {
  const Doubles least = Doubles{} + low, most = Doubles{} + high;
  v = v > least ? v : least;
  return v < most ? v : most;
}

// ⌊256·x⌋ of neurons of the filters from `filter` on whose activation is a curve (src/engine/curve.ts), by sums within 32 bits. In
// float64, which holds every product here exactly: a factor has 22 bits, or 28 for a table's value of 21.
static inline Doubles curveParts(const Convolution& c, int filter, Doubles sum) {
  const double middle = double(int64_t(c.curveEntries - 1) << 14);
  // far beyond what counts can be, and within what floorOf takes
  const double far = 0x1p50;
  const double* scales = c.curveScales + filter;
  const Doubles place = floorOf(between(sum * loadDoubles(scales), -far, far)) + middle;
  const HalfInts inside = intsOf(between(place, 0, 2 * middle - 1));
  const HalfInts entry = inside >> 15;
  HalfInts low, rise;
  gatherPairs(c.curve, entry, low, rise);
  const Doubles value = doublesOf(low + ((rise * (inside & 32767)) >> 15));
  Doubles part = floorOf(value * loadDoubles(scales + 2 * size_t(c.paddedFilters)));
  if (c.curveLinear) part += floorOf(between(sum * loadDoubles(scales + c.paddedFilters), 0, far));
  return floorOf(part * 0x1p-14);
}

// The nearest counts, halves upward, of neurons of the filters from `filter` on whose activation is a curve; beyond Γ + 1 no matter what.
static inline Ints curveCounts(const Convolution& c, int filter, Ints sum) {
  const double most = c.gamma + 1;
  int32_t sums[kLanes], counts[kLanes];
  storeInts(sums, sum);
  for (int half = 0; half < kLanes; half += kHalf) {
    const Doubles parts = curveParts(c, filter + half, doublesOf(loadHalf(sums + half)));
    storeHalf(counts + half, intsOf(between(floorOf((parts + 128) * 0x1p-8), -most, most)));
  }
  return loadInts(counts);
}

// How far parts of whole numbers in float32 are from 0 and from 1.
struct Sureness {
  __attribute__((always_inline)) inline void add(Floats over) {
    least = smaller(least, over);
    most = larger(most, over);
  }
  // Where one of them may be off by so much that the whole number is another.
  __attribute__((always_inline)) inline Mask near(Floats off) const { return either(less(least, off), less(1 - off, most)); }

  Floats least = Floats{} + 0.5f, most = Floats{} + 0.5f;
};

// The values of a curve in float32, by its packed table or by pieces.
template <class By>
struct SeenTable {
  explicit SeenTable(const Convolution& c)
      : entries(c.curveShort), lastEntry(c.curveEntries - 2), last(float(c.curveEntries - 1)) {}

  // The curve at places from its middle on, constant beyond its ends.
  __attribute__((always_inline)) inline Floats at(Floats place) const {
    place = larger(smaller(place + last / 2, Floats{} + last), Floats{});
    const Ints entry = minInts(__builtin_convertvector(place, Ints), allInts(lastEntry));
    const Floats fraction = place - __builtin_convertvector(entry, Floats);
    const Ints packed = gatherInts(entries, entry);
    return __builtin_convertvector(packed >> 12, Floats) +
           __builtin_convertvector((packed << 20) >> 20, Floats) * (fraction * 0.5f);
  }

  const int32_t* entries;
  int lastEntry;
  float last;
};
template <class By>
struct SeenPieces {
  explicit SeenPieces(const Convolution& c) : pieces(c.curvePieces) {}

  __attribute__((always_inline)) inline Floats at(Floats place) const {
    // the largest number below kPieces
    constexpr float kLast = kPieces - 0x1p-19f;
    return pieces.at(larger(smaller(place + float(kPieces / 2), Floats{} + kLast), Floats{}));
  }

  By pieces;
};
template <class By, bool PICKED = By::kPicked>
struct SeenBy {
  using Values = SeenTable<By>;
};
template <class By>
struct SeenBy<By, true> {
  using Values = SeenPieces<By>;
};

// The same in float32 (Convolution::curveFloats) of the neurons of some filters, and how far each is `over` the border below it: at 0 and
// at 1 it may be another, by `off`.
struct SeenCurves {
  explicit SeenCurves(const Convolution& c, int filter)
      : values(c),
        most(float(c.gamma + 2)),
        linear(c.curveLinear),
        place(loadFloats(c.curveFloats + filter)),
        line(loadFloats(c.curveFloats + c.paddedFilters + filter)),
        unit(loadFloats(c.curveFloats + 2 * size_t(c.paddedFilters) + filter)),
        off(loadFloats(c.curveFloats + 3 * size_t(c.paddedFilters) + filter)) {}

  // Counts, not yet rounded, of any size.
  __attribute__((always_inline)) inline Floats real(Ints sum) const {
    const Floats s = __builtin_convertvector(sum, Floats);
    Floats x = values.at(s * place) * unit;
    if (linear) x += larger(s, Floats{}) * line;
    return x;
  }

  // The nearest count of one that is at most `most` in size.
  __attribute__((always_inline)) inline Ints nearest(Floats x, Floats& over) const {
    const Floats shifted = x + 0.5f;
    const Floats found = floorOf(shifted);
    over = shifted - found;
    return __builtin_convertvector(found, Ints);
  }

  __attribute__((always_inline)) inline Ints counts(Ints sum, Sureness& sure) const {
    Floats over;
    const Ints found = nearest(clipped(real(sum), most), over);
    sure.add(over);
    return found;
  }

  static inline Floats clipped(Floats x, float most) { return smaller(larger(x, Floats{} - most), Floats{} + most); }

  SeenBy<Pieces>::Values values;
  float most;
  bool linear;
  Floats place, line, unit, off;
};

// Cells next to each other, a row of kLanes neurons or more of each: their sums in z, their state, and where their spikes go.
struct Cells {
  int count;
  const int32_t* z;
  size_t zStride;
  int32_t* potential;
  int32_t* counts;
  size_t stride;  // of potential and counts
  uint8_t* out;
  size_t outBytes;
};

// Neurons whose activation is a curve, `count` of each cell from `filter` on, by z + bias in 32 bits: they fire once.
template <class Spike, bool KEEPS>
static inline void fireCurve(const Convolution& c, const Cells& cells, const int32_t* bias, int filter, int count, Tally& tally) {
  const Ints gamma = allInts(c.gamma), limit = allInts(kPotentialLimit);
  for (int i = 0; i < count; i += kLanes) {
    const Ints constant = bias ? loadInts(bias + filter + i) : Ints{};
    const auto sumOf = [&](int r) { return loadInts(cells.z + r * cells.zStride + i) + constant; };
    for (int first = 0; first < cells.count; first += kTileRows) {
      const int end = cells.count - first < kTileRows ? cells.count : first + kTileRows;
      Ints wanted[kTileRows];
      if (c.curveFloats) {
        const SeenCurves curves(c, filter + i);
        Sureness sure;
        for (int r = first; r < end; r++) wanted[r - first] = curves.counts(sumOf(r), sure);
        for (int r = first; r < end && any(sure.near(curves.off)); r++) {
          Sureness own;
          curves.counts(sumOf(r), own);
          if (any(own.near(curves.off))) wanted[r - first] = curveCounts(c, filter + i, sumOf(r));
        }
      } else {
        for (int r = first; r < end; r++) wanted[r - first] = curveCounts(c, filter + i, sumOf(r));
      }
      for (int r = first; r < end; r++) {
        const Ints n = maxInts(minInts(wanted[r - first], gamma), -gamma);
        const Ints size = maxInts(n, -n);
        tally.clipped = moreWhere(tally.clipped, above(maxInts(wanted[r - first], -wanted[r - first]), size));
        tally.sent += size;
        storeSpikes<Spike>(cells.out + r * cells.outBytes + i * sizeof(Spike), n);
        if (!KEEPS) continue;
        storeInts(cells.potential + r * cells.stride + i, minInts(maxInts(sumOf(r), -limit), limit));
        storeInts(cells.counts + r * cells.stride + i, n);
      }
    }
  }
}

// How many spikes neurons want to send by a whole window, if none after those of the first direction (c.settles): at a potential V
// within its limits ⌊(|V| − limit) / amount⌋ + 1 towards 0 if V is at its limit or beyond. Numbers above Γ are not exact.
struct Wanted {
  Ints spikes, amount;
  Mask positive;
};
// What it takes of a layer, by value: stores of spikes could be stores into what is pointed to.
struct Slopes {
  const int32_t* firing;
  const float* reciprocals;
  size_t stride;
  float most;
};
static inline Slopes slopesOf(const Convolution& c) {
  return {c.firing, c.reciprocals, size_t(c.paddedFilters), float(c.gamma + 1)};
}
__attribute__((always_inline)) static inline Wanted wantedSpikes(const Slopes& slopes, int filter, Ints v) {
  const size_t stride = slopes.stride;
  const Ints limit = allInts(kPotentialLimit);
  const Floats most = Floats{} + slopes.most;
  const int32_t* table = slopes.firing + filter;
  const float* reciprocals = slopes.reciprocals + filter;
  const Mask positive = above(v, Ints{});
  const Ints reached = choose(positive, loadInts(table), loadInts(table + 5 * stride));
  const Ints amount = choose(positive, loadInts(table + 2 * stride), loadInts(table + 7 * stride));
  const Ints size = maxInts(v, -v);
  const Mask fires = above(size, reached);
  // what is left after the first spike's limit; limits that nothing reaches do not overflow, as `fires` is false then
  const Ints distance = zeroUnless(fires, size - minInts(reached, limit) - 1);
  const Floats up = loadFloats(reciprocals), down = loadFloats(reciprocals + stride);
  const Ints ups = __builtin_convertvector(smaller(__builtin_convertvector(distance, Floats) * up, most), Ints);
  const Ints downs = __builtin_convertvector(smaller(__builtin_convertvector(distance, Floats) * down, most), Ints);
  // of at most Γ + 1 ≤ 128 amounts a quotient in floats is right to one
  Ints quotient = choose(positive, ups, downs);
  const Ints rest = distance - quotient * amount;
  quotient = lessWhere(quotient, above(Ints{}, rest));
  quotient = moreWhere(quotient, above(rest, amount - 1));
  return {zeroUnless(fires, quotient + 1), amount, positive};
}

// The same in float32 (Convolution::slopes) of the neurons of some filters, at most Γ + 1; `near` where one is so near to a whole number
// that it may be off, by kSlopesOff. Below its first spike's limit a side's line is less than 1, and on the other side of 0, too: the
// larger counts.
struct SeenSlopes {
  explicit SeenSlopes(const Convolution& c, int filter)
      : most(float(c.gamma) + 1.5f),
        up(loadFloats(c.slopes + filter)),
        upOffset(loadFloats(c.slopes + c.paddedFilters + filter)),
        down(loadFloats(c.slopes + 2 * size_t(c.paddedFilters) + filter)),
        downOffset(loadFloats(c.slopes + 3 * size_t(c.paddedFilters) + filter)) {}

  __attribute__((always_inline)) inline Ints spikes(Ints v, Floats& over) const {
    const Floats s = __builtin_convertvector(v, Floats);
    const Floats x = larger(s * up + upOffset, downOffset - s * down);
    const Floats clipped = smaller(larger(Floats{} + 0.5f, x), Floats{} + most);
    const Ints found = __builtin_convertvector(clipped, Ints);
    over = clipped - __builtin_convertvector(found, Floats);
    return found;
  }

  float most;
  Floats up, upOffset, down, downOffset;
};

// Neurons that have not fired yet, `count` of each cell from `filter` on, by a whole window: V = sat(start + z + bias), then what
// they want to send, at most Γ.
template <class Spike, bool KEEPS>
static inline void fireFresh(const Convolution& c, const Cells& cells, const int32_t* bias, int filter, int count, Tally& tally) {
  const Ints limit = allInts(kPotentialLimit);
  const Ints gamma = allInts(c.gamma);
  const Slopes slopes = slopesOf(c);
  // with states to write it gains nothing
  const bool sees = !KEEPS && c.slopes && c.bounded;
  const int32_t* const start = c.startPotential;
  // by value: stores of spikes could be stores into what is pointed to
  const int number = cells.count;
  const size_t zStride = cells.zStride, outBytes = cells.outBytes;
  for (int i = 0; i < count; i += kLanes) {
    const Ints base = loadInts(start + filter + i) + (bias ? loadInts(bias + filter + i) : Ints{});
    const int32_t* sums = cells.z + i;
    uint8_t* out = cells.out + i * sizeof(Spike);
    if (sees) {
      const SeenSlopes seen(c, filter + i);
      Ints wanted = {}, sent = {};
      Sureness sure;
      for (int r = 0; r < number; r++, sums += zStride, out += outBytes) {
        const Ints v = loadInts(sums) + base;
        Floats over;
        const Ints spikes = seen.spikes(v, over);
        sure.add(over);
        const Ints size = minInts(spikes, gamma);
        wanted += spikes;
        sent += size;
        storeSpikes<Spike>(out, withSign(size, v));
      }
      if (!any(sure.near(Floats{} + kSlopesOff))) {
        // what is seen is at most one above Γ
        tally.sent += sent;
        tally.clipped += wanted - sent;
        continue;
      }
      sums = cells.z + i;
      out = cells.out + i * sizeof(Spike);
    }
    for (int r = 0; r < number; r++, sums += zStride, out += outBytes) {
      const Ints v = minInts(maxInts(loadInts(sums) + base, -limit), limit);
      const Wanted wanted = wantedSpikes(slopes, filter + i, v);
      const Ints sent = minInts(wanted.spikes, gamma);
      tally.clipped = moreWhere(tally.clipped, above(wanted.spikes, gamma));
      tally.sent += sent;
      const Ints n = choose(wanted.positive, sent, -sent);
      storeSpikes<Spike>(out, n);
      if (!KEEPS) continue;
      const Ints taken = sent * wanted.amount;
      storeInts(cells.potential + r * cells.stride + i, choose(wanted.positive, v - taken, v + taken));
      storeInts(cells.counts + r * cells.stride + i, n);
    }
  }
}

// Fires `count` neurons of each cell once, at most 64, by a whole window. Not inlined: the compiler's limits for a file would then
// leave out what the loops over steps need.
template <class Spike>
__attribute__((noinline)) static void fireOnce(const Convolution& c, const Cells& cells, const int32_t* bias, int filter,
                                               int count, Tally& tally) {
  if (c.curve) {
    if (c.keeps) fireCurve<Spike, true>(c, cells, bias, filter, count, tally);
    else fireCurve<Spike, false>(c, cells, bias, filter, count, tally);
  } else if (c.fresh && c.settles) {
    if (c.keeps) fireFresh<Spike, true>(c, cells, bias, filter, count, tally);
    else fireFresh<Spike, false>(c, cells, bias, filter, count, tally);
  } else {
    for (int r = 0; r < cells.count; r++) {
      const size_t at = r * cells.stride;
      fire<Spike>(
          c, {cells.potential + at, cells.counts + at, cells.z + r * cells.zStride, 0, bias, cells.out + r * cells.outBytes, 0},
          filter, count, 1, 0, tally);
    }
  }
}

static void add(Counters& counters, const Tally& tally) {
  for (int i = 0; i < kLanes; i++) {
    counters.spikes += tally.sent[i];
    counters.clipped += tally.clipped[i];
  }
}
