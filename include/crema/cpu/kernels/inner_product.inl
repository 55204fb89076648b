// SPDX-License-Identifier: Apache-2.0
// Inner product: kernels, included once per instruction set.

template <class T, int R, int N>
void inner_product_tile(const T* w, std::int64_t k, const InputRuns& in, const T* x, std::int64_t x_block,
                        const T* bias, T* y, std::int64_t y_block) {
  constexpr int L = V<T>::line, n = V<T>::n, C = N * L;
  vec<T> acc[R][C];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 16
    for (int c = 0; c < C; ++c) acc[i][c] = bias ? set(bias[i]) : vec<T>{};
  for (std::int64_t run = 0; run < in.runs; ++run) {
    const T* line = x + run * 16;
    for (std::int64_t f = 0; f < in.length; ++f, ++w, line += in.step) {
      vec<T> v[C];
#pragma GCC unroll 16
      for (int c = 0; c < C; ++c) v[c] = load(line + c / L * x_block + c % L * n);
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) {
        const vec<T> weight = set(w[i * k]);
#pragma GCC unroll 16
        for (int c = 0; c < C; ++c) acc[i][c] += weight * v[c];
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 16
    for (int c = 0; c < C; ++c) store(y + c / L * y_block + i * 16 + c % L * n, acc[i][c]);
}

template <class T, int R, int N>
inline CREMA_ALWAYS_INLINE void inner_product_lines(const T* w, const T* also, std::int64_t k, int n,
                                                    const T* dy, std::int64_t dy_block, std::int64_t step,
                                                    T* dx, std::int64_t dx_block, bool add) {
  constexpr int L = V<T>::line, width = V<T>::n, C = N * L;
  vec<T> acc[R][C];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 16
    for (int c = 0; c < C; ++c)
      acc[i][c] = add ? load(dx + i * step + c / L * dx_block + c % L * width) : vec<T>{};
  for (int o = 0; o < n; ++o, w += k, also += k, dy += 16) {
    __builtin_prefetch(w + n * k, 0, 2);
    __builtin_prefetch(also, 1, 2);
    vec<T> d[C];
#pragma GCC unroll 16
    for (int c = 0; c < C; ++c) d[c] = load(dy + c / L * dy_block + c % L * width);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const vec<T> weight = set(w[i]);
#pragma GCC unroll 16
      for (int c = 0; c < C; ++c) acc[i][c] += weight * d[c];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 16
    for (int c = 0; c < C; ++c) store(dx + i * step + c / L * dx_block + c % L * width, acc[i][c]);
}

/// Lines of dx that one pass over the outputs keeps in registers, of each of N blocks.
template <class T, int N>
inline constexpr int data_lines = registers == 32   ? (N == 3 ? 8 : 16 / N) / V<T>::line
                                  : V<T>::line == 2 ? 6
                                  : V<T>::line == 4 ? 2
                                                    : 1;

template <class T, int N>
void inner_product_backward(const T* w, const T* also, std::int64_t k, int n, const T* dy,
                            std::int64_t dy_block, std::int64_t count, std::int64_t step, T* dx,
                            std::int64_t dx_block, bool add) {
  constexpr int R = data_lines<T, N>;
  std::int64_t i = 0;
  for (; i + R <= count; i += R)
    inner_product_lines<T, R, N>(w + i, also + i, k, n, dy, dy_block, step, dx + i * step, dx_block, add);
  if constexpr (R > 4)
    for (; i + 4 <= count; i += 4)
      inner_product_lines<T, 4, N>(w + i, also + i, k, n, dy, dy_block, step, dx + i * step, dx_block, add);
  for (; i < count; ++i)
    inner_product_lines<T, 1, N>(w + i, also + i, k, n, dy, dy_block, step, dx + i * step, dx_block, add);
}

template <class T, int N, int First, int... R>
constexpr void add_inner_products(InnerProductKernels<T>& k, std::integer_sequence<int, R...>) {
  ((k.forward[First + R][N] = &inner_product_tile<T, First + R, N>), ...);
}

template <class T>
constexpr InnerProductKernels<T> make_table(std::type_identity<InnerProductKernels<T>>) {
  constexpr int line = V<T>::line, rows = registers == 32 ? 8 : line == 2 ? 6 : line == 4 ? 2 : 1;
  InnerProductKernels<T> k;
  k.rows = rows, k.blocks = registers == 32 && line == 1 ? 3 : 1;
  add_inner_products<T, 1, 1>(k, std::make_integer_sequence<int, rows>());
  if constexpr (registers == 32 && line == 1) {
    constexpr int least = InnerProductKernels<T>::least_rows;
    add_inner_products<T, 2, least>(k, std::make_integer_sequence<int, rows + 1 - least>());
    add_inner_products<T, 3, least>(k, std::make_integer_sequence<int, rows + 1 - least>());
  }
  k.backward[1] = &inner_product_backward<T, 1>;
  if constexpr (registers == 32 && line == 1) {
    k.backward[2] = &inner_product_backward<T, 2>;
    k.backward[3] = &inner_product_backward<T, 3>;
  }
  return k;
}
