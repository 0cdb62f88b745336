// NEON: widening multiply-adds on 16-bit spikes, 4 filters a vector.
#include <arm_neon.h>

#include "kernels.h"

namespace spiking {
namespace neon {

constexpr int kVectorBytes = 16;
typedef int32_t Ints __attribute__((vector_size(kVectorBytes)));

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
