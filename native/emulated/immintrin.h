// AVX-512 on any CPU, to test the kernels that use it: SIMDe's functions under the names of the compiler's own header, and the
// few that SIMDe does not have.
#pragma once
#define SIMDE_NO_NATIVE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>

typedef simde__mmask16 __mmask16;
#ifndef _MM_FROUND_NO_EXC
#define _MM_FROUND_NO_EXC SIMDE_MM_FROUND_NO_EXC
#endif

template <class To, class From>
static inline To emulatedBits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}
template <class Lane>
struct EmulatedLanes {
  Lane lane[64 / sizeof(Lane)];
};

static inline __m512i _mm512_i32gather_epi32(__m512i index, const void* base, int scale) {
  auto places = emulatedBits<EmulatedLanes<int32_t>>(index);
  for (int32_t& place : places.lane) __builtin_memcpy(&place, static_cast<const char*>(base) + int64_t(place) * scale, 4);
  return emulatedBits<__m512i>(places);
}
static inline __m512i _mm512_i32gather_epi64(__m256i index, const void* base, int scale) {
  int32_t places[8];
  __builtin_memcpy(places, &index, sizeof places);
  EmulatedLanes<int64_t> found;
  for (int i = 0; i < 8; i++) __builtin_memcpy(&found.lane[i], static_cast<const char*>(base) + int64_t(places[i]) * scale, 8);
  return emulatedBits<__m512i>(found);
}
template <class From>
static inline __m512i emulatedExtension(From from) {
  EmulatedLanes<uint8_t> lanes{};
  __builtin_memcpy(lanes.lane, &from, sizeof from);
  return emulatedBits<__m512i>(lanes);
}
static inline __m512i _mm512_zextsi256_si512(__m256i from) { return emulatedExtension(from); }
static inline __m512i _mm512_zextsi128_si512(__m128i from) { return emulatedExtension(from); }
static inline int64_t _mm512_reduce_add_epi64(__m512i a) {
  int64_t total = 0;
  for (int64_t lane : emulatedBits<EmulatedLanes<int64_t>>(a).lane) total += lane;
  return total;
}
template <class Lane, class From>
static inline __m512i emulatedWidening(From from) {
  Lane lanes[16];
  static_assert(sizeof lanes == sizeof from);
  __builtin_memcpy(lanes, &from, sizeof lanes);
  EmulatedLanes<int32_t> to;
  for (int i = 0; i < 16; i++) to.lane[i] = lanes[i];
  return emulatedBits<__m512i>(to);
}
static inline __m512i _mm512_cvtepi8_epi32(__m128i bytes) { return emulatedWidening<int8_t>(bytes); }
static inline __m512i _mm512_cvtepu16_epi32(__m256i words) { return emulatedWidening<uint16_t>(words); }
static inline __m128i _mm512_cvtepi32_epi8(__m512i a) {
  const auto from = emulatedBits<EmulatedLanes<int32_t>>(a);
  int8_t to[16];
  for (int i = 0; i < 16; i++) to[i] = int8_t(from.lane[i]);
  __m128i bytes;
  __builtin_memcpy(&bytes, to, sizeof bytes);
  return bytes;
}
