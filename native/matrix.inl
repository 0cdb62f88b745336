// Products of matrices in float64, of islands: each sum from its first product to its last, none of them fused
// (src/tensor/operators.ts). A room of kernels.inl.

// ROWS rows by VECTORS vectors of columns; `inner` products each.
template <int ROWS, int VECTORS>
static inline void multiplyTile(const double* left, const double* right, double* out, int inner, int columns) {
  Doubles acc[ROWS][VECTORS] = {};
  for (int k = 0; k < inner; k++, right += columns) {
    Doubles by[VECTORS];
    for (int v = 0; v < VECTORS; v++) by[v] = loadDoubles(right + v * kHalf);
    for (int r = 0; r < ROWS; r++) {
      const Doubles one = Doubles{} + left[size_t(r) * inner + k];
      for (int v = 0; v < VECTORS; v++) acc[r][v] += one * by[v];
    }
  }
  for (int r = 0; r < ROWS; r++)
    for (int v = 0; v < VECTORS; v++) __builtin_memcpy(out + size_t(r) * columns + v * kHalf, &acc[r][v], sizeof(Doubles));
}

template <int ROWS>
static inline void multiplySome(const double* left, const double* right, double* out, int inner, int columns) {
  int j = 0;
  for (; j + 2 * kHalf <= columns; j += 2 * kHalf) multiplyTile<ROWS, 2>(left, right + j, out + j, inner, columns);
  for (; j + kHalf <= columns; j += kHalf) multiplyTile<ROWS, 1>(left, right + j, out + j, inner, columns);
  for (; j < columns; j++) {
    for (int r = 0; r < ROWS; r++) {
      double sum = 0;
      for (int k = 0; k < inner; k++) sum += left[size_t(r) * inner + k] * right[size_t(k) * columns + j];
      out[size_t(r) * columns + j] = sum;
    }
  }
}

static void multiply(const double* left, const double* right, double* out, int rows, int inner, int columns) {
  int i = 0;
  for (; i + 4 <= rows; i += 4) multiplySome<4>(left + size_t(i) * inner, right, out + size_t(i) * columns, inner, columns);
  for (; i < rows; i++) multiplySome<1>(left + size_t(i) * inner, right, out + size_t(i) * columns, inner, columns);
}
