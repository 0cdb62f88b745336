// NEON with dot products (ARMv8.2): sdot on quads of channels with 8-bit weights; 16-bit weights as without.
#include <arm_neon.h>

#include "kernels.h"

namespace spiking {
namespace neondot {

#include "neon16.inl"

struct Op8 {
  using Spike = int8_t;
  using Sum = int32x4_t;
  using Weights = int8x16_t;
  static constexpr int kParts = 4;
  static constexpr int kMaxGroups = 1;
  static constexpr int rowsOf(int) { return 4; }
  static constexpr int kOffset = 0;
  // not fitted on such a CPU yet: SSE2's, whose vectors are as long
  static constexpr EventCosts kEventCosts = {1.35, 6.5};
  static constexpr int kChains = 2;
  static constexpr int kShortLimit = 0;
  static constexpr int position(int filter, int channel) { return filter * 4 + channel; }
  static Sum zero() { return vdupq_n_s32(0); }
  static Weights load(const uint8_t* p) { return vld1q_s8(reinterpret_cast<const int8_t*>(p)); }
  static int8x16_t broadcast(const uint8_t* p) {
    int32_t word;
    __builtin_memcpy(&word, p, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(word));
  }
  static Sum dot(Sum acc, Weights w, int8x16_t s) { return vdotq_s32(acc, w, s); }
  static Sum addMagnitude(Sum acc, const uint8_t* p) { return vpadalq_s16(acc, vpaddlq_s8(vabsq_s8(load(p)))); }
  static void store(int32_t* p, Sum acc) { vst1q_s32(p, acc); }
};

#include "kernels.inl"

}  // namespace neondot

constexpr Kernels neonDotKernels = neondot::tableNamed("neon-dot");

}  // namespace spiking
