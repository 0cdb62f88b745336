// What AVX2 and AVX-VNNI share: masks and the multiply-add on 16-bit spikes, 8 filters a vector.

constexpr int kVectorBytes = 32;
typedef int32_t Ints __attribute__((vector_size(kVectorBytes)));
typedef Ints Mask;

static inline __m256i raw(Ints a) { return reinterpret_cast<__m256i>(a); }
static inline Ints ints(__m256i a) { return reinterpret_cast<Ints>(a); }
static inline Ints choose(Mask mask, Ints a, Ints b) { return ints(_mm256_blendv_epi8(raw(b), raw(a), raw(mask))); }
static inline Ints maxInts(Ints a, Ints b) { return ints(_mm256_max_epi32(raw(a), raw(b))); }
static inline Ints minInts(Ints a, Ints b) { return ints(_mm256_min_epi32(raw(a), raw(b))); }

#include "absent.inl"
#include "masks.inl"

static inline bool any(Mask mask) { return _mm256_movemask_epi8(reinterpret_cast<__m256i>(mask)) != 0; }

static inline __m256d floorOf(__m256d x) { return _mm256_floor_pd(x); }
static inline __m256 floorOf(__m256 x) { return _mm256_floor_ps(x); }
static inline __m256 smaller(__m256 a, __m256 b) { return _mm256_min_ps(a, b); }
static inline __m256 larger(__m256 a, __m256 b) { return _mm256_max_ps(a, b); }
static inline Ints withSign(Ints magnitude, Ints sign) { return ints(_mm256_sign_epi32(raw(magnitude), raw(sign))); }
static inline Ints gatherInts(const int32_t* numbers, Ints places) {
  return ints(_mm256_i32gather_epi32(numbers, raw(places), 4));
}
typedef int32_t Places __attribute__((vector_size(kVectorBytes / 2)));
static inline void gatherPairs(const int32_t* pairs, Places places, Places& first, Places& second) {
  const __m256i both = _mm256_i32gather_epi64(reinterpret_cast<const long long*>(pairs), reinterpret_cast<__m128i>(places), 8);
  // the first of each pair below, the second above
  const __m256i apart = _mm256_permutevar8x32_epi32(both, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
  first = reinterpret_cast<Places>(_mm256_castsi256_si128(apart));
  second = reinterpret_cast<Places>(_mm256_extracti128_si256(apart, 1));
}

static inline Ints widenBytes(const uint8_t* p) {
  return ints(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
static inline void storeBytes(uint8_t* p, Ints s) {
  const __m256i low = _mm256_shuffle_epi8(raw(s), _mm256_set1_epi32(0x0c080400));
  const __m128i both = _mm_unpacklo_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), both);
}

struct Pairs {
  using Spike = int16_t;
  using Sum = __m256i;
  using Weights = __m256i;
  static constexpr int kParts = 2;
  static constexpr int kMaxGroups = 2;
  static constexpr int rowsOf(int groups) { return groups == 1 ? 4 : 2; }
  static constexpr int kOffset = 0;
  static constexpr EventCosts kEventCosts = {1.6, 17};
  static constexpr int kChains = 1;
  static constexpr int kShortLimit = 0;
  static constexpr int position(int filter, int channel) { return filter * 2 + channel; }
  static Sum zero() { return _mm256_setzero_si256(); }
  static Weights load(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static __m256i broadcast(const uint8_t* p) {
    int32_t pair;
    __builtin_memcpy(&pair, p, 4);
    return _mm256_set1_epi32(pair);
  }
  static Sum dot(Sum acc, Weights w, __m256i s) { return _mm256_add_epi32(acc, _mm256_madd_epi16(w, s)); }
  static Sum addMagnitude(Sum acc, const uint8_t* p) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_abs_epi16(load(p)), _mm256_set1_epi16(1)));
  }
  static void store(int32_t* p, Sum acc) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), acc); }
};

// Adds two synapses of 8 neurons each: weights in pairs, spikes of either. Of bytes 16 are read.
struct Synapses {
  static constexpr bool kByPairs = true;
  static Ints add(Ints acc, const int32_t* weights, const int8_t* first, const int8_t* second) {
    return add(acc, weights, _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(load(first), load(second))));
  }
  static Ints add(Ints acc, const int32_t* weights, const int16_t* first, const int16_t* second) {
    const __m128i a = load(first), b = load(second);
    return add(acc, weights, _mm256_set_m128i(_mm_unpackhi_epi16(a, b), _mm_unpacklo_epi16(a, b)));
  }

 private:
  static __m128i load(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
  static Ints add(Ints acc, const int32_t* weights, __m256i pairs) {
    return ints(Pairs::dot(raw(acc), Pairs::load(reinterpret_cast<const uint8_t*>(weights)), pairs));
  }
};
