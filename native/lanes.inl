// What an instruction set may have an instruction for: floors, signs, numbers from places, and bytes as integers.
#include "absent.inl"

// ⌊x⌋ where |x| < 2^51 (of float32 2^22): rounded to a whole number by adding 1.5·2^52 (2^23), and one less where that went up.
template <class Vector>
static inline Vector floorOf(Vector x) {
  const Vector shift = Vector{} + decltype(+x[0])(sizeof(x[0]) == 4 ? 0x1.8p23 : 0x1.8p52);
  const Vector nearest = (x + shift) - shift;
  return nearest > x ? nearest - 1 : nearest;
}

template <class Vector>
static inline Vector smaller(Vector a, Vector b) {
  return a < b ? a : b;
}
template <class Vector>
static inline Vector larger(Vector a, Vector b) {
  return a > b ? a : b;
}

// Magnitudes with the signs of other numbers, whose own magnitude is 0 where that is.
static inline Ints withSign(Ints magnitude, Ints sign) {
  const Ints below = sign >> 31;
  return (magnitude ^ below) - below;
}

// The numbers, and the pairs of them, at some places.
static inline Ints gatherInts(const int32_t* numbers, Ints places) {
  Ints found;
  for (int i = 0; i < kVectorBytes / 4; i++) found[i] = numbers[places[i]];
  return found;
}
template <class Vector>
static inline void gatherPairs(const int32_t* pairs, Vector places, Vector& first, Vector& second) {
  for (size_t i = 0; i < sizeof(Vector) / 4; i++) {
    first[i] = pairs[2 * places[i]];
    second[i] = pairs[2 * places[i] + 1];
  }
}

static inline Ints widenBytes(const uint8_t* p) {
  typedef int8_t Bytes __attribute__((vector_size(kVectorBytes / 4)));
  Bytes v;
  __builtin_memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, Ints);
}

// Channelwise convolutions: Synapses::add where an instruction multiplies two synapses of a neuron at once (avx2.inl).
struct Synapses {
  static constexpr bool kByPairs = false;
};
