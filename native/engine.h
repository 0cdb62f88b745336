// The state of one network of integrate-and-fire neurons: memory and the order of work; kernels do the arithmetic.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels.h"
#include "thread_pool.h"

namespace spiking {

// The largest magnitude among numbers.
template <class Value>
int64_t largestMagnitude(const Value* values, size_t count) {
  Value high = 0, low = 0;
  for (size_t i = 0; i < count; i++) {
    high = values[i] > high ? values[i] : high;
    low = values[i] < low ? values[i] : low;
  }
  return std::max<int64_t>(high, -int64_t(low));
}

// A stage as the plan describes it (src/engine/plan.ts). Arrays are copied.
enum class StageKind { kConvolution, kPool, kGather, kIsland };
struct StageSpec {
  StageKind kind;
  int input;  // stage index, −1 for the image or a gather
  int height, width, channels, outHeight, outWidth, size, stride;
  // convolution
  int filters, padding;
  bool wide, fires, channelwise, curveLinear;
  int curveEntries;  // 0 if the neurons have no curve
  const int32_t* curve;
  const int32_t* curveFactors;
  int reach;  // filters that a spike reaches at an output cell
  int startDelay;
  const void* weights;
  int64_t gain;  // the largest Σ|W| of a filter
  const int32_t* bias;
  const int32_t* firing;
  const int32_t* startPotential;
  const int32_t* hold;  // (4, filters) of a stream's neurons without a curve, else null
  // pool
  int offset;
  PoolRule rule;
  // gather or island: its stages; of a gather, how often cells are repeated, and of each channel the place of its stage and the channel there
  std::vector<int> inputs;
  int scale;
  const int32_t* sources;
  const uint8_t* shifts;  // of each channel: 1 from the nearer neighbour beside, 2 above or below

  bool isConvolution() const { return kind == StageKind::kConvolution; }
};

// The cell that repeated cell `out` comes from along one axis, or the nearer of that one's neighbours.
inline int sourceCell(int out, int scale, int extent, bool shifted) {
  const int cell = out / scale;
  if (!shifted) return cell;
  return out % 2 == 0 ? (cell > 0 ? cell - 1 : 0) : (cell + 1 < extent ? cell + 1 : extent - 1);
}

// Memory for a kernel: aligned to cache lines, zeroed, with room for reads past its end. Throws std::bad_alloc.
class Memory {
 public:
  Memory() = default;
  explicit Memory(size_t bytes);
  ~Memory();
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  size_t size() const { return bytes_; }

 private:
  void* allocated_ = nullptr;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// Packed weights up to this size stay in cache while all filters of a cell are computed; larger layers go filter tile by filter
// tile.
constexpr size_t kCachedWeights = 256 * 1024;

// How convolutions compute; for the benchmark and tests, since results are the same.
enum class Method {
  kMeasured,   // dense or by events, layer by layer and block by block, by what the input holds
  kDense,      // in tiles of steps
  kEveryWord,  // in tiles of steps, with silent words too
  kEvents,     // step by step, with the words that are not silent in it
};

class Engine {
 public:
  // `onDemand`: what neurons keep beyond spikes that they send once is computed again when it is asked for.
  Engine(const Kernels& kernels, const std::vector<StageSpec>& specs, int gamma, int blockLength, int threads, Method method,
         bool onDemand = false, bool stream = false);
  virtual ~Engine() = default;

  virtual void begin(const uint8_t* pixels);
  // Returns null, or why the call does not fit the order that EngineInstance.run describes.
  virtual const char* run(int stage, int step, int steps);
  // Each times its channel's factor, if there are any.
  virtual void outputPotential(int stage, double* potential, const double* factors);
  virtual void state(int stage, int32_t* counts, int32_t* potential);
  // Cumulative counts that a stage has sent, (outHeight, outWidth, channels).
  virtual void counts(int stage, int32_t* counts);
  // Sends an island's counts in the step that has just been run. Returns null, or why it cannot.
  virtual const char* emit(int stage, const int32_t* counts);

  // A product of matrices, (rows, inner) by (inner, columns).
  void multiply(const double* left, const double* right, double* out, int rows, int inner, int columns);

  int stageCount() const { return int(stages_.size()); }
  bool isConvolution(int stage) const { return stages_[stage].spec.isConvolution(); }
  bool fires(int stage) const { return isConvolution(stage) && stages_[stage].spec.fires; }
  bool sends(int stage) const { return stages_[stage].spec.fires; }
  bool isIsland(int stage) const { return stages_[stage].spec.kind == StageKind::kIsland; }
  size_t neurons(int stage) const;
  size_t channelsOf(int stage) const { return stages_[stage].spec.filters; }
  size_t pixelBytes() const { return pixelBytes_; }
  double spikes(int stage) const { return stages_[stage].counters.spikes; }
  double clipped(int stage) const { return stages_[stage].counters.clipped; }
  // What a convolution had to compute with, over all blocks.
  struct Load {
    double everyWord, dense, events, lists;  // `lists` for each tile of filter groups, the others for each group
    double blocks, eventBlocks;
  };
  const Load& load(int stage) const { return stages_[stage].load; }
  double synapticOperations(int stage) const { return stages_[stage].synapticOperations; }

 protected:
  // Channels of a gather that lie side by side in one of its stages, too.
  struct Run {
    int input, from, to, length, shift;
  };
  // Channels side by side in a stage that go to every `step`th one of a gather.
  struct Comb {
    int input, from, to, length, step;
  };
  struct Stage {
    StageSpec spec;
    int step = 0;        // steps run since begin
    bool silent = true;  // no spike in the block at hand, whose buffer is then stale
    int fusedPool = -1;  // the pool that takes this convolution's rows directly
    bool fused = false;  // (a pool) run by its convolution
    Convolution convolution{};
    Pool pool{};
    SpikeBuffer output{};
    Counters counters{};
    double synapticOperations = 0;
    std::vector<Run> runs;
    std::vector<Comb> combs;  // the same channels, those of a shuffle together
    Load load{};
    int64_t largestCurrent = 0;
    int delay = 0;             // steps in which nothing can come out
    int lastSteps = 0;         // steps of the last block
    bool stale = false;        // (a gather or a pool) counts are still to be written: they are the spikes of its last step
    bool blank = false;        // (a gather, a pool, an island) its counts are 0, whatever its memory holds
    bool unkept = false;       // (a convolution) it has fired once and kept neither counts nor potential
    std::vector<int> readers;  // convolutions that take its spikes
    std::shared_ptr<Memory> weights;
    Memory curve, curveFactors, curveScales, curveShort, curvePieces, curveFloats, channelWeights, channelPairs, channelPlaces,
        bias, firing, hold, reciprocals, slopes, startPotential, potential, counts, current, spikes, lists, listSizes, sums,
        fanRows, fanColumns, estimateStart, estimateEnd, recentStart, recentEnd;
  };

  void planConvolution(Stage& stage);
  void planShortCurve(Stage& stage);
  void planChannels(Stage& stage);
  void planSlopes(Stage& stage);
  void planPool(Stage& stage);
  void runConvolution(Stage& stage, int step, int steps);
  void runPool(Stage& stage, int step, int steps);
  void planGather(Stage& stage);
  void planCombs(Stage& stage);
  void planOutput(Stage& stage);
  void runGather(Stage& stage, int steps);
  template <class Spike>
  void gatherSpikes(Stage& stage);
  void endChannelsWindow(Stage& stage, int64_t times, bool narrow, bool keep);
  void sumChannels(const Convolution& c, int y, const Strip& strip, int64_t* sums);
  bool isWide() const;
  int64_t largestCount(const Stage& stage);
  void observe(Stage& stage, int steps, bool listed);
  // True if a stage's counts are the spikes of the step that it has just run alone: none came before.
  bool sentNowOnly(const Stage& stage) const;
  bool prefersEvents(Stage& stage, int steps);
  // Calls fireRow(y, strip, worker) for all rows of a convolution.
  template <class FireRow>
  void runRows(Stage& stage, int step, int steps, FireRow fireRow);
  // Calls work(y, worker) for rows [0, rows), a part of them on each thread.
  template <class Work>
  void shareRows(int rows, Work work) {
    const int threads = pool_.threads();
    pool_.run([&](int worker) {
      const int end = int(int64_t(rows) * (worker + 1) / threads);
      for (int y = int(int64_t(rows) * worker / threads); y < end; y++) work(y, worker);
    });
  }
  void swapEstimates(Stage& stage);
  void endWindow(Stage& stage, int step, bool keep);
  // `needed`: of each input row whether it will be read; null for all of them.
  template <class Value>
  WindowBuffer windowOf(const Stage& stage, const Value* values, int sourceChannels, int planes, int8_t silence,
                        const uint8_t* needed = nullptr);
  WindowBuffer imageWindow(const Stage& stage, const uint8_t* pixels, const uint8_t* needed = nullptr);
  // The counts of a stage that fires once are the spikes of that step.
  WindowBuffer spikesWindow(const Stage& stage, const uint8_t* needed = nullptr);
  int32_t* sumsOf(size_t cells);
  WindowBuffer spikesAsWindow(const Convolution& c, const uint8_t* needed);
  WindowBuffer countsWindow(const Stage& stage);
  void settle(Stage& stage);
  // What neurons have not kept, before spikes that it is computed from are overwritten, or for readers.
  void restore(Stage& stage);
  void restoreReaders(const Stage& stage);

  const Kernels& kernels_;
  const int gamma_;
  const int blockLength_;
  const Method method_;
  const bool onDemand_;
  const bool stream_;  // a Stream, which keeps counts as the spikes that they are
  size_t pixelBytes_ = 0;
  std::vector<Stage> stages_;
  // What each thread has for itself.
  struct Worker {
    Memory scratch, strip, sums;
    Counters counters;
    double operations;
    Activity activity;
  };
  ThreadPool pool_;
  std::vector<Worker> workers_;
  size_t stripBytes_ = 0, sumBytes_ = 0;
  Memory scaledBias_, window_, windowSums_;
};

}  // namespace spiking
