// AVX-512 VNNI: vpdpwssd on pairs of channels with 16-bit weights, vpdpbusd on quads with 8-bit weights, 16 filters a
// vector. vpdpbusd takes one unsigned operand: the weights + 128; 128·Σspikes is subtracted again.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // both in the compiler's own header
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include "kernels.h"

namespace spiking {
namespace avx512vnni {

constexpr int kVectorBytes = 64;
typedef int32_t Ints __attribute__((vector_size(kVectorBytes)));

// Masks live in mask registers.
typedef __mmask16 Mask;

static inline __m512i raw(Ints a) { return reinterpret_cast<__m512i>(a); }
static inline Ints ints(__m512i a) { return reinterpret_cast<Ints>(a); }
static inline Mask above(Ints a, Ints b) { return _mm512_cmpgt_epi32_mask(raw(a), raw(b)); }
static inline Mask less(__m512 a, __m512 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline __m512 where(Mask mask, __m512 a, __m512 b) { return _mm512_mask_blend_ps(mask, b, a); }
static inline Mask either(Mask a, Mask b) { return a | b; }
static inline Mask within(Mask a, Mask b) { return a & b; }
static inline Ints choose(Mask mask, Ints a, Ints b) { return ints(_mm512_mask_blend_epi32(mask, raw(b), raw(a))); }
static inline Ints zeroUnless(Mask mask, Ints a) { return ints(_mm512_maskz_mov_epi32(mask, raw(a))); }
static inline Ints addWhere(Ints a, Mask mask, Ints b) { return ints(_mm512_mask_add_epi32(raw(a), mask, raw(a), raw(b))); }
static inline Ints subtractWhere(Ints a, Mask mask, Ints b) { return ints(_mm512_mask_sub_epi32(raw(a), mask, raw(a), raw(b))); }
static inline Ints moreWhere(Ints a, Mask mask) { return addWhere(a, mask, Ints{} + 1); }
static inline Ints lessWhere(Ints a, Mask mask) { return subtractWhere(a, mask, Ints{} + 1); }
static inline Ints maxInts(Ints a, Ints b) { return ints(_mm512_max_epi32(raw(a), raw(b))); }
static inline Ints minInts(Ints a, Ints b) { return ints(_mm512_min_epi32(raw(a), raw(b))); }
static inline bool any(Mask mask) { return mask != 0; }

static inline __m512d floorOf(__m512d x) {
  constexpr int kDown = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
  return _mm512_roundscale_pd(x, kDown);
}
static inline __m512 floorOf(__m512 x) {
  constexpr int kDown = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
  return _mm512_roundscale_ps(x, kDown);
}
static inline __m512 smaller(__m512 a, __m512 b) { return _mm512_min_ps(a, b); }
static inline __m512 larger(__m512 a, __m512 b) { return _mm512_max_ps(a, b); }
static inline Ints withSign(Ints magnitude, Ints sign) {
  return ints(_mm512_mask_sub_epi32(raw(magnitude), _mm512_movepi32_mask(raw(sign)), _mm512_setzero_si512(), raw(magnitude)));
}
static inline Ints gatherInts(const int32_t* numbers, Ints places) {
  return ints(_mm512_i32gather_epi32(raw(places), numbers, 4));
}
typedef int32_t Places __attribute__((vector_size(kVectorBytes / 2)));
static inline void gatherPairs(const int32_t* pairs, Places places, Places& first, Places& second) {
  const __m512i both = _mm512_i32gather_epi64(reinterpret_cast<__m256i>(places), pairs, 8);
  first = reinterpret_cast<Places>(_mm512_cvtepi64_epi32(both));
  second = reinterpret_cast<Places>(_mm512_cvtepi64_epi32(_mm512_srli_epi64(both, 32)));
}

static inline Ints widenBytes(const uint8_t* p) {
  return ints(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
static inline void storeBytes(uint8_t* p, Ints s) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(s)));
}

struct Op16 {
  using Spike = int16_t;
  using Sum = __m512i;
  using Weights = __m512i;
  static constexpr int kParts = 1;
  static constexpr int kMaxGroups = 4;
  static constexpr int rowsOf(int groups) { return groups <= 2 ? 8 : 4; }
  static constexpr int kOffset = 0;
  static constexpr EventCosts kEventCosts = {2.25, 69};
  static constexpr int kChains = 3;
  static constexpr int kShortLimit = 0;
  static constexpr int position(int filter, int channel) { return filter * 2 + channel; }
  static Sum zero() { return _mm512_setzero_si512(); }
  static Weights load(const uint8_t* p) { return _mm512_loadu_si512(p); }
  static __m512i broadcast(const uint8_t* p) {
    int32_t word;
    __builtin_memcpy(&word, p, 4);
    return _mm512_set1_epi32(word);
  }
  static Sum dot(Sum acc, Weights w, __m512i s) { return _mm512_dpwssd_epi32(acc, w, s); }
  static Sum addMagnitude(Sum acc, const uint8_t* p) {
    return _mm512_dpwssd_epi32(acc, _mm512_abs_epi16(load(p)), _mm512_set1_epi16(1));
  }
  static void store(int32_t* p, Sum acc) { _mm512_storeu_si512(p, acc); }
};

// A curve by pieces: polynomials whose terms are picked from two registers each.
struct Pieces {
  static constexpr bool kPicked = true;
  explicit Pieces(const float* terms) {
    for (int k = 0; k < kPieceTerms; k++) {
      low[k] = _mm512_loadu_ps(terms + k * kPieces);
      high[k] = _mm512_loadu_ps(terms + k * kPieces + kPieces / 2);
    }
  }
  // The curve at places of 0 to kPieces, less than that.
  __attribute__((always_inline)) inline __m512 at(__m512 place) const {
    const __m512i piece = raw(__builtin_convertvector(place, Ints));
    const __m512 inside = _mm512_sub_ps(place, floorOf(place));
    __m512 value = _mm512_permutex2var_ps(low[kPieceTerms - 1], piece, high[kPieceTerms - 1]);
    for (int k = kPieceTerms - 2; k >= 0; k--)
      value = _mm512_fmadd_ps(value, inside, _mm512_permutex2var_ps(low[k], piece, high[k]));
    return value;
  }
  __m512 low[kPieceTerms], high[kPieceTerms];
};

// Counts of a cell, of 8 bits, 16, 32 or 64 of them, beside those kept of it.
struct Compared {
  static constexpr bool kMany = true;
  Compared(const uint8_t* kept, const uint8_t* now, int bytes)
      : bytes(bytes),
        before(load(kept, bytes)),
        after(load(now, bytes)),
        mask(__mmask16(~_mm512_cmpeq_epi32_mask(before, after))) {}

  // Words that changed.
  int words() const { return __builtin_popcount(mask); }
  // True if a change is beyond ±127.
  bool beyond() const { return ~_mm512_cmpeq_epi8_mask(changes(), _mm512_subs_epi8(after, before)) != 0; }
  // Lists them; room for 16 is written.
  void list(int firstWord, uint16_t* words, uint32_t* deltas) const {
    const __m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i listed = _mm512_maskz_compress_epi32(mask, _mm512_add_epi32(places, _mm512_set1_epi32(firstWord)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words), _mm512_cvtsepi32_epi16(listed));
    _mm512_storeu_si512(deltas, _mm512_maskz_compress_epi32(mask, changes()));
  }
  // Adds up the changes, and their sizes.
  void sum(int& changed, int& sizes) const {
    const __m512i shift = _mm512_set1_epi8(-128), zero = _mm512_setzero_si512();
    const __m512i old = _mm512_xor_si512(before, shift), now = _mm512_xor_si512(after, shift);
    const __m512i apart = _mm512_sub_epi64(_mm512_sad_epu8(now, zero), _mm512_sad_epu8(old, zero));
    // sizes below, changes above
    const int64_t both = _mm512_reduce_add_epi64(_mm512_add_epi64(_mm512_sad_epu8(now, old), _mm512_slli_epi64(apart, 32)));
    changed += int32_t(both >> 32);
    sizes += int32_t(both & 0xffffffff);
  }
  void keep(uint8_t* kept) const {
    if (bytes == 64) _mm512_storeu_si512(kept, after);
    else if (bytes == 32) _mm256_storeu_si256(reinterpret_cast<__m256i*>(kept), _mm512_castsi512_si256(after));
    else _mm_storeu_si128(reinterpret_cast<__m128i*>(kept), _mm512_castsi512_si128(after));
  }

 private:
  static __m512i load(const uint8_t* p, int bytes) {
    if (bytes == 64) return _mm512_loadu_si512(p);
    if (bytes == 32) return _mm512_zextsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return _mm512_zextsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  __m512i changes() const { return _mm512_sub_epi8(after, before); }

  int bytes;
  __m512i before, after;
  __mmask16 mask;
};

// Adds two synapses of 16 neurons each: weights in pairs, spikes of either.
struct Synapses {
  static constexpr bool kByPairs = true;
  static Ints add(Ints acc, const int32_t* weights, const int8_t* first, const int8_t* second) {
    const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(first));
    const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(second));
    return add(acc, weights, _mm512_cvtepi8_epi16(_mm256_set_m128i(_mm_unpackhi_epi8(a, b), _mm_unpacklo_epi8(a, b))));
  }
  static Ints add(Ints acc, const int32_t* weights, const int16_t* first, const int16_t* second) {
    const __m512i a = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(first)));
    const __m512i b = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(second)));
    return add(acc, weights, _mm512_or_si512(a, _mm512_slli_epi32(b, 16)));
  }

 private:
  static Ints add(Ints acc, const int32_t* weights, __m512i pairs) {
    return ints(Op16::dot(raw(acc), Op16::load(reinterpret_cast<const uint8_t*>(weights)), pairs));
  }
};

struct Op8 : Op16 {
  using Spike = int8_t;
  static constexpr EventCosts kEventCosts = {2.0, 63};
  static constexpr int kOffset = 128;
  static Sum all(int32_t value) { return _mm512_set1_epi32(value); }
  static constexpr int kShortLimit = 0;
  static constexpr int position(int filter, int channel) { return filter * 4 + channel; }
  static Sum dot(Sum acc, Weights w, __m512i s) { return _mm512_dpbusd_epi32(acc, w, s); }
  static Sum addMagnitude(Sum acc, const uint8_t* p) {
    return _mm512_dpbusd_epi32(acc, _mm512_abs_epi8(load(p)), _mm512_set1_epi8(1));
  }
};

#include "kernels.inl"

}  // namespace avx512vnni

constexpr Kernels avx512VnniKernels = avx512vnni::tableNamed("avx512-vnni");

}  // namespace spiking
