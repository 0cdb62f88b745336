// SSE2, which every x86-64 CPU has: pmaddwd on pairs of channels, 4 filters a vector.
#include <emmintrin.h>

#include "kernels.h"

namespace spiking {
namespace sse2 {

constexpr int kVectorBytes = 16;
typedef int32_t Ints __attribute__((vector_size(kVectorBytes)));
typedef Ints Mask;

static inline Ints choose(Mask mask, Ints a, Ints b) { return (a & mask) | (b & ~mask); }
static inline Ints maxInts(Ints a, Ints b) { return choose(a > b, a, b); }
static inline Ints minInts(Ints a, Ints b) { return choose(a > b, b, a); }

#include "masks.inl"
#include "lanes.inl"

static inline bool any(Mask mask) { return _mm_movemask_epi8(reinterpret_cast<__m128i>(mask)) != 0; }

struct Op16 {
  using Spike = int16_t;
  using Sum = __m128i;
  using Weights = __m128i;
  static constexpr int kParts = 4;
  static constexpr int kMaxGroups = 1;
  static constexpr int rowsOf(int) { return 2; }
  static constexpr int kOffset = 0;
  static constexpr EventCosts kEventCosts = {1.35, 6.5};
  static constexpr int kChains = 1;
  static constexpr int kShortLimit = 0;
  static constexpr int position(int filter, int channel) { return filter * 2 + channel; }
  static Sum zero() { return _mm_setzero_si128(); }
  static Weights load(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
  static __m128i broadcast(const uint8_t* p) {
    int32_t pair;
    __builtin_memcpy(&pair, p, 4);
    return _mm_set1_epi32(pair);
  }
  static Sum dot(Sum acc, Weights w, __m128i s) { return _mm_add_epi32(acc, _mm_madd_epi16(w, s)); }
  static Weights magnitude(Weights s) { return _mm_max_epi16(s, _mm_sub_epi16(_mm_setzero_si128(), s)); }
  static Sum addMagnitude(Sum acc, const uint8_t* p) {
    return _mm_add_epi32(acc, _mm_madd_epi16(magnitude(load(p)), _mm_set1_epi16(1)));
  }
  static void store(int32_t* p, Sum acc) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), acc); }
};
using Op8 = Op16;

#include "kernels.inl"

}  // namespace sse2

constexpr Kernels sse2Kernels = sse2::tableNamed("sse2");

}  // namespace spiking
