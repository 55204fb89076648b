// SPDX-License-Identifier: Apache-2.0
// Convolution on the CPU. In native order (nhwc16n) one short kernel does forward and backward-data for every
// stride, padding, dilation, group and channel count: a tile of output channels x one or two pixels x 16
// images, fed by a list of runs made in advance that says which taps hit the tile, so that padding costs
// nothing. The weight gradient sums over pixels in tiles of output x input channels whose lanes are images.
// See docs/design.md for the measured shares.
//
//   auto plan = make_convolution_plan<float>(cpu, geometry, bottom, top);    // in prepare
//   convolution_forward(cpu, plan, weights, version, bias, x, y, scratch);
//
// Canonical order serves small test batches: forward by a direct kernel, backward by plain loops.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include "crema/core/geometry.hpp"
#include "crema/cpu/backend.hpp"

namespace crema::inline CREMA_ABI {

/// `length` lines of input against as many weight rows, for the pixels of the tile named by `pixels` (bit 0,
/// bit 1).
struct ConvolutionRun {
  std::int32_t length, pixels;
  std::int32_t weight;  // first weight row
  std::int64_t input;   // first input element, from the tile's base row
};

/// The pairs of pixels that one call of a weight gradient sums: rows x pixels of them. dy lies packed, all lines of a
/// tile side by side, `dy_row` elements from one row to the next; x has its own distances.
template <class T>
struct GradientPixels {
  int rows;
  std::int64_t pixels;
  const T *dy, *x;
  std::ptrdiff_t dy_row, x_row, x_step;
};

template <class T>
struct ConvolutionKernels {
  static constexpr int max_rows = 12, max_a = 6, max_b = 4;
  int rows = 1, pixels = 1;  // largest tile: output channels, pixels
  /// y[i] (+)= sum over runs of weight * input, from bias or, if `add`, on top of what is there. second:
  /// distance to pixel 1.
  using Tile = void (*)(const ConvolutionRun*, int runs, const T* weights, const T* x, std::ptrdiff_t second,
                        std::ptrdiff_t prefetch, const T* bias, T* y0, T* y1, bool add);
  std::array<Tile, max_rows + 1> tile{};
  /// sums[i * b + j] += sum over pixels and images of dy line i times x line j, a x b of them, 32 at most. Null where
  /// registers do not hold as many.
  using Dot = void (*)(const GradientPixels<T>&, T* sums);
  std::array<std::array<Dot, max_b + 1>, max_a + 1> dot{};
  /// sums[c] += sum of line c over pixels and images, for up to 8 lines.
  void (*line_sums)(const T* dy, std::int64_t pixels, std::ptrdiff_t step, int n, T* sums) = nullptr;
  /// Canonical: y[i][0..n) for `rows` channels of one output row, x already padded and split by phase.
  using Direct = void (*)(const T* weights, int channels, const std::int64_t* tap_offset, int taps,
                          const T* x, std::int64_t plane, const T* bias, T* y, std::int64_t y_plane, int n);
  int direct_rows = 1;
  std::array<Direct, 9> direct{};
};

/// n split into near-equal parts of at most `most`.
CREMA_COLD inline std::vector<int> near_equal(int n, int most) {
  const int parts = (n + most - 1) / most;
  std::vector<int> v(static_cast<std::size_t>(parts), n / parts);
  for (int i = 0; i < n % parts; ++i) ++v[static_cast<std::size_t>(i)];
  return v;
}

/// The lists for one direction: forward, or backward-data,
/// which is the same function with the roles exchanged.
struct ConvolutionPass {
  struct Tap {
    int k, in;
  };                                          // weight index along an axis, input coordinate
  int channels = 0, outputs = 0, groups = 1;  // of what is read and written
  int in_width = 0, out_height = 0, out_width = 0;
  std::int64_t in_pixel = 0, out_pixel = 0;  // pitches in lines
  std::vector<int> rows;                     // output-channel tile heights within a group
  std::vector<int> columns;                  // of each tile's first pixel, in the output
  std::vector<int> row_class, row_base;      // per output row: which lists, first input row
  std::vector<ConvolutionRun> runs;
  std::vector<int> first_run;  // [class][column], then the end
  int apart = 0;               // output columns between the two pixels of a tile; 0: it has one
  int step = 1;                // input columns between them
  int taps = 1, columns_at_once = 1, row_split = 1, tile_split = 1;

  /// The output column of a tile's second pixel, -1 where it has none.
  int second(int column) const { return apart > 0 && column + apart < out_width ? column + apart : -1; }

  std::int64_t weight_rows() const { return static_cast<std::int64_t>(channels / groups) * taps; }
};

namespace detail {

/// Which inputs one output coordinate reads. Backward: which outputs wrote this input, kernel flipped.
CREMA_COLD inline std::vector<ConvolutionPass::Tap> taps_at(const WindowAxis& a, int at, bool backward) {
  std::vector<ConvolutionPass::Tap> taps;
  for (int k = 0; k < a.kernel; ++k) {
    if (!backward) {
      const int in = at * a.stride - a.pad + k * a.dilation;
      if (in >= 0 && in < a.in) taps.push_back({k, in});
    } else {
      const int t = at + a.pad - (a.kernel - 1 - k) * a.dilation;
      if (t >= 0 && t % a.stride == 0 && t / a.stride < a.out) taps.push_back({k, t / a.stride});
    }
  }
  return taps;
}

CREMA_COLD inline void add_runs(ConvolutionPass& p, const WindowAxis& ax,
                                const std::vector<ConvolutionPass::Tap>& rows, int base_row, int column,
                                bool backward) {
  using Tap = ConvolutionPass::Tap;
  const std::vector<Tap> first = taps_at(ax, column, backward);
  const std::vector<Tap> second =
      p.second(column) < 0 ? std::vector<Tap>{} : taps_at(ax, p.second(column), backward);
  const int per_tap = p.channels / p.groups;
  const bool merge = p.groups == 1 && p.in_pixel == p.channels;  // neighbouring taps are neighbouring lines
  const auto find = [](const std::vector<Tap>& v, int k) -> const Tap* {
    for (const Tap& t : v)
      if (t.k == k) return &t;
    return nullptr;
  };
  const int begin = static_cast<int>(p.runs.size());
  for (const Tap& row : rows) {
    int last_k = -2, last_in = -2;
    for (int k = 0; k < ax.kernel; ++k) {
      const Tap *a = find(first, k), *b = find(second, k);
      if (!a && !b) continue;
      const int in = a ? a->in : b->in - p.step, kind = (a ? 1 : 0) | (b ? 2 : 0);
      if (merge && last_k == k - 1 && last_in == in - 1 && p.runs.back().pixels == kind &&
          static_cast<int>(p.runs.size()) > begin) {
        p.runs.back().length += per_tap;
      } else {
        const std::int64_t pixel = static_cast<std::int64_t>(row.in - base_row) * p.in_width + in;
        p.runs.push_back({per_tap, kind, (row.k * ax.kernel + k) * per_tap, pixel * p.in_pixel * lanes});
      }
      last_k = k, last_in = in;
    }
    last_k = -2;
  }
}

/// Whether two rows of the output read the input in the same way, further down or up.
CREMA_COLD inline bool same_taps(const std::vector<ConvolutionPass::Tap>& a,
                                 const std::vector<ConvolutionPass::Tap>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].k != b[i].k || a[i].in - a[0].in != b[i].in - b[0].in) return false;
  return true;
}

}  // namespace detail

/// Makes the lists of one pass for tiles of at most `rows` channels x `pixels` pixels.
CREMA_COLD inline ConvolutionPass make_convolution_pass(const ConvolutionGeometry& g, bool backward,
                                                        std::int64_t in_pixel, std::int64_t out_pixel,
                                                        std::int64_t blocks, int rows, int pixels) {
  ConvolutionPass p;
  p.channels = backward ? g.outputs : g.channels, p.outputs = backward ? g.channels : g.outputs,
  p.groups = g.groups;
  p.in_width = backward ? g.x.out : g.x.in;
  p.out_height = backward ? g.y.in : g.y.out, p.out_width = backward ? g.x.in : g.x.out;
  p.in_pixel = in_pixel, p.out_pixel = out_pixel, p.taps = g.taps();
  p.rows = near_equal(p.outputs / p.groups, rows);
  // Two pixels of a tile must be one constant distance apart in the input, with the same weights: neighbours
  // forward, pixels of equal phase backward.
  const int phases = backward ? g.x.stride : 1;
  p.apart = pixels == 2 ? phases : 0;
  p.step = backward ? 1 : g.x.stride;
  for (int phase = 0; phase < phases; ++phase)
    for (int x = phase; x < p.out_width; x += pixels * phases) p.columns.push_back(x);

  std::vector<int> classes;  // an output row of each
  for (int y = 0; y < p.out_height; ++y) {
    const auto taps = detail::taps_at(g.y, y, backward);
    const int base = taps.empty() ? 0 : taps.front().in;
    std::size_t known = 0;
    while (known < classes.size() && !detail::same_taps(taps, detail::taps_at(g.y, classes[known], backward)))
      ++known;
    p.row_class.push_back(static_cast<int>(known));
    p.row_base.push_back(base);
    if (known < classes.size()) continue;
    classes.push_back(y);
    for (const int column : p.columns) {
      p.first_run.push_back(static_cast<int>(p.runs.size()));
      detail::add_runs(p, g.x, taps, base, column, backward);
    }
  }
  p.first_run.push_back(static_cast<int>(p.runs.size()));
  // The inputs of a stretch of tiles stay in a part of L2 while all output channels pass over them.
  constexpr std::int64_t window = 192 * 1024;
  const std::int64_t per_tile =
      static_cast<std::int64_t>(g.y.kernel) * pixels * p.step * (p.channels / p.groups) * lanes * 4;
  const int n = static_cast<int>(p.columns.size());
  const int most = static_cast<int>(
      std::clamp<std::int64_t>(window / std::max<std::int64_t>(per_tile, 1), 2, std::max(n, 2)));
  p.columns_at_once = near_equal(n, most).front();
  // About 32 chunks for each block of images: rows first, then output channels.
  const std::int64_t units = blocks * p.out_height;
  p.row_split = static_cast<int>(std::clamp<std::int64_t>(units / 64, 1, p.out_height));
  p.tile_split = static_cast<int>(std::clamp<std::int64_t>(48 / std::max<std::int64_t>(units, 1), 1,
                                                           static_cast<std::int64_t>(p.rows.size())));
  return p;
}

/// One tile column of a weight gradient: `count` input lines, for output columns
/// [lo, hi). Lines are channels of one tap; with few channels, neighbouring taps
/// are neighbouring lines and one column spans several (`merged`).
struct GradientColumn {
  int tap = 0, first = 0, count = 1, lo = 0, hi = 0;
  bool merged = false;
};

/// What one task of a weight gradient sums: tile rows, sets of columns and kernel rows, each [first, last).
struct GradientTask {
  int row0, row1, set0, set1, ky0, ky1;
};

/// About as many pixels are summed in one call, from a few rows, so that both slices stay in L1. A task's lines at
/// these pixels, of either side, stay in L2 while its tiles pass over them, and its sums on the stack.
inline constexpr int gradient_pixels = 64, max_gradient_lines = 4096, max_gradient_tiles = 384;

/// The sums of one tile of a weight gradient, its outputs' rows after each other.
template <class T>
using GradientSums = T[32];

/// What a Convolution layer keeps between steps on the CPU.
template <class T>
struct CpuConvolutionPlan {
  ConvolutionGeometry geometry;
  Order order = Order::canonical;
  ConvolutionPass forward, backward;
  std::vector<int> gradient_rows;  // weight gradient: where its tile rows begin, and the last one ends
  std::vector<GradientColumn> gradient_columns;
  std::vector<int> gradient_sets;  // where sets of columns begin, and the last one ends
  std::vector<GradientTask> gradient_tasks;
  int gradient_tiles = 0;                                       // the most of a task
  int gradient_columns_at_once = 1, gradient_rows_at_once = 1;  // of output pixels
  Buffer<T, Cpu> packed, packed_backward;                       // weights in the kernels' order
  std::uint64_t packed_version = 0, packed_backward_version = 0;
  std::vector<std::int64_t> tap_offset;  // canonical: where each tap lies in the padded input
  std::int64_t padded_width = 0, padded_height = 0, phase_width = 0;
  std::size_t scratch = 0, gradient_scratch = 0;  // bytes for forward, and for gradients of weights and bias
};

}  // namespace crema

#include "crema/cpu/convolution_gradient.hpp"
#include "crema/cpu/convolution_ops.hpp"
