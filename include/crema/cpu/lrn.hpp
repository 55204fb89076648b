// SPDX-License-Identifier: Apache-2.0
// Local response normalisation on the CPU: y = x * scale^-beta, where scale = k + alpha / n * (sum of x^2
// over n channels), or 1 + alpha / n^2 * (sum over an n x n window of one channel). scale is kept from
// forward to backward:
//
//   dx_i = dy_i scale_i^-beta
//          - 2 alpha beta / n * x_i * sum over the windows j that hold i of dy_j x_j scale_j^(-beta-1)
#pragma once

#include <cmath>

#include "crema/core/geometry.hpp"
#include "crema/cpu/backend.hpp"

namespace crema::inline CREMA_ABI {

template <class T>
struct LrnKernels {
  /// `lines` lines at x; the window of line i is [i - before, i + after], each `step` elements apart, `rows`
  /// times `row` apart. scale = offset + weight * sum of squares, y = x * scale^-beta; line by line.
  void (*scale)(const T* x, int rows, std::ptrdiff_t row, int columns, std::ptrdiff_t column, T offset,
                T weight, T beta, T* scale, const T* at, T* y) = nullptr;
  /// t = dy * x * scale^(-beta-1) over n elements.
  void (*ratio)(const T* x, const T* scale, const T* dy, T beta, T* t, std::int64_t n) = nullptr;
  /// dx (+)= dy * scale^-beta - factor * x * sum of t over the window, one line.
  void (*gradient)(const T* t, int rows, std::ptrdiff_t row, int columns, std::ptrdiff_t column, T factor,
                   T beta, const T* x, const T* scale, const T* dy, T* dx, bool add) = nullptr;
};

namespace detail {

/// Calls f(plane offset, c, y, x, window) for every line of a native blob or every element of a canonical
/// one, in parallel over images and rows. A window is its first element's offset, rows, row distance,
/// columns, column distance.
struct LrnWindow {
  std::int64_t first;
  int rows, columns;
  std::ptrdiff_t row, column;
};
template <class F>
void each_lrn_line(Cpu& b, const LrnSetting& s, const Shape& shape, const Layout& l, const F& f) {
  const bool native = l.order == Order::native;
  const std::int64_t c = channels(shape), h = height(shape), w = width(shape), half = (s.size - 1) / 2;
  const std::int64_t images = native ? blocks(shape) : shape[0], image = native ? l.block * lanes : c * h * w;
  const std::int64_t px = native ? l.pixel * lanes : 1, ch = native ? lanes : h * w;  // distances in elements
  b.parallel(images * h, [&](std::int64_t chunk) {
    const std::int64_t y = chunk % h, base = chunk / h * image;
    for (std::int64_t x = 0; x < w; ++x)
      for (std::int64_t i = 0; i < c; ++i) {
        const std::int64_t at = base + (y * w + x) * px + i * ch;
        LrnWindow win{at, 1, 1, 0, 0};
        if (s.across) {
          const std::int64_t lo = std::max<std::int64_t>(i - half, 0), hi = std::min(i + half + 1, c);
          win = {at + (lo - i) * ch, 1, static_cast<int>(hi - lo), 0, ch};
        } else {
          const std::int64_t y0 = std::max<std::int64_t>(y - half, 0), y1 = std::min(y + half + 1, h);
          const std::int64_t x0 = std::max<std::int64_t>(x - half, 0), x1 = std::min(x + half + 1, w);
          win = {at + ((y0 - y) * w + x0 - x) * px, static_cast<int>(y1 - y0), static_cast<int>(x1 - x0),
                 w * px, px};
        }
        f(at, win);
      }
  });
}

template <class T>
T window_sum(const T* p, const LrnWindow& w, bool squares) {
  T total = 0;
  for (int r = 0; r < w.rows; ++r)
    for (int c = 0; c < w.columns; ++c) {
      const T v = p[w.first + r * w.row + c * w.column];
      total += squares ? v * v : v;
    }
  return total;
}

}  // namespace detail

/// scale has x's layout.
template <class T>
void lrn_forward(Cpu& b, const LrnSetting& s, const View<const T, Cpu>& x, T* scale, const View<T, Cpu>& y) {
  const T weight = static_cast<T>(s.weight()), beta = static_cast<T>(s.beta),
          offset = s.across ? static_cast<T>(s.k) : T(1);
  const auto& k = b.kernels<LrnKernels<T>>();
  const bool native = x.layout.order == Order::native;
  detail::each_lrn_line(b, s, x.shape, x.layout, [&](std::int64_t at, const detail::LrnWindow& w) {
    if (native)
      return k.scale(x.data + w.first, w.rows, w.row, w.columns, w.column, offset, weight, beta, scale + at,
                     x.data + at, y.data + at);
    scale[at] = offset + weight * detail::window_sum(x.data, w, true);
    y.data[at] = x.data[at] * std::pow(scale[at], -beta);
  });
}

/// dx (+)= the gradient of x; t is scratch of x's size and layout.
template <class T>
void lrn_backward(Cpu& b, const LrnSetting& s, const View<const T, Cpu>& x, const T* scale,
                  const View<const T, Cpu>& dy, const View<T, Cpu>& dx, T* t, bool add) {
  const T factor = static_cast<T>(2 * s.weight() * s.beta), beta = static_cast<T>(s.beta);
  const auto& k = b.kernels<LrnKernels<T>>();
  const bool native = x.layout.order == Order::native;
  b.parallel_range(storage_size(x.shape, x.layout), 16384, [&](std::int64_t first, std::int64_t last) {
    if (native) return k.ratio(x.data + first, scale + first, dy.data + first, beta, t + first, last - first);
    for (std::int64_t i = first; i < last; ++i) t[i] = dy.data[i] * x.data[i] * std::pow(scale[i], -beta - 1);
  });
  detail::each_lrn_line(b, s, x.shape, x.layout, [&](std::int64_t at, const detail::LrnWindow& w) {
    if (native)
      return k.gradient(t + w.first, w.rows, w.row, w.columns, w.column, factor, beta, x.data + at,
                        scale + at, dy.data + at, dx.data + at, add);
    const T d =
        dy.data[at] * std::pow(scale[at], -beta) - factor * x.data[at] * detail::window_sum(t, w, false);
    dx.data[at] = add ? dx.data[at] + d : d;
  });
}

}  // namespace crema
