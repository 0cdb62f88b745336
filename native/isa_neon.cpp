// NEON: widening multiply-adds on 16-bit spikes, 4 filters a vector.
#include <arm_neon.h>

#include "kernels.h"

namespace spiking {
namespace neon {

#include "neon16.inl"
using Op8 = Op16;

#include "kernels.inl"

}  // namespace neon

const Kernels* neonKernels() {
  static const Kernels kernels = neon::tableNamed("neon");
  return &kernels;
}

}  // namespace spiking
