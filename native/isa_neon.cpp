// NEON: widening multiply-adds on 16-bit spikes, 4 filters a vector.
#include <arm_neon.h>

#include "kernels.h"

namespace spiking {
namespace neon {

constexpr int kVectorBytes = 16;

#include "neon16.inl"
using Op8 = Op16;

#include "kernels.inl"

static inline bool any(Ints mask) { return vmaxvq_u32(reinterpret_cast<uint32x4_t>(mask)) != 0; }

}  // namespace neon

const Kernels* neonKernels() {
  static const Kernels kernels = neon::tableNamed("neon");
  return &kernels;
}

}  // namespace spiking
