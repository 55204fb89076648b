// SPDX-License-Identifier: Apache-2.0
// The loop behind lines(); included by cpu/lines.hpp once per instruction set.

/// The first `count` elements at p, and the first one again in the lanes behind them. Tails are in every kernel: their loop is compiled once.
template <class T>
[[gnu::noinline]] vec<T> load_some(const T* p, std::int64_t count) {
  vec<T> v = set(p[0]);
  for (std::int64_t i = 1; i < count; ++i) v[i] = p[i];
  return v;
}

template <class T>
[[gnu::noinline]] void store_some(T* p, vec<T> v, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) p[i] = v[i];
}

/// body(y, x...) for n elements at y and at each of x; the last few go through a register as all others do.
template <class T, class F, class... X>
void run_lines(std::int64_t n, const F& body, T* y, const X*... x) {
  constexpr int step = V<T>::n;
  std::int64_t i = 0;
  for (; i + step <= n; i += step) {
    vec<T> v = loadu(y + i);
    body(v, loadu(x + i)...);
    storeu(y + i, v);
  }
  if (i == n) return;
  vec<T> v = load_some(y + i, n - i);
  body(v, load_some(x + i, n - i)...);
  store_some(y + i, v, n - i);
}
