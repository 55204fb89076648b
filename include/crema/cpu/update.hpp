// SPDX-License-Identifier: Apache-2.0
// Parameter update on the CPU: SGD with momentum over any piece of the flat buffers, norms for clipping, a
// check for numbers that are none.
//
//   sgd_update<float>(cpu, weights, gradients, history, {.rate = 0.01f, .momentum = 0.9f, .decay = 5e-4f});
//   double norm = std::sqrt(sum_of_squares<float>(cpu, gradients));
//
// One pass at the speed of memory (20 bytes per float parameter). Elements are independent, so pieces may be
// updated in any order and sizes with the same bits.
#pragma once

#include "crema/core/op_settings.hpp"
#include "crema/cpu/elementwise.hpp"

namespace crema::inline CREMA_ABI {

template <class T>
struct UpdateKernels {
  void (*sgd)(const SgdRule<T>&, std::int64_t n, T* w, const T* g, T* h);
  double (*sum_of_squares)(std::int64_t n, const T* x);
  bool (*all_finite)(std::int64_t n, const T* x);
};

/// Throws ShapeError unless all three have one size.
template <class T>
void sgd_update(Cpu& cpu, std::span<T> param, std::span<const std::type_identity_t<T>> grad,
                std::span<std::type_identity_t<T>> history, const SgdRule<std::type_identity_t<T>>& rule) {
  if (param.size() != grad.size() || param.size() != history.size())
    throw ShapeError(cat("sgd_update over ", param.size(), " parameters, ", grad.size(), " gradients and ",
                         history.size(), " elements of history"));
  const auto n = static_cast<std::int64_t>(param.size());
  cpu.parallel_range(n, elementwise_grain, [&](std::int64_t first, std::int64_t last) {
    cpu.kernels<UpdateKernels<T>>().sgd(rule, last - first, param.data() + first, grad.data() + first,
                                        history.data() + first);
  });
}

namespace detail {

/// The sum of n numbers as a balanced tree.
CREMA_INLINE_HOT double tree_sum(const double* x, std::int64_t n);
#if CREMA_BODIES
CREMA_INLINE_HOT double tree_sum(const double* x, std::int64_t n) {
  if (n <= 0) return 0;
  if (n == 1) return x[0];
  return tree_sum(x, n / 2) + tree_sum(x + n / 2, n - n / 2);
}
#endif

/// f(first, last) -> double over pieces of [0, n), added up as a tree over the pieces.
template <class F>
double parallel_sum(Cpu& cpu, std::int64_t n, const F& f) {
  const std::int64_t pieces = (n + elementwise_grain - 1) / elementwise_grain;
  double* const partial =
      reinterpret_cast<double*>(cpu.scratch(static_cast<std::size_t>(pieces) * sizeof(double)));
  cpu.parallel_range(n, elementwise_grain, [&](std::int64_t first, std::int64_t last) {
    partial[first / elementwise_grain] = f(first, last);
  });
  return tree_sum(partial, pieces);
}

}  // namespace detail

/// The sum of the squares of all elements, in double, in an order that depends on the size alone.
template <class T>
double sum_of_squares(Cpu& cpu, std::span<const T> x) {
  return detail::parallel_sum(
      cpu, static_cast<std::int64_t>(x.size()), [&](std::int64_t first, std::int64_t last) {
        return cpu.kernels<UpdateKernels<T>>().sum_of_squares(last - first, x.data() + first);
      });
}

/// Whether no element is infinite or NaN.
template <class T>
bool all_finite(Cpu& cpu, std::span<const T> x) {
  return detail::parallel_sum(
             cpu, static_cast<std::int64_t>(x.size()), [&](std::int64_t first, std::int64_t last) {
               return cpu.kernels<UpdateKernels<T>>().all_finite(last - first, x.data() + first) ? 0.0 : 1.0;
             }) == 0;
}

}  // namespace crema
