#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace spiking {

namespace {

#if defined(__x86_64__)
// What the operating system saves on a context switch (XCR0).
uint64_t savedState() {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
}

const char* lacksAvx2() {
  uint32_t a, b, c, d;
  if ((savedState() & 0x6) != 0x6) return "the operating system does not save AVX registers";
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2)) return "the CPU has no AVX2";
  return "";
}

#ifdef SPIKING_AVX_VNNI
const char* lacksAvxVnni() {
  uint32_t a, b, c, d;
  if (*lacksAvx2()) return lacksAvx2();
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4) ? "" : "the CPU has no AVX-VNNI";
}
#endif

const char* lacksAvx512Vnni() {
#ifdef SPIKING_EMULATED_AVX512
  return "";
#endif
  uint32_t a, b, c, d;
  if ((savedState() & 0xe6) != 0xe6) return "the operating system does not save AVX-512 registers";
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return "the CPU has no AVX-512";
  constexpr uint32_t kNeeded = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
  if ((b & kNeeded) != kNeeded) return "the CPU has no AVX-512 (F, BW, VL, DQ)";
  return c & bit_AVX512VNNI ? "" : "the CPU has no AVX-512 VNNI";
}
#elif defined(__aarch64__)
const char* lacksDotProduct() {
#if defined(__linux__)
  constexpr unsigned long kAsimdDp = 1ul << 20;  // HWCAP_ASIMDDP
  return getauxval(AT_HWCAP) & kAsimdDp ? "" : "the CPU has no dot-product instructions";
#else
  return "its dot-product instructions cannot be asked for on this system";
#endif
}
#endif

}  // namespace

std::vector<InstructionSet> instructionSets() {
  std::vector<InstructionSet> sets;
#if defined(__x86_64__)
  sets.push_back({&avx512VnniKernels, lacksAvx512Vnni()});
#ifdef SPIKING_AVX_VNNI
  sets.push_back({&avxVnniKernels, lacksAvxVnni()});
#endif
  sets.push_back({&avx2Kernels, lacksAvx2()});
  sets.push_back({&sse2Kernels, ""});
#elif defined(__aarch64__)
  sets.push_back({&neonDotKernels, lacksDotProduct()});
  sets.push_back({&neonKernels, ""});
#endif
  sets.push_back({&portableKernels, ""});
  return sets;
}

}  // namespace spiking
