// SPDX-License-Identifier: Apache-2.0
// Parameter update and norms: kernels, included once per instruction set.

template <class T>
void sgd(const SgdRule<T>& rule, std::int64_t n, T* w, const T* g, T* h) {
  constexpr int step = V<T>::n;
  const auto update = [&](vec<T>& weight, vec<T> gradient, vec<T>& history) {
    gradient = gradient * rule.scale;
    if (rule.l1)
      gradient = gradient +
                 select(weight > T(0), set(rule.decay), select(weight < T(0), set(-rule.decay), set(T(0))));
    else
      gradient = gradient + rule.decay * weight;
    history = rule.momentum * history + rule.rate * gradient;
    weight = weight - history;
  };
  std::int64_t i = 0;
  for (; i + step <= n; i += step) {
    vec<T> weight = loadu(w + i), history = loadu(h + i);
    update(weight, loadu(g + i), history);
    storeu(h + i, history);
    storeu(w + i, weight);
  }
  if (i == n) return;
  vec<T> weight = load_some(w + i, n - i), history = load_some(h + i, n - i);
  update(weight, load_some(g + i, n - i), history);
  store_some(h + i, history, n - i);
  store_some(w + i, weight, n - i);
}

/// As many elements as a register holds doubles, as doubles.
template <class T>
inline CREMA_ALWAYS_INLINE vec<double> load_doubles(const T* p) {
  if constexpr (sizeof(T) == 8)
    return loadu(p);
  else {
    typedef T half __attribute__((vector_size(register_bytes / 2), may_alias, aligned(alignof(T))));
    return __builtin_convertvector(*reinterpret_cast<const half*>(p), vec<double>);
  }
}

template <class T>
double sum_of_squares(std::int64_t n, const T* x) {
  constexpr int step = V<double>::n;
  vec<double> a{}, b{};  // two chains hide the latency of an addition
  std::int64_t i = 0;
  for (; i + 2 * step <= n; i += 2 * step) {
    const vec<double> u = load_doubles(x + i), v = load_doubles(x + i + step);
    a = u * u + a;
    b = v * v + b;
  }
  double rest = 0;
  for (; i < n; ++i) rest += double(x[i]) * double(x[i]);
  return sum(a + b) + rest;
}

template <class T>
bool all_finite(std::int64_t n, const T* x) {  // x 0 is 0 for every finite x, and NaN for others
  vec<T> zero{};
  std::int64_t i = 0;
  for (; i + V<T>::n <= n; i += V<T>::n) zero = zero + loadu(x + i) * T(0);
  if (i < n) zero = zero + load_some(x + i, n - i) * T(0);
  return sum(zero) == 0;
}

template <class T>
constexpr UpdateKernels<T> make_table(std::type_identity<UpdateKernels<T>>) {
  return {.sgd = sgd<T>, .sum_of_squares = sum_of_squares<T>, .all_finite = all_finite<T>};
}
