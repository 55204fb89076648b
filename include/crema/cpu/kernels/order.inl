// SPDX-License-Identifier: Apache-2.0
// Order conversion: kernels, included once per instruction set.

/// Transposes 16 x 16 elements in registers: out[j][i] (+)= in[i][j]. Lanes i whose mask is 0 become 0.
template <class T>
void transpose_tile(const T* const (&in)[16], T* const (&out)[16], const ivec<T>* mask, bool add) {
  constexpr int n = V<T>::n;
  for (int i = 0; i < 16; i += n)
    for (int j = 0; j < 16; j += n) {
      vec<T> r[n];
#pragma GCC unroll 16
      for (int k = 0; k < n; ++k) r[k] = loadu(in[i + k] + j);
      transpose(r);
#pragma GCC unroll 16
      for (int k = 0; k < n; ++k) {
        T* const p = out[j + k] + i;
        const vec<T> v = mask[i / n] ? r[k] : vec<T>{};
        storeu(p, add ? v + loadu(p) : v);
      }
    }
}

/// The lines of consecutive canonical elements, 16 at a time.
template <class P>
struct LineCursor {
  P native;
  std::int64_t pixel, pixels, pitch, channel, line;
  template <class Run>
  explicit LineCursor(const Run& run)
      : native(run.native),
        pixel(run.first % run.pixels),
        pixels(run.pixels),
        pitch(run.pixel),
        channel(run.first / run.pixels),
        line(pixel * pitch + channel) {}
  CREMA_ALWAYS_INLINE void next(P (&at)[16]) {
    for (P& p : at) {
      p = native + line * 16;
      line += pitch;
      if (++pixel == pixels) pixel = 0, line = ++channel;
    }
  }
};

template <class T>
void to_native(const OrderRun<const T, T>& run) {
  ivec<T> mask[V<T>::line];  // lanes that keep their value
  for (int i = 0; i < 16; ++i) mask[i / V<T>::n][i % V<T>::n] = run.repeat || i < run.live ? -1 : 0;
  alignas(64) T rest[16][16] = {}, nowhere[16];
  LineCursor<T*> cursor(run);
  for (std::int64_t e = run.first; e < run.last; e += 16) {
    const T* row[16];
    T* line[16];
    for (int i = 0; i < 16; ++i) row[i] = run.canonical + std::min(i, run.live - 1) * run.row + e;
    cursor.next(line);
    for (std::int64_t j = run.last - e; j < 16; ++j) line[j] = nowhere;
    if (run.last - e < 16)
      for (int i = 0; i < 16; ++i) {
        for (std::int64_t j = 0; j < run.last - e; ++j) rest[i][j] = row[i][j];
        row[i] = rest[i];
      }
    transpose_tile(row, line, mask, run.add);
  }
}

template <class T>
void from_native(const OrderRun<T, const T>& run) {
  ivec<T> mask[V<T>::line];
  for (ivec<T>& m : mask) m = ~ivec<T>{};
  alignas(64) T rest[16][16] = {};
  LineCursor<const T*> cursor(run);
  for (std::int64_t e = run.first; e < run.last; e += 16) {
    const std::int64_t count = std::min<std::int64_t>(16, run.last - e);
    const T* line[16];
    T* row[16];
    cursor.next(line);
    for (std::int64_t j = count; j < 16; ++j) line[j] = line[0];  // beyond the run: any line that may be read
    const bool whole = count == 16;
    for (int i = 0; i < 16; ++i) row[i] = whole && i < run.live ? run.canonical + i * run.row + e : rest[i];
    transpose_tile(line, row, mask, whole && run.add);
    if (whole) continue;
    for (int i = 0; i < run.live; ++i) {
      T* const p = run.canonical + i * run.row + e;
      for (std::int64_t j = 0; j < count; ++j) p[j] = run.add ? p[j] + rest[i][j] : rest[i][j];
    }
  }
}

template <class T>
constexpr OrderKernels<T> make_table(std::type_identity<OrderKernels<T>>) {
  return {.to_native = to_native<T>, .from_native = from_native<T>};
}
