// NEON: widening multiply-adds on 16-bit spikes, 4 filters a vector.
#include <arm_neon.h>

#include "kernels.h"

namespace spiking {
namespace neon {

constexpr int kVectorBytes = 16;
typedef int32_t Ints __attribute__((vector_size(kVectorBytes)));
typedef Ints Mask;

static inline Ints choose(Mask mask, Ints a, Ints b) {
  return Ints(vbslq_s32(uint32x4_t(mask), int32x4_t(a), int32x4_t(b)));
}
static inline Ints maxInts(Ints a, Ints b) { return Ints(vmaxq_s32(int32x4_t(a), int32x4_t(b))); }
static inline Ints minInts(Ints a, Ints b) { return Ints(vminq_s32(int32x4_t(a), int32x4_t(b))); }

#include "masks.inl"

static inline bool any(Mask mask) { return vmaxvq_u32(reinterpret_cast<uint32x4_t>(mask)) != 0; }

#include "neon16.inl"
using Op8 = Op16;

#include "kernels.inl"

}  // namespace neon

const Kernels* neonKernels() {
  static const Kernels kernels = neon::tableNamed("neon");
  return &kernels;
}

}  // namespace spiking
