// SPDX-License-Identifier: Apache-2.0
// Local response normalisation: kernels, included once per instruction set. One line of 16 images at a time.

/// s^-beta for positive s.
template <class T>
inline CREMA_ALWAYS_INLINE vec<T> inverse_power(vec<T> s, T beta) {
  if (beta == T(0.75)) {  // s^-1/2 * s^-1/4
    const vec<T> r = rsqrt(s);
    return r * sqrt(r);
  }
  return exp(-beta * log(s));
}

template <class T>
void lrn_scale(const T* x, int rows, std::ptrdiff_t row, int columns, std::ptrdiff_t column, T offset,
               T weight, T beta, T* scale, const T* at, T* y) {
  for (int l = 0; l < 16; l += V<T>::n) {
    vec<T> total{};
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < columns; ++c) {
        const vec<T> v = load(x + l + r * row + c * column);
        total += v * v;
      }
    const vec<T> s = set(offset) + set(weight) * total;
    store(scale + l, s);
    store(y + l, load(at + l) * inverse_power<T>(s, beta));
  }
}

template <class T>
void lrn_ratio(const T* x, const T* scale, const T* dy, T beta, T* t, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += V<T>::n) {
    const vec<T> s = load(scale + i);
    store(t + i, load(dy + i) * load(x + i) * inverse_power<T>(s, beta) / s);
  }
}

template <class T>
void lrn_gradient(const T* t, int rows, std::ptrdiff_t row, int columns, std::ptrdiff_t column, T factor,
                  T beta, const T* x, const T* scale, const T* dy, T* dx, bool add) {
  for (int l = 0; l < 16; l += V<T>::n) {
    vec<T> total{};
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < columns; ++c) total += load(t + l + r * row + c * column);
    vec<T> d = load(dy + l) * inverse_power<T>(load(scale + l), beta) - set(factor) * load(x + l) * total;
    if (add) d += load(dx + l);
    store(dx + l, d);
  }
}

template <class T>
constexpr LrnKernels<T> make_table(std::type_identity<LrnKernels<T>>) {
  return {.scale = &lrn_scale<T>, .ratio = &lrn_ratio<T>, .gradient = &lrn_gradient<T>};
}
