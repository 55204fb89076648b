// SPDX-License-Identifier: Apache-2.0
// Pooling: kernels, included once per instruction set. All channels of one pixel, 16 images at a time.

template <class T, class I>
struct Narrow {
  typedef I type __attribute__((vector_size(V<T>::n * sizeof(I)), may_alias));
};

/// Lanes of I as lanes of W, by doubling: g++ 12 takes wider steps element by element.
template <class W, class I, class N>
inline CREMA_ALWAYS_INLINE auto widen(N v) {
  if constexpr (sizeof(I) == sizeof(W)) {
    return v;
  } else {
    using Next = std::conditional_t<sizeof(I) == 1, std::uint16_t,
                                    std::conditional_t<sizeof(I) == 2, std::int32_t, std::int64_t>>;
    typedef Next Wide __attribute__((vector_size(sizeof(N) * 2)));
    return widen<W, Next>(__builtin_convertvector(v, Wide));
  }
}

template <class T, class I>
void pool_max(const T* x, int rows, int columns, std::ptrdiff_t row, std::ptrdiff_t column, int tap,
              int tap_row, std::int64_t channels, T* y, std::byte* index) {
  using N = typename Narrow<T, I>::type;
  constexpr int n = V<T>::n;
  for (std::int64_t i = 0; i < channels * 16; i += n) {
    vec<T> best = load(x + i);
    ivec<T> where = iset<T>(tap);
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < columns; ++c) {
        const vec<T> v = load(x + i + r * row + c * column);
        const auto more = v > best;
        best = more ? v : best;
        where = more ? iset<T>(tap + r * tap_row + c) : where;
      }
    store(y + i, best);
    const N narrow = __builtin_convertvector(where, N);
    __builtin_memcpy(index + i * std::int64_t{sizeof(I)}, &narrow, sizeof narrow);
  }
}

template <class T, class I>
void pool_max_backward(const PoolSource<T>* s, int count, std::int64_t channels, T* dx, bool add) {
  using N = typename Narrow<T, I>::type;
  constexpr int n = V<T>::n;
  for (std::int64_t i = 0; i < channels * 16; i += n) {
    vec<T> acc = add ? load(dx + i) : vec<T>{};
    for (int k = 0; k < count; ++k) {
      N narrow;
      __builtin_memcpy(&narrow, s[k].index + i * std::int64_t{sizeof(I)}, sizeof narrow);
      const ivec<T> where = (ivec<T>)widen<typename V<T>::integer, I>(narrow);
      acc += where == iset<T>(s[k].tap) ? load(s[k].dy + i) : vec<T>{};
    }
    store(dx + i, acc);
  }
}

template <class T>
void pool_average(const T* x, int rows, int columns, std::ptrdiff_t row, std::ptrdiff_t column, T scale,
                  std::int64_t channels, T* y) {
  for (std::int64_t i = 0; i < channels * 16; i += V<T>::n) {
    vec<T> acc{};
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < columns; ++c) acc += load(x + i + r * row + c * column);
    store(y + i, acc * set(scale));
  }
}

template <class T>
void pool_average_backward(const PoolSource<T>* s, int count, std::int64_t channels, T* dx, bool add) {
  for (std::int64_t i = 0; i < channels * 16; i += V<T>::n) {
    vec<T> acc = add ? load(dx + i) : vec<T>{};
    for (int k = 0; k < count; ++k) acc += set(s[k].scale) * load(s[k].dy + i);
    store(dx + i, acc);
  }
}

template <class T>
constexpr PoolingKernels<T> make_table(std::type_identity<PoolingKernels<T>>) {
  return {.small = {&pool_max<T, std::uint8_t>, &pool_max_backward<T, std::uint8_t>},
          .large = {&pool_max<T, std::uint16_t>, &pool_max_backward<T, std::uint16_t>},
          .average = &pool_average<T>,
          .average_backward = &pool_average_backward<T>};
}
