// Comparisons and masked arithmetic where a mask is a vector of −1 and 0; the including file defines any(Mask).
typedef Ints Mask;

static inline Mask atLeast(Ints a, Ints b) { return a >= b; }
static inline Mask either(Mask a, Mask b) { return a | b; }
static inline Mask within(Mask a, Mask b) { return a & b; }
static inline Mask without(Mask a, Mask b) { return a & ~b; }
static inline Ints choose(Mask mask, Ints a, Ints b) { return (a & mask) | (b & ~mask); }
static inline Ints zeroUnless(Mask mask, Ints a) { return a & mask; }
static inline Ints addWhere(Ints a, Mask mask, Ints b) { return a + (b & mask); }
static inline Ints subtractWhere(Ints a, Mask mask, Ints b) { return a - (b & mask); }
static inline Ints maxInts(Ints a, Ints b) { return choose(a >= b, a, b); }
static inline Ints minInts(Ints a, Ints b) { return choose(a >= b, b, a); }
static inline int countOf(Mask mask) {
  int count = 0;
  for (int i = 0; i < kVectorBytes / 4; i++) count -= mask[i];
  return count;
}
