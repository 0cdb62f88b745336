#include "stream.h"

#include <algorithm>
#include <cstring>

namespace spiking {

namespace {

// What a listed word costs in the words of a dense tile, and a cell that has some, for convolutions of all channels and for
// channelwise ones.
struct ChangeCosts {
  double word, cell;
};
constexpr ChangeCosts kCosts = {3, 8};
constexpr ChangeCosts kChannelCosts = {20, 16};

int32_t saturate(int64_t v) { return int32_t(std::min<int64_t>(std::max<int64_t>(v, -kPotentialLimit), kPotentialLimit)); }

}  // namespace

Stream::Stream(const Kernels& kernels, const std::vector<StageSpec>& specs, int gamma, int threads, int steps, int hold,
               bool digits)
    : Engine(kernels, specs, gamma, 1, threads, Method::kMeasured, false, true),
      steps_(steps),
      hold_(hold),
      wide_(kernels.spikeBytes(isWide()) == 2) {
  kept_.resize(stages_.size());
  routes_.resize(stages_.size());
  image_.changes.digits = false;
  size_t filters = 0, rows = 0, cells = 0, row = 0, sums = 0;
  for (size_t i = 0; i < stages_.size(); i++) {
    Stage& stage = stages_[i];
    const StageSpec& spec = stage.spec;
    filters = std::max(filters, size_t(spec.filters) + kFilterGroup);
    rows = std::max({rows, size_t(spec.height), size_t(spec.outHeight)});
    cells = std::max(cells, size_t(spec.outWidth));
    if (spec.fires) row = std::max(row, size_t(spec.outWidth) * stage.output.paddedChannels * 2);
    kept_[i].changes.digits = digits;
    if (spec.kind == StageKind::kGather) planRoutes(int(i));
    if (spec.fires) plan(kept_[i], stage.output, stage.output.paddedChannels * (wide_ ? 2 : 1) / 4);
    if (!spec.isConvolution()) continue;
    kept_[i].known = Memory(spec.outHeight);
    sums = std::max(sums, size_t(spec.outWidth) * stage.convolution.paddedFilters);
    // Σ|W| and the bias of any filter, by the largest inputs of one step: a pixel, or a whole count of a window
    const int64_t input = spec.input < 0 ? 255 * steps : 127;
    kept_[i].largestSum = input * spec.gain + steps * largestMagnitude(spec.bias, spec.filters);
    if (spec.input < 0 && pixels_.size() == 0) {
      plan(image_, {spec.height, spec.width, spec.channels, spec.channels, nullptr, nullptr}, stage.convolution.words);
      pixels_ = Memory(pixelBytes_);
    }
  }
  bias_ = Memory(filters * 4);
  ways_ = Memory(rows);
  needed_ = Memory(rows);
  for (int i = 0; i < pool_.threads(); i++) {
    marked_.push_back(Memory(cells));
    now_.push_back(Memory(row));
    rowSums_.push_back(Memory(sums * 4));
  }
}

void Stream::plan(Kept& kept, const SpikeBuffer& output, int cellWords) {
  const size_t cells = size_t(output.height) * output.width;
  const size_t rows = output.height;
  Changes& c = kept.changes;
  c.height = output.height;
  c.width = output.width;
  c.paddedChannels = output.paddedChannels;
  c.values = output.data;
  // of a row in which more than a quarter of the words changed, nearly all that hear it compute afresh
  c.capacity = std::max(output.width * cellWords / 4, 16);
  kept.words = Memory(rows * (c.capacity + 16) * 2);
  kept.deltas = Memory(rows * (c.capacity + 16) * 4);
  kept.first = Memory(rows * (output.width + 1) * 4);
  kept.sums = Memory(cells * 4);
  kept.sent = Memory(cells * 4);
  kept.rows = Memory(rows);
  kept.listed = Memory(rows * 4);
  kept.changedCells = Memory(rows * 4);
  kept.groups = Memory(rows * 4);
  kept.spikes = Memory(rows * 8);
  c.words = kept.words.as<uint16_t>();
  c.deltas = kept.deltas.as<uint32_t>();
  c.first = kept.first.as<int32_t>();
  c.sums = kept.sums.as<int32_t>();
  c.sent = kept.sent.as<int32_t>();
  c.rows = kept.rows.as<RowState>();
  c.listed = kept.listed.as<int32_t>();
  c.changedCells = kept.changedCells.as<int32_t>();
  c.groups = kept.groups.as<int32_t>();
  c.spikes = kept.spikes.as<double>();
}

void Stream::reset() {
  for (size_t i = 0; i < stages_.size(); i++) {
    Stage& stage = stages_[i];
    kept_[i].fresh = true;
    stage.counters = {};
    stage.synapticOperations = 0;
    if (stage.spec.fires)
      std::memset(stage.output.data, 0, neurons(int(i)) / stage.spec.filters * stage.output.paddedChannels * (wide_ ? 2 : 1));
    if (kept_[i].changes.rows) std::memset(kept_[i].changes.rows, 0, kept_[i].changes.height);
  }
}

void Stream::endQuietRow(Kept& kept, int y) {
  Changes& c = kept.changes;
  c.rows[y] = RowState::kQuiet;
  c.listed[y] = c.changedCells[y] = c.groups[y] = 0;
  c.spikes[y] = 0;
}

// What changed of an image's row: in 8 bits as up to three words, since a pixel's change may be ±255.
template <class Spike>
void Stream::compareImage(const uint8_t* pixels, int y) {
  const Changes& c = image_.changes;
  const int channels = c.paddedChannels;
  constexpr int kChannels = 4 / int(sizeof(Spike));
  constexpr int kMost = sizeof(Spike) == 1 ? 127 : 255;
  uint8_t* kept = pixels_.as<uint8_t>() + size_t(y) * c.width * channels;
  const uint8_t* now = pixels + size_t(y) * c.width * channels;
  if (std::memcmp(kept, now, size_t(c.width) * channels) == 0) return endQuietRow(image_, y);
  // more bytes changed than all words of its list have: nearly all rows of a camera's noise
  const int bytes = c.width * channels, most = (c.capacity + 1) * kChannels;
  int different = 0;
  for (int i = 0; i < bytes && different <= most;) {
    uint8_t some = 0;
    for (const int end = std::min(bytes, i + 128); i < end; i++) some += kept[i] != now[i];
    different += some;
  }
  if (different > most) {
    std::memcpy(kept, now, size_t(c.width) * channels);
    c.rows[y] = RowState::kFull;
    c.listed[y] = c.changedCells[y] = 0;
    return;
  }
  uint16_t* words = c.words + size_t(y) * (c.capacity + 16);
  uint32_t* deltas = c.deltas + size_t(y) * (c.capacity + 16);
  int32_t* first = c.first + size_t(y) * (c.width + 1);
  int count = 0, cells = 0, x = 0;
  for (; x < c.width && count <= c.capacity; x++, kept += channels, now += channels) {
    first[x] = count;
    int sum = 0;
    bool changed = false;
    for (int from = 0; from < channels; from += kChannels) {
      const int end = std::min(kChannels, channels - from);
      int left[kChannels] = {};
      bool any = false;
      for (int i = 0; i < end; i++) {
        left[i] = int(now[from + i]) - kept[from + i];
        sum += left[i];
        any |= left[i] != 0;
      }
      changed |= any;
      while (any && count <= c.capacity) {
        Spike part[kChannels];
        any = false;
        for (int i = 0; i < kChannels; i++) {
          part[i] = Spike(std::min(std::max(left[i], -kMost), kMost));
          left[i] -= part[i];
          any |= left[i] != 0;
        }
        words[count] = uint16_t(from / kChannels);
        std::memcpy(deltas + count++, part, 4);
      }
    }
    std::memcpy(kept, now, channels);
    c.sums[size_t(y) * c.width + x] = sum;
    cells += changed;
  }
  // what is not listed is taken over all the same
  std::memcpy(kept, now, size_t(c.width - x) * channels);
  first[c.width] = count;
  c.rows[y] = count > c.capacity ? RowState::kFull : RowState::kListed;
  c.listed[y] = count;
  c.changedCells[y] = cells;
}

void Stream::begin(const uint8_t* pixels) {
  picture_++;
  for (Stage& stage : stages_) {
    stage.counters = {};
    stage.synapticOperations = 0;
  }
  if (pixels_.size() == 0) return;
  shareRows(image_.changes.height,
            [&](int y, int) { wide_ ? compareImage<int16_t>(pixels, y) : compareImage<int8_t>(pixels, y); });
}

const char* Stream::run(int index, int step, int steps) {
  Stage& stage = stages_[index];
  if (step != steps_ - 1 || steps != 1) return "a stage of a stream runs its last step alone";
  if (stage.step == picture_) return "a stage of a stream runs once a picture";
  if (stage.spec.input >= 0 && stages_[stage.spec.input].step != picture_) return "the input stage must have run";
  for (int input : stage.spec.inputs) {
    if (stages_[input].step != picture_) return "the input stages must have run";
  }
  if (stage.spec.isConvolution()) runConvolution(index);
  else if (stage.spec.kind == StageKind::kPool) runPool(index);
  else if (stage.spec.kind == StageKind::kGather) runGather(index);
  else
    for (int y = 0; y < stage.spec.outHeight; y++) endQuietRow(kept_[index], y);
  stage.step = picture_;
  if (stage.spec.kind != StageKind::kIsland) {
    kept_[index].fresh = false;
    count(index);
  }
  return nullptr;
}

// Spikes that a stage has sent, and operations that its input's have cost.
void Stream::count(int index) {
  Stage& stage = stages_[index];
  const StageSpec& spec = stage.spec;
  const Changes& own = kept_[index].changes;
  stage.counters.spikes = 0;
  for (int y = 0; spec.fires && y < own.height; y++) stage.counters.spikes += own.spikes[y];
  if (!spec.isConvolution() || spec.input < 0) return;
  const Changes& input = inputOf(stage);
  double operations = 0;
  for (int y = 0; y < input.height; y++) {
    if (input.rows[y] == RowState::kQuiet) continue;
    const int32_t* sent = input.sent + size_t(y) * input.width;
    int64_t row = 0;
    for (int x = 0; x < input.width; x++) row += int64_t(sent[x]) * stage.convolution.fanColumns[x];
    operations += double(row) * stage.convolution.fanRows[y];
  }
  stage.synapticOperations = operations * spec.reach;
}

// Decides for each output row how its sums come to be; returns true if some are computed afresh.
bool Stream::planRows(const Stage& stage, Kept& kept) {
  const Convolution& c = stage.convolution;
  const bool passes = stage.spec.fires && isAtOnce(stage);
  Known* known = kept.known.as<Known>();
  const Changes& input = inputOf(stage);
  const ChangeCosts costs = c.channelwise ? kChannelCosts : kCosts;
  Way* ways = ways_.as<Way>();
  uint8_t* needed = needed_.as<uint8_t>();
  std::memset(needed, 0, c.height);
  const double columns = double(c.size) / c.stride;
  bool afresh = false;
  for (int y = 0; y < c.outHeight; y++) {
    const int first = std::max(0, y * c.stride - c.padding);
    const int end = std::min(c.height, y * c.stride - c.padding + c.size);
    bool quiet = true, full = kept.fresh;
    double words = 0, cells = 0;
    for (int row = first; row < end; row++) {
      if (input.rows[row] == RowState::kQuiet) continue;
      quiet = false;
      full |= input.rows[row] == RowState::kFull;
      words += input.listed[row];
      cells += input.changedCells[row];
    }
    const double listed = (words * costs.word + cells * costs.cell) * columns;
    const double all = double(c.outWidth) * c.size * (end - first) * c.words;
    const bool dense = full || listed > all;
    ways[y] = dense ? Way::kAfresh : quiet ? Way::kQuiet : known[y] == Known::kLost ? Way::kAfresh : Way::kChanges;
    if (ways[y] == Way::kQuiet) continue;
    if (dense && passes && !kept.fresh && known[y] != Known::kKept) ways[y] = Way::kPassing;
    known[y] = ways[y] == Way::kChanges ? Known::kKept : ways[y] == Way::kAfresh ? Known::kKeptAfresh : Known::kLost;
    if (ways[y] == Way::kChanges) continue;
    afresh = true;
    for (int row = first; row < end; row++) needed[row] = 1;
  }
  return afresh;
}

void Stream::runConvolution(int index) {
  Stage& stage = stages_[index];
  Kept& kept = kept_[index];
  Convolution& c = stage.convolution;
  const StageSpec& spec = stage.spec;
  const bool onImage = spec.input < 0;
  const bool afresh = planRows(stage, kept);
  const Way* ways = ways_.as<Way>();
  const Changes& input = inputOf(stage);
  int32_t* sums = onImage ? stage.current.as<int32_t>() : c.potential;
  const size_t rowSums = size_t(c.outWidth) * c.paddedFilters;

  HoldRule rule{};
  rule.times = onImage ? steps_ : 1;
  rule.hold = kept.fresh ? kNearest : hold_;
  rule.far = onImage && kept.largestSum >= int64_t(1) << 31;
  rule.bounded = kept.largestSum < kPotentialLimit;
  rule.limits = stage.hold.as<int32_t>();

  const WindowBuffer window = afresh ? inputWindow(stage) : WindowBuffer{};
  const bool atOnce = isAtOnce(stage);
  // of a layer whose weights are large, those of a tile of filters serve all rows before the next one's turn
  if (!atOnce) {
    const int filtersAtOnce = c.tileGroups * kFilterGroup;
    const int tiles = (c.paddedFilters + filtersAtOnce - 1) / filtersAtOnce;
    shareRows(tiles, [&](int tile, int worker) {
      uint8_t* scratch = workers_[worker].scratch.as<uint8_t>();
      const int filter = tile * filtersAtOnce;
      const int filters = std::min(filtersAtOnce, c.paddedFilters - filter);
      for (int y = 0; y < c.outHeight; y++) {
        int32_t* row = sums + y * rowSums;
        if (ways[y] == Way::kAfresh) kernels_.sumInputRow(c, y, &window, bias_.as<int32_t>(), filter, filters, row, scratch);
        if (ways[y] == Way::kChanges)
          kernels_.addChangesRow(c, input, y, filter, filters, row, marked_[worker].as<uint8_t>(), scratch);
      }
    });
  }
  shareRows(c.outHeight, [&](int y, int worker) {
    uint8_t* scratch = workers_[worker].scratch.as<uint8_t>();
    uint8_t* reached = marked_[worker].as<uint8_t>();
    const bool passing = ways[y] == Way::kPassing;
    int32_t* row = passing ? rowSums_[worker].as<int32_t>() : sums + y * rowSums;
    if (passing || (ways[y] == Way::kAfresh && atOnce)) sumAfresh(stage, window, y, row, scratch);
    else if (ways[y] == Way::kChanges && atOnce) kernels_.addChangesRow(c, input, y, 0, c.paddedFilters, row, reached, scratch);
    if (!spec.fires) return;
    if (ways[y] == Way::kQuiet) return endQuietRow(kept, y);
    if (ways[y] == Way::kChanges && !atOnce) {
      for (int x = 0; x < c.outWidth; x++)
        reached[x] = changedWithin(input, y * c.stride - c.padding, c.size, x * c.stride - c.padding, c.size);
    }
    const uint8_t* marked = ways[y] == Way::kChanges ? reached : nullptr;
    const size_t rowBytes = size_t(c.outWidth) * c.paddedFilters * (wide_ ? 2 : 1);
    uint8_t* now = now_[worker].as<uint8_t>();
    kernels_.holdRow(c, rule, row, marked, kept.changes.values + y * rowBytes, now);
    kernels_.compareRow(kept.changes, wide_, y, now, marked);
  });
}

bool Stream::changedWithin(const Changes& changes, int row, int rows, int column, int columns) {
  const int endRow = std::min(row + rows, changes.height), endColumn = std::min(column + columns, changes.width);
  for (int y = std::max(row, 0); y < endRow; y++) {
    if (changes.rows[y] == RowState::kQuiet) continue;
    for (int x = std::max(column, 0); x < endColumn; x++) {
      if (changes.sent[size_t(y) * changes.width + x] != 0) return true;
    }
  }
  return false;
}

void Stream::runPool(int index) {
  const Pool& p = stages_[index].pool;
  const Changes& input = inputOf(stages_[index]);
  Kept& kept = kept_[index];
  shareRows(p.outHeight, [&](int y, int worker) {
    const int firstRow = y * p.stride - p.offset;
    if (!kept.fresh && !changedWithin(input, firstRow, p.size, 0, p.width)) return endQuietRow(kept, y);
    uint8_t *now = now_[worker].as<uint8_t>(), *marked = marked_[worker].as<uint8_t>();
    bool all = true;
    for (int x = 0; x < p.outWidth; x++) {
      marked[x] = kept.fresh || changedWithin(input, firstRow, p.size, x * p.stride - p.offset, p.size);
      all = all && marked[x];
    }
    kernels_.largestRow(p, input, y, marked, now);
    kernels_.compareRow(kept.changes, wide_, y, now, all ? nullptr : marked);
  });
}

void Stream::planRoutes(int index) {
  const Stage& stage = stages_[index];
  const StageSpec& spec = stage.spec;
  std::vector<Route>& routes = routes_[index];
  for (const Run& run : stage.runs) {
    auto found = std::find_if(routes.begin(), routes.end(),
                              [&](const Route& r) { return r.input == spec.inputs[run.input] && r.shift == run.shift; });
    if (found == routes.end()) found = routes.insert(routes.end(), Route{spec.inputs[run.input], run.shift, {}, {}, {}});
    found->runs.push_back(run);
  }
  for (Route& route : routes) {
    std::vector<std::vector<int>> targets(stages_[route.input].output.paddedChannels);
    for (const Run& run : route.runs) {
      for (int i = 0; i < run.length; i++) targets[run.from + i].push_back(run.to + i);
    }
    for (const std::vector<int>& each : targets) {
      route.first.push_back(int(route.targets.size()));
      route.targets.insert(route.targets.end(), each.begin(), each.end());
    }
    route.first.push_back(int(route.targets.size()));
  }
}

// Brings what changed of a route's input cell to its places in an output cell.
template <class Spike>
void Stream::follow(const Route& route, bool fresh, int row, int column, uint8_t* now) const {
  const SpikeBuffer& source = stages_[route.input].output;
  const Changes& input = kept_[route.input].changes;
  const Spike* values =
      reinterpret_cast<const Spike*>(source.data) + (size_t(row) * input.width + column) * source.paddedChannels;
  Spike* target = reinterpret_cast<Spike*>(now);
  constexpr int kChannels = 4 / int(sizeof(Spike));
  const int32_t* first = input.first + size_t(row) * (input.width + 1) + column;
  // runs take about as long as channels one by one
  const bool all = fresh || input.rows[row] == RowState::kFull || size_t(first[1] - first[0]) * kChannels > route.runs.size();
  if (all) {
    for (const Run& run : route.runs) {
      if (run.length == 1) target[run.to] = values[run.from];
      else std::memcpy(target + run.to, values + run.from, size_t(run.length) * sizeof(Spike));
    }
    return;
  }
  const uint16_t* words = input.words + size_t(row) * (input.capacity + 16);
  for (int i = first[0]; i < first[1]; i++) {
    for (int channel = words[i] * kChannels; channel < (words[i] + 1) * kChannels; channel++) {
      for (int k = route.first[channel]; k < route.first[channel + 1]; k++) target[route.targets[k]] = values[channel];
    }
  }
}

void Stream::runGather(int index) {
  const StageSpec& spec = stages_[index].spec;
  Kept& kept = kept_[index];
  const size_t cellBytes = size_t(kept.changes.paddedChannels) * (wide_ ? 2 : 1);
  shareRows(spec.outHeight, [&](int y, int worker) {
    const auto rowOf = [&](const Route& route) { return sourceCell(y, spec.scale, spec.height, route.shift & 2); };
    uint8_t *now = now_[worker].as<uint8_t>(), *marked = marked_[worker].as<uint8_t>();
    bool quiet = true;
    for (const Route& route : routes_[index]) {
      const int row = rowOf(route);
      const Changes& input = kept_[route.input].changes;
      if (!kept.fresh && input.rows[row] == RowState::kQuiet) continue;
      if (quiet) std::memset(marked, 0, spec.outWidth);
      quiet = false;
      for (int x = 0; x < spec.outWidth; x++) {
        const int column = sourceCell(x, spec.scale, spec.width, route.shift & 1);
        if (!kept.fresh && input.sent[size_t(row) * input.width + column] == 0) continue;
        uint8_t* cell = now + x * cellBytes;
        if (!marked[x]) std::memcpy(cell, kept.changes.values + (size_t(y) * spec.outWidth + x) * cellBytes, cellBytes);
        marked[x] = 1;
        wide_ ? follow<int16_t>(route, kept.fresh, row, column, cell) : follow<int8_t>(route, kept.fresh, row, column, cell);
      }
    }
    if (quiet) return endQuietRow(kept, y);
    const bool all = std::memchr(marked, 0, spec.outWidth) == nullptr;
    kernels_.compareRow(kept.changes, wide_, y, now, all ? nullptr : marked);
  });
}

const char* Stream::emit(int index, const int32_t* counts) {
  Kept& kept = kept_[index];
  if (stages_[index].step != picture_) return "an island sends when it has run";
  const Changes& c = kept.changes;
  const int channels = stages_[index].spec.channels;
  uint8_t* now = now_[0].as<uint8_t>();
  for (int y = 0; y < c.height; y++) {
    for (int x = 0; x < c.width; x++) {
      for (int channel = 0; channel < channels; channel++) {
        const size_t at = size_t(x) * c.paddedChannels + channel;
        if (wide_) reinterpret_cast<int16_t*>(now)[at] = int16_t(*counts++);
        else now[at] = uint8_t(*counts++);
      }
      const size_t end = size_t(x) * c.paddedChannels + channels, bytes = wide_ ? 2 : 1;
      std::memset(now + end * bytes, 0, (c.paddedChannels - channels) * bytes);
    }
    kernels_.compareRow(c, wide_, y, now, nullptr);
  }
  kept.fresh = false;
  count(index);
  return nullptr;
}

WindowBuffer Stream::inputWindow(const Stage& stage) {
  const Convolution& c = stage.convolution;
  const uint8_t* needed = needed_.as<uint8_t>();
  if (stage.spec.input < 0) return imageWindow(stage, pixels_.as<uint8_t>(), needed);
  for (int f = 0; f < c.paddedFilters; f++) bias_.as<int32_t>()[f] = steps_ * c.bias[f];
  return c.channelwise ? WindowBuffer{} : spikesWindow(stage, needed);
}

void Stream::sumAfresh(const Stage& stage, const WindowBuffer& window, int y, int32_t* row, uint8_t* scratch) const {
  const Convolution& c = stage.convolution;
  if (stage.spec.input < 0) kernels_.presentRow(c, y, window, row, scratch);
  else kernels_.sumInputRow(c, y, &window, bias_.as<int32_t>(), 0, c.paddedFilters, row, scratch);
}

// Sums of rows that have not been kept, for readers: from the counts that came in, which are.
void Stream::findSums(int index) {
  Stage& stage = stages_[index];
  const Convolution& c = stage.convolution;
  Known* known = kept_[index].known.as<Known>();
  uint8_t* needed = needed_.as<uint8_t>();
  bool any = false;
  std::memset(needed, 0, c.height);
  for (int y = 0; y < c.outHeight; y++) {
    if (known[y] != Known::kLost) continue;
    any = true;
    const int first = std::max(0, y * c.stride - c.padding);
    std::fill(needed + first, needed + std::min(c.height, y * c.stride - c.padding + c.size), 1);
  }
  if (!any) return;
  int32_t* sums = stage.spec.input < 0 ? stage.current.as<int32_t>() : c.potential;
  const WindowBuffer window = inputWindow(stage);
  shareRows(c.outHeight, [&](int y, int worker) {
    if (known[y] != Known::kLost) return;
    int32_t* row = sums + size_t(y) * c.outWidth * c.paddedFilters;
    sumAfresh(stage, window, y, row, workers_[worker].scratch.as<uint8_t>());
    known[y] = Known::kKeptAfresh;
  });
}

// The whole input of the neuron at place i of (outHeight, outWidth, paddedFilters).
int64_t Stream::sumOf(const Stage& stage, size_t i) const {
  return stage.spec.input < 0 ? int64_t(steps_) * stage.convolution.current[i] : stage.convolution.potential[i];
}

void Stream::outputPotential(int index, double* potential, const double* factors) {
  const Stage& stage = stages_[index];
  const Convolution& c = stage.convolution;
  shareRows(c.outHeight, [&](int y, int) {
    for (size_t cell = size_t(y) * c.outWidth; cell < size_t(y + 1) * c.outWidth; cell++) {
      double* row = potential + cell * c.filters;
      for (int f = 0; f < c.filters; f++) row[f] = double(sumOf(stage, cell * c.paddedFilters + f));
      for (int f = 0; factors && f < c.filters; f++) row[f] *= factors[f];
    }
  });
}

void Stream::counts(int index, int32_t* counts) {
  const SpikeBuffer& out = stages_[index].output;
  for (size_t cell = 0; cell < size_t(out.height) * out.width; cell++) {
    for (int i = 0; i < out.channels; i++) {
      const size_t at = cell * out.paddedChannels + i;
      *counts++ = wide_ ? reinterpret_cast<const int16_t*>(out.data)[at] : reinterpret_cast<const int8_t*>(out.data)[at];
    }
  }
}

void Stream::state(int index, int32_t* counts, int32_t* potential) {
  findSums(index);
  const Stage& stage = stages_[index];
  const Convolution& c = stage.convolution;
  this->counts(index, counts);
  for (size_t cell = 0; cell < size_t(c.outHeight) * c.outWidth; cell++) {
    for (int f = 0; f < c.filters; f++) {
      const size_t i = cell * c.filters + f;
      const int64_t amount = c.firing[(counts[i] >= 0 ? 2 : 7) * c.paddedFilters + f];
      const int64_t sum = saturate(sumOf(stage, cell * c.paddedFilters + f));
      potential[i] = int32_t(c.curve ? sum : sum - amount * counts[i]);
    }
  }
}

double Stream::changed(int index) const {
  const Changes& c = kept_[index].changes;
  double groups = 0;
  for (int y = 0; y < c.height; y++) groups += c.groups[y];
  return groups;
}

}  // namespace spiking
