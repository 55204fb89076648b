// SPDX-License-Identifier: Apache-2.0
// The gradients of a convolution's weights and bias; cpu/convolution.hpp is the header to include.
//
// In native order lanes are images: a tile of output x input channels is a set of dot products over pixels and
// images. A task passes all its tiles over a stretch of pixels while they are in cache, then goes on to the next.
// Where weights are few beside pixels, the blocks of a batch are summed in parts: a thread then reads the blocks that it
// has written itself in the regions before, and no core waits for another's cache.
#pragma once

#include "crema/cpu/convolution.hpp"

namespace crema::inline CREMA_ABI {

namespace detail {

/// The tiling of a weight gradient: the pair of tile sides
/// that the kernels have with the least work, loads counted.
template <class T>
CREMA_COLD std::pair<int, int> gradient_tile(int outputs, int inputs, const ConvolutionKernels<T>& k) {
  std::pair<int, int> best{1, 1};
  double least = 1e300;
  for (int b = 1; b <= std::min(k.max_b, inputs); ++b)
    for (int a = 1; a <= std::min(k.max_a, outputs); ++a) {
      if (!k.dot[static_cast<std::size_t>(a)][static_cast<std::size_t>(b)]) continue;
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

/// Calls f(column, kernel row) for each tile of a row of tiles of a task.
template <class T, class F>
void for_each_tile(const CpuConvolutionPlan<T>& p, const GradientTask& t, const F& f) {
  for (int i = t.set0; i < t.set1; ++i)
    for (int ky = t.ky0; ky < t.ky1; ++ky)
      for (int c = p.gradient_sets[static_cast<std::size_t>(i)];
           c < p.gradient_sets[static_cast<std::size_t>(i + 1)]; ++c)
        f(p.gradient_columns[static_cast<std::size_t>(c)], ky);
}

/// Of a batch's blocks, summed apart.
inline constexpr std::int64_t most_parts = 8;

/// How many parts the blocks of a batch are summed in. The number of threads must not change it: it changes sums.
template <class T>
std::int64_t gradient_parts(const ConvolutionGeometry& g, std::int64_t blocks) {
  constexpr std::int64_t most_bytes = 512 * 1024, least_pixels = 32;
  const std::int64_t bytes =
      std::int64_t{g.outputs} * g.group_channels() * g.taps() * static_cast<std::int64_t>(sizeof(T));
  const bool few = bytes <= most_bytes && std::int64_t{g.y.out} * g.x.out >= least_pixels;
  return few ? std::min(blocks, most_parts) : 1;
}

/// Tasks as large as cache and stack allow, so that data is read few times, but some for every thread. How they are
/// cut changes no sum.
template <class T>
CREMA_COLD void plan_gradient_tasks(CpuConvolutionPlan<T>& p, std::int64_t parts, int threads) {
  const auto set = [&](int i) { return p.gradient_sets[static_cast<std::size_t>(i)]; };
  const int n = static_cast<int>(p.gradient_sets.size()) - 1,
            rows = static_cast<int>(p.gradient_rows.size()) - 1, kernel = p.geometry.y.kernel;
  int columns = 1;
  for (int i = 0; i < n; ++i) columns = std::max(columns, set(i + 1) - set(i));
  p.gradient_columns_at_once = near_equal(p.geometry.x.out, gradient_pixels).front();
  p.gradient_rows_at_once = std::max(gradient_pixels / p.gradient_columns_at_once, 1);
  const auto plan = [&](int most_rows, int most_ky) {
    p.gradient_tasks.clear();
    for (int from = 0, to = 0; from < n; from = to) {
      int tiles = 0, lines = 0;
      for (; to < n; ++to) {
        const int t = tiles + (set(to + 1) - set(to)) * most_ky,
                  l = lines + p.gradient_columns[static_cast<std::size_t>(set(to))].count * gradient_pixels;
        if (to > from && (t > max_gradient_tiles || l > max_gradient_lines)) break;
        tiles = t, lines = l;
      }
      int row = 0;
      for (const int r : near_equal(rows, std::clamp(max_gradient_tiles / tiles, 1, most_rows))) {
        int ky = 0;
        for (const int k : near_equal(kernel, most_ky))
          p.gradient_tasks.push_back({row, row + r, from, to, ky, ky + k}), ky += k;
        row += r;
      }
    }
    return parts * p.geometry.groups * static_cast<std::int64_t>(p.gradient_tasks.size());
  };
  int most_rows = std::clamp(max_gradient_lines / (p.gradient_rows[1] * gradient_pixels), 1, rows);
  int most_ky = std::clamp(max_gradient_tiles / columns, 1, kernel);
  while (plan(most_rows, most_ky) < 4 * threads && threads > 1 && (most_rows > 1 || most_ky > 1)) {
    int& most = most_rows > 1 ? most_rows : most_ky;
    most = (most + 1) / 2;
  }
  p.gradient_tiles = 0;
  for (const GradientTask& t : p.gradient_tasks) {
    int tiles = 0;
    for_each_tile(p, t, [&](const GradientColumn&, int) { ++tiles; });
    p.gradient_tiles = std::max(p.gradient_tiles, tiles * (t.row1 - t.row0));
  }
  const auto tiles = static_cast<std::size_t>(p.geometry.groups * p.gradient_tiles) * p.gradient_tasks.size();
  p.gradient_scratch =
      std::max(parts > 1 ? static_cast<std::size_t>(parts) * tiles * sizeof(GradientSums<T>) : 0,
               static_cast<std::size_t>(most_parts * p.geometry.outputs) * sizeof(T));
}

template <class T>
CREMA_COLD void plan_weight_gradient(CpuConvolutionPlan<T>& p, std::int64_t x_pixel,
                                     const ConvolutionKernels<T>& k, std::int64_t blocks, int threads) {
  const ConvolutionGeometry& g = p.geometry;
  const int channels = g.group_channels();
  const bool merge =
      g.groups == 1 && x_pixel == g.channels && g.x.dilation == 1 && channels < 4 && g.x.kernel > 1;
  const auto set_rows = [&](int most) {
    p.gradient_rows = {0};
    for (const int n : near_equal(g.group_outputs(), most))
      p.gradient_rows.push_back(p.gradient_rows.back() + n);
  };
  auto& out = p.gradient_columns;
  p.gradient_sets = {0};
  const auto end_set = [&] {  // a long one as several: the sums of one set and kernel row must have room
    for (int at = p.gradient_sets.back(), end = static_cast<int>(out.size()); at < end;)
      p.gradient_sets.push_back(at = std::min(at + 64, end));
  };
  const auto singles = [&](int first, int count, int skip_lo, int skip_hi) {
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
    const auto [a, b] = gradient_tile(g.group_outputs(), lines, k);
    set_rows(a);
    int first = 0;
    if (lo < hi)
      for (const int n : near_equal(lines, b))
        out.push_back({0, first, n, lo, hi, true}), end_set(), first += n;
    first = 0;
    for (const int n : near_equal(channels, b)) singles(first, n, lo, hi), first += n;
    end_set();
  } else {
    const auto [a, b] = gradient_tile(g.group_outputs(), channels, k);
    set_rows(a);
    int first = 0;
    for (const int n : near_equal(channels, b)) singles(first, n, 0, 0), end_set(), first += n;
  }
  plan_gradient_tasks(p, gradient_parts<T>(g, blocks), threads);
}

/// The output pixels that one call sums: rows [y0, y1) x columns [x0, x1).
struct Stretch {
  int y0, y1, x0, x1;
};

/// Copies `count` lines of dy at these pixels side by side: their own pixels lie at distances that share few sets of L1.
template <class T>
void pack_stretch(const T* dy, int count, const Stretch& s, std::ptrdiff_t row, std::ptrdiff_t pixel,
                  T* packed) {
  for (int y = s.y0; y < s.y1; ++y)
    for (int x = s.x0; x < s.x1; ++x, packed += count * lanes)
      std::copy_n(dy + y * row + x * pixel, count * lanes, packed);
}

/// Sums the tiles of a task over the images of blocks [block0, block1) and all pixels, in order.
template <class T>
void sum_gradient_tiles(const CpuConvolutionPlan<T>& p, const ConvolutionKernels<T>& k,
                        const View<const T, Cpu>& x, const View<const T, Cpu>& dy, int group,
                        const GradientTask& task, std::int64_t block0, std::int64_t block1,
                        GradientSums<T>* sums) {
  const ConvolutionGeometry& g = p.geometry;
  const int channels = g.group_channels(), outputs = g.group_outputs();
  const std::ptrdiff_t pixel = dy.layout.pixel * lanes, x_step = g.x.stride * x.layout.pixel * lanes;
  alignas(64) T packed[gradient_pixels * ConvolutionKernels<T>::max_a * lanes];
  int tile = 0;
  for (int r = task.row0; r < task.row1; ++r)
    for_each_tile(p, task, [&](const GradientColumn&, int) { std::fill_n(sums[tile++], 32, T(0)); });
  const auto sum = [&](std::int64_t block, const Stretch& s) {
    tile = 0;
    for (int r = task.row0; r < task.row1; ++r) {
      const int first = p.gradient_rows[static_cast<std::size_t>(r)],
                a = p.gradient_rows[static_cast<std::size_t>(r + 1)] - first;
      pack_stretch(dy.data + (block * dy.layout.block + std::int64_t{group} * outputs + first) * lanes, a, s,
                   g.x.out * pixel, pixel, packed);
      for_each_tile(p, task, [&](const GradientColumn& c, int ky) {
        const auto [top, bottom] = inside(g.y, ky);
        const int y0 = std::max(top, s.y0), y1 = std::min(bottom, s.y1), x0 = std::max(c.lo, s.x0),
                  x1 = std::min(c.hi, s.x1);
        if (y0 < y1 && x0 < x1) {
          const std::ptrdiff_t dy_row = (s.x1 - s.x0) * a * lanes;
          const std::int64_t iy = y0 * g.y.stride - g.y.pad + ky * g.y.dilation,
                             ix = x0 * g.x.stride - g.x.pad + (c.merged ? 0 : c.tap * g.x.dilation),
                             line = block * x.layout.block + (iy * g.x.in + ix) * x.layout.pixel +
                                    std::int64_t{group} * channels + c.first;
          k.dot[static_cast<std::size_t>(a)][static_cast<std::size_t>(c.count)](
              {y1 - y0, x1 - x0, packed + (y0 - s.y0) * dy_row + (x0 - s.x0) * a * lanes,
               x.data + line * lanes, dy_row, g.y.stride * g.x.in * x.layout.pixel * lanes, x_step},
              sums[tile]);
        }
        ++tile;
      });
    }
  };
  const int width = p.gradient_columns_at_once, height = p.gradient_rows_at_once;
  for (std::int64_t block = block0; block < block1; ++block)
    for (int y = 0; y < g.y.out; y += height)
      for (int left = 0; left < g.x.out; left += width)
        sum(block, {y, std::min(y + height, g.y.out), left, std::min(left + width, g.x.out)});
}

/// Adds a task's sums to their weights: those of `parts` parts, `stride` tiles apart, in order.
template <class T>
void add_gradient_tiles(const CpuConvolutionPlan<T>& p, int group, const GradientTask& task,
                        const GradientSums<T>* sums, std::int64_t parts, std::int64_t stride, T* dw) {
  const ConvolutionGeometry& g = p.geometry;
  const int channels = g.group_channels(), outputs = g.group_outputs(), taps = g.taps();
  int tile = 0;
  for (int r = task.row0; r < task.row1; ++r)
    for_each_tile(p, task, [&](const GradientColumn& c, int ky) {
      const int o0 = p.gradient_rows[static_cast<std::size_t>(r)],
                o1 = p.gradient_rows[static_cast<std::size_t>(r + 1)];
      for (int o = o0, i = 0; o < o1; ++o)
        for (int j = 0; j < c.count; ++j, ++i) {
          const int line = c.first + j, channel = c.merged ? line % channels : line,
                    kx = c.merged ? line / channels : c.tap;
          T total = 0;
          for (std::int64_t part = 0; part < parts; ++part) total += sums[part * stride + tile][i];
          dw[((std::int64_t{group} * outputs + o) * channels + channel) * taps + ky * g.x.kernel + kx] +=
              total;
        }
      ++tile;
    });
}

}  // namespace detail

/// dw (+)= the gradient of the weights.
template <class T>
void convolution_backward_weights(Cpu& b, const CpuConvolutionPlan<T>& p, const View<const T, Cpu>& x,
                                  const View<const T, Cpu>& dy, T* dw, bool add,
                                  std::span<std::byte> scratch) {
  const ConvolutionGeometry& g = p.geometry;
  const int channels = g.group_channels(), taps = g.taps();
  const std::int64_t per_output = std::int64_t{channels} * taps;
  if (!add) std::fill(dw, dw + g.outputs * per_output, T(0));
  if (p.order == Order::native) {
    const auto& k = b.kernels<ConvolutionKernels<T>>();
    const auto n = static_cast<std::int64_t>(p.gradient_tasks.size()), tasks = g.groups * n;
    const std::int64_t parts = detail::gradient_parts<T>(g, blocks(x.shape)),
                       stride = tasks * p.gradient_tiles;
    const auto group = [&](std::int64_t i) { return static_cast<int>(i / n); };
    const auto task = [&](std::int64_t i) { return p.gradient_tasks[static_cast<std::size_t>(i % n)]; };
    if (parts <= 1) {
      b.parallel(tasks, [&](std::int64_t i) {
        alignas(64) GradientSums<T> sums[max_gradient_tiles];
        detail::sum_gradient_tiles(p, k, x, dy, group(i), task(i), 0, blocks(x.shape), sums);
        detail::add_gradient_tiles(p, group(i), task(i), sums, 1, 0, dw);
      });
      return;
    }
    auto* const sums = reinterpret_cast<GradientSums<T>*>(scratch.data());
    b.parallel(parts * tasks, [&](std::int64_t chunk) {
      const std::int64_t part = chunk / tasks, i = chunk % tasks;
      detail::sum_gradient_tiles(p, k, x, dy, group(i), task(i), blocks(x.shape) * part / parts,
                                 blocks(x.shape) * (part + 1) / parts, sums + chunk * p.gradient_tiles);
    });
    b.parallel(tasks, [&](std::int64_t i) {
      detail::add_gradient_tiles(p, group(i), task(i), sums + i * p.gradient_tiles, parts, stride, dw);
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
void convolution_backward_bias(Cpu& b, const View<const T, Cpu>& dy, T* db, bool add,
                               std::span<std::byte> scratch) {
  const std::int64_t n = channels(dy.shape), pixels = height(dy.shape) * width(dy.shape);
  if (!add) std::fill(db, db + n, T(0));
  if (dy.layout.order == Order::native) {
    const auto& k = b.kernels<ConvolutionKernels<T>>();
    const std::int64_t parts = std::min(blocks(dy.shape), detail::most_parts), eights = (n + 7) / 8;
    T* const sums = reinterpret_cast<T*>(scratch.data());
    b.parallel(parts * eights, [&](std::int64_t chunk) {
      const std::int64_t part = chunk / eights, c = chunk % eights * 8;
      const int count = static_cast<int>(std::min<std::int64_t>(8, n - c));
      T* const to = sums + part * n + c;
      std::fill_n(to, count, T(0));
      for (std::int64_t block = blocks(dy.shape) * part / parts;
           block < blocks(dy.shape) * (part + 1) / parts; ++block)
        k.line_sums(dy.data + (block * dy.layout.block + c) * lanes, pixels, dy.layout.pixel * lanes, count,
                    to);
    });
    for (std::int64_t part = 0; part < parts; ++part)
      for (std::int64_t c = 0; c < n; ++c) db[c] += sums[part * n + c];
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
