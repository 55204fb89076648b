// SPDX-License-Identifier: Apache-2.0
// Convolution: kernels, included once per instruction set. A line is 16 images, V<T>::line registers.

/// Largest tile: output channels x pixels. Accumulators, the input's registers and one weight fit the register file;
/// AVX-512 could hold two more rows, which were no faster: 16 loads for 28 products, not 14 for 24.
template <class T>
inline constexpr int tile_pixels = registers == 32 && V<T>::line == 1 ? 2 : 1;
template <class T>
inline constexpr int tile_rows = registers == 32   ? 24 / (V<T>::line * tile_pixels<T>)
                                 : V<T>::line == 2 ? 6
                                 : V<T>::line == 4 ? 2
                                                   : 1;

/// One run: for `n` lines, rows of M weights against the lines of the pixels [First, Last).
template <class T, int M, int P, int First, int Last>
inline CREMA_ALWAYS_INLINE void run_tile(vec<T> (&acc)[M][P * V<T>::line], std::int64_t n, const T* w,
                                         const T* x, std::ptrdiff_t second, std::ptrdiff_t prefetch) {
  constexpr int L = V<T>::line, R = (Last - First) * L;
  for (; n > 0; --n, w += M, x += 16) {
    vec<T> in[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) in[r] = load(x + (First + r / L) * second + r % L * V<T>::n);
    if constexpr (R == P * L) {
      __builtin_prefetch(x + prefetch);
      if constexpr (P == 2) __builtin_prefetch(x + second + prefetch);
    }
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i) {
      const vec<T> weight = set(w[i]);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) acc[i][First * L + r] += weight * in[r];
    }
  }
}

template <class T, int M>
void convolution_tile(const ConvolutionRun* run, int runs, const T* weights, const T* x,
                      std::ptrdiff_t second, std::ptrdiff_t prefetch, const T* bias, T* y0, T* y1, bool add) {
  constexpr int L = V<T>::line, P = tile_pixels<T>, R = P * L, n = V<T>::n;
  vec<T> acc[M][R];
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i)
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) acc[i][r] = bias ? set(bias[i]) : vec<T>{};
  if (add) {
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r)
        if (r < L || y1) acc[i][r] += load((r < L ? y0 : y1) + i * 16 + r % L * n);
  }
  for (; runs > 0; --runs, ++run) {
    const T* w = weights + std::ptrdiff_t{run->weight} * M;
    const T* in = x + run->input;
    if constexpr (P == 1) {
      run_tile<T, M, P, 0, 1>(acc, run->length, w, in, 0, prefetch);
    } else {
      if (run->pixels == 3)
        run_tile<T, M, P, 0, 2>(acc, run->length, w, in, second, prefetch);
      else if (run->pixels == 1)
        run_tile<T, M, P, 0, 1>(acc, run->length, w, in, second, prefetch);
      else
        run_tile<T, M, P, 1, 2>(acc, run->length, w, in, second, prefetch);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i)
#pragma GCC unroll 16
    for (int r = 0; r < L; ++r) store(y0 + i * 16 + r * n, acc[i][r]);
  if constexpr (P == 2) {
    if (!y1) return;
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 16
      for (int r = 0; r < L; ++r) store(y1 + i * 16 + r * n, acc[i][L + r]);
  }
}

/// Lane i of the result is the sum of the lanes of r[i]; r has as many vectors as a vector has lanes.
template <class X, int D, int N>
inline CREMA_ALWAYS_INLINE X cross_sums(X (&r)[N]) {
  constexpr int lanes_of = int{sizeof(X) / sizeof(r[0][0])};
  if constexpr (D == lanes_of) {
    return r[0];
  } else {
    X half[N / 2];
#pragma GCC unroll 16
    for (int i = 0; i < N / 2; ++i)
      half[i] = shuffle<SwapIndex<D, lanes_of, 0>>(r[2 * i], r[2 * i + 1]) +
                shuffle<SwapIndex<D, lanes_of, 1>>(r[2 * i], r[2 * i + 1]);
    if constexpr (N == 2)
      return half[0];
    else
      return cross_sums<X, 2 * D>(half);
  }
}

template <class T, int A, int B>
void weight_gradient_dot(const GradientPixels<T>& p, T* sums) {
  constexpr int L = V<T>::line, n = V<T>::n, count = (A * B + n - 1) / n * n;
  vec<T> acc[count];
#pragma GCC unroll 32
  for (int i = 0; i < count; ++i) acc[i] = vec<T>{};
  const T *dy = p.dy, *x = p.x;
  const std::ptrdiff_t x_step = p.x_step;
  for (int rows = p.rows; rows > 0; --rows, dy += p.dy_row, x += p.x_row) {
    const T *d = dy, *in = x;
    for (std::int64_t k = p.pixels; k > 0; --k, d += A * 16, in += x_step) {
#pragma GCC unroll 8
      for (int l = 0; l < L; ++l) {
        vec<T> xv[B];
#pragma GCC unroll 8
        for (int j = 0; j < B; ++j) xv[j] = in_register(load(in + j * 16 + l * n));
#pragma GCC unroll 8
        for (int i = 0; i < A; ++i) {
          const vec<T> dv = in_register(load(d + i * 16 + l * n));
#pragma GCC unroll 8
          for (int j = 0; j < B; ++j) acc[i * B + j] += dv * xv[j];
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int g = 0; g < count; g += n) {
    vec<T> r[n];
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) r[i] = acc[g + i];
    storeu(sums + g, loadu(sums + g) + cross_sums<vec<T>, 1>(r));
  }
}

/// C lines side by side, so that no addition waits for the one before.
template <class T, int C>
void line_sums_of(const T* d, std::int64_t pixels, std::ptrdiff_t step, T* sums) {
  constexpr int L = V<T>::line;
  vec<T> acc[C][L];
#pragma GCC unroll 16
  for (int c = 0; c < C; ++c)
#pragma GCC unroll 8
    for (int l = 0; l < L; ++l) acc[c][l] = vec<T>{};
  for (; pixels > 0; --pixels, d += step)
#pragma GCC unroll 16
    for (int c = 0; c < C; ++c)
#pragma GCC unroll 8
      for (int l = 0; l < L; ++l) acc[c][l] += load(d + c * 16 + l * V<T>::n);
  for (int c = 0; c < C; ++c) {
    T total = 0;
#pragma GCC unroll 8
    for (int l = 0; l < L; ++l) total += sum(acc[c][l]);
    sums[c] += total;
  }
}

template <class T>
void line_sums(const T* dy, std::int64_t pixels, std::ptrdiff_t step, int n, T* sums) {
  constexpr int together = V<T>::line <= 2 ? 4 : 1;
  int c = 0;
  for (; c + together <= n; c += together) line_sums_of<T, together>(dy + c * 16, pixels, step, sums + c);
  for (; c < n; ++c) line_sums_of<T, 1>(dy + c * 16, pixels, step, sums + c);
}

/// Rows of a canonical convolution: M output channels of one
/// output row, columns in vectors, weights [channel][tap][M].
template <class T, int M>
void direct_convolution(const T* weights, int channels, const std::int64_t* tap_offset, int taps, const T* x,
                        std::int64_t plane, const T* bias, T* y, std::int64_t y_plane, int n) {
  for (int at = 0; at < n; at += V<T>::n) {
    vec<T> acc[M];
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) acc[i] = bias ? set(bias[i]) : vec<T>{};
    const T* w = weights;
    for (int c = 0; c < channels; ++c)
      for (int t = 0; t < taps; ++t, w += M) {
        const vec<T> in = loadu(x + c * plane + tap_offset[t] + at);
#pragma GCC unroll 8
        for (int i = 0; i < M; ++i) acc[i] += set(w[i]) * in;
      }
    const int live = n - at < V<T>::n ? n - at : V<T>::n;
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
      T* out = y + i * y_plane + at;
      if (live == V<T>::n)
        storeu(out, acc[i]);
      else
        store_some(out, acc[i], live);
    }
  }
}

template <class T, int... M>
constexpr void add_tiles(ConvolutionKernels<T>& k, std::integer_sequence<int, M...>) {
  ((k.tile[M + 1] = &convolution_tile<T, M + 1>), ...);
}

/// Tiles of a weight gradient: A x B sums, B lines of the input, one of dy and, without FMA, a product are in
/// registers. More sums were no faster. The baseline, which few will run, has the small ones.
template <class T, int A, int B>
constexpr void add_dot(ConvolutionKernels<T>& k) {
  if constexpr (B <= registers / 8 && (A <= 4 || register_bytes > 16))
    k.dot[A][B] = &weight_gradient_dot<T, A, B>;
}
template <class T, int... I>
constexpr void add_dots(ConvolutionKernels<T>& k, std::integer_sequence<int, I...>) {
  constexpr int b = ConvolutionKernels<T>::max_b;
  (add_dot<T, I / b + 1, I % b + 1>(k), ...);
}
template <class T, int... M>
constexpr void add_direct(ConvolutionKernels<T>& k, std::integer_sequence<int, M...>) {
  ((k.direct[M + 1] = &direct_convolution<T, M + 1>), ...);
}

template <class T>
constexpr ConvolutionKernels<T> make_table(std::type_identity<ConvolutionKernels<T>>) {
  ConvolutionKernels<T> k;
  k.rows = tile_rows<T>, k.pixels = tile_pixels<T>;
  add_tiles(k, std::make_integer_sequence<int, tile_rows<T>>());
  add_dots(k, std::make_integer_sequence<int, k.max_a * k.max_b>());
  k.line_sums = &line_sums<T>;
  k.direct_rows = registers == 32 ? 8 : 4;
  if constexpr (registers == 32)
    add_direct(k, std::make_integer_sequence<int, 8>());
  else
    add_direct(k, std::make_integer_sequence<int, 4>());
  return k;
}
