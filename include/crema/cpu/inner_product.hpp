// SPDX-License-Identifier: Apache-2.0
// Fully connected layers on the CPU, weights in Caffe's rows (outputs x inputs, inputs in c, y, x order).
//
// Native bottoms need no GEMM at small batch: each weight is read once, in its own order, and meets a line of
// 16 images. Backward-data walks 16 rows at a time over the lines of dx in cache. The weight gradient is a
// GEMM over canonical copies of x and dy, which are small. Canonical bottoms are GEMMs altogether.
#pragma once

#include <algorithm>
#include <array>

#include "crema/cpu/gemm.hpp"
#include "crema/cpu/order.hpp"

namespace crema::inline CREMA_ABI {

/// The inputs of a native bottom in the order of a weight row: `runs` stretches of `length` lines, `step`
/// elements apart; stretch r begins at line r. One stretch of all channels if the image is one pixel.
struct InputRuns {
  std::int64_t runs = 1, length = 1, step = lanes;
};
inline InputRuns input_runs(const Shape& s, const Layout& l) {
  const std::int64_t pixels = height(s) * width(s);
  return pixels == 1 ? InputRuns{1, channels(s), lanes} : InputRuns{channels(s), pixels, l.pixel * lanes};
}

template <class T>
struct InnerProductKernels {
  static constexpr int max_rows = 8, max_blocks = 3;
  static constexpr int least_rows = max_rows / 2;  // of tiles of several blocks: even splits have no fewer
  /// y lines [0, rows) = bias + w x for some blocks of images, `x_block` and `y_block` elements apart; w rows
  /// k apart.
  using Forward = void (*)(const T* w, std::int64_t k, const InputRuns&, const T* x, std::int64_t x_block,
                           const T* bias, T* y, std::int64_t y_block);
  int rows = 1, blocks = 1;
  std::array<std::array<Forward, max_blocks + 1>, max_rows + 1> forward{};
  /// dx line j (+)= sum over n outputs o of w[o * k + j] * dy line o, for `count` lines `step` elements apart, of
  /// some blocks of images. What lies at also[o * k + j] is fetched on the way.
  using Backward = void (*)(const T* w, const T* also, std::int64_t k, int n, const T* dy,
                            std::int64_t dy_block, std::int64_t count, std::int64_t step, T* dx,
                            std::int64_t dx_block, bool add);
  std::array<Backward, max_blocks + 1> backward{};
};

/// y = x w^T + bias (may be null). x: N x K values, y: N x outputs, w: outputs x K, or K x outputs if
/// `transposed` (canonical only).
template <class T>
void inner_product_forward(Cpu& b, const View<const T, Cpu>& x, const T* w, bool transposed, const T* bias,
                           const View<T, Cpu>& y) {
  const std::int64_t outputs = y.shape.count(1), depth = x.shape.count(1), n = x.shape[0];
  if (x.layout.order == Order::canonical) {
    gemm<T>(b, Transpose::no, transposed ? Transpose::no : Transpose::yes, n, outputs, depth, 1, x.data,
            depth, w, transposed ? outputs : depth, 0, y.data, outputs);
    if (!bias) return;
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t o = 0; o < outputs; ++o) y.data[i * outputs + o] += bias[o];
    return;
  }
  const auto& k = b.kernels<InnerProductKernels<T>>();
  const InputRuns runs = input_runs(x.shape, x.layout);
  const int together = outputs < k.least_rows ? 1 : k.blocks;
  const EvenSplit tiles{outputs, (outputs + k.rows - 1) / k.rows},
      sets{blocks(x.shape), (blocks(x.shape) + together - 1) / together};
  b.parallel(tiles.groups * sets.groups, [&](std::int64_t chunk) {
    const std::int64_t t = chunk / sets.groups, s = chunk % sets.groups, o = tiles.first(t),
                       block = sets.first(s);
    k.forward[static_cast<std::size_t>(tiles.size(t))][static_cast<std::size_t>(sets.size(s))](
        w + o * depth, depth, runs, x.data + block * x.layout.block * lanes, x.layout.block * lanes,
        bias ? bias + o : nullptr, y.data + (block * y.layout.block + o) * lanes, y.layout.block * lanes);
  });
}

namespace detail {

/// dx (+)= dy w for the inputs [first, last) and the outputs [o, o + count), all native. `also` is parallel to w.
template <class T>
void inner_product_data_rows(const InnerProductKernels<T>& k, const View<const T, Cpu>& dy, const T* w,
                             const T* also, std::int64_t o, int count, std::int64_t first, std::int64_t last,
                             const View<T, Cpu>& dx, bool add) {
  const InputRuns in = input_runs(dx.shape, dx.layout);
  const std::int64_t depth = dx.shape.count(1);
  const EvenSplit sets{blocks(dx.shape), (blocks(dx.shape) + k.blocks - 1) / k.blocks};
  for (std::int64_t s = 0; s < sets.groups; ++s)
    for (std::int64_t c = first, n; c < last; c += n) {
      const std::int64_t run = c / in.length, at = c % in.length;
      n = std::min(in.length - at, last - c);
      k.backward[static_cast<std::size_t>(sets.size(s))](
          w + o * depth + c, also + o * depth + c, depth, count,
          dy.data + (sets.first(s) * dy.layout.block + o) * lanes, dy.layout.block * lanes, n, in.step,
          dx.data + (sets.first(s) * dx.layout.block + run) * lanes + at * in.step, dx.layout.block * lanes,
          add);
    }
}

/// Stretches of inputs, counted in `unit`s, that a chunk passes all outputs over, so that each line of dx is added up in
/// one order: 4 KB of weights where every thread still has some, because narrower ones cost a page's address each.
inline constexpr std::int64_t stretch_inputs = 1024, most_piece = 16 * (stretch_inputs + 32);
inline EvenSplit inner_product_stretches(std::int64_t depth, std::int64_t unit, int threads) {
  const std::int64_t units = divide_up(depth, unit);
  return {units, std::clamp(divide_up(depth, stretch_inputs),
                            std::min<std::int64_t>(threads == 1 ? 1 : 4 * threads, units), units)};
}

}  // namespace detail

/// dx (+)= dy w.
template <class T>
void inner_product_backward_data(Cpu& b, const View<const T, Cpu>& dy, const T* w, bool transposed,
                                 const View<T, Cpu>& dx, bool add) {
  const std::int64_t outputs = dy.shape.count(1), depth = dx.shape.count(1), n = dx.shape[0];
  if (dx.layout.order == Order::canonical)
    return gemm<T>(b, Transpose::no, transposed ? Transpose::yes : Transpose::no, n, depth, outputs, 1,
                   dy.data, outputs, w, transposed ? outputs : depth, add ? T(1) : T(0), dx.data, depth);
  constexpr std::int64_t rows = 16, unit = 8;
  const EvenSplit stretches = detail::inner_product_stretches(depth, unit, b.threads());
  b.parallel(stretches.groups, [&](std::int64_t chunk) {
    const std::int64_t first = stretches.first(chunk) * unit,
                       last = std::min(first + stretches.size(chunk) * unit, depth);
    for (std::int64_t o = 0; o < outputs; o += rows)
      detail::inner_product_data_rows(b.kernels<InnerProductKernels<T>>(), dy, w, w, o,
                                      static_cast<int>(std::min(rows, outputs - o)), first, last, dx,
                                      add || o > 0);
  });
}

/// Elements of scratch that inner_product_backward and inner_product_backward_weights want.
inline std::int64_t inner_product_scratch(Cpu&, const Shape& x, std::int64_t outputs, const Layout& l) {
  return l.order == Order::native ? x.size() + x[0] * outputs + 16 : 0;
}

/// dw (+)= dy^T x, and db (+)= column sums of dy; either may be null.
template <class T>
void inner_product_backward_weights(Cpu& b, const View<const T, Cpu>& x, const View<const T, Cpu>& dy,
                                    bool transposed, T* dw, bool add_w, T* db, bool add_b,
                                    std::span<std::byte> scratch) {
  const std::int64_t outputs = dy.shape.count(1), depth = x.shape.count(1), n = x.shape[0];
  const T *xc = x.data, *dyc = dy.data;
  if (x.layout.order == Order::native) {
    T* const copy = reinterpret_cast<T*>(scratch.data());
    T* const dy_copy = copy + (x.shape.size() + 15) / 16 * 16;
    if (dw) convert(b, x, View<T, Cpu>{copy, x.shape, {}});
    convert(b, dy, View<T, Cpu>{dy_copy, dy.shape, {}});
    xc = copy, dyc = dy_copy;
  }
  if (dw) {
    const T beta = add_w ? T(1) : T(0);
    if (transposed)
      gemm<T>(b, Transpose::yes, Transpose::no, depth, outputs, n, 1, xc, depth, dyc, outputs, beta, dw,
              outputs);
    else
      gemm<T>(b, Transpose::yes, Transpose::no, outputs, depth, n, 1, dyc, outputs, xc, depth, beta, dw,
              depth);
  }
  if (db)
    b.parallel_range(outputs, 256, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t o = first; o < last; ++o) db[o] = add_b ? db[o] : T(0);
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t o = first; o < last; ++o) db[o] += dyc[i * outputs + o];
    });
}

/// Whether inner_product_backward is for this layer: weights that do not stay in cache between passes anyhow, and images
/// that fit one pass of a product over them.
inline bool inner_product_in_one_pass(const Shape& x, std::int64_t outputs, const Layout& l) {
  return l.order == Order::native && x[0] <= 256 && x.count(1) * outputs >= 1 << 20;
}

/// inner_product_backward_data and _weights in one pass over w, with their bits: take(o * inputs + i, piece) gets dw from
/// that element on, a stretch of one row, from inside a region and after w was read there for the last time.
/// `also`: what take() reads besides, parallel to w. dx.data may be null.
template <class T, class Take>
void inner_product_backward(Cpu& b, const View<const T, Cpu>& x, const View<const T, Cpu>& dy, const T* w,
                            const View<T, Cpu>& dx, bool add, std::span<std::byte> scratch, const T* also,
                            const Take& take) {
  const std::int64_t outputs = dy.shape.count(1), depth = x.shape.count(1), n = x.shape[0];
  T* const xc = reinterpret_cast<T*>(scratch.data());
  T* const dyc = xc + (x.shape.size() + 15) / 16 * 16;
  convert(b, x, View<T, Cpu>{xc, x.shape, {}});
  convert(b, dy, View<T, Cpu>{dyc, dy.shape, {}});

  // dy^T and x as the product's panels, which every chunk reads.
  const auto& kernel = b.kernels<GemmKernels<T>>();
  const std::int64_t width = kernel.columns, panels = detail::divide_up(depth, width);
  const EvenSplit rows{outputs, detail::divide_up(outputs, kernel.rows)}, columns{panels * width, panels};
  const std::int64_t rows_size =
      detail::divide_up(gemm_panel_offset(rows, rows.groups, n), gemm_slack) * gemm_slack;
  T* const packed = reinterpret_cast<T*>(
      b.scratch(static_cast<std::size_t>(rows_size + gemm_panel_offset(columns, panels, n)) * sizeof(T)));
  const EvenSplit stretches = detail::inner_product_stretches(depth, width, b.threads());
  b.parallel(stretches.groups + 1, [&](std::int64_t chunk) {
    const GemmOperand<T> diffs{dyc, dyc + dy.shape.size(), outputs, 1, outputs};
    if (chunk == 0) return kernel.pack({diffs, rows, 0, rows.groups, 0, n, packed});
    const std::int64_t first = stretches.first(chunk - 1), last = stretches.first(chunk);
    const GemmOperand<T> images{xc, xc + x.shape.size(), depth, 1, depth};
    kernel.pack({images, columns, first, last, 0, n, packed + rows_size});
  });

  b.parallel(stretches.groups, [&](std::int64_t chunk) {
    alignas(64) T piece[detail::most_piece];
    const std::int64_t panel = stretches.first(chunk), last_panel = panel + stretches.size(chunk),
                       first = panel * width, last = std::min(last_panel * width, depth),
                       pitch = (last_panel - panel) * width;
    GemmBlock<T> block{};
    block.rows = rows, block.columns = columns, block.first_panel = panel, block.last_panel = last_panel;
    block.depth = n, block.a = packed, block.b = packed + rows_size, block.column_count = depth;
    block.row_step = pitch, block.column_step = 1, block.alpha = 1;
    block.c = piece, block.first_column = first;
    for (std::int64_t r = 0; r < rows.groups; ++r) {
      const std::int64_t o = rows.first(r);
      if (dx.data)
        detail::inner_product_data_rows(b.kernels<InnerProductKernels<T>>(), dy, w, also, o,
                                        static_cast<int>(rows.size(r)), first, last, dx, add || o > 0);
      block.first_row_group = r, block.last_row_group = r + 1, block.first_row = o;
      kernel.block(block);
      for (std::int64_t i = 0; i < rows.size(r); ++i)
        take((o + i) * depth + first,
             std::span<const T>(piece + i * pitch, static_cast<std::size_t>(last - first)));
    }
  });
}

}  // namespace crema
