// What only some instruction sets have an instruction for (isa_avx512vnni.cpp): nothing here.

// Curves by pieces where as many numbers are picked from at once.
struct Pieces {
  static constexpr bool kPicked = false;
};

// Counts of a cell beside those kept of it, many at once.
struct Compared {
  static constexpr bool kMany = false;
};
