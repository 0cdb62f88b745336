// AVX2: vpmaddwd on pairs of channels, 8 filters a vector.
#include <immintrin.h>

#include "kernels.h"

namespace spiking {
namespace avx2 {

#include "avx2.inl"

using Op16 = Pairs;
using Op8 = Pairs;

#include "kernels.inl"

}  // namespace avx2

const Kernels* avx2Kernels() {
  static const Kernels kernels = avx2::tableNamed("avx2");
  return &kernels;
}

}  // namespace spiking
