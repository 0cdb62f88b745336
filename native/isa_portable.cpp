// Kernels for any CPU, in the compiler's own vectors; also what the other instruction sets are tested against.
#include "kernels.h"

namespace spiking {
namespace portable {

constexpr int kVectorBytes = 16;
typedef int32_t Ints __attribute__((vector_size(kVectorBytes)));
typedef Ints Mask;

static inline Ints choose(Mask mask, Ints a, Ints b) { return (a & mask) | (b & ~mask); }
static inline Ints maxInts(Ints a, Ints b) { return choose(a >= b, a, b); }
static inline Ints minInts(Ints a, Ints b) { return choose(a >= b, b, a); }

#include "masks.inl"
#include "lanes.inl"

static inline bool any(Mask mask) {
  int32_t seen = 0;
  for (int i = 0; i < kVectorBytes / 4; i++) seen |= mask[i];
  return seen != 0;
}

struct Op16 {
  using Spike = int16_t;
  typedef int32_t Sum __attribute__((vector_size(16)));
  typedef int16_t Half __attribute__((vector_size(8)));
  struct Weights {
    Sum even, odd;
  };
  struct Broadcast {
    int32_t even, odd;
  };
  static constexpr int kParts = 4;
  static constexpr int kMaxGroups = 1;
  static constexpr int rowsOf(int) { return 2; }
  static constexpr int kOffset = 0;
  static constexpr EventCosts kEventCosts = {1.3, 0.4};  // fitted on 16 steps: bench leaves out the slow
  static constexpr int kChains = 1;
  static constexpr int kShortLimit = 0;
  // Of 4 filters, first the even channel's weights, then the odd one's.
  static constexpr int position(int filter, int channel) { return filter / 4 * 8 + channel * 4 + filter % 4; }
  static Sum zero() { return Sum{}; }
  static Weights load(const uint8_t* p) {
    Half even, odd;
    __builtin_memcpy(&even, p, 8);
    __builtin_memcpy(&odd, p + 8, 8);
    return {__builtin_convertvector(even, Sum), __builtin_convertvector(odd, Sum)};
  }
  static Broadcast broadcast(const uint8_t* p) {
    int16_t pair[2];
    __builtin_memcpy(pair, p, 4);
    return {pair[0], pair[1]};
  }
  static Sum dot(Sum acc, const Weights& w, Broadcast s) { return acc + w.even * s.even + w.odd * s.odd; }
  static Sum addMagnitude(Sum acc, const uint8_t* p) {
    const Weights w = load(p);
    return acc + (w.even < 0 ? -w.even : w.even) + (w.odd < 0 ? -w.odd : w.odd);
  }
  static void store(int32_t* p, Sum acc) { __builtin_memcpy(p, &acc, sizeof acc); }
};
using Op8 = Op16;

#include "kernels.inl"

}  // namespace portable

constexpr Kernels portableKernels = portable::tableNamed("portable");

}  // namespace spiking
