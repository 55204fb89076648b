// SPDX-License-Identifier: Apache-2.0
// Softmax and the multinomial logistic loss on the CPU.
//
// Canonical blobs are outer x classes x inner; native ones are classes of each pixel, 16 images at a time,
// with axis 1.
#pragma once

#include <cmath>
#include <limits>

#include "crema/core/label.hpp"
#include "crema/core/op_settings.hpp"
#include "crema/cpu/backend.hpp"

namespace crema::inline CREMA_ABI {

template <class T>
struct SoftmaxKernels {
  void (*forward)(const T* x, std::int64_t classes, T* y) = nullptr;  // lines
  /// dx (+)= y * (dy - sum over classes of y * dy)
  void (*backward)(const T* y, const T* dy, std::int64_t classes, T* dx, bool add) = nullptr;
  /// dx (+)= weight[lane] * y, lines
  void (*scaled)(const T* y, std::int64_t classes, const T* weight, T* dx, bool add) = nullptr;
};

namespace detail {

/// Calls f(first line or element, stride between classes) for every group of classes, in parallel.
template <class F>
void each_softmax(Cpu& b, const Shape& s, const Layout& l, int axis, const F& f) {
  if (l.order == Order::native) {
    const std::int64_t pixels = height(s) * width(s);
    return b.parallel_range(blocks(s) * pixels, 16, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i)
        f((i / pixels * l.block + i % pixels * l.pixel) * lanes, lanes);
    });
  }
  const std::int64_t inner = s.count(axis + 1), outer = s.count(0, axis);
  b.parallel_range(outer * inner, 64, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) f(i / inner * s[axis] * inner + i % inner, inner);
  });
}

}  // namespace detail

/// y = exp(x - max) / sum of it, along the axis. Both of one layout.
template <class T>
void softmax_forward(Cpu& b, int axis, const View<const T, Cpu>& x, T* y) {
  const auto& k = b.kernels<SoftmaxKernels<T>>();
  const std::int64_t classes = x.shape[axis];
  detail::each_softmax(b, x.shape, x.layout, axis, [&](std::int64_t at, std::int64_t step) {
    if (x.layout.order == Order::native) return k.forward(x.data + at, classes, y + at);
    T most = x.data[at], total = 0;
    for (std::int64_t c = 1; c < classes; ++c) most = std::max(most, x.data[at + c * step]);
    for (std::int64_t c = 0; c < classes; ++c)
      total += y[at + c * step] = std::exp(x.data[at + c * step] - most);
    for (std::int64_t c = 0; c < classes; ++c) y[at + c * step] /= total;
  });
}

/// dx (+)= the gradient of x.
template <class T>
void softmax_backward(Cpu& b, int axis, const View<const T, Cpu>& y, const View<const T, Cpu>& dy,
                      const View<T, Cpu>& dx, bool add) {
  const auto& k = b.kernels<SoftmaxKernels<T>>();
  const std::int64_t classes = y.shape[axis];
  detail::each_softmax(b, y.shape, y.layout, axis, [&](std::int64_t at, std::int64_t step) {
    if (y.layout.order == Order::native)
      return k.backward(y.data + at, dy.data + at, classes, dx.data + at, add);
    T dot = 0;
    for (std::int64_t c = 0; c < classes; ++c) dot += y.data[at + c * step] * dy.data[at + c * step];
    for (std::int64_t c = 0; c < classes; ++c) {
      const std::int64_t i = at + c * step;
      const T d = y.data[i] * (dy.data[i] - dot);
      dx.data[i] = add ? dx.data[i] + d : d;
    }
  });
}

/// Sum of -log(max(p[label], smallest float)) and how many
/// labels were counted. `labels`: outer x inner, canonical.
template <class T>
SoftmaxLossSum softmax_loss_forward(Cpu&, int axis, const View<const T, Cpu>& p,
                                    const View<const T, Cpu>& labels, bool has_ignore, int ignore) {
  const std::int64_t classes = p.shape[axis], outer = p.shape.count(0, axis), inner = p.shape.count(axis + 1);
  SoftmaxLossSum r;
  for (std::int64_t n = 0; n < outer; ++n)
    for (std::int64_t q = 0; q < inner; ++q) {
      const std::int64_t label = checked_label(labels.data[n * inner + q], n, classes, has_ignore, ignore);
      if (label < 0) continue;
      const std::int64_t at =
          p.layout.order == Order::native
              ? ((n / lanes * p.layout.block + q * p.layout.pixel + label) * lanes + n % lanes)
              : (n * classes + label) * inner + q;
      r.sum -= std::log(
          std::max(static_cast<double>(p.data[at]), static_cast<double>(std::numeric_limits<float>::min())));
      ++r.count;
    }
  return r;
}

/// dx (+)= scale * (p - onehot(label)), zero where ignored and in dead lanes.
template <class T>
void softmax_loss_backward(Cpu& b, int axis, const View<const T, Cpu>& p, const View<const T, Cpu>& labels,
                           bool has_ignore, int ignore, T scale, const View<T, Cpu>& dx, bool add) {
  const auto& k = b.kernels<SoftmaxKernels<T>>();
  const std::int64_t classes = p.shape[axis], inner = p.shape.count(axis + 1), images = p.shape[0];
  const auto label_at = [&](std::int64_t i) {
    const auto l = static_cast<std::int64_t>(labels.data[i]);
    return has_ignore && l == ignore ? std::int64_t{-1} : l;
  };
  if (p.layout.order == Order::native) {
    b.parallel_range(blocks(p.shape) * inner, 16, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        const std::int64_t block = i / inner, q = i % inner,
                           at = (block * p.layout.block + q * p.layout.pixel) * lanes;
        alignas(64) T weight[lanes];
        for (std::int64_t l = 0; l < lanes; ++l) {
          const std::int64_t n = block * lanes + l;
          weight[l] = n < images && label_at(n * inner + q) >= 0 ? scale : T(0);
        }
        k.scaled(p.data + at, classes, weight, dx.data + at, add);
        for (std::int64_t l = 0; l < lanes; ++l)
          if (weight[l] != 0) dx.data[at + label_at((block * lanes + l) * inner + q) * lanes + l] -= scale;
      }
    });
    return;
  }
  b.parallel_range(p.shape.count(0, axis) * inner, 64, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t label = label_at(i);
      for (std::int64_t c = 0; c < classes; ++c) {
        const std::int64_t at = (i / inner * classes + c) * inner + i % inner;
        const T d = label < 0 ? T(0) : scale * (p.data[at] - (c == label ? T(1) : T(0)));
        dx.data[at] = add ? dx.data[at] + d : d;
      }
    }
  });
}

}  // namespace crema
