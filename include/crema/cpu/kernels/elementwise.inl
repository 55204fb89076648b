// SPDX-License-Identifier: Apache-2.0
// Element-wise ops: kernels, included once per instruction set.

template <class T>
void fill(std::int64_t n, T value, T* y) {
  run_lines<T>(
      n, [=](auto& v) { v = set(value); }, y);
}

template <class T>
void axpby(std::int64_t n, T a, const T* x, T b, T* y) {
  if (a == 1 && b == 0)
    run_lines<T>(
        n, [=](auto& v, const auto& u) { v = u; }, y, x);  // keeps every bit
  else if (b == 0)
    run_lines<T>(
        n, [=](auto& v, const auto& u) { v = a * u; }, y, x);
  else
    run_lines<T>(
        n, [=](auto& v, const auto& u) { v = a * u + b * v; }, y, x);
}

template <class T>
void relu_forward(std::int64_t n, const T* x, T* y, T slope) {
  run_lines<T>(
      n,
      [=](auto& v, const auto& u) {  // operands in this order keep a NaN
        const vec<T> zero{};
        v = vmax(zero, u) + slope * vmin(zero, u);
      },
      y, x);
}

template <class T>
void relu_backward(std::int64_t n, const T* x, const T* dy, T* dx, T slope, bool add) {
  const auto body = [=](auto& d, const auto& value, const auto& top) {
    const vec<T> v = select(value > T(0), top, slope * top);
    d = add ? d + v : v;
  };
  run_lines<T>(n, body, dx, x, dy);
}

template <class T>
constexpr ElementwiseKernels<T> make_table(std::type_identity<ElementwiseKernels<T>>) {
  return {
      .fill = fill<T>, .axpby = axpby<T>, .relu_forward = relu_forward<T>, .relu_backward = relu_backward<T>};
}
