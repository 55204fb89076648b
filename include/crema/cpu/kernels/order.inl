// SPDX-License-Identifier: Apache-2.0
// Order conversion: kernels, included once per instruction set.

/// Transposes 16 x 16 elements in registers: load(i, j) gives V<T>::n elements of row i from column j,
/// store(j, i, v) takes as many of column j from row i.
template <class T, class Load, class Store>
inline CREMA_ALWAYS_INLINE void transpose_tile(const Load& load, const Store& store) {
  constexpr int n = V<T>::n;
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += n)
#pragma GCC unroll 4
    for (int j = 0; j < 16; j += n) {
      vec<T> r[n];
#pragma GCC unroll 16
      for (int k = 0; k < n; ++k) r[k] = load(i + k, j);
      transpose(r);
#pragma GCC unroll 16
      for (int k = 0; k < n; ++k) store(j + k, i, r[k]);
    }
}

/// Where the lines of 16 consecutive canonical elements lie.
struct LineCursor {
  std::int64_t pixel, pixels, pitch, channel, line;
  LineCursor(std::int64_t first, std::int64_t pixel_count, std::int64_t pixel_pitch)
      : pixel(first % pixel_count),
        pixels(pixel_count),
        pitch(pixel_pitch),
        channel(first / pixel_count),
        line(pixel * pitch + channel) {}
  CREMA_ALWAYS_INLINE void next16(std::int64_t (&offset)[16]) {
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) {
      offset[j] = line * 16;
      line += pitch;
      if (++pixel == pixels) pixel = 0, line = ++channel;
    }
  }
};

template <class T>
void to_native(const OrderRun<const T, T>& run) {
  constexpr int n = V<T>::n;
  ivec<T> alive[V<T>::line];  // lanes that keep their value: all, or the live ones
  for (int i = 0; i < 16; ++i) alive[i / n][i % n] = run.repeat || i < run.live ? -1 : 0;
  const T* row[16];
  for (int i = 0; i < 16; ++i) row[i] = run.canonical + std::min(i, run.live - 1) * run.row;
  LineCursor cursor(run.first, run.pixels, run.pixel);
  std::int64_t at[16];
  const auto store_line = [&](int j, int i, vec<T> v) CREMA_ALWAYS_INLINE {
    T* const p = run.native + at[j] + i;
    v = alive[i / n] ? v : vec<T>{};
    store(p, run.add ? v + load(p) : v);
  };
  std::int64_t e = run.first;
  for (; e + 16 <= run.last; e += 16) {
    cursor.next16(at);
    transpose_tile<T>([&](int i, int j) CREMA_ALWAYS_INLINE { return loadu(row[i] + e + j); }, store_line);
  }
  if (e == run.last) return;
  alignas(64) T rest[16][16] = {};
  for (int i = 0; i < 16; ++i)
    for (std::int64_t j = e; j < run.last; ++j) rest[i][j - e] = row[i][j];
  cursor.next16(at);
  transpose_tile<T>([&](int i, int j) CREMA_ALWAYS_INLINE { return load(&rest[i][j]); },
                    [&](int j, int i, vec<T> v) CREMA_ALWAYS_INLINE {
                      if (e + j < run.last) store_line(j, i, v);
                    });
}

template <class T>
void from_native(const OrderRun<T, const T>& run) {
  LineCursor cursor(run.first, run.pixels, run.pixel);
  std::int64_t at[16];
  const auto load_line = [&](int j, int i) CREMA_ALWAYS_INLINE { return load(run.native + at[j] + i); };
  for (std::int64_t e = run.first; e < run.last; e += 16) {
    cursor.next16(at);
    const std::int64_t count = std::min<std::int64_t>(16, run.last - e);
    if (count == 16 && run.live == 16) {
      transpose_tile<T>(load_line, [&](int i, int j, vec<T> v) CREMA_ALWAYS_INLINE {
        T* const p = run.canonical + i * run.row + e + j;
        storeu(p, run.add ? v + loadu(p) : v);
      });
      continue;
    }
    for (std::int64_t j = count; j < 16; ++j) at[j] = at[0];  // beyond the run: any line that may be read
    alignas(64) T tile[16][16];
    transpose_tile<T>(load_line, [&](int i, int j, vec<T> v) CREMA_ALWAYS_INLINE { store(&tile[i][j], v); });
    for (int i = 0; i < run.live; ++i) {
      T* const p = run.canonical + i * run.row + e;
      for (std::int64_t j = 0; j < count; ++j) p[j] = run.add ? p[j] + tile[i][j] : tile[i][j];
    }
  }
}

template <class T>
constexpr OrderKernels<T> order_kernels() {
  return {.to_native = to_native<T>, .from_native = from_native<T>};
}
