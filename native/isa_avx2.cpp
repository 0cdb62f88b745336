// AVX2: vpmaddwd on pairs of channels with 16-bit weights, 8 filters a vector. With 8-bit weights vpmaddubsw on quads of
// channels, summed in 16 bits while they hold it: that instruction saturates, but never here, its operands being at most
// 255 and Γ. Spikes too large for that go by vpmaddwd on the even and the odd channels; whole counts by vpmaddubsw on their
// magnitudes, pair by pair, of at most 2·128·127.
#include <immintrin.h>

#include "kernels.h"

namespace spiking {
namespace avx2 {

#include "avx2.inl"

using Op16 = Pairs;

// The weights + 128 are the unsigned operand; 128·Σspikes is subtracted again.
struct Op8 : Pairs {
  using Spike = int8_t;
  struct Halves {
    __m256i even, odd;
  };
  using Weights = Halves;
  static constexpr EventCosts kEventCosts = {1.55, 17};
  static constexpr int kOffset = 128;
  static constexpr int position(int filter, int channel) { return filter * 4 + channel; }
  static Weights load(const uint8_t* p) {
    const __m256i w = Pairs::load(p);
    return {_mm256_and_si256(w, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(w, 8)};
  }
  static Halves broadcast(const uint8_t* p) {
    const __m256i s = Pairs::broadcast(p);
    return {_mm256_srai_epi16(_mm256_slli_epi16(s, 8), 8), _mm256_srai_epi16(s, 8)};
  }
  static Sum dot(Sum acc, const Weights& w, const Halves& s) {
    acc = _mm256_add_epi32(acc, _mm256_madd_epi16(w.even, s.even));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(w.odd, s.odd));
  }
  static Sum addMagnitude(Sum acc, const uint8_t* p) {
    return _mm256_add_epi32(acc, _mm256_sad_epu8(_mm256_abs_epi8(Pairs::load(p)), _mm256_setzero_si256()));
  }

  static constexpr int kShortLimit = 32767 / (2 * 255);
  using ShortSum = __m256i;
  using ShortWeights = __m256i;
  static ShortSum shortZero() { return _mm256_setzero_si256(); }
  static ShortWeights shortLoad(const uint8_t* p) { return Pairs::load(p); }
  static __m256i shortBroadcast(const uint8_t* p) { return Pairs::broadcast(p); }
  static ShortSum shortDot(ShortSum acc, ShortWeights w, __m256i s) { return _mm256_add_epi16(acc, _mm256_maddubs_epi16(w, s)); }
  static Sum widen(Sum acc, ShortSum part) { return _mm256_add_epi32(acc, _mm256_madd_epi16(part, _mm256_set1_epi16(1))); }

  // Of whole counts the magnitudes are the unsigned operand, their signs the weights'.
  struct Whole : Pairs {
    struct Counts {
      __m256i magnitude, sign;
    };
    static Weights load(const uint8_t* p) { return _mm256_xor_si256(Pairs::load(p), _mm256_set1_epi8(-128)); }
    static Counts broadcast(const uint8_t* p) {
      const __m256i counts = Pairs::broadcast(p);
      return {_mm256_abs_epi8(counts), counts};
    }
    static Sum dot(Sum acc, Weights w, const Counts& counts) {
      const __m256i pairs = _mm256_maddubs_epi16(counts.magnitude, _mm256_sign_epi8(w, counts.sign));
      return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
  };
};

#include "kernels.inl"

}  // namespace avx2

constexpr Kernels avx2Kernels = avx2::tableNamed("avx2");

}  // namespace spiking
