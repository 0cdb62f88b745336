// What NEON with and without dot products share: masks, and 16-bit weights by widening multiply-adds, 4 filters a vector.

constexpr int kVectorBytes = 16;
typedef int32_t Ints __attribute__((vector_size(kVectorBytes)));
typedef Ints Mask;

static inline Ints choose(Mask mask, Ints a, Ints b) { return Ints(vbslq_s32(uint32x4_t(mask), int32x4_t(a), int32x4_t(b))); }
static inline Ints maxInts(Ints a, Ints b) { return Ints(vmaxq_s32(int32x4_t(a), int32x4_t(b))); }
static inline Ints minInts(Ints a, Ints b) { return Ints(vminq_s32(int32x4_t(a), int32x4_t(b))); }

#include "masks.inl"
#include "lanes.inl"

static inline bool any(Mask mask) { return vmaxvq_u32(reinterpret_cast<uint32x4_t>(mask)) != 0; }

struct Op16 {
  using Spike = int16_t;
  using Sum = int32x4_t;
  using Weights = int16x8_t;
  static constexpr int kParts = 4;
  static constexpr int kMaxGroups = 1;
  static constexpr int rowsOf(int) { return 4; }
  static constexpr int kOffset = 0;
  // not fitted on such a CPU yet: SSE2's, whose vectors are as long
  static constexpr EventCosts kEventCosts = {1.35, 6.5};
  static constexpr int kChains = 1;
  static constexpr int kShortLimit = 0;
  // Of 4 filters, first the even channel's weights, then the odd one's.
  static constexpr int position(int filter, int channel) { return filter / 4 * 8 + channel * 4 + filter % 4; }
  static Sum zero() { return vdupq_n_s32(0); }
  static Weights load(const uint8_t* p) { return vld1q_s16(reinterpret_cast<const int16_t*>(p)); }
  static int16x4_t broadcast(const uint8_t* p) {
    int32_t pair;
    __builtin_memcpy(&pair, p, 4);
    return vreinterpret_s16_s32(vdup_n_s32(pair));
  }
  static Sum dot(Sum acc, Weights w, int16x4_t s) {
    acc = vmlal_lane_s16(acc, vget_low_s16(w), s, 0);
    return vmlal_lane_s16(acc, vget_high_s16(w), s, 1);
  }
  static Sum addMagnitude(Sum acc, const uint8_t* p) { return vpadalq_s16(acc, vabsq_s16(load(p))); }
  static void store(int32_t* p, Sum acc) { vst1q_s32(p, acc); }
};
