#include "engine.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <mutex>
#include <new>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>

namespace spiking {

namespace {

// Kernels may read, but not use, this far past the end of a buffer (a tile's rows beyond the last step or position).
constexpr size_t kSlack = 1 << 20;
// A tile's weights of a layer that is computed filter tile by filter tile stay within this (with two groups at least).
constexpr size_t kCachedTile = 640 * 1024;
// Taken off an image's bytes where spikes have 8 bits, and made good in the bias.
constexpr int kPixelOffset = 128;
// Input rows that a layer's activity is measured on.
constexpr int kSampledRows = 16;

int padded(int channels) { return (channels + kFilterGroup - 1) / kFilterGroup * kFilterGroup; }

// 128 bits over the contents: two multiplicative hashes with odd constants of their own.
std::string digest(const void* data, size_t bytes) {
  const uint8_t* p = static_cast<const uint8_t*>(data);
  uint64_t a = 0xcbf29ce484222325u, b = 0x9e3779b97f4a7c15u;
  for (size_t at = 0; at < bytes; at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, p + at, std::min<size_t>(8, bytes - at));
    a = (a ^ word) * 0x9fb21c651e98df25u;
    a ^= a >> 32;
    b = (b + word) * 0xd6e8feb86659fd93u;
    b ^= b >> 29;
  }
  return std::to_string(bytes) + ' ' + std::to_string(a) + ' ' + std::to_string(b);
}

Memory copyPadded(const int32_t* source, int count, int paddedCount, int rows, int32_t fill) {
  Memory memory(size_t(paddedCount) * rows * 4);
  int32_t* target = memory.as<int32_t>();
  for (int row = 0; row < rows; row++) {
    for (int i = 0; i < paddedCount; i++) target[row * paddedCount + i] = i < count ? source[row * count + i] : fill;
  }
  return memory;
}

// Adds what filters of 8-bit weights lose when kPixelOffset is taken off each pixel. By the bound on Σ|W| (docs/engine.md)
// it fits.
void addPixelOffset(const StageSpec& spec, int32_t* bias) {
  const size_t perFilter = size_t(spec.size) * spec.size * spec.channels;
  for (int f = 0; f < spec.filters; f++) {
    int32_t sum = 0;
    for (size_t i = 0; i < perFilter; i++) {
      sum += spec.wide ? static_cast<const int16_t*>(spec.weights)[f * perFilter + i]
                       : static_cast<const int8_t*>(spec.weights)[f * perFilter + i];
    }
    bias[f] += kPixelOffset * sum;
  }
}

// How many output cells each input cell reaches along one axis.
Memory fanOut(int extent, int outExtent, const StageSpec& spec) {
  Memory memory(size_t(extent) * 4);
  for (int out = 0; out < outExtent; out++) {
    for (int k = 0; k < spec.size; k++) {
      const int cell = out * spec.stride - spec.padding + k;
      if (cell >= 0 && cell < extent) memory.as<int32_t>()[cell]++;
    }
  }
  return memory;
}

}  // namespace

// calloc leaves large memory untouched, so that it takes up room only once it is used.
Memory::Memory(size_t bytes) : allocated_(std::calloc(bytes + 128, 1)), bytes_(bytes) {
  if (!allocated_) throw std::bad_alloc();
  data_ = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(allocated_) + 63) / 64 * 64);
}
Memory::~Memory() { std::free(allocated_); }
Memory::Memory(Memory&& other) noexcept
    : allocated_(std::exchange(other.allocated_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}
Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(allocated_, other.allocated_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

namespace {

// Packed weights by instruction set, shape and contents, for as long as an engine uses them: worker threads of a process
// share one copy.
std::shared_ptr<Memory> sharedWeights(const Kernels& kernels, const Convolution& c, const void* weights, size_t bytes,
                                      size_t packedBytes) {
  static std::mutex mutex;
  static std::unordered_map<std::string, std::weak_ptr<Memory>> known;
  std::string key = std::string(kernels.name) + ' ' + std::to_string(c.filters) + ' ' + std::to_string(c.size) + ' ' +
                    std::to_string(c.channels) + ' ' + std::to_string(c.words) + ' ' + std::to_string(c.tileGroups) + ' ' +
                    std::to_string(c.wide) + ' ';
  key += digest(weights, bytes);
  std::lock_guard<std::mutex> lock(mutex);
  if (std::shared_ptr<Memory> found = known[key].lock()) return found;
  for (auto entry = known.begin(); entry != known.end();) {
    entry = entry->second.expired() && entry->first != key ? known.erase(entry) : std::next(entry);
  }
  auto packed = std::make_shared<Memory>(packedBytes);
  kernels.packWeights(c, weights, packed->as<uint8_t>());
  known[key] = packed;
  return packed;
}

}  // namespace

Engine::Engine(const Kernels& kernels, const std::vector<StageSpec>& specs, int gamma, int blockLength, int threads,
               Method method, bool onDemand, bool stream)
    : kernels_(kernels),
      gamma_(gamma),
      blockLength_(blockLength),
      method_(method),
      onDemand_(onDemand),
      stream_(stream),
      pool_(threads),
      workers_(threads) {
  std::vector<int> consumers(specs.size(), 0);
  for (const StageSpec& spec : specs) {
    for (int input : spec.inputs) consumers[input]++;
    if (spec.input >= 0) consumers[spec.input]++;
    else if (spec.isConvolution()) pixelBytes_ = size_t(spec.height) * spec.width * spec.channels;
  }
  stages_.resize(specs.size());
  for (size_t i = 0; i < specs.size(); i++) {
    Stage& stage = stages_[i];
    stage.spec = specs[i];
    if (specs[i].kind != StageKind::kPool || stream_) continue;
    Stage& source = stages_[specs[i].input];
    if (source.spec.isConvolution() && consumers[specs[i].input] == 1) {
      source.fusedPool = int(i);
      stage.fused = true;
    }
  }
  for (size_t i = 0; i < specs.size(); i++)
    if (specs[i].isConvolution() && specs[i].input >= 0) stages_[specs[i].input].readers.push_back(int(i));
  int size = 1;
  for (size_t i = 0; i < specs.size(); i++) {
    if (specs[i].kind == StageKind::kPool) planPool(stages_[i]);
    else if (specs[i].kind == StageKind::kGather) planGather(stages_[i]);
    else if (specs[i].kind == StageKind::kIsland) planOutput(stages_[i]);
    else planConvolution(stages_[i]);
    // steps in which nothing can come out of a stage: its own start delay, or the least of those before it
    int delay = specs[i].startDelay;
    if (specs[i].kind == StageKind::kPool) delay = stages_[specs[i].input].delay;
    if (specs[i].kind == StageKind::kGather) {
      delay = INT32_MAX;
      for (int input : specs[i].inputs) delay = std::min(delay, stages_[input].delay);
    }
    stages_[i].delay = delay;
    size = std::max(size, specs[i].size);
  }
  for (Worker& worker : workers_) {
    worker.scratch = Memory(scratchBytes(size, blockLength));
    worker.strip = Memory(stripBytes_);
    worker.sums = Memory(sumBytes_);
  }
}

namespace {

// True if a neuron that has fired up from N = 0 until it stayed below its limit does not fire down then, in all filters, and the
// other way round.
bool settles(const StageSpec& spec) {
  for (int f = 0; f < spec.filters; f++) {
    const auto row = [&](int r) { return int64_t(spec.firing[r * spec.filters + f]); };
    const int64_t up = row(0), upFromBelow = row(1), take = row(2), downFromAbove = row(4), down = row(5), give = row(7);
    const bool upEnds = up > kPotentialLimit || (take > 0 && take - up < downFromAbove);
    const bool downEnds = down > kPotentialLimit || (give > 0 && give - down < upFromBelow);
    if (!upEnds || !downEnds) return false;
  }
  return true;
}

}  // namespace

void Engine::planConvolution(Stage& stage) {
  const StageSpec& spec = stage.spec;
  Convolution& c = stage.convolution;
  const int filters = padded(spec.filters);
  const int spikeBytes = kernels_.spikeBytes(spec.wide);
  const int channels = spec.input < 0 ? spec.channels : padded(spec.channels);
  const size_t outCells = size_t(spec.outHeight) * spec.outWidth;
  const size_t cells = size_t(spec.height) * spec.width;
  c = {};
  c.height = spec.height;
  c.width = spec.width;
  c.channels = spec.channels;
  c.outHeight = spec.outHeight;
  c.outWidth = spec.outWidth;
  c.filters = spec.filters;
  c.size = spec.size;
  c.stride = spec.stride;
  c.padding = spec.padding;
  c.paddedFilters = filters;
  c.words = (channels * spikeBytes + 3) / 4;
  c.wide = spec.wide;
  c.everyWord = method_ == Method::kEveryWord;
  c.gamma = gamma_;
  const size_t groupBytes = size_t(spec.size) * spec.size * c.words * 64;
  const int cachedGroups = std::max<int>(2, kCachedTile / groupBytes);
  c.tileGroups = kernels_.tileGroups(spec.wide, std::min(filters / kFilterGroup, cachedGroups));
  c.tileRows = kernels_.tileRows(spec.wide, c.tileGroups);
  c.listRows = c.tileRows;
  c.channelwise = spec.channelwise;
  if (spec.curveEntries > 0) {
    stage.curveFactors = copyPadded(spec.curveFactors, spec.filters, filters, 6, 0);
    stage.curve = Memory(size_t(spec.curveEntries) * 8);
    for (int i = 0; i < spec.curveEntries - 1; i++) {
      stage.curve.as<int32_t>()[2 * i] = spec.curve[i];
      stage.curve.as<int32_t>()[2 * i + 1] = spec.curve[i + 1] - spec.curve[i];
    }
    c.curve = stage.curve.as<int32_t>();
    c.curveEntries = spec.curveEntries;
    c.curveLinear = spec.curveLinear;
    c.curveFactors = stage.curveFactors.as<int32_t>();
    stage.curveScales = Memory(size_t(3) * filters * 8);
    for (int i = 0; i < 3 * filters; i++) {
      const int row = i / filters * 2, f = i % filters;
      stage.curveScales.as<double>()[i] =
          std::ldexp(double(c.curveFactors[row * filters + f]), -c.curveFactors[(row + 1) * filters + f]);
    }
    c.curveScales = stage.curveScales.as<double>();
    planShortCurve(stage);
  }
  if (spec.channelwise) {
    planChannels(stage);
  } else {
    const size_t weightBytes = size_t(spec.filters) * spec.size * spec.size * spec.channels * (spec.wide ? 2 : 1);
    stage.weights = sharedWeights(kernels_, c, spec.weights, weightBytes, filters / kFilterGroup * groupBytes);
    c.weights = stage.weights->as<uint8_t>();
  }
  stage.bias = copyPadded(spec.bias, spec.filters, filters, 1, 0);
  if (spec.input < 0 && spikeBytes == 1) addPixelOffset(spec, stage.bias.as<int32_t>());
  c.bias = stage.bias.as<int32_t>();
  stage.fanRows = fanOut(spec.height, spec.outHeight, spec);
  stage.fanColumns = fanOut(spec.width, spec.outWidth, spec);
  c.fanRows = stage.fanRows.as<int32_t>();
  c.fanColumns = stage.fanColumns.as<int32_t>();
  if (spec.input >= 0) {
    Stage& source = stages_[spec.input];
    c.input = &source.output;
  }
  sumBytes_ = std::max(sumBytes_, size_t(spec.outWidth) * filters * 8);
  if (size_t(filters) * 4 > scaledBias_.size()) scaledBias_ = Memory(size_t(filters) * 4);
  if (spec.input < 0) {
    stage.current = Memory(outCells * filters * 4);
    c.current = stage.current.as<int32_t>();
  }
  if (stream_ && spec.input >= 0) {
    stage.potential = Memory(outCells * filters * 4);
    c.potential = stage.potential.as<int32_t>();
  }
  if (!spec.fires) return;

  stage.firing = copyPadded(spec.firing, spec.filters, filters, kFiringRows, INT32_MAX);
  for (int row : {0, 1, 4, 5}) {
    for (int f = 0; f < filters; f++) stage.firing.as<int32_t>()[row * filters + f]--;
  }
  c.firing = stage.firing.as<int32_t>();
  if (spec.hold) {
    stage.hold = copyPadded(spec.hold, spec.filters, filters, 4, INT32_MAX);
    for (int i = 0; i < 4 * filters; i++) stage.hold.as<int32_t>()[i]--;
  }
  stage.reciprocals = Memory(size_t(filters) * 2 * 4);
  float* reciprocals = stage.reciprocals.as<float>();
  for (int f = 0; f < filters; f++) {
    const int32_t amounts[] = {c.firing[2 * filters + f], c.firing[7 * filters + f]};
    for (int side = 0; side < 2; side++) reciprocals[side * filters + f] = amounts[side] > 0 ? 1.0f / float(amounts[side]) : 0;
  }
  c.reciprocals = reciprocals;
  c.settles = settles(spec);
  planSlopes(stage);
  stage.startPotential = copyPadded(spec.startPotential, spec.filters, filters, 1, 0);
  c.startPotential = stage.startPotential.as<int32_t>();
  if (stream_) return planOutput(stage);
  stage.potential = Memory(outCells * filters * 4);
  c.potential = stage.potential.as<int32_t>();
  stage.counts = Memory(outCells * filters * 4);
  c.counts = stage.counts.as<int32_t>();
  if (spec.input >= 0 && !spec.channelwise) {
    // a list for each step, if it comes to that
    stage.lists = Memory(cells * blockLength_ * c.words * 2);
    stage.listSizes = Memory(cells * blockLength_ * 2);
    stage.sums = Memory(cells * blockLength_ * 4 + 64 * 4);
    c.lists = stage.lists.as<uint16_t>();
    c.listSizes = stage.listSizes.as<uint16_t>();
    c.sums = stage.sums.as<int32_t>();
  }
  SpikeBuffer& out = stage.output;
  out = {spec.outHeight, spec.outWidth, spec.filters, filters, nullptr, c.counts};
  const size_t blockBytes = outCells * filters * blockLength_ * spikeBytes;
  if (stage.fusedPool < 0) {
    stage.spikes = Memory(blockBytes + kSlack);
    out.data = stage.spikes.as<uint8_t>();
  } else {
    const size_t rowBytes = size_t(spec.outWidth) * filters * blockLength_ * spikeBytes;
    stripBytes_ = std::max(stripBytes_, rowBytes * stages_[stage.fusedPool].spec.size);
  }
}

// Weights of filters that hear a channel each.
void Engine::planChannels(Stage& stage) {
  const StageSpec& spec = stage.spec;
  Convolution& c = stage.convolution;
  const int synapses = spec.size * spec.size * (spec.channels / spec.filters);
  stage.channelWeights = Memory(size_t(synapses) * c.paddedFilters * 4);
  int32_t* weights = stage.channelWeights.as<int32_t>();
  for (int f = 0; f < spec.filters; f++) {
    for (int i = 0; i < synapses; i++) {
      const size_t at = size_t(f) * synapses + i;
      weights[size_t(i) * c.paddedFilters + f] =
          spec.wide ? static_cast<const int16_t*>(spec.weights)[at] : static_cast<const int8_t*>(spec.weights)[at];
    }
  }
  c.channelWeights = weights;
  if (!kernels_.pairsSynapses) return;
  const int pairs = (synapses + 1) / 2, heard = spec.channels / spec.filters;
  stage.channelPairs = Memory(size_t(pairs) * c.paddedFilters * 4);
  stage.channelPlaces = Memory(size_t(pairs) * 2 * 4);
  // an odd number's last pair has a second synapse without weight, in the kernel's first cell
  for (int i = 0; i < synapses; i++) {
    const int tap = i / heard;
    // of a window that lies inside a map they are within 32 bits
    const size_t cell = size_t(tap / spec.size) * spec.width + tap % spec.size;
    stage.channelPlaces.as<int32_t>()[i] = int32_t(cell * padded(spec.channels) + size_t(i % heard) * spec.filters);
    for (int f = 0; f < c.paddedFilters; f++) {
      const uint32_t weight = uint16_t(weights[size_t(i) * c.paddedFilters + f]);
      stage.channelPairs.as<uint32_t>()[size_t(i / 2) * c.paddedFilters + f] |= weight << (i % 2 * 16);
    }
  }
  c.channelPairs = stage.channelPairs.as<int32_t>();
  c.channelPlaces = stage.channelPlaces.as<int32_t>();
  c.channelPairCount = pairs;
}

namespace {

// A stretch of a curve's table, of `steps` values and the one behind them, as a polynomial of the place in it, 0 to 1: through values at
// the nodes of Chebyshev's polynomials, about the best of its degree. Returns how far off it may be at most, in the table's units.
double fitPiece(const int32_t* curve, int steps, double* terms) {
  double places[kPieceTerms], differences[kPieceTerms];
  for (int k = 0; k < kPieceTerms; k++) {
    const double node = std::cos((2 * k + 1) * 3.14159265358979323846 / (2 * kPieceTerms));
    const int entry = int(std::lround(steps / 2.0 * (1 - node)));
    places[k] = double(entry) / steps;
    differences[k] = entry < steps ? curve[2 * entry] : curve[2 * entry - 2] + curve[2 * entry - 1];
  }
  for (int j = 1; j < kPieceTerms; j++)
    for (int k = kPieceTerms - 1; k >= j; k--)
      differences[k] = (differences[k] - differences[k - 1]) / (places[k] - places[k - j]);
  // from Newton's form to powers
  std::fill(terms, terms + kPieceTerms, 0);
  for (int k = kPieceTerms - 1; k >= 0; k--) {
    for (int j = kPieceTerms - 1; j > 0; j--) terms[j] = terms[j - 1] - places[k] * terms[j];
    terms[0] = differences[k] - places[k] * terms[0];
  }
  double off = 0, bend = 0, size = 0;
  for (int i = 0; i <= steps; i++) {
    const double place = double(i) / steps;
    double value = 0;
    for (int k = kPieceTerms - 1; k >= 0; k--) value = value * place + terms[k];
    off = std::max(off, std::abs(value - (i < steps ? curve[2 * i] : curve[2 * i - 2] + curve[2 * i - 1])));
  }
  for (int k = 0; k < kPieceTerms; k++) {
    bend += k * (k - 1) * std::abs(terms[k]);
    size += std::abs(terms[k]);
  }
  // between two entries it bends; and its terms, products and sums are rounded to float32
  return off + bend / (8.0 * steps * steps) + size * 4 * kPieceTerms * 0x1p-24;
}

}  // namespace

// The curve in float32: by pieces, or by its table if its values and steps fit 20 and 12 bits. How far off a count may be: a halved value
// is up to 1 of the table's units below it (a piece as far as that is off), the exact value was floored, places of 2^-15 are too, and
// both places are off by at most 4 roundings of float32, which the steepest part of the table multiplies; what is left are 7 roundings of
// counts up to 129, or of parts of twice that which add up to them.
void Engine::planShortCurve(Stage& stage) {
  Convolution& c = stage.convolution;
  const int steps = (c.curveEntries - 1) / kPieces;
  const bool pieces = kernels_.picksPieces && c.curveEntries == steps * kPieces + 1;
  stage.curvePieces = Memory(pieces ? sizeof(float) * kPieceTerms * kPieces : 0);
  stage.curveShort = Memory(pieces ? 0 : size_t(c.curveEntries) * 4);
  double off = 1;
  for (int piece = 0; pieces && piece < kPieces; piece++) {
    double terms[kPieceTerms];
    off = std::max(off, fitPiece(c.curve + 2 * piece * steps, steps, terms));
    for (int k = 0; k < kPieceTerms; k++) stage.curvePieces.as<float>()[k * kPieces + piece] = float(terms[k]);
  }
  // farther off than that, too many counts are computed twice
  if (off > 32) return;
  int steepest = 0;
  for (int i = 0; i < c.curveEntries; i++) {
    const int32_t value = c.curve[2 * i] >> 1, rise = i < c.curveEntries - 1 ? c.curve[2 * i + 1] : 0;
    steepest = std::max(steepest, std::abs(rise));
    if (pieces) continue;
    if (value < -(1 << 19) || value >= 1 << 19 || rise < -(1 << 11) || rise >= 1 << 11) return;
    stage.curveShort.as<int32_t>()[i] = int32_t(uint32_t(value) << 12 | (uint32_t(rise) & 0xfff));
  }
  const size_t filters = c.paddedFilters;
  stage.curveFloats = Memory(4 * filters * 4);
  float* floats = stage.curveFloats.as<float>();
  for (size_t f = 0; f < filters; f++) {
    const double unit = std::ldexp(c.curveScales[2 * filters + f], -22);
    floats[f] = float(std::ldexp(c.curveScales[f], -15) / (pieces ? steps : 1));
    floats[filters + f] = float(std::ldexp(c.curveScales[filters + f], -22));
    floats[2 * filters + f] = float(pieces ? unit : 2 * unit);
    floats[3 * filters + f] = float(unit * (1.5 + off + std::ldexp(double(c.curveEntries) * steepest, -22)) + 0x1p-13);
  }
  c.curveShort = stage.curveShort.as<int32_t>();
  c.curvePieces = stage.curvePieces.as<float>();
  c.curveFloats = floats;
}

// Spikes of neurons that have not fired in float32: with |V| at its limit they send one, and one more for each amount beyond. Half a
// unit of V keeps whole numbers apart from what is just below them. Limits far above an amount would leave too few digits.
void Engine::planSlopes(Stage& stage) {
  Convolution& c = stage.convolution;
  const size_t filters = c.paddedFilters;
  stage.slopes = Memory(4 * filters * 4);
  float* slopes = stage.slopes.as<float>();
  for (size_t f = 0; f < filters; f++) {
    const int rows[2][2] = {{0, 2}, {5, 7}};
    for (int side = 0; side < 2; side++) {
      const int64_t limit = int64_t(c.firing[rows[side][0] * filters + f]) + 1, amount = c.firing[rows[side][1] * filters + f];
      const bool never = limit > kPotentialLimit;
      if (!never && (limit < 1 || amount < 1 || limit > 2 * amount)) return;
      slopes[2 * side * filters + f] = never ? 0 : float(1.0 / double(amount));
      slopes[(2 * side + 1) * filters + f] = never ? 0.5f : float((0.5 - double(limit)) / double(amount) + 1);
    }
  }
  c.slopes = slopes;
}

void Engine::planPool(Stage& stage) {
  const StageSpec& spec = stage.spec;
  Pool& p = stage.pool;
  const int channels = padded(spec.channels);
  const size_t cells = size_t(spec.height) * spec.width;
  const size_t outCells = size_t(spec.outHeight) * spec.outWidth;
  p = {};
  p.height = spec.height;
  p.width = spec.width;
  p.channels = spec.channels;
  p.paddedChannels = channels;
  p.outHeight = spec.outHeight;
  p.outWidth = spec.outWidth;
  p.size = spec.size;
  p.stride = spec.stride;
  p.offset = spec.offset;
  p.rule = spec.rule;
  p.spikeBytes = kernels_.spikeBytes(isWide());
  stage.spikes = Memory(outCells * channels * blockLength_ * p.spikeBytes + kSlack);
  p.out = stage.spikes.as<uint8_t>();
  if (!stream_) stage.counts = Memory(outCells * channels * 4);
  p.counts = stage.counts.as<int32_t>();
  if (spec.rule == PoolRule::kGateExponential || spec.rule == PoolRule::kGateFir) {
    stage.estimateStart = Memory(cells * channels * 4);
    stage.estimateEnd = Memory(cells * channels * 4);
  }
  if (spec.rule == PoolRule::kGateFir) {
    stage.recentStart = Memory(cells * channels * 16);
    stage.recentEnd = Memory(cells * channels * 16);
  }
  swapEstimates(stage);
  stage.output = {spec.outHeight, spec.outWidth, spec.channels, channels, p.out, p.counts};
}

// All layers of a model have weights of the same width.
bool Engine::isWide() const {
  bool wide = true;
  for (const Stage& stage : stages_) {
    if (stage.spec.isConvolution()) wide = stage.spec.wide;
  }
  return wide;
}

void Engine::planGather(Stage& stage) {
  const StageSpec& spec = stage.spec;
  for (int channel = 0; channel < spec.channels; channel++) {
    const int input = spec.sources[2 * channel], from = spec.sources[2 * channel + 1], shift = spec.shifts[channel];
    if (!stage.runs.empty()) {
      Run& last = stage.runs.back();
      if (last.input == input && last.from + last.length == from && last.shift == shift) {
        last.length++;
        continue;
      }
    }
    stage.runs.push_back({input, from, channel, 1, shift});
  }
  stage.spec.sources = nullptr;
  stage.spec.shifts = nullptr;
  planCombs(stage);
  planOutput(stage);
}

// Runs of single channels that go on one another in their stage, at one distance in the gather, are one comb.
void Engine::planCombs(Stage& stage) {
  for (const Run& run : stage.runs) {
    Comb* next = nullptr;
    for (Comb& comb : stage.combs) {
      const int distance = run.to - (comb.to + (comb.length - 1) * comb.step);
      const bool single = run.length == 1 && (comb.length == 1 || comb.step > 1);
      const bool follows = comb.input == run.input && comb.from + comb.length == run.from;
      if (single && follows && (comb.length == 1 || comb.step == distance)) next = &comb;
    }
    if (next) {
      if (next->length++ == 1) next->step = run.to - next->to;
    } else {
      stage.combs.push_back({run.input, run.from, run.to, run.length, 1});
    }
  }
}

// Memory of what a stage sends, without counts of their own in a stream.
void Engine::planOutput(Stage& stage) {
  const StageSpec& spec = stage.spec;
  const int channels = padded(spec.filters);
  const size_t outCells = size_t(spec.outHeight) * spec.outWidth;
  stage.spikes = Memory(outCells * channels * blockLength_ * kernels_.spikeBytes(isWide()) + kSlack);
  if (!stream_) stage.counts = Memory(outCells * channels * 4);
  stage.output = {spec.outHeight, spec.outWidth, spec.filters, channels, stage.spikes.as<uint8_t>(), stage.counts.as<int32_t>()};
}

size_t Engine::neurons(int stage) const {
  const StageSpec& spec = stages_[stage].spec;
  return size_t(spec.outHeight) * spec.outWidth * spec.filters;
}

namespace {

// Writes one base-128 digit of each count, whole rows at a time.
template <class Spike>
void writeDigits(const int32_t* from, size_t count, int64_t unit, Spike* to) {
  if (unit == 1) {
    for (size_t i = 0; i < count; i++) to[i] = Spike(from[i] % 128);
  } else {
    for (size_t i = 0; i < count; i++) to[i] = Spike(from[i] / unit % 128);
  }
}
// Spikes are digits already.
template <class Spike>
void writeDigits(const int8_t* from, size_t count, int64_t, Spike* to) {
  for (size_t i = 0; i < count; i++) to[i] = Spike(from[i]);
}
template <class Spike>
void writeDigits(const int16_t* from, size_t count, int64_t, Spike* to) {
  for (size_t i = 0; i < count; i++) to[i] = Spike(from[i]);
}
// An image's bytes are one digit: as they are in 16 bits, less kPixelOffset in 8.
void writeDigits(const uint8_t* from, size_t count, int64_t, int16_t* to) {
  for (size_t i = 0; i < count; i++) to[i] = from[i];
}
void writeDigits(const uint8_t* from, size_t count, int64_t, int8_t* to) {
  for (size_t i = 0; i < count; i++) to[i] = int8_t(from[i] - kPixelOffset);
}
// Pixels of three channels as words of four, the last as a black one.
void writePixels(const uint8_t* from, size_t count, uint8_t* to) {
  for (size_t i = 0; i < count; i++) {
    const uint8_t word[4] = {from[3 * i], from[3 * i + 1], from[3 * i + 2], 0};
    uint32_t bits;
    std::memcpy(&bits, word, 4);
    bits ^= 0x80808080;
    std::memcpy(to + 4 * i, &bits, 4);
  }
}

// What a stage has sent in the first step of its block.
int32_t spikeAt(const SpikeBuffer& out, size_t at, bool wide) {
  return wide ? reinterpret_cast<const int16_t*>(out.data)[at] : reinterpret_cast<const int8_t*>(out.data)[at];
}

}  // namespace

// Room for a window's sums, and for reads past their end.
int32_t* Engine::sumsOf(size_t cells) {
  const size_t bytes = (cells + 4096) * 4;
  if (bytes > windowSums_.size()) windowSums_ = Memory(bytes);
  return windowSums_.as<int32_t>();
}

// The stage's input: the image's bytes in one plane, or base-128 digits of cumulative counts in as many as they take. Cells
// around it hold `silence`.
template <class Value>
WindowBuffer Engine::windowOf(const Stage& stage, const Value* values, int sourceChannels, int planes, int8_t silence,
                              const uint8_t* needed) {
  const Convolution& c = stage.convolution;
  const int spikeBytes = kernels_.spikeBytes(c.wide);
  const int channels = c.words * 4 / spikeBytes;
  WindowBuffer window{};
  window.planes = planes;
  // positions of a tile beyond the last one read silence or the next row
  window.widthCells = std::max(c.width + 2 * c.padding, (c.outWidth - 1 + c.tileRows) * c.stride + c.size);
  const int rows = std::max(c.height + 2 * c.padding, (c.outHeight - 1) * c.stride + c.size) + 1;
  window.planeCells = size_t(rows) * window.widthCells;
  const size_t cellBytes = size_t(channels) * spikeBytes;
  const size_t rowBytes = window.widthCells * cellBytes;
  const size_t bytes = window.planeCells * window.planes * cellBytes + kSlack;
  if (bytes > window_.size()) window_ = Memory(bytes);
  window.data = window_.as<uint8_t>();
  const bool sums = kernels_.sumsWindows(c.wide);
  if (sums) window.sums = sumsOf(window.planeCells * window.planes);
  // rows of cells with the same number of channels on both sides are one run of values
  const int run = sourceChannels == channels ? c.width : 1;
  const bool pixels = std::is_same<Value, uint8_t>::value && spikeBytes == 1 && sourceChannels == 3 && channels == 4;
  shareRows(rows * window.planes, [&](int row, int) {
    const int64_t unit = int64_t(1) << (7 * (row / rows));
    const int y = row % rows - c.padding;
    if (needed && y >= 0 && y < c.height && !needed[y]) return;
    uint8_t* cells = window.data + row * rowBytes;
    const bool inside = y >= 0 && y < c.height;
    const size_t first = inside ? c.padding * cellBytes : rowBytes, end = first + (inside ? c.width * cellBytes : 0);
    std::memset(cells, silence, first);
    std::memset(cells + end, silence, rowBytes - end);
    if (inside && pixels) {
      writePixels(reinterpret_cast<const uint8_t*>(values) + size_t(y) * c.width * 3, c.width, cells + first);
    } else if (inside && run == 1) {
      std::memset(cells + first, silence, end - first);
    }
    for (int x = 0; inside && !pixels && x < c.width; x += run) {
      const Value* from = values + (size_t(y) * c.width + x) * sourceChannels;
      uint8_t* to = cells + (x + c.padding) * cellBytes;
      const size_t count = size_t(run) * sourceChannels;
      if (spikeBytes == 2) writeDigits(from, count, unit, reinterpret_cast<int16_t*>(to));
      else writeDigits(from, count, unit, reinterpret_cast<int8_t*>(to));
    }
    if (sums) kernels_.sumCells(cells, window.widthCells, channels, window.sums + size_t(row) * window.widthCells);
  });
  return window;
}

WindowBuffer Engine::imageWindow(const Stage& stage, const uint8_t* pixels, const uint8_t* needed) {
  const Convolution& c = stage.convolution;
  const int8_t silence = kernels_.spikeBytes(c.wide) == 1 ? -kPixelOffset : 0;
  return windowOf(stage, pixels, c.channels, 1, silence, needed);
}

// A 1×1 convolution's window is its input as it lies there, if that holds all that has come.
WindowBuffer Engine::spikesAsWindow(const Convolution& c, const uint8_t* needed) {
  WindowBuffer window{};
  window.data = c.input->data;
  window.planes = 1;
  window.widthCells = c.width;
  window.planeCells = size_t(c.height) * c.width;
  if (!kernels_.sumsWindows(c.wide)) return window;
  window.sums = sumsOf(window.planeCells);
  const size_t rowCells = c.width;
  shareRows(c.height, [&](int y, int) {
    if (needed && !needed[y]) return;
    kernels_.sumCells(window.data + y * rowCells * c.input->paddedChannels, c.width, c.input->paddedChannels,
                      window.sums + y * rowCells);
  });
  return window;
}

bool Engine::sentNowOnly(const Stage& stage) const {
  return !stage.silent && stage.lastSteps == 1 && stage.delay == stage.step - 1;
}

// Writes the state that neurons start from, for readers of a stage that has not run yet, and counts that are still to be.
void Engine::settle(Stage& stage) {
  Convolution& c = stage.convolution;
  restore(stage);
  if (stage.stale) {
    const SpikeBuffer& out = stage.output;
    const size_t count = size_t(out.height) * out.width * out.paddedChannels;
    const bool wide = kernels_.spikeBytes(isWide()) == 2;
    for (size_t i = 0; i < count; i++) {
      out.counts[i] = spikeAt(out, i, wide);
    }
    stage.stale = stage.blank = false;
  }
  if (stage.blank) std::memset(stage.output.counts, 0, stage.counts.size());
  stage.blank = false;
  if (!stage.spec.isConvolution() || !stage.spec.fires || !c.fresh) return;
  const size_t cells = size_t(c.outHeight) * c.outWidth;
  std::memset(c.counts, 0, cells * c.paddedFilters * 4);
  for (size_t cell = 0; cell < cells; cell++) {
    std::memcpy(c.potential + cell * c.paddedFilters, c.startPotential, size_t(c.paddedFilters) * 4);
  }
  c.fresh = false;
}

void Engine::restore(Stage& stage) {
  if (!stage.unkept) return;
  stage.unkept = false;
  stage.convolution.fresh = true;
  const Counters counters = stage.counters;
  endWindow(stage, stage.step - 1, true);
  stage.counters = counters;
}

void Engine::restoreReaders(const Stage& stage) {
  for (int reader : stage.readers) restore(stages_[reader]);
}

// The largest count of a stage's input, or more than that if it is a digit all the same.
int64_t Engine::largestCount(const Stage& stage) {
  const Convolution& c = stage.convolution;
  Stage& source = stages_[stage.spec.input];
  settle(source);
  // a source cannot have sent more than Γ in each step since its own delay; if that may be over a digit, look
  const int64_t most = int64_t(gamma_) * std::max(0, source.step - source.delay);
  if (most <= 127) return most;
  return largestMagnitude(c.input->counts, size_t(c.height) * c.width * c.input->paddedChannels);
}

WindowBuffer Engine::spikesWindow(const Stage& stage, const uint8_t* needed) {
  const Convolution& c = stage.convolution;
  const int channels = c.input->paddedChannels;
  if (c.size == 1 && c.stride == 1 && c.padding == 0) return spikesAsWindow(c, needed);
  return kernels_.spikeBytes(c.wide) == 2
             ? windowOf(stage, reinterpret_cast<const int16_t*>(c.input->data), channels, 1, 0, needed)
             : windowOf(stage, reinterpret_cast<const int8_t*>(c.input->data), channels, 1, 0, needed);
}

WindowBuffer Engine::countsWindow(const Stage& stage) {
  const Convolution& c = stage.convolution;
  if (sentNowOnly(stages_[stage.spec.input])) return spikesWindow(stage);
  int planes = 1;
  for (int64_t left = largestCount(stage); left > 127; left /= 128) planes++;
  return windowOf(stage, c.input->counts, c.input->paddedChannels, planes, 0);
}

void Engine::begin(const uint8_t* pixels) {
  for (Stage& stage : stages_) {
    stage.step = 0;
    stage.silent = true;
    stage.counters = {};
    stage.synapticOperations = 0;
    stage.load = {};
    stage.convolution.fresh = true;
    stage.unkept = false;
    stage.stale = false;
    stage.lastSteps = 0;
    if (stage.spec.isConvolution()) continue;
    stage.blank = stage.counts.size() > 0;
    for (Memory* memory : {&stage.estimateStart, &stage.estimateEnd, &stage.recentStart, &stage.recentEnd}) {
      if (memory->size() > 0) std::memset(memory->as<uint8_t>(), 0, memory->size());
    }
  }
  for (Stage& stage : stages_) {
    if (!stage.spec.isConvolution() || stage.spec.input >= 0) continue;
    const Convolution& c = stage.convolution;
    const WindowBuffer window = imageWindow(stage, pixels);
    int32_t* current = stage.current.as<int32_t>();
    const size_t rowNeurons = size_t(c.outWidth) * c.paddedFilters;
    std::vector<int32_t> largest(workers_.size(), 0);
    shareRows(c.outHeight, [&](int y, int worker) {
      const int32_t found = kernels_.presentRow(c, y, window, current + y * rowNeurons, workers_[worker].scratch.as<uint8_t>());
      largest[worker] = std::max(largest[worker], found);
    });
    stage.largestCurrent = *std::max_element(largest.begin(), largest.end());
  }
}

const char* Engine::run(int index, int step, int steps) {
  Stage& stage = stages_[index];
  if (step != stage.step) return "steps must be run in order";
  if (steps < 1 || steps > blockLength_) return "steps must be 1 to the plan's blockLength";
  for (int input : stage.spec.inputs) {
    if (stages_[input].step != step + steps) return "the input stages must have run these steps";
  }
  if (stage.spec.input >= 0 && stages_[stage.spec.input].step != step + steps) {
    return "the input stage must have run these steps";
  }
  const int delay = stage.spec.isConvolution() ? stage.spec.startDelay : 0;
  if (step < delay && step + steps > delay) return "a block must end where a start delay does";
  const bool window = delay > 0 || stage.convolution.curve;
  if (window && step == delay && steps != 1) return "the step in which a start delay ends must come alone";
  // what was computed from spikes that are overwritten now, and is continued
  restoreReaders(stage);
  if (stage.fusedPool >= 0) restoreReaders(stages_[stage.fusedPool]);
  restore(stage);
  if (stage.spec.kind == StageKind::kPool) runPool(stage, step, steps);
  else if (stage.spec.kind == StageKind::kGather) runGather(stage, steps);
  else if (stage.spec.kind == StageKind::kIsland) stage.silent = true;
  else runConvolution(stage, step, steps);
  stage.step = step + steps;
  stage.lastSteps = steps;
  return nullptr;
}

// Counts what comes into a convolution; `listed`: and lists its words, for a kernel that goes by lists.
void Engine::observe(Stage& stage, int steps, bool listed) {
  Convolution& c = stage.convolution;
  if (stages_[stage.spec.input].silent) {
    if (listed && stage.listSizes.size() > 0) std::memset(stage.listSizes.as<uint8_t>(), 0, stage.listSizes.size());
    return;
  }
  c.lists = listed ? stage.lists.as<uint16_t>() : nullptr;
  if (c.lists) c.listRows = prefersEvents(stage, steps) ? 1 : c.tileRows;
  for (Worker& worker : workers_) worker.operations = 0;
  shareRows(c.height, [&](int y, int worker) { workers_[worker].operations += kernels_.observeRow(c, y, steps); });
  for (Worker& worker : workers_) stage.synapticOperations += worker.operations * stage.spec.reach;
}

// By a sample of input rows, what the layer would compute with in this block either way, and what that costs.
bool Engine::prefersEvents(Stage& stage, int steps) {
  if (method_ != Method::kMeasured) return method_ == Method::kEvents;
  const Convolution& c = stage.convolution;
  const int rows = std::min(c.height, kSampledRows);
  const int every = c.height / rows;
  for (Worker& worker : workers_) worker.activity = {};
  shareRows(rows,
            [&](int row, int worker) { kernels_.countWords(c, row * every + every / 2, steps, workers_[worker].activity); });
  Activity activity{};
  for (Worker& worker : workers_) {
    activity.dense += worker.activity.dense;
    activity.events += worker.activity.events;
    activity.lists += worker.activity.lists;
  }
  const EventCosts costs = kernels_.eventCosts(c.wide);
  const bool events = activity.events * costs.pair + activity.lists * costs.list / c.tileGroups < activity.dense;
  const double groups = double(c.paddedFilters) / kFilterGroup * c.height / rows;
  const int tiles = (steps + c.tileRows - 1) / c.tileRows;
  stage.load.everyWord += groups * rows * c.width * c.words * tiles * c.tileRows;
  stage.load.dense += groups * activity.dense;
  stage.load.events += groups * activity.events;
  stage.load.lists += groups / c.tileGroups * activity.lists;
  stage.load.blocks++;
  stage.load.eventBlocks += events;
  return events;
}

// Runs all rows of a convolution, all filters at once or tile by tile, and hands them to its pool if that is fused.
// Threads share the filter tiles, or the rows where all filters run at once and no two windows of the pool share one.
template <class FireRow>
void Engine::runRows(Stage& stage, int step, int steps, FireRow fireRow) {
  Convolution& c = stage.convolution;
  const int spikeBytes = kernels_.spikeBytes(c.wide);
  const bool atOnce = c.current || c.channelwise || stage.weights->size() <= kCachedWeights;
  const int filtersAtOnce = atOnce ? c.paddedFilters : c.tileGroups * kFilterGroup;
  const int tiles = (c.paddedFilters + filtersAtOnce - 1) / filtersAtOnce;
  Stage* poolStage = stage.fusedPool < 0 ? nullptr : &stages_[stage.fusedPool];
  const bool rowsApart = !poolStage || poolStage->spec.size <= poolStage->spec.stride;
  const int threads = pool_.threads();
  if (poolStage && c.keeps) settle(*poolStage);
  for (Worker& worker : workers_) worker.counters = {};

  const auto runTile = [&](int tile, int firstPooled, int endPooled, int firstRow, int endRow, int index) {
    Worker& worker = workers_[index];
    Strip strip{};
    strip.firstFilter = tile * filtersAtOnce;
    strip.filters = std::min(filtersAtOnce, c.paddedFilters - strip.firstFilter);
    if (poolStage) {
      strip.data = worker.strip.as<uint8_t>();
      strip.stepBytes = size_t(strip.filters) * spikeBytes;
      strip.rowCount = poolStage->spec.size;
    } else {
      strip.data = stage.output.data + size_t(strip.firstFilter) * spikeBytes;
      strip.stepBytes = size_t(c.paddedFilters) * spikeBytes;
      strip.rowCount = c.outHeight;
    }
    strip.cellBytes = strip.stepBytes * steps;
    strip.rowBytes = strip.cellBytes * c.outWidth;
    int pooled = firstPooled;
    for (int y = firstRow; y < endRow; y++) {
      fireRow(y, strip, worker);
      if (!poolStage) continue;
      const Pool& p = poolStage->pool;
      while (pooled < endPooled && std::min(p.height - 1, pooled * p.stride - p.offset + p.size - 1) <= y) {
        kernels_.poolRow(p, pooled++, step, steps, strip, c.keeps ? c.counts : nullptr, worker.scratch.as<uint8_t>());
      }
    }
  };

  pool_.run([&](int index) {
    const auto share = [&](int total, int part) { return int(int64_t(total) * part / threads); };
    const int pooledRows = poolStage ? poolStage->pool.outHeight : 0;
    if (tiles == 1 && rowsApart) {
      // rows up to the first that the next thread's windows need
      const auto rowOf = [&](int part) {
        if (!poolStage) return share(c.outHeight, part);
        const Pool& p = poolStage->pool;
        return part == 0         ? 0
               : part == threads ? c.outHeight
                                 : std::min(c.outHeight, std::max(0, share(pooledRows, part) * p.stride - p.offset));
      };
      runTile(0, share(pooledRows, index), share(pooledRows, index + 1), rowOf(index), rowOf(index + 1), index);
      return;
    }
    for (int tile = share(tiles, index); tile < share(tiles, index + 1); tile++) {
      runTile(tile, 0, pooledRows, 0, c.outHeight, index);
    }
  });
  for (Worker& worker : workers_) {
    stage.counters.spikes += worker.counters.spikes;
    stage.counters.clipped += worker.counters.clipped;
  }
  c.fresh = false;
  stage.unkept = !c.keeps;
  if (!poolStage) return;
  poolStage->stale = !c.keeps;
  swapEstimates(*poolStage);
}

void Engine::swapEstimates(Stage& stage) {
  std::swap(stage.estimateStart, stage.estimateEnd);
  std::swap(stage.recentStart, stage.recentEnd);
  stage.pool.estimateStart = stage.estimateStart.as<int32_t>();
  stage.pool.estimateEnd = stage.estimateEnd.as<int32_t>();
  stage.pool.recentStart = stage.recentStart.as<int8_t>();
  stage.pool.recentEnd = stage.recentEnd.as<int8_t>();
}

void Engine::runConvolution(Stage& stage, int step, int steps) {
  Convolution& c = stage.convolution;
  const int delay = stage.spec.startDelay;
  const bool window = (delay > 0 || c.curve) && step == delay;
  const bool stepwise = stage.spec.fires && !window && step >= delay && !(c.curve && step > delay);
  if (stage.spec.input >= 0) observe(stage, steps, stepwise && !c.channelwise);
  if (!stage.spec.fires) return;
  if (step < delay || (c.curve && step > delay)) {
    stage.silent = true;
    return;
  }
  stage.silent = false;
  if (window) {
    endWindow(stage, step, !onDemand_);
    return;
  }
  const auto fireRow = c.channelwise ? kernels_.fireChannelsRow : kernels_.fireRow;
  // the lists of silent inputs are empty; what is not listed has to be silent indeed
  if (c.channelwise && stages_[stage.spec.input].silent) {
    std::memset(c.input->data, 0, size_t(c.height) * c.width * c.words * 4 * steps);
  }
  c.keeps = true;
  runRows(stage, step, steps, [&](int y, const Strip& strip, Worker& worker) {
    fireRow(c, y, steps, strip, worker.scratch.as<uint8_t>(), worker.counters);
  });
}

// The step in which a start delay ends: the whole input so far at once, in 32 bits where that is enough. Without `keep`, neurons that
// have not fired yet keep their spikes alone, where their pool can do with those.
void Engine::endWindow(Stage& stage, int step, bool keep) {
  Convolution& c = stage.convolution;
  const bool spikesDo = stage.fusedPool < 0 || stages_[stage.fusedPool].pool.rule == PoolRule::kExact;
  const bool once = c.curve || c.settles;
  const int64_t times = int64_t(step) + 1;
  const int64_t start = largestMagnitude(stage.startPotential.as<int32_t>(), c.paddedFilters);
  const int64_t constant = c.current ? stage.largestCurrent : largestMagnitude(c.bias, c.paddedFilters);
  const bool narrow = times * constant + start < kPotentialLimit;
  // counts of one digit came in, or the spikes of one step
  const int64_t came = c.current ? 0 : 127 * stage.spec.gain;
  c.bounded = narrow && times * constant + start + came < kPotentialLimit;
  if (c.channelwise) return endChannelsWindow(stage, times, narrow, keep || !c.fresh || !once || !spikesDo);
  WindowBuffer window{};
  if (!c.current) window = countsWindow(stage);
  if (narrow && window.planes <= 1) {
    int32_t* bias = scaledBias_.as<int32_t>();
    for (int f = 0; !c.current && f < c.paddedFilters; f++) bias[f] = int32_t(times * c.bias[f]);
    c.keeps = keep || !c.fresh || !once || !spikesDo;
    runRows(stage, step, 1, [&](int y, const Strip& strip, Worker& worker) {
      kernels_.fireWindowRow(c, y, c.current ? nullptr : &window, bias, int32_t(times), strip, worker.scratch.as<uint8_t>(),
                             worker.counters);
    });
    return;
  }
  settle(stage);
  c.keeps = true;
  runRows(stage, step, 1, [&](int y, const Strip& strip, Worker& worker) {
    int64_t* sums = c.current ? nullptr : worker.sums.as<int64_t>();
    if (sums) {
      kernels_.sumRow(c, y, window, strip.firstFilter, strip.filters, sums, worker.scratch.as<uint8_t>());
    }
    kernels_.fireSumsRow(c, y, sums, times, strip, worker.counters);
  });
}

// The same for a channelwise convolution, which takes the counts as they are.
void Engine::endChannelsWindow(Stage& stage, int64_t times, bool narrow, bool keep) {
  Convolution& c = stage.convolution;
  const int step = int(times) - 1;
  const bool bySpikes = sentNowOnly(stages_[stage.spec.input]);
  if (narrow && (bySpikes || largestCount(stage) <= 127)) {
    int32_t* bias = scaledBias_.as<int32_t>();
    for (int f = 0; f < c.paddedFilters; f++) bias[f] = int32_t(times * c.bias[f]);
    c.keeps = keep;
    runRows(stage, step, 1, [&](int y, const Strip& strip, Worker& worker) {
      kernels_.fireChannelsWindowRow(c, y, bySpikes, bias, strip, worker.counters);
    });
    return;
  }
  settle(stages_[stage.spec.input]);
  settle(stage);
  c.keeps = true;
  runRows(stage, step, 1, [&](int y, const Strip& strip, Worker& worker) {
    int64_t* sums = worker.sums.as<int64_t>();
    sumChannels(c, y, strip, sums);
    kernels_.fireSumsRow(c, y, sums, times, strip, worker.counters);
  });
}

// Σ W·N of a channelwise convolution for output row y and the strip's filters, exact.
void Engine::sumChannels(const Convolution& c, int y, const Strip& strip, int64_t* sums) {
  const int heard = c.channels / c.filters;
  const int filters = std::min(strip.filters, c.filters - strip.firstFilter);
  std::fill(sums, sums + size_t(c.outWidth) * strip.filters, 0);
  for (int i = 0; i < c.size; i++) {
    const int row = y * c.stride - c.padding + i;
    for (int j = 0; row >= 0 && row < c.height && j < c.size; j++) {
      for (int x = 0; x < c.outWidth; x++) {
        const int column = x * c.stride - c.padding + j;
        if (column < 0 || column >= c.width) continue;
        const int32_t* counts = c.input->counts + (size_t(row) * c.width + column) * c.input->paddedChannels + strip.firstFilter;
        int64_t* target = sums + size_t(x) * strip.filters;
        for (int h = 0; h < heard; h++) {
          const int32_t* weights = c.channelWeights + (size_t(i * c.size + j) * heard + h) * c.paddedFilters + strip.firstFilter;
          for (int f = 0; f < filters; f++) target[f] += int64_t(weights[f]) * counts[size_t(h) * c.filters + f];
        }
      }
    }
  }
}

// Copies spikes of one step from maps of the same size, of counts that are written when they are asked for.
template <class Spike>
void Engine::gatherSpikes(Stage& stage) {
  const StageSpec& spec = stage.spec;
  for (int input : spec.inputs) {
    const Stage& source = stages_[input];
    const size_t bytes = size_t(spec.height) * spec.width * source.output.paddedChannels * sizeof(Spike);
    if (source.silent) std::memset(source.output.data, 0, bytes);
  }
  const size_t channels = stage.output.paddedChannels;
  shareRows(spec.outHeight, [&](int y, int) {
    Spike* row = reinterpret_cast<Spike*>(stage.output.data) + size_t(y) * spec.outWidth * channels;
    for (const Comb& comb : stage.combs) {
      const SpikeBuffer& source = stages_[spec.inputs[comb.input]].output;
      const size_t stride = source.paddedChannels;
      const Spike* from = reinterpret_cast<const Spike*>(source.data) + size_t(y) * spec.width * stride + comb.from;
      Spike* to = row + comb.to;
      // bytes could be stored into what is pointed to
      const size_t length = comb.length, step = comb.step;
      for (int x = 0, width = spec.outWidth; x < width; x++, from += stride, to += channels) {
        if (step == 1) {
          std::memcpy(to, from, length * sizeof(Spike));
        } else {
          for (size_t k = 0; k < length; k++) to[k * step] = from[k];
        }
      }
    }
  });
}

// Copies spikes and counts to their places; a silent stage's spikes are not there to be copied.
void Engine::runGather(Stage& stage, int steps) {
  const StageSpec& spec = stage.spec;
  stage.silent = true;
  for (int input : spec.inputs) stage.silent = stage.silent && stages_[input].silent;
  // counts stay as they are, blank ones and those that are an earlier step's spikes unwritten
  if (stage.silent) return;
  // counts that are this step's spikes are written when they are asked for
  stage.stale = steps == 1 && stage.delay == stage.step;
  if (!stage.stale) {
    for (int input : spec.inputs) settle(stages_[input]);
    // all of its counts are written
    stage.blank = false;
  }
  const size_t spikeBytes = kernels_.spikeBytes(isWide());
  const size_t channels = stage.output.paddedChannels;
  if (steps == 1 && stage.stale && spec.scale == 1) {
    if (spikeBytes == 1) gatherSpikes<uint8_t>(stage);
    else gatherSpikes<uint16_t>(stage);
    return;
  }
  shareRows(spec.outHeight, [&](int y, int) {
    for (int x = 0; x < spec.outWidth; x++) {
      const size_t to = size_t(y) * spec.outWidth + x;
      for (const Run& run : stage.runs) {
        const size_t from = size_t(sourceCell(y, spec.scale, spec.height, run.shift & 2)) * spec.width +
                            sourceCell(x, spec.scale, spec.width, run.shift & 1);
        const Stage& source = stages_[spec.inputs[run.input]];
        const size_t sourceChannels = source.output.paddedChannels;
        if (!stage.stale)
          std::memcpy(stage.output.counts + to * channels + run.to, source.output.counts + from * sourceChannels + run.from,
                      size_t(run.length) * 4);
        for (int t = 0; t < steps; t++) {
          uint8_t* target = stage.output.data + ((to * steps + t) * channels + run.to) * spikeBytes;
          const uint8_t* spikes = source.output.data + ((from * steps + t) * sourceChannels + run.from) * spikeBytes;
          if (source.silent) std::memset(target, 0, run.length * spikeBytes);
          else std::memcpy(target, spikes, run.length * spikeBytes);
        }
      }
    }
  });
}

void Engine::runPool(Stage& stage, int step, int steps) {
  Stage& source = stages_[stage.spec.input];
  stage.silent = source.silent;
  if (stage.fused || stage.silent) return;
  const Pool& p = stage.pool;
  stage.stale = p.rule == PoolRule::kExact && sentNowOnly(source);
  if (!stage.stale) {
    settle(source);
    settle(stage);
  }
  const int32_t* counts = stage.stale ? nullptr : source.output.counts;
  Strip strip{};
  strip.data = source.output.data;
  strip.firstFilter = 0;
  strip.filters = p.paddedChannels;
  strip.stepBytes = size_t(p.paddedChannels) * p.spikeBytes;
  strip.cellBytes = strip.stepBytes * steps;
  strip.rowBytes = strip.cellBytes * p.width;
  strip.rowCount = p.height;
  const auto poolRow = [&](int y, int worker) {
    kernels_.poolRow(p, y, step, steps, strip, counts, workers_[worker].scratch.as<uint8_t>());
  };
  // estimates of a cell that several windows share are written by each of them
  const bool estimates = p.rule == PoolRule::kGateExponential || p.rule == PoolRule::kGateFir;
  if (estimates && p.size > p.stride) {
    for (int y = 0; y < p.outHeight; y++) poolRow(y, 0);
  } else {
    shareRows(p.outHeight, poolRow);
  }
  swapEstimates(stage);
}

void Engine::outputPotential(int index, double* potential, const double* factors) {
  Stage& stage = stages_[index];
  Convolution& c = stage.convolution;
  const int64_t times = stage.step;
  const bool onImage = stage.spec.input < 0;
  WindowBuffer window{};
  if (!onImage) window = countsWindow(stage);
  shareRows(c.outHeight, [&](int y, int worker) {
    int64_t* sums = workers_[worker].sums.as<int64_t>();
    if (!onImage) {
      kernels_.sumRow(c, y, window, 0, c.paddedFilters, sums, workers_[worker].scratch.as<uint8_t>());
    }
    double* row = potential + size_t(y) * c.outWidth * c.filters;
    for (int x = 0; x < c.outWidth; x++) {
      const size_t cell = (size_t(y) * c.outWidth + x) * c.paddedFilters;
      for (int f = 0; f < c.filters; f++) {
        const int64_t v = onImage ? times * c.current[cell + f] : sums[size_t(x) * c.paddedFilters + f] + times * c.bias[f];
        row[size_t(x) * c.filters + f] = double(v);
      }
      for (int f = 0; factors && f < c.filters; f++) {
        row[size_t(x) * c.filters + f] *= factors[f];
      }
    }
  });
}

void Engine::counts(int index, int32_t* counts) {
  Stage& stage = stages_[index];
  const SpikeBuffer& out = stage.output;
  const size_t cells = size_t(out.height) * out.width;
  if (stage.unkept && stage.fusedPool < 0) {
    const bool wide = kernels_.spikeBytes(isWide()) == 2;
    for (size_t cell = 0; cell < cells; cell++) {
      for (int channel = 0; channel < out.channels; channel++) {
        const size_t at = cell * out.paddedChannels + channel;
        *counts++ = spikeAt(out, at, wide);
      }
    }
    return;
  }
  settle(stage);
  for (size_t cell = 0; cell < cells; cell++) {
    std::memcpy(counts + cell * out.channels, out.counts + cell * out.paddedChannels, size_t(out.channels) * 4);
  }
}

const char* Engine::emit(int index, const int32_t* counts) {
  Stage& stage = stages_[index];
  if (stage.step == 0 || stage.lastSteps != 1) return "an island sends in a step that was run alone";
  if (stage.step - 1 != stage.spec.startDelay) return "an island sends in the step in which its start delay ends";
  stage.blank = false;
  const SpikeBuffer& out = stage.output;
  const size_t cells = size_t(out.height) * out.width;
  const bool wide = kernels_.spikeBytes(isWide()) == 2;
  for (size_t cell = 0; cell < cells; cell++) {
    for (int channel = 0; channel < out.channels; channel++) {
      const int32_t count = counts[cell * out.channels + channel];
      const size_t at = cell * out.paddedChannels + channel;
      out.counts[at] = count;
      if (wide) reinterpret_cast<int16_t*>(out.data)[at] = int16_t(count);
      else reinterpret_cast<int8_t*>(out.data)[at] = int8_t(count);
    }
  }
  stage.silent = false;
  return nullptr;
}

void Engine::multiply(const double* left, const double* right, double* out, int rows, int inner, int columns) {
  constexpr int kRows = 16;
  shareRows((rows + kRows - 1) / kRows, [&](int part, int) {
    const int first = part * kRows;
    kernels_.multiply(left + size_t(first) * inner, right, out + size_t(first) * columns, std::min(kRows, rows - first), inner,
                      columns);
  });
}

void Engine::state(int index, int32_t* counts, int32_t* potential) {
  settle(stages_[index]);
  const Convolution& c = stages_[index].convolution;
  const size_t cells = size_t(c.outHeight) * c.outWidth;
  for (size_t cell = 0; cell < cells; cell++) {
    std::memcpy(counts + cell * c.filters, c.counts + cell * c.paddedFilters, size_t(c.filters) * 4);
    std::memcpy(potential + cell * c.filters, c.potential + cell * c.paddedFilters, size_t(c.filters) * 4);
  }
}

}  // namespace spiking
