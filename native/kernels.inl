// The kernels, written once and compiled once per instruction set. The including file defines, in its own namespace:
//   kVectorBytes and Ints; Mask and its operations (masks.inl where vectors of −1 and 0 serve); storeBytes; floorOf,
//   gatherInts, gatherPairs and widenBytes (lanes.inl where nothing better is there);
//   Op16, Op8 (Spike, kParts, kMaxGroups, rowsOf, kOffset, kEventCosts, kChains, zero, load, broadcast, dot, addMagnitude,
//   store, position): a multiply-add of one 4-byte word of spikes with the weights of 16 / kParts filters; kChains is how
//   many sums of one step run side by side, as one multiply-add waits for the last. With kShortLimit > 0 also one that sums
//   in 16 bits (ShortSum, ShortWeights, shortZero, shortLoad, shortBroadcast, shortDot, widen), exact for kShortLimit / Γ
//   words. Op::Whole, where it is there, takes Op's place for whole counts (windows) of −128 to 127.
// Everything here is exact integer arithmetic, or float arithmetic in one fixed order without fused multiply-add.

#include "tile.inl"
#include "events.inl"
#include "words.inl"
#include "neurons.inl"
#include "steps.inl"
#include "window.inl"
#include "channels.inl"
#include "curves.inl"
#include "pool.inl"
#include "float.inl"
#include "matrix.inl"
#include "stream.inl"

// The table's entries for weights of 16 and of 8 bits, which may use different multiply-adds.
static int spikeBytes(bool wide) { return wide ? sizeof(Op16::Spike) : sizeof(Op8::Spike); }
template <class Op>
static int tileGroupsOf(int groups) {
  return groups < Op::kMaxGroups ? groups : Op::kMaxGroups;
}
static int tileGroups(bool wide, int groups) { return wide ? tileGroupsOf<Op16>(groups) : tileGroupsOf<Op8>(groups); }
static int tileRows(bool wide, int groups) { return wide ? Op16::rowsOf(groups) : Op8::rowsOf(groups); }
static EventCosts eventCosts(bool wide) { return wide ? Op16::kEventCosts : Op8::kEventCosts; }
static constexpr bool pairsSynapses = Synapses::kByPairs;
static constexpr bool picksPieces = Pieces::kPicked;
static bool sumsWindows(bool wide) { return (wide ? Whole<Op16>::kOffset : Whole<Op8>::kOffset) != 0; }
static void sumCells(const uint8_t* cells, int count, int channels, int32_t* sums) {
  sumCellsOf<Whole<Op8>>(cells, count, channels, sums);
}
static void packWeights(const Convolution& c, const void* weights, uint8_t* packed) {
  c.wide ? packWeightsOf<Op16>(c, weights, packed) : packWeightsOf<Op8>(c, weights, packed);
}
static double observeRow(const Convolution& c, int y, int steps) {
  return c.wide ? observeRowOf<Op16>(c, y, steps) : observeRowOf<Op8>(c, y, steps);
}
static void fireRow(const Convolution& c, int y, int steps, const Strip& strip, uint8_t* scratch, Counters& counters) {
  c.wide ? fireRowOf<Op16>(c, y, steps, strip, scratch, counters) : fireRowOf<Op8>(c, y, steps, strip, scratch, counters);
}
static int32_t presentRow(const Convolution& c, int y, const WindowBuffer& window, int32_t* current, uint8_t* scratch) {
  return c.wide ? presentRowOf<Op16>(c, y, window, current, scratch) : presentRowOf<Op8>(c, y, window, current, scratch);
}
static void fireWindowRow(const Convolution& c, int y, const WindowBuffer* window, const int32_t* bias, int32_t times,
                          const Strip& strip, uint8_t* scratch, Counters& counters) {
  c.wide ? fireWindowRowOf<Op16>(c, y, window, bias, times, strip, scratch, counters)
         : fireWindowRowOf<Op8>(c, y, window, bias, times, strip, scratch, counters);
}
static void sumRow(const Convolution& c, int y, const WindowBuffer& window, int firstFilter, int filters, int64_t* sums,
                   uint8_t* scratch) {
  c.wide ? sumRowOf<Op16>(c, y, window, firstFilter, filters, sums, scratch)
         : sumRowOf<Op8>(c, y, window, firstFilter, filters, sums, scratch);
}
static void fireSumsRow(const Convolution& c, int y, const int64_t* sums, int64_t times, const Strip& strip, Counters& counters) {
  c.wide ? fireSumsRowOf<Op16>(c, y, sums, times, strip, counters) : fireSumsRowOf<Op8>(c, y, sums, times, strip, counters);
}
static void fireChannelsRow(const Convolution& c, int y, int steps, const Strip& strip, uint8_t* scratch, Counters& counters) {
  c.wide ? fireChannelsRowOf<Op16>(c, y, steps, strip, scratch, counters)
         : fireChannelsRowOf<Op8>(c, y, steps, strip, scratch, counters);
}
template <class Spike>
static void fireChannelsWindowRowOf(const Convolution& c, int y, bool bySpikes, const int32_t* bias, const Strip& strip,
                                    Counters& counters) {
  if (bySpikes) fireChannelsOnce<Spike>(c, y, reinterpret_cast<const Spike*>(c.input->data), bias, strip, counters);
  else fireChannelsOnce<Spike>(c, y, c.input->counts, bias, strip, counters);
}
static void fireChannelsWindowRow(const Convolution& c, int y, bool bySpikes, const int32_t* bias, const Strip& strip,
                                  Counters& counters) {
  c.wide ? fireChannelsWindowRowOf<Op16::Spike>(c, y, bySpikes, bias, strip, counters)
         : fireChannelsWindowRowOf<Op8::Spike>(c, y, bySpikes, bias, strip, counters);
}
static void poolRow(const Pool& p, int y, int firstStep, int steps, const Strip& strip, const int32_t* inputCounts,
                    uint8_t* scratch) {
  p.spikeBytes == 2 ? poolRowOf<int16_t>(p, y, firstStep, steps, strip, inputCounts, scratch)
                    : poolRowOf<int8_t>(p, y, firstStep, steps, strip, inputCounts, scratch);
}

static constexpr Kernels tableNamed(const char* name) {
  return {
      name,
      pairsSynapses,
      picksPieces,
      spikeBytes,
      tileGroups,
      tileRows,
      eventCosts,
      sumsWindows,
      sumCells,
      packWeights,
      countWords,
      observeRow,
      fireRow,
      presentRow,
      fireWindowRow,
      sumRow,
      fireSumsRow,
      fireChannelsRow,
      fireChannelsWindowRow,
      poolRow,
      convolveFloat,
      multiply,
      addChangesRow,
      sumInputRow,
      holdRow,
      compareRow,
      largestRow,
  };
}
