// SPDX-License-Identifier: Apache-2.0
// The ops of cpu/convolution.hpp, which is the header to include.
#pragma once

#include "crema/cpu/convolution.hpp"

namespace crema::inline CREMA_ABI {

namespace detail {

template <class T>
void plan_weight_gradient(CpuConvolutionPlan<T>& p, std::int64_t x_pixel, const ConvolutionKernels<T>& k,
                          std::int64_t blocks, int threads);  // convolution_gradient.hpp

/// Weights in the tiles' order: [group][tile][tap][channel][row of the tile]. `row(g, i)` and `element(g, i,
/// c, t)` say which weight that is.
template <class T, class Element>
void pack_tiles(Cpu& b, T* out, int groups, const std::vector<int>& tiles, int channels, int taps,
                bool tap_major, const Element& element) {
  const std::int64_t per_row = std::int64_t{channels} * taps;
  int total = 0;
  for (const int m : tiles) total += m;
  const auto n = static_cast<std::int64_t>(tiles.size());
  b.parallel(groups * n, [&](std::int64_t chunk) {
    const int g = static_cast<int>(chunk / n);
    int first = 0;
    for (std::int64_t t = 0; t < chunk % n; ++t) first += tiles[static_cast<std::size_t>(t)];
    const int m = tiles[static_cast<std::size_t>(chunk % n)];
    T* const d = out + (std::int64_t{g} * total + first) * per_row;
    constexpr int at_once = 16;  // channels: what is read stays in L1 while it is written in order
    for (int c0 = 0; c0 < channels; c0 += at_once)
      for (int t = 0; t < taps; ++t)
        for (int c = c0; c < std::min(c0 + at_once, channels); ++c) {
          T* const row = d + (tap_major ? std::int64_t{t} * channels + c : std::int64_t{c} * taps + t) * m;
          for (int i = 0; i < m; ++i) row[i] = element(g, first + i, c, t);
        }
  });
}

/// Runs one pass over all tiles.
template <class T>
void run_pass(Cpu& b, const ConvolutionPass& p, const T* weights, const T* bias, const View<const T, Cpu>& x,
              const View<T, Cpu>& y, bool add) {
  const auto& k = b.kernels<ConvolutionKernels<T>>();
  const std::int64_t row_chunks = (p.out_height + p.row_split - 1) / p.row_split, n = blocks(x.shape);
  const int per_group = p.outputs / p.groups, tiles = static_cast<int>(p.rows.size());
  const auto columns = static_cast<int>(p.columns.size());
  const std::ptrdiff_t second = p.step * p.in_pixel * lanes;
  b.parallel(n * row_chunks * p.tile_split, [&](std::int64_t chunk) {
    const std::int64_t block = chunk / (row_chunks * p.tile_split), part = chunk % p.tile_split;
    const int y0 = static_cast<int>(chunk / p.tile_split % row_chunks) * p.row_split;
    const int y1 = std::min(y0 + p.row_split, p.out_height);
    const int t0 = static_cast<int>(tiles * part / p.tile_split),
              t1 = static_cast<int>(tiles * (part + 1) / p.tile_split);
    int before = 0;
    for (int t = 0; t < t0; ++t) before += p.rows[static_cast<std::size_t>(t)];
    for (int row = y0; row < y1; ++row) {
      const T* in =
          x.data + (block * x.layout.block +
                    std::int64_t{p.row_base[static_cast<std::size_t>(row)]} * p.in_width * p.in_pixel) *
                       lanes;
      T* out = y.data + (block * y.layout.block + std::int64_t{row} * p.out_width * p.out_pixel) * lanes;
      const int* const first_run =
          &p.first_run[static_cast<std::size_t>(p.row_class[static_cast<std::size_t>(row)]) *
                       p.columns.size()];
      for (int from = 0; from < columns; from += p.columns_at_once)
        for (int g = 0; g < p.groups; ++g) {
          const T* w = weights + (std::int64_t{g} * per_group + before) * p.weight_rows();
          int channel = g * per_group + before;
          for (int t = t0; t < t1; ++t) {
            const int m = p.rows[static_cast<std::size_t>(t)];
            const auto tile = k.tile[static_cast<std::size_t>(m)];
            for (int q = from; q < std::min(from + p.columns_at_once, columns); ++q) {
              const int x0 = p.columns[static_cast<std::size_t>(q)], x1 = p.second(x0);
              tile(p.runs.data() + first_run[q], first_run[q + 1] - first_run[q], w,
                   in + std::int64_t{g} * (p.channels / p.groups) * lanes, second,
                   t == t0 ? k.pixels * second : 0, bias ? bias + channel : nullptr,
                   out + (x0 * p.out_pixel + channel) * lanes,
                   x1 < 0 ? nullptr : out + (x1 * p.out_pixel + channel) * lanes, add);
            }
            w += m * p.weight_rows(), channel += m;
          }
        }
    }
  });
}

}  // namespace detail

/// Lists and packed-weight memory for bottoms and tops of these slots. Weights are packed again when their
/// version changes.
template <class T>
CREMA_COLD CpuConvolutionPlan<T> make_convolution_plan(Cpu& b, const ConvolutionGeometry& g, const Layout& x,
                                                       const Layout& y, std::int64_t capacity) {
  const auto& k = b.kernels<ConvolutionKernels<T>>();
  CpuConvolutionPlan<T> p;
  p.geometry = g, p.order = x.order;
  const auto weights =
      static_cast<std::size_t>(g.outputs) * static_cast<std::size_t>(g.group_channels() * g.taps());
  p.packed = Buffer<T, Cpu>(b, weights);
  if (p.order == Order::native) {
    const std::int64_t n = (capacity + lanes - 1) / lanes;
    p.forward = make_convolution_pass(g, false, x.pixel, y.pixel, n, k.rows, k.pixels);
    p.backward = make_convolution_pass(g, true, y.pixel, x.pixel, n, k.rows, k.pixels);
    p.packed_backward = Buffer<T, Cpu>(b, weights);
    detail::plan_weight_gradient(p, x.pixel, k, n, b.threads());
  } else {
    p.forward.rows = near_equal(g.group_outputs(), k.direct_rows);
    p.phase_width = (g.x.in + 2 * g.x.pad + g.x.stride - 1) / g.x.stride + lanes;
    p.padded_width = p.phase_width * g.x.stride, p.padded_height = g.y.in + 2 * g.y.pad;
    for (int ky = 0; ky < g.y.kernel; ++ky)
      for (int kx = 0; kx < g.x.kernel; ++kx) {
        const int shift = kx * g.x.dilation;
        p.tap_offset.push_back(ky * g.y.dilation * p.padded_width + shift % g.x.stride * p.phase_width +
                               shift / g.x.stride);
      }
    p.scratch =
        static_cast<std::size_t>(capacity * g.channels * p.padded_height * p.padded_width) * sizeof(T) + 256;
  }
  return p;
}

/// y = convolution of x with weights, plus bias (may be null).
template <class T>
void convolution_forward(Cpu& b, CpuConvolutionPlan<T>& p, const T* weights, std::uint64_t version,
                         const T* bias, const View<const T, Cpu>& x, const View<T, Cpu>& y,
                         std::span<std::byte> scratch) {
  const ConvolutionGeometry& g = p.geometry;
  const int channels = g.group_channels(), per_group = g.group_outputs(), taps = g.taps();
  const bool native = p.order == Order::native;
  if (p.packed_version != version) {
    detail::pack_tiles(b, p.packed.data(), g.groups, p.forward.rows, channels, taps, native,
                       [&](int gr, int i, int c, int t) {
                         return weights[((std::int64_t{gr} * per_group + i) * channels + c) * taps + t];
                       });
    p.packed_version = version;
  }
  if (native) return detail::run_pass<T>(b, p.forward, p.packed.data(), bias, x, y, false);

  // Canonical: a padded copy, its columns sorted by phase of the stride, so that every tap is a stretch of
  // memory.
  T* const padded = reinterpret_cast<T*>(scratch.data());
  const std::int64_t plane = p.padded_height * p.padded_width, in_plane = std::int64_t{g.y.in} * g.x.in;
  const std::int64_t out_plane = std::int64_t{g.y.out} * g.x.out, n = x.shape[0];
  b.parallel(n * g.channels, [&](std::int64_t c) {
    T* d = padded + c * plane;
    std::fill(d, d + plane, T(0));
    for (int iy = 0; iy < g.y.in; ++iy)
      for (int ix = 0; ix < g.x.in; ++ix) {
        const int px = ix + g.x.pad;
        d[(iy + g.y.pad) * p.padded_width + px % g.x.stride * p.phase_width + px / g.x.stride] =
            x.data[c * in_plane + std::int64_t{iy} * g.x.in + ix];
      }
  });
  const auto& k = b.kernels<ConvolutionKernels<T>>();
  const auto tiles = static_cast<std::int64_t>(p.forward.rows.size());
  b.parallel(n * g.groups * tiles, [&](std::int64_t chunk) {
    const std::int64_t image = chunk / (g.groups * tiles), gr = chunk / tiles % g.groups;
    int first = 0;
    for (std::int64_t t = 0; t < chunk % tiles; ++t) first += p.forward.rows[static_cast<std::size_t>(t)];
    const int m = p.forward.rows[static_cast<std::size_t>(chunk % tiles)];
    const std::int64_t o = gr * per_group + first;
    for (int oy = 0; oy < g.y.out; ++oy)
      k.direct[static_cast<std::size_t>(m)](
          p.packed.data() + o * channels * taps, channels, p.tap_offset.data(), taps,
          padded + (image * g.channels + gr * channels) * plane + oy * g.y.stride * p.padded_width, plane,
          bias ? bias + o : nullptr,
          y.data + (image * g.outputs + o) * out_plane + std::int64_t{oy} * g.x.out, out_plane, g.x.out);
  });
}

/// dx (+)= the gradient of x.
template <class T>
void convolution_backward_data(Cpu& b, CpuConvolutionPlan<T>& p, const T* weights, std::uint64_t version,
                               const View<const T, Cpu>& dy, const View<T, Cpu>& dx, bool add) {
  const ConvolutionGeometry& g = p.geometry;
  const int channels = g.group_channels(), per_group = g.group_outputs(), taps = g.taps();
  if (p.order == Order::native) {
    if (p.packed_backward_version != version) {
      detail::pack_tiles(
          b, p.packed_backward.data(), g.groups, p.backward.rows, per_group, taps, true,
          [&](int gr, int i, int o, int t) {
            return weights[((std::int64_t{gr} * per_group + o) * channels + i) * taps + taps - 1 - t];
          });
      p.packed_backward_version = version;
    }
    return detail::run_pass<T>(b, p.backward, p.packed_backward.data(), nullptr, dy, dx, add);
  }
  const std::int64_t in_plane = std::int64_t{g.y.in} * g.x.in, out_plane = std::int64_t{g.y.out} * g.x.out;
  b.parallel(dx.shape[0] * g.channels, [&](std::int64_t nc) {
    const std::int64_t image = nc / g.channels, c = nc % g.channels, gr = c / channels;
    for (int iy = 0; iy < g.y.in; ++iy)
      for (int ix = 0; ix < g.x.in; ++ix) {
        T s = 0;
        for (const auto& ty : detail::taps_at(g.y, iy, true))
          for (const auto& tx : detail::taps_at(g.x, ix, true))
            for (int o = 0; o < per_group; ++o)
              s += weights[((gr * per_group + o) * channels + c % channels) * taps +
                           (g.y.kernel - 1 - ty.k) * g.x.kernel + g.x.kernel - 1 - tx.k] *
                   dy.data[(image * g.outputs + gr * per_group + o) * out_plane +
                           std::int64_t{ty.in} * g.x.out + tx.in];
        T& d = dx.data[nc * in_plane + std::int64_t{iy} * g.x.in + ix];
        d = add ? d + s : s;
      }
  });
}

}  // namespace crema
