// A network whose counts are kept from picture to picture: what changed goes through it, and nothing else
// (src/engine/reference-stream.ts is the definition).
#pragma once
#include "engine.h"

namespace spiking {

class Stream : public Engine {
 public:
  // `hold` in 256ths of a count; `digits`: spikes are counted as signed digits.
  Stream(const Kernels& kernels, const std::vector<StageSpec>& specs, int gamma, int threads, int steps, int hold, bool digits);

  // Forgets the pictures: the next one is the first again.
  void reset();
  void begin(const uint8_t* pixels) override;
  const char* run(int stage, int step, int steps) override;
  void outputPotential(int stage, double* potential, const double* factors) override;
  void state(int stage, int32_t* counts, int32_t* potential) override;
  void counts(int stage, int32_t* counts) override;
  const char* emit(int stage, const int32_t* counts) override;
  // Groups of 4 neighbouring channels of a cell in which a count changed with this picture.
  double changed(int stage) const;

 private:
  // What changed of a stage's output, or of the image.
  struct Kept {
    Changes changes{};
    Memory words, deltas, first, sums, sent, rows, listed, changedCells, groups, spikes;
    int64_t largestSum = 0;  // (a convolution) that what comes to a neuron may have, by T steps
    Memory known;            // (a convolution) Known of each output row
    bool fresh = true;       // (a stage) it has not run since reset
  };
  // Where the channels of one of a gather's inputs go: those of channel i are targets[first[i]] up to targets[first[i + 1]].
  struct Route {
    int input, shift;
    std::vector<Run> runs;
    std::vector<int> first, targets;
  };
  void plan(Kept& kept, const SpikeBuffer& output, int cellWords);
  void planRoutes(int index);
  void runConvolution(int index);
  void runPool(int index);
  void runGather(int index);
  template <class Spike>
  void follow(const Route& route, bool fresh, int row, int column, uint8_t* now) const;
  template <class Spike>
  void compareImage(const uint8_t* pixels, int y);
  // True if something changed in the cells [row, row + rows) × [column, column + columns) of a map.
  static bool changedWithin(const Changes& changes, int row, int rows, int column, int columns);
  const Changes& inputOf(const Stage& stage) const {
    return stage.spec.input < 0 ? image_.changes : kept_[stage.spec.input].changes;
  }
  void count(int index);
  static void endQuietRow(Kept& kept, int y);
  int64_t sumOf(const Stage& stage, size_t i) const;
  // Whether the sums of an output row of a convolution are at hand. Of rows that are computed afresh picture after picture they are not
  // written: that takes as long as to compute them.
  enum class Known : uint8_t { kKept, kKeptAfresh, kLost };
  // What is decided of each output row of a convolution; kPassing is afresh, without its sums.
  enum class Way : uint8_t { kQuiet, kChanges, kAfresh, kPassing };
  bool planRows(const Stage& stage, Kept& kept);
  // Computes all filters at once, not tile by tile.
  bool isAtOnce(const Stage& stage) const {
    return stage.spec.input < 0 || stage.convolution.channelwise || stage.weights->size() <= kCachedWeights;
  }
  // What rows are computed afresh from, where it is needed: the image or what came in as a window (of a channelwise convolution none, it
  // takes that as it lies there), and T times the biases.
  WindowBuffer inputWindow(const Stage& stage);
  // The sums of all filters of such a row.
  void sumAfresh(const Stage& stage, const WindowBuffer& window, int y, int32_t* row, uint8_t* scratch) const;
  void findSums(int index);

  const int steps_, hold_;
  const bool wide_;  // counts have 16 bits
  std::vector<Kept> kept_;
  std::vector<std::vector<Route>> routes_;  // of each stage
  Kept image_;
  Memory pixels_, bias_, ways_, needed_;
  std::vector<Memory> marked_, now_, rowSums_;  // of each thread: cells of a row, their counts and their sums
  int picture_ = 0;
};

}  // namespace spiking
