// SPDX-License-Identifier: Apache-2.0
// Pooling on the CPU: max and average over windows. Native order: one line at a time, all channels of a pixel
// in turn; the max keeps one small index per output, and backward gathers: every input pixel asks the windows
// that hold it.
#pragma once

#include <algorithm>
#include <limits>

#include "crema/core/geometry.hpp"
#include "crema/cpu/backend.hpp"

namespace crema::inline CREMA_ABI {

/// One window as backward sees it from one of its input pixels.
template <class T>
struct PoolSource {
  const T* dy;             // of the output pixel
  const std::byte* index;  // max
  T scale;                 // average: 1 / area
  int tap;                 // where in the window this input pixel stands
};

template <class T>
struct PoolingKernels {
  struct Max {
    /// The window's first pixel, its rows and columns, distances in elements; tap: index of its first pixel,
    /// tap_row: of a row.
    void (*forward)(const T* x, int rows, int columns, std::ptrdiff_t row, std::ptrdiff_t column, int tap,
                    int tap_row, std::int64_t channels, T* y, std::byte* index) = nullptr;
    void (*backward)(const PoolSource<T>*, int n, std::int64_t channels, T* dx, bool add) = nullptr;
  };
  Max small, large;  // by what an index takes
  void (*average)(const T* x, int rows, int columns, std::ptrdiff_t row, std::ptrdiff_t column, T scale,
                  std::int64_t channels, T* y) = nullptr;
  void (*average_backward)(const PoolSource<T>*, int n, std::int64_t channels, T* dx, bool add) = nullptr;
};

/// Where an output's window begins and ends in the image, and how long it is in the padded image: what an
/// average divides by.
struct PoolSpan {
  int begin, lo, hi, area;
};
inline PoolSpan pool_span(const WindowAxis& a, int out) {
  const int begin = out * a.stride - a.pad;
  return {begin, std::max(begin, 0), std::min(begin + a.kernel, a.in),
          std::min(begin + a.kernel, a.in + a.pad) - begin};
}
/// The outputs [first, last] whose windows hold an input.
inline std::pair<int, int> pool_holders(const WindowAxis& a, int in) {
  const int t = in + a.pad;
  return {t < a.kernel ? 0 : (t - a.kernel) / a.stride + 1, std::min(t / a.stride, a.out - 1)};
}

/// y = max or average of x over windows. `index`: one per element of y for max (blocks x pixels x channels
/// x 16 native, N,C,H,W canonical); not used by the average.
template <class T>
void pooling_forward(Cpu& b, bool max, const WindowAxis& ay, const WindowAxis& ax,
                     const View<const T, Cpu>& x, const View<T, Cpu>& y,
                     const WindowIndex<std::byte>& index) {
  const auto& k = b.kernels<PoolingKernels<T>>();
  const std::int64_t c = channels(x.shape);
  if (x.layout.order == Order::native) {
    const std::ptrdiff_t column = x.layout.pixel * lanes, row = column * ax.in;
    b.parallel(blocks(x.shape) * ay.out, [&](std::int64_t chunk) {
      const std::int64_t block = chunk / ay.out;
      const int oy = static_cast<int>(chunk % ay.out);
      const PoolSpan sy = pool_span(ay, oy);
      for (int ox = 0; ox < ax.out; ++ox) {
        const PoolSpan sx = pool_span(ax, ox);
        const T* in = x.data + block * x.layout.block * lanes + sy.lo * row + sx.lo * column;
        const std::int64_t pixel = std::int64_t{oy} * ax.out + ox;
        T* out = y.data + (block * y.layout.block + pixel * y.layout.pixel) * lanes;
        if (max)
          (index.small ? k.small : k.large)
              .forward(in, sy.hi - sy.lo, sx.hi - sx.lo, row, column,
                       (sy.lo - sy.begin) * ax.kernel + sx.lo - sx.begin, ax.kernel, c, out,
                       index.at((block * ay.out * ax.out + pixel) * c * lanes));
        else
          k.average(in, sy.hi - sy.lo, sx.hi - sx.lo, row, column, T(1) / static_cast<T>(sy.area * sx.area),
                    c, out);
      }
    });
    return;
  }
  const std::int64_t in_plane = std::int64_t{ay.in} * ax.in, out_plane = std::int64_t{ay.out} * ax.out;
  b.parallel(x.shape[0] * c, [&](std::int64_t plane) {
    const T* in = x.data + plane * in_plane;
    for (int oy = 0; oy < ay.out; ++oy)
      for (int ox = 0; ox < ax.out; ++ox) {
        const PoolSpan sy = pool_span(ay, oy), sx = pool_span(ax, ox);
        T best = in[std::int64_t{sy.lo} * ax.in + sx.lo], total = 0;
        int where = (sy.lo - sy.begin) * ax.kernel + sx.lo - sx.begin;
        for (int iy = sy.lo; iy < sy.hi; ++iy)
          for (int ix = sx.lo; ix < sx.hi; ++ix) {
            const T v = in[std::int64_t{iy} * ax.in + ix];
            total += v;
            if (v > best) best = v, where = (iy - sy.begin) * ax.kernel + ix - sx.begin;
          }
        const std::int64_t o = plane * out_plane + std::int64_t{oy} * ax.out + ox;
        y.data[o] = max ? best : total * (T(1) / static_cast<T>(sy.area * sx.area));
        if (max) index.set(o, where);
      }
  });
}

/// dx (+)= the gradient of x.
template <class T>
void pooling_backward(Cpu& b, bool max, const WindowAxis& ay, const WindowAxis& ax,
                      const View<const T, Cpu>& dy, const View<T, Cpu>& dx,
                      const WindowIndex<const std::byte>& index, bool add) {
  const auto& k = b.kernels<PoolingKernels<T>>();
  const std::int64_t c = channels(dx.shape), out_plane = std::int64_t{ay.out} * ax.out;
  if (dx.layout.order == Order::native) {
    b.parallel(blocks(dx.shape) * ay.in, [&](std::int64_t chunk) {
      const std::int64_t block = chunk / ay.in;
      const int iy = static_cast<int>(chunk % ay.in);
      const auto [oy0, oy1] = pool_holders(ay, iy);
      PoolSource<T> sources[64];
      for (int ix = 0; ix < ax.in; ++ix) {
        T* out =
            dx.data + (block * dx.layout.block + (std::int64_t{iy} * ax.in + ix) * dx.layout.pixel) * lanes;
        const auto [ox0, ox1] = pool_holders(ax, ix);
        int n = 0;
        bool adding = add;
        const auto flush = [&] {
          (max ? (index.small ? k.small : k.large).backward : k.average_backward)(sources, n, c, out, adding);
          n = 0, adding = true;
        };
        for (int oy = oy0; oy <= oy1; ++oy)
          for (int ox = ox0; ox <= ox1; ++ox) {
            const PoolSpan sy = pool_span(ay, oy), sx = pool_span(ax, ox);
            const std::int64_t pixel = std::int64_t{oy} * ax.out + ox;
            sources[n++] = {dy.data + (block * dy.layout.block + pixel * dy.layout.pixel) * lanes,
                            max ? index.at((block * out_plane + pixel) * c * lanes) : nullptr,
                            T(1) / static_cast<T>(sy.area * sx.area),
                            (iy - sy.begin) * ax.kernel + ix - sx.begin};
            if (n == 64) flush();
          }
        if (n > 0 || !adding) flush();
      }
    });
    return;
  }
  const std::int64_t in_plane = std::int64_t{ay.in} * ax.in;
  b.parallel(dx.shape[0] * c, [&](std::int64_t plane) {
    for (int iy = 0; iy < ay.in; ++iy)
      for (int ix = 0; ix < ax.in; ++ix) {
        const auto [oy0, oy1] = pool_holders(ay, iy);
        const auto [ox0, ox1] = pool_holders(ax, ix);
        T s = 0;
        for (int oy = oy0; oy <= oy1; ++oy)
          for (int ox = ox0; ox <= ox1; ++ox) {
            const PoolSpan sy = pool_span(ay, oy), sx = pool_span(ax, ox);
            const std::int64_t o = plane * out_plane + std::int64_t{oy} * ax.out + ox;
            if (!max)
              s += dy.data[o] * (T(1) / static_cast<T>(sy.area * sx.area));
            else if (index.get(o) == (iy - sy.begin) * ax.kernel + ix - sx.begin)
              s += dy.data[o];
          }
        T& d = dx.data[plane * in_plane + std::int64_t{iy} * ax.in + ix];
        d = add ? d + s : s;
      }
  });
}

/// mask = where in its input plane each maximum stands, y * W + x: Caffe's second top. Canonical.
template <class T>
void pooling_mask(Cpu& b, const WindowAxis& ay, const WindowAxis& ax, const Layout& x,
                  const WindowIndex<const std::byte>& index, const View<T, Cpu>& mask) {
  const std::int64_t c = channels(mask.shape), plane = std::int64_t{ay.out} * ax.out;
  b.parallel(mask.shape[0], [&](std::int64_t n) {
    for (std::int64_t i = 0; i < c * plane; ++i) {
      const std::int64_t ch = i / plane, q = i % plane;
      const std::int64_t at = x.order == Order::native
                                  ? ((n / lanes * plane + q) * c + ch) * lanes + n % lanes
                                  : n * c * plane + i;
      const int iy = pool_span(ay, static_cast<int>(q / ax.out)).begin + index.get(at) / ax.kernel;
      const int ix = pool_span(ax, static_cast<int>(q % ax.out)).begin + index.get(at) % ax.kernel;
      mask.data[n * c * plane + i] = static_cast<T>(std::int64_t{iy} * ax.in + ix);
    }
  });
}

}  // namespace crema
