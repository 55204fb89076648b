// SPDX-License-Identifier: Apache-2.0
// The ops of cpu/convolution.hpp, which is the header to include.
#pragma once

#include "crema/cpu/convolution.hpp"

namespace crema::inline CREMA_ABI {

namespace detail {

/// The tiling of a weight gradient: the pair of tile sides
/// that the kernels have with the least work, loads counted.
inline std::pair<int, int> gradient_tile(int outputs, int inputs, int area, int max_b) {
  std::pair<int, int> best{1, 1};
  double least = 1e300;
  for (int b = 1; b <= std::min(max_b, inputs); ++b)
    for (int a = 1; a <= std::min({area > 8 ? 8 : 2, outputs, area / b}); ++a) {
      double work = 0;
      for (const int i : near_equal(outputs, a))
        for (const int j : near_equal(inputs, b)) work += std::max(i * j, i + j) + 2;
      if (work < least) least = work, best = {a, b};
    }
  return best;
}

/// The output columns whose tap k lies inside the image.
inline std::pair<int, int> inside(const WindowAxis& a, int k) {
  int lo = 0, hi = a.out;
  while (lo < hi && lo * a.stride - a.pad + k * a.dilation < 0) ++lo;
  while (hi > lo && (hi - 1) * a.stride - a.pad + k * a.dilation >= a.in) --hi;
  return {lo, hi};
}

template <class T>
void plan_weight_gradient(CpuConvolutionPlan<T>& p, std::int64_t x_pixel, const ConvolutionKernels<T>& k) {
  const ConvolutionGeometry& g = p.geometry;
  const int max_b = k.area > 8 ? 6 : 4, channels = g.group_channels();
  const bool merge =
      g.groups == 1 && x_pixel == g.channels && g.x.dilation == 1 && channels < 4 && g.x.kernel > 1;
  const auto singles = [&](int first, int count, int skip_lo, int skip_hi, std::vector<GradientColumn>& out) {
    for (int t = 0; t < g.x.kernel; ++t) {
      const auto [lo, hi] = inside(g.x, t);
      const GradientColumn c{t, first, count, lo, hi, false};
      if (skip_lo >= skip_hi) {
        if (lo < hi) out.push_back(c);
        continue;
      }
      if (lo < skip_lo) out.push_back(c), out.back().hi = skip_lo;
      if (skip_hi < hi) out.push_back(c), out.back().lo = skip_hi;
    }
  };
  if (merge) {
    const int lines = channels * g.x.kernel, lo = inside(g.x, 0).first,
              hi = inside(g.x, g.x.kernel - 1).second;
    const auto [a, b] = gradient_tile(g.group_outputs(), lines, k.area, max_b);
    p.gradient_rows = near_equal(g.group_outputs(), a);
    int first = 0;
    if (lo < hi)
      for (const int n : near_equal(lines, b))
        p.gradient_columns.push_back({{0, first, n, lo, hi, true}}), first += n;
    std::vector<GradientColumn> edges;
    singles(0, channels, lo, hi, edges);
    if (!edges.empty()) p.gradient_columns.push_back(edges);
  } else {
    const auto [a, b] = gradient_tile(g.group_outputs(), channels, k.area, max_b);
    p.gradient_rows = near_equal(g.group_outputs(), a);
    int first = 0;
    for (const int n : near_equal(channels, b)) {
      p.gradient_columns.emplace_back();
      singles(first, n, 0, 0, p.gradient_columns.back());
      first += n;
    }
  }
  p.gradient_split =
      p.gradient_rows.size() * p.gradient_columns.size() * static_cast<std::size_t>(g.groups) < 24;
}

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
    T* d = out + (std::int64_t{g} * total + first) * per_row;
    for (int i = 0; i < m; ++i)
      for (int c = 0; c < channels; ++c)
        for (int t = 0; t < taps; ++t) {
          const std::int64_t row = tap_major ? std::int64_t{t} * channels + c : std::int64_t{c} * taps + t;
          d[row * m + i] = element(g, first + i, c, t);
        }
  });
}

/// Runs one pass over all tiles.
template <class T>
void run_pass(Cpu& b, const ConvolutionPass& p, const T* weights, const T* bias, View<const T, Cpu> x,
              View<T, Cpu> y, bool add) {
  const auto& k = b.kernels<ConvolutionKernels<T>>();
  const std::int64_t row_chunks = (p.out_height + p.row_split - 1) / p.row_split, n = blocks(x.shape);
  const int per_group = p.outputs / p.groups, tiles = static_cast<int>(p.rows.size());
  const auto pairs = static_cast<int>(p.pairs.size());
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
      const ConvolutionPass::Tiles* lists =
          &p.tiles[static_cast<std::size_t>(p.row_class[static_cast<std::size_t>(row)]) * p.pairs.size()];
      for (int from = 0; from < pairs; from += p.pairs_at_once)
        for (int g = 0; g < p.groups; ++g) {
          const T* w = weights + (std::int64_t{g} * per_group + before) * p.weight_rows();
          int channel = g * per_group + before;
          for (int t = t0; t < t1; ++t) {
            const int m = p.rows[static_cast<std::size_t>(t)];
            const auto tile = k.tile[static_cast<std::size_t>(m)];
            for (int q = from; q < std::min(from + p.pairs_at_once, pairs); ++q) {
              const auto& pair = p.pairs[static_cast<std::size_t>(q)];
              tile(p.runs.data() + lists[q].first, lists[q].count, w,
                   in + std::int64_t{g} * (p.channels / p.groups) * lanes, second,
                   t == t0 ? k.pixels * second : 0, bias ? bias + channel : nullptr,
                   out + (pair.x0 * p.out_pixel + channel) * lanes,
                   pair.x1 < 0 ? nullptr : out + (pair.x1 * p.out_pixel + channel) * lanes, add);
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
CpuConvolutionPlan<T> make_convolution_plan(Cpu& b, const ConvolutionGeometry& g, const Layout& x,
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
    detail::plan_weight_gradient(p, x.pixel, k);
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
                         const T* bias, View<const T, Cpu> x, View<T, Cpu> y, std::span<std::byte> scratch) {
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
                               View<const T, Cpu> dy, View<T, Cpu> dx, bool add) {
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

namespace detail {

/// One tile row of a native weight gradient against one set
/// of columns, summed over all images and pixels in order.
template <class T>
void gradient_tile_sums(const CpuConvolutionPlan<T>& p, const ConvolutionKernels<T>& k, View<const T, Cpu> x,
                        View<const T, Cpu> dy, int group, int first, int a,
                        const std::vector<GradientColumn>& columns, int ky0, int ky1, T* dw) {
  const ConvolutionGeometry& g = p.geometry;
  const int channels = g.group_channels(), taps = g.taps(), width = static_cast<int>(columns.size());
  const std::ptrdiff_t dy_step = dy.layout.pixel * lanes, x_step = g.x.stride * x.layout.pixel * lanes;
  int widest = 1;
  for (const GradientColumn& c : columns) widest = std::max(widest, c.hi - c.lo);
  const int rows_at_once = std::clamp(gradient_pixels / widest, 1, max_gradient_rows);

  constexpr int most = 128;  // tiles at a time, each the sums of one kernel row and one column
  alignas(64) T sums[most][32];
  WeightGradientRow rows[max_gradient_rows];
  const auto column = [&](int i) -> const GradientColumn& {
    return columns[static_cast<std::size_t>(i % width)];
  };
  for (int from = ky0 * width; from < ky1 * width; from += most) {
    const int to = std::min(from + most, ky1 * width);
    std::fill(sums[0], sums[to - from], T(0));
    for (std::int64_t block = 0; block < blocks(x.shape); ++block)
      for (int y0 = 0; y0 < g.y.out; y0 += rows_at_once)
        for (int i = from; i < to; ++i) {
          const GradientColumn& c = column(i);
          const int left = c.lo * g.x.stride - g.x.pad + (c.merged ? 0 : c.tap * g.x.dilation);
          int n = 0;
          for (int oy = y0; oy < std::min(y0 + rows_at_once, g.y.out); ++oy) {
            const int iy = oy * g.y.stride - g.y.pad + i / width * g.y.dilation;
            if (iy < 0 || iy >= g.y.in) continue;
            rows[n++] = {(block * dy.layout.block + (std::int64_t{oy} * g.x.out + c.lo) * dy.layout.pixel +
                          std::int64_t{group} * g.group_outputs() + first) *
                             lanes,
                         (block * x.layout.block + (std::int64_t{iy} * g.x.in + left) * x.layout.pixel +
                          std::int64_t{group} * channels + c.first) *
                             lanes,
                         c.hi - c.lo};
          }
          if (n > 0)
            k.dot[static_cast<std::size_t>(a)][static_cast<std::size_t>(c.count)](
                rows, n, dy.data, x.data, dy_step, x_step, sums[i - from]);
        }
    for (int i = from; i < to; ++i)
      for (int o = 0; o < a; ++o)
        for (int j = 0; j < column(i).count; ++j) {
          const GradientColumn& c = column(i);
          const int line = c.first + j, channel = c.merged ? line % channels : line,
                    kx = c.merged ? line / channels : c.tap;
          dw[((std::int64_t{group} * g.group_outputs() + first + o) * channels + channel) * taps +
             i / width * g.x.kernel + kx] += sums[i - from][o * c.count + j];
        }
  }
}

}  // namespace detail

/// dw (+)= the gradient of the weights.
template <class T>
void convolution_backward_weights(Cpu& b, const CpuConvolutionPlan<T>& p, View<const T, Cpu> x,
                                  View<const T, Cpu> dy, T* dw, bool add) {
  const ConvolutionGeometry& g = p.geometry;
  const int channels = g.group_channels(), taps = g.taps();
  const std::int64_t per_output = std::int64_t{channels} * taps;
  if (!add) std::fill(dw, dw + g.outputs * per_output, T(0));
  if (p.order == Order::native) {
    const auto& k = b.kernels<ConvolutionKernels<T>>();
    const auto nr = static_cast<std::int64_t>(p.gradient_rows.size()),
               nc = static_cast<std::int64_t>(p.gradient_columns.size());
    const int split = p.gradient_split ? g.y.kernel : 1;
    b.parallel(g.groups * nc * nr * split, [&](std::int64_t chunk) {
      const auto r = static_cast<std::size_t>(chunk / split % nr),
                 c = static_cast<std::size_t>(chunk / (split * nr) % nc);
      const int ky = p.gradient_split ? static_cast<int>(chunk % split) : 0;
      int first = 0;
      for (std::size_t i = 0; i < r; ++i) first += p.gradient_rows[i];
      detail::gradient_tile_sums(p, k, x, dy, static_cast<int>(chunk / (split * nr * nc)), first,
                                 p.gradient_rows[r], p.gradient_columns[c], ky,
                                 p.gradient_split ? ky + 1 : g.y.kernel, dw);
    });
    return;
  }
  const std::int64_t in_plane = std::int64_t{g.y.in} * g.x.in, out_plane = std::int64_t{g.y.out} * g.x.out;
  b.parallel(g.outputs, [&](std::int64_t o) {
    for (int c = 0; c < channels; ++c)
      for (int ky = 0; ky < g.y.kernel; ++ky)
        for (int kx = 0; kx < g.x.kernel; ++kx) {
          T s = 0;
          const auto [lo, hi] = detail::inside(g.x, kx);
          for (std::int64_t n = 0; n < x.shape[0]; ++n)
            for (int oy = 0; oy < g.y.out; ++oy) {
              const int iy = oy * g.y.stride - g.y.pad + ky * g.y.dilation;
              if (iy < 0 || iy >= g.y.in) continue;
              const T* in = x.data + (n * g.channels + o / g.group_outputs() * channels + c) * in_plane +
                            std::int64_t{iy} * g.x.in;
              const T* d = dy.data + (n * g.outputs + o) * out_plane + std::int64_t{oy} * g.x.out;
              for (int ox = lo; ox < hi; ++ox) s += d[ox] * in[ox * g.x.stride - g.x.pad + kx * g.x.dilation];
            }
          dw[o * per_output + std::int64_t{c} * taps + ky * g.x.kernel + kx] += s;
        }
  });
}

/// db (+)= the gradient of the bias: the sum of dy over images and pixels.
template <class T>
void convolution_backward_bias(Cpu& b, View<const T, Cpu> dy, T* db, bool add) {
  const std::int64_t n = channels(dy.shape), pixels = height(dy.shape) * width(dy.shape);
  if (!add) std::fill(db, db + n, T(0));
  if (dy.layout.order == Order::native) {
    const auto& k = b.kernels<ConvolutionKernels<T>>();
    b.parallel((n + 7) / 8, [&](std::int64_t chunk) {
      for (std::int64_t block = 0; block < blocks(dy.shape); ++block)
        k.line_sums(dy.data + (block * dy.layout.block + chunk * 8) * lanes, pixels, dy.layout.pixel * lanes,
                    static_cast<int>(std::min<std::int64_t>(8, n - chunk * 8)), db + chunk * 8);
    });
    return;
  }
  b.parallel(n, [&](std::int64_t c) {
    T s = 0;
    for (std::int64_t i = 0; i < dy.shape[0]; ++i)
      for (std::int64_t q = 0; q < pixels; ++q) s += dy.data[(i * n + c) * pixels + q];
    db[c] += s;
  });
}

}  // namespace crema
