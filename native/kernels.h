// The kernels' view of a network: plain structures, shared by every instruction set. No STL, no exceptions, no I/O
// in what implements them (kernels.inl and its rooms, isa_*.cpp); engine.cpp owns the memory.
#pragma once
#include <cstddef>
#include <cstdint>

namespace spiking {

// Filters are handled in groups of 16; channels of a spike buffer are padded to the same multiple.
constexpr int kFilterGroup = 16;
constexpr int kMaxGroups = 4;   // filter groups that one tile may cover
constexpr int kTileRows = 8;    // rows, steps or positions, that it may have
constexpr int kFiringRows = 8;  // rows of ConvolutionStage::firing in src/engine/plan.ts
constexpr int32_t kPotentialLimit = 1 << 30;
constexpr int kPieces = 32, kPieceTerms = 5;  // of a curve: polynomials, and their terms from the constant one on

// Spikes of one block of steps, [y][x][step][channel]. Elements are int8 or int16, as the instruction set likes its
// multiply-add; 4 bytes are one "word" of 4 or 2 channels. Channels are padded with zeros to whole filter groups.
struct SpikeBuffer {
  int height, width, channels;
  int paddedChannels;
  uint8_t* data;
  int32_t* counts;  // (height, width, paddedChannels): cumulative N at the end of the block
};

// Whole numbers on a layer's input as "spikes": net counts as base-128 digits in planes, value = Σ plane_k·128^k, or the
// image's bytes in one plane. Each [y + padding][x + padding][channel] with silence around.
struct WindowBuffer {
  uint8_t* data;
  int32_t* sums;   // per cell, the sum over channels
  int widthCells;  // cells of a row, the silent ones included
  int planes;
  size_t planeCells;
};

// Integrate-and-fire convolution. Arrays per filter have paddedFilters values.
// How far off a neuron's spikes by Convolution::slopes may be: 4 roundings of numbers up to 130.
constexpr float kSlopesOff = 0x1p-13f;

struct Convolution {
  int height, width, channels, outHeight, outWidth, filters, size, stride, padding;
  int paddedFilters;
  int words;             // 4-byte words per input cell and step
  const int32_t* curve;  // each value of g (src/engine/curve.ts) and how much more the next one is, or null
  int curveEntries;
  bool curveLinear;
  const int32_t* curveFactors;  // (6, paddedFilters)
  const double* curveScales;    // (3, paddedFilters): the factors as the numbers that they are
  // What sees most counts of a curve in float32, or null: (4, paddedFilters): S to a place, S to counts, a value's unit to counts, and how
  // far off that may be at most, in counts. Values are the table's, halved (20 bits), beside how much more the next is (12); or, where an
  // instruction picks from as many (picksPieces), polynomials of as many pieces, (kPieceTerms, kPieces), of the place in a piece.
  const float* curveFloats;
  const int32_t* curveShort;
  const float* curvePieces;
  bool channelwise;               // filter j hears channels j, filters + j, … alone
  const int32_t* channelWeights;  // (size, size, channels / filters, paddedFilters), if channelwise
  // The same by pairs of synapses, the first in the low half, (channelPairCount, paddedFilters), and where those are: how many values
  // from a kernel's first cell on, (channelPairCount, 2). Null where no instruction takes two (pairsSynapses).
  const int32_t* channelPairs;
  const int32_t* channelPlaces;
  int channelPairCount;
  int tileGroups;          // filter groups of a tile (the last may have fewer)
  int tileRows;            // steps or positions of a tile
  int listRows;            // steps that share a list of words: tileRows, or 1 (events)
  bool wide;               // 16-bit weights
  bool everyWord;          // take silent words too: the benchmark's dense figure
  const uint8_t* weights;  // packed, see packWeights
  const int32_t* bias;
  const int32_t* firing;     // (8, paddedFilters): the plan's rows, but 1 off the limits (0, 1, 4, 5): fires above
  const float* reciprocals;  // (2, paddedFilters): 1 / amount taken up from N ≥ 0, and given down from N ≤ 0
  // What sees most spikes of a neuron that has not fired in float32, or null; (4, paddedFilters): that at |V| above 0 it sends
  // ⌊|V|·(row 0) + (row 1)⌋, below 0 by rows 2 and 3, where that is no nearer to a whole number than kSlopesOff. A V of 0 sends none.
  const float* slopes;
  const int32_t* startPotential;  // (paddedFilters)
  bool settles;              // a neuron that has fired up from 0 as often as it can does not fire down, and the other way round
  bool fresh;                // no neuron has run since begin: potential and counts are still to be written
  bool bounded;              // no V of the window at hand reaches the limits of V
  bool keeps;                // potential and counts are written as neurons fire
  int32_t* potential;        // (outHeight, outWidth, paddedFilters)
  int32_t* counts;           // the same shape: N
  const int32_t* current;    // the same shape, of a layer on the image: z of every step, B included; else null
  const SpikeBuffer* input;  // null on the image
  int gamma;
  // Per input cell and listRows steps, the words that are not silent and how many; per cell and step, the sum of spikes.
  uint16_t* lists;
  uint16_t* listSizes;
  int32_t* sums;
  const int32_t* fanRows;     // output rows that an input row reaches; (height)
  const int32_t* fanColumns;  // (width)
};

enum class PoolRule : int32_t { kExact = 0, kGateAverage = 1, kGateExponential = 2, kGateFir = 3 };

struct Pool {
  int height, width, channels, paddedChannels, outHeight, outWidth, size, stride, offset;
  PoolRule rule;
  uint8_t* out;  // spikes, [y][x][step][channel]
  int spikeBytes;
  int32_t* counts;  // (outHeight, outWidth, paddedChannels): N of the outputs
  // gate:exp estimates, or gate:fir's last 16 spikes of each input cell, at the start and at the end of a block.
  int32_t* estimateStart;
  int32_t* estimateEnd;
  int8_t* recentStart;  // (height, width, 16, paddedChannels), slot = step mod 16
  int8_t* recentEnd;
};

// Counts that a stage of a stream keeps, (height, width, paddedChannels), and what the last picture changed of them: of each row a list
// of the words (4 bytes of channels) that changed, cell after cell, with their changes. Where counts have 8 bits, a change beyond
// ±127 takes a second word, or a third.
enum class RowState : uint8_t {
  kQuiet,  // nothing changed; what the arrays below hold of the row is of an earlier picture
  kListed,
  kFull,  // more changed than its list holds
};
struct Changes {
  int height, width, paddedChannels;
  uint8_t* values;        // N
  int capacity;           // words of a row's list
  uint16_t* words;        // (height, capacity + 16)
  uint32_t* deltas;       // the same shape
  int32_t* first;         // (height, width + 1): where a cell's words begin in its row's list
  int32_t* sums;          // (height, width): the sum of a cell's changes
  int32_t* sent;          // (height, width): what they are sent as, in spikes; 0 if nothing changed
  RowState* rows;         // (height)
  int32_t* listed;        // (height): words of its list
  int32_t* changedCells;  // (height)
  int32_t* groups;        // (height): groups of 4 channels of a cell that changed
  double* spikes;         // (height)
  bool digits;            // spikes are signed digits, not units
};

// The hold, in 256ths of a count, at which all counts are the nearest ones.
constexpr int32_t kNearest = 128;

// How neurons of a stream fire: a count stays while its potential is within limits, else it becomes the nearest one.
struct HoldRule {
  const int32_t* limits;  // (4, paddedFilters), less 1: up if N ≥ 0, up if N < 0, down if N > 0, down if N ≤ 0
  int32_t hold;           // the same in 1/256 of a count; kNearest or more
  int32_t times;          // what sums are multiplied by: T on the image, else 1
  bool far;               // sums times `times` may be beyond 32 bits
  bool bounded;           // they cannot reach the limits of V
};

// Spikes of output rows of a convolution, on their way to a pool or as the output buffer itself, for the filters
// [firstFilter, firstFilter + filters): row y, cell x, step t starts at
// data + (y % rowCount)·rowBytes + x·cellBytes + t·stepBytes.
struct Strip {
  uint8_t* data;
  size_t rowBytes, cellBytes, stepBytes;
  int rowCount;
  int firstFilter;
  int filters;
};

// What there is to compute with in a block: (word, step) pairs of tiles of steps, pairs that are not silent themselves, and
// (cell, step) lists of such.
struct Activity {
  double dense, events, lists;
};

// What events cost: a pair, and a list for each tile of filter groups, both in pairs of a tile. As `bench` fits it
// (docs/benchmarks.md).
struct EventCosts {
  double pair, list;
};

struct Counters {
  double spikes;
  double clipped;
};

struct FloatConvolution {
  int height, width, channels, outHeight, outWidth, filters, size, stride, padding;
  int paddedFilters;
  const float* weights;  // (size, size, channels or, channelwise, 1, paddedFilters)
  const float* bias;     // (paddedFilters)
  float slope;
  bool channelwise;  // filter j hears channel j alone
};

// One instruction set's kernels.
struct Kernels {
  const char* name;
  bool pairsSynapses;                          // takes two synapses of a channelwise filter at once
  bool picksPieces;                            // computes curves by pieces
  int (*spikeBytes)(bool wide);                // bytes of a spike; a word holds 4 / spikeBytes channels
  int (*tileGroups)(bool wide, int groups);    // filter groups of a tile, in a layer of at most so many
  int (*tileRows)(bool wide, int tileGroups);  // steps (or positions) of such a tile
  EventCosts (*eventCosts)(bool wide);
  bool (*sumsWindows)(bool wide);  // whole counts are computed with by their cells' sums, too
  // The sums over the channels, of 8 bits, of cells next to each other; reads past their end.
  void (*sumCells)(const uint8_t* cells, int count, int channels, int32_t* sums);
  // (filters, size, size, channels) → tiles of [tap][word][group][64 bytes].
  void (*packWeights)(const Convolution&, const void* weights, uint8_t* packed);
  // Adds what the lists of input row y would come to.
  void (*countWords)(const Convolution&, int y, int steps, Activity&);
  // Fills lists, listSizes and sums of input row y (if the layer fires); returns Σ|spikes| × output cells reached.
  double (*observeRow)(const Convolution&, int y, int steps);
  // Convolves and fires output row y for the strip's filters over a block of steps.
  void (*fireRow)(const Convolution&, int y, int steps, const Strip&, uint8_t* scratch, Counters&);
  // The constant current of output row y of a layer on the image: Σ W·p + B. Returns the largest magnitude.
  int32_t (*presentRow)(const Convolution&, int y, const WindowBuffer&, int32_t* current, uint8_t* scratch);
  // Ends a silent window for output row y whose input fits one digit and whose sums fit 32 bits:
  // V = sat(V + W·window + bias) once, bias being times·B; on the image (no window) V = sat(V + times·current). Then it
  // fires into step 0. Neurons whose activation is a curve fire by what came in alone, which stays as V. Without `keeps` V and N
  // are left out.
  void (*fireWindowRow)(const Convolution&, int y, const WindowBuffer*, const int32_t* bias, int32_t times, const Strip&,
                        uint8_t* scratch, Counters&);
  // The same without those limits, in two parts: W·window for output row y and some filters as sums (outWidth, filters),
  // exact, which a read-out needs too; then V = sat(V + sums + times·(B or current)) once, or the curve of what came in.
  void (*sumRow)(const Convolution&, int y, const WindowBuffer&, int firstFilter, int filters, int64_t* sums, uint8_t* scratch);
  void (*fireSumsRow)(const Convolution&, int y, const int64_t* sums, int64_t times, const Strip&, Counters&);
  // Of a channelwise convolution: convolves and fires output row y over a block of steps, or as fireWindowRow does, with the
  // input's counts in place of a window, or its spikes where no others have come.
  void (*fireChannelsRow)(const Convolution&, int y, int steps, const Strip&, uint8_t* scratch, Counters&);
  void (*fireChannelsWindowRow)(const Convolution&, int y, bool bySpikes, const int32_t* bias, const Strip&, Counters&);
  // Pools output row y over a block of steps, from the strip's rows and their filters' N, to the pool's output. Without N (null) the
  // spikes of one step are N, the pool is exact, and its own N is left out.
  void (*poolRow)(const Pool&, int y, int firstStep, int steps, const Strip&, const int32_t* inputCounts, uint8_t* scratch);
  void (*convolveFloat)(const FloatConvolution&, const float* input, float* output);
  // (rows, inner) by (inner, columns), each sum in order.
  void (*multiply)(const double* left, const double* right, double* out, int rows, int inner, int columns);
  // Of a stream, for output row y. Sums of some filters from what changed of the input, whose rows are quiet or listed: adds W·Δ and
  // marks the cells that a change reached.
  void (*addChangesRow)(const Convolution&, const Changes& input, int y, int firstFilter, int filters, int32_t* sums,
                        uint8_t* reached, uint8_t* scratch);
  // Sums afresh for some filters, bias (T·B) + W·N: from a window of N, or (channelwise) from the input as it lies there.
  void (*sumInputRow)(const Convolution&, int y, const WindowBuffer*, const int32_t* bias, int firstFilter, int filters,
                      int32_t* sums, uint8_t* scratch);
  // Counts of a row's neurons, (outWidth, paddedFilters), in the cells that are marked (null: all): as they were before, or new ones.
  void (*holdRow)(const Convolution&, const HoldRule&, const int32_t* sums, const uint8_t* reached, const uint8_t* before,
                  uint8_t* now);
  // Sets row y of kept counts, of 16 bits (wide) or 8, to `now` in the cells that are marked (null: all), and lists what changes.
  void (*compareRow)(const Changes&, bool wide, int y, const uint8_t* now, const uint8_t* marked);
  // The largest counts of the windows of output row y that are marked.
  void (*largestRow)(const Pool&, const Changes& input, int y, const uint8_t* marked, uint8_t* now);
};

// Bytes of scratch that the row kernels need: taps of every tile of steps, z of every step, cells of a pooling window.
constexpr size_t scratchBytes(int size, int steps) {
  return size_t(size) * size * (128 + size_t(steps) * 40) + size_t(steps + 8) * kMaxGroups * kFilterGroup * 4 + 4096;
}

// Constants, not functions: a CPU without an instruction set must not run a line of what was compiled for it.
extern const Kernels portableKernels;
extern const Kernels sse2Kernels;
extern const Kernels avx2Kernels;
extern const Kernels avxVnniKernels;
extern const Kernels avx512VnniKernels;
extern const Kernels neonKernels;
extern const Kernels neonDotKernels;

}  // namespace spiking
