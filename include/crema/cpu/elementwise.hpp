// SPDX-License-Identifier: Apache-2.0
// Element-wise ops on the CPU: fill, copy, add, axpby over memory; relu over blobs of any order.
//
//   fill<float>(cpu, gradients, 0);                        // std::span<float>
//   relu_forward(cpu, bottom, top, 0.1f);                  // top may be bottom
//
// Limited by memory: 20 to 50 GB/s from DRAM, several hundred from L2.
#pragma once

#include <array>

#include "crema/cpu/backend.hpp"

namespace crema::inline CREMA_ABI {

template <class T>
struct ElementwiseKernels {
  void (*fill)(std::int64_t n, T value, T* y);
  void (*axpby)(std::int64_t n, T a, const T* x, T b, T* y);  // y = a x + b y; y is not read for b = 0
  void (*relu_forward)(std::int64_t n, const T* x, T* y, T slope);
  void (*relu_backward)(std::int64_t n, const T* x, const T* dy, T* dx, T slope, bool add);
};

/// Elements of one chunk of element-wise work: enough to hide the claim, few enough to stay in L2.
inline constexpr std::int64_t elementwise_grain = 16384;

namespace detail {

inline bool is_dense(const Shape& s, const Layout& l) { return l == dense_layout(s, l.order); }

/// Calls f(n, offsets) for every run of elements that is contiguous in blobs
/// of one shape and one order, but maybe different pitches: all at once where
/// the layouts are dense, else pixel by pixel. Offsets are in elements.
template <std::size_t N, class F>
void parallel_runs(Cpu& cpu, const Shape& shape, const std::array<Layout, N>& layout, const F& f) {
  using Offsets = std::array<std::int64_t, N>;
  bool dense = true;
  for (const Layout& l : layout) {
    if (l.order != layout[0].order)
      throw ShapeError(cat("an element-wise op over blobs of different orders, shape ", shape));
    dense = dense && (l.order == Order::canonical || is_dense(shape, l));
  }
  if (dense) {
    cpu.parallel_range(storage_size(shape, layout[0]), elementwise_grain,
                       [&](std::int64_t first, std::int64_t last) {
                         Offsets at;
                         at.fill(first);
                         f(last - first, at);
                       });
    return;
  }
  const std::int64_t n = channels(shape) * lanes, pixels = height(shape) * width(shape);
  const std::int64_t grain = n >= elementwise_grain ? 1 : elementwise_grain / n;
  cpu.parallel_range(blocks(shape) * pixels, grain, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      Offsets at;
      for (std::size_t k = 0; k < N; ++k)
        at[k] = (i / pixels * layout[k].block + i % pixels * layout[k].pixel) * lanes;
      f(n, at);
    }
  });
}

}  // namespace detail

/// y[i] = value.
template <class T>
void fill(Cpu& cpu, std::span<T> y, std::type_identity_t<T> value) {
  cpu.parallel_range(static_cast<std::int64_t>(y.size()), elementwise_grain,
                     [&](std::int64_t first, std::int64_t last) {
                       cpu.kernels<ElementwiseKernels<T>>().fill(last - first, value, y.data() + first);
                     });
}

/// y = a x + b y; y is not read where b is 0. Throws ShapeError unless x and y have one size.
template <class T>
void axpby(Cpu& cpu, std::type_identity_t<T> a, std::span<const std::type_identity_t<T>> x,
           std::type_identity_t<T> b, std::span<T> y) {
  if (x.size() != y.size()) throw ShapeError(cat("axpby over ", x.size(), " and ", y.size(), " elements"));
  cpu.parallel_range(
      static_cast<std::int64_t>(y.size()), elementwise_grain, [&](std::int64_t first, std::int64_t last) {
        cpu.kernels<ElementwiseKernels<T>>().axpby(last - first, a, x.data() + first, b, y.data() + first);
      });
}

/// y = x; y += x; y *= a.
template <class T>
void copy(Cpu& cpu, std::span<const std::type_identity_t<T>> x, std::span<T> y) {
  axpby<T>(cpu, 1, x, 0, y);
}
template <class T>
void add(Cpu& cpu, std::span<const std::type_identity_t<T>> x, std::span<T> y) {
  axpby<T>(cpu, 1, x, 1, y);
}
template <class T>
void scale(Cpu& cpu, std::type_identity_t<T> a, std::span<T> y) {
  axpby<T>(cpu, a, y, 0, y);
}

/// dst = src, or dst += src, between blobs of one shape and one order. For different orders see convert().
template <class T>
void copy(Cpu& cpu, const View<const T, Cpu>& src, const View<std::type_identity_t<T>, Cpu>& dst,
          bool add = false) {
  const auto f = [&](std::int64_t n, const std::array<std::int64_t, 2>& at) {
    cpu.kernels<ElementwiseKernels<T>>().axpby(n, 1, src.data + at[0], add ? T(1) : T(0), dst.data + at[1]);
  };
  detail::parallel_runs<2>(cpu, dst.shape, {src.layout, dst.layout}, f);
}

/// top = max(bottom, 0) + slope min(bottom, 0). In place is fine.
template <class T>
void relu_forward(Cpu& cpu, const View<const T, Cpu>& bottom, const View<std::type_identity_t<T>, Cpu>& top,
                  std::type_identity_t<T> slope) {
  const auto f = [&](std::int64_t n, const std::array<std::int64_t, 2>& at) {
    cpu.kernels<ElementwiseKernels<T>>().relu_forward(n, bottom.data + at[0], top.data + at[1], slope);
  };
  detail::parallel_runs<2>(cpu, top.shape, {bottom.layout, top.layout}, f);
}

/// bottom_diff (+)= top_diff where value > 0, slope top_diff elsewhere. `value` is the bottom, or the top
/// when slope is not negative. In place is fine.
template <class T>
void relu_backward(Cpu& cpu, const View<const T, Cpu>& value,
                   const View<const std::type_identity_t<T>, Cpu>& top_diff,
                   const View<std::type_identity_t<T>, Cpu>& bottom_diff, std::type_identity_t<T> slope,
                   bool add) {
  const auto f = [&](std::int64_t n, const std::array<std::int64_t, 3>& at) {
    cpu.kernels<ElementwiseKernels<T>>().relu_backward(n, value.data + at[0], top_diff.data + at[1],
                                                       bottom_diff.data + at[2], slope, add);
  };
  detail::parallel_runs<3>(cpu, bottom_diff.shape, {value.layout, top_diff.layout, bottom_diff.layout}, f);
}

}  // namespace crema
