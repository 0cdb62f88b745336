// AVX-VNNI (laptops and boards without AVX-512): vpdpwssd on pairs of channels with 16-bit weights, vpdpbusd on quads
// with 8-bit weights, 8 filters a vector.
#include <immintrin.h>

#include "kernels.h"

namespace spiking {
namespace avxvnni {

#include "avx2.inl"

struct Op16 : Pairs {
  static constexpr EventCosts kEventCosts = {1.65, 22};
  static constexpr int kChains = 2;
  static Sum dot(Sum acc, Weights w, __m256i s) { return _mm256_dpwssd_avx_epi32(acc, w, s); }
};

// vpdpbusd takes one unsigned operand: the weights + 128; 128·Σspikes is subtracted again.
struct Op8 : Pairs {
  using Spike = int8_t;
  static constexpr EventCosts kEventCosts = {1.25, 16};
  static constexpr int kOffset = 128;
  static Sum all(int32_t value) { return _mm256_set1_epi32(value); }
  static constexpr int kChains = 2;
  static constexpr int position(int filter, int channel) { return filter * 4 + channel; }
  static Sum dot(Sum acc, Weights w, __m256i s) { return _mm256_dpbusd_avx_epi32(acc, w, s); }
  static Sum addMagnitude(Sum acc, const uint8_t* p) {
    return _mm256_dpbusd_avx_epi32(acc, _mm256_abs_epi8(load(p)), _mm256_set1_epi8(1));
  }
};
#include "kernels.inl"

}  // namespace avxvnni

constexpr Kernels avxVnniKernels = avxvnni::tableNamed("avx-vnni");

}  // namespace spiking
