// Comparisons and masked arithmetic where a mask is a vector of −1 and 0; the including file defines the type Mask,
// any(Mask), choose(Mask, Ints, Ints), maxInts and minInts.

static inline Mask above(Ints a, Ints b) { return a > b; }
template <class Vector>
static inline Mask less(Vector a, Vector b) {
  return Mask(a < b);
}
template <class Vector>
static inline Vector where(Mask mask, Vector a, Vector b) {
  return mask ? a : b;
}
static inline Mask either(Mask a, Mask b) { return a | b; }
static inline Mask within(Mask a, Mask b) { return a & b; }
static inline Ints zeroUnless(Mask mask, Ints a) { return a & mask; }
static inline Ints addWhere(Ints a, Mask mask, Ints b) { return a + (b & mask); }
static inline Ints subtractWhere(Ints a, Mask mask, Ints b) { return a - (b & mask); }
static inline Ints moreWhere(Ints a, Mask mask) { return a - mask; }
static inline Ints lessWhere(Ints a, Mask mask) { return a + mask; }

// The low bytes of a vector; an instruction set may have something better.
template <class Vector>
static inline void storeBytes(uint8_t* p, Vector s) {
  typedef int8_t Bytes __attribute__((vector_size(kVectorBytes / 4)));
  const Bytes bytes = __builtin_convertvector(s, Bytes);
  __builtin_memcpy(p, &bytes, sizeof bytes);
}
