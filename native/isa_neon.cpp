// NEON: widening multiply-adds, with 16-bit weights on 16-bit spikes, 4 filters a vector. With 8-bit weights 8 filters a
// vector, summed in 16 bits while they hold it; spikes too large for that, and digits of counts, in 32 bits.
#include <arm_neon.h>

#include "kernels.h"

namespace spiking {
namespace neon {

#include "neon16.inl"

struct Op8 {
  using Spike = int8_t;
  struct Sum {
    int32x4_t low, high;
  };
  struct Weights {
    int8x8_t channel[4];
  };
  using Broadcast = Weights;
  static constexpr int kParts = 2;
  static constexpr int kMaxGroups = 1;
  static constexpr int rowsOf(int) { return 4; }
  static constexpr int kOffset = 0;
  // not fitted on such a CPU yet: SSE2's, whose vectors are as long
  static constexpr EventCosts kEventCosts = {1.35, 6.5};
  static constexpr int kChains = 1;
  // Of 8 filters, one channel's weights after another's.
  static constexpr int position(int filter, int channel) { return filter / 8 * 32 + channel * 8 + filter % 8; }
  static Sum zero() { return {vdupq_n_s32(0), vdupq_n_s32(0)}; }
  static Weights load(const uint8_t* p) {
    const int8_t* w = reinterpret_cast<const int8_t*>(p);
    return {{vld1_s8(w), vld1_s8(w + 8), vld1_s8(w + 16), vld1_s8(w + 24)}};
  }
  static Broadcast broadcast(const uint8_t* p) {
    const int8_t* s = reinterpret_cast<const int8_t*>(p);
    return {{vld1_dup_s8(s), vld1_dup_s8(s + 1), vld1_dup_s8(s + 2), vld1_dup_s8(s + 3)}};
  }
  static Sum dot(Sum acc, const Weights& w, const Broadcast& s) {
    for (int c = 0; c < 4; c++) acc = widen(acc, vmull_s8(w.channel[c], s.channel[c]));
    return acc;
  }
  static Sum addMagnitude(Sum acc, const uint8_t* p) {
    const int8_t* s = reinterpret_cast<const int8_t*>(p);
    acc.low = vpadalq_s16(acc.low, vpaddlq_s8(vabsq_s8(vld1q_s8(s))));
    acc.high = vpadalq_s16(acc.high, vpaddlq_s8(vabsq_s8(vld1q_s8(s + 16))));
    return acc;
  }
  static void store(int32_t* p, const Sum& acc) {
    vst1q_s32(p, acc.low);
    vst1q_s32(p + 4, acc.high);
  }

  static constexpr int kShortLimit = 32767 / (4 * 127);
  using ShortSum = int16x8_t;
  using ShortWeights = Weights;
  static ShortSum shortZero() { return vdupq_n_s16(0); }
  static ShortWeights shortLoad(const uint8_t* p) { return load(p); }
  static Broadcast shortBroadcast(const uint8_t* p) { return broadcast(p); }
  static ShortSum shortDot(ShortSum acc, const Weights& w, const Broadcast& s) {
    for (int c = 0; c < 4; c++) acc = vmlal_s8(acc, w.channel[c], s.channel[c]);
    return acc;
  }
  static Sum widen(Sum acc, ShortSum part) {
    return {vaddw_s16(acc.low, vget_low_s16(part)), vaddw_s16(acc.high, vget_high_s16(part))};
  }
};

#include "kernels.inl"

}  // namespace neon

constexpr Kernels neonKernels = neon::tableNamed("neon");

}  // namespace spiking
