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
  static constexpr std::size_t max_rows = 8, max_blocks = 3;
  /// y lines [0, rows) = bias + w x for some blocks of images, `x_block` and `y_block` elements apart; w rows
  /// k apart.
  using Forward = void (*)(const T* w, std::int64_t k, const InputRuns&, const T* x, std::int64_t x_block,
                           const T* bias, T* y, std::int64_t y_block);
  int rows = 1, blocks = 1;
  std::array<std::array<Forward, max_blocks + 1>, max_rows + 1> forward{};
  /// dx line j (+)= sum over n outputs o of w[o * k + j] * dy line o, for `count` lines `step` elements apart, of
  /// some blocks of images.
  using Backward = void (*)(const T* w, std::int64_t k, int n, const T* dy, std::int64_t dy_block,
                            std::int64_t count, std::int64_t step, T* dx, std::int64_t dx_block, bool add);
  std::array<Backward, max_blocks + 1> backward{};
};

/// y = x w^T + bias (may be null). x: N x K values, y: N x outputs, w: outputs x K, or K x outputs if
/// `transposed` (canonical only).
template <class T>
void inner_product_forward(Cpu& b, View<const T, Cpu> x, const T* w, bool transposed, const T* bias,
                           View<T, Cpu> y) {
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
  const EvenSplit tiles{outputs, (outputs + k.rows - 1) / k.rows},
      sets{blocks(x.shape), (blocks(x.shape) + k.blocks - 1) / k.blocks};
  b.parallel(tiles.groups * sets.groups, [&](std::int64_t chunk) {
    const std::int64_t t = chunk / sets.groups, s = chunk % sets.groups, o = tiles.first(t),
                       block = sets.first(s);
    k.forward[static_cast<std::size_t>(tiles.size(t))][static_cast<std::size_t>(sets.size(s))](
        w + o * depth, depth, runs, x.data + block * x.layout.block * lanes, x.layout.block * lanes,
        bias ? bias + o : nullptr, y.data + (block * y.layout.block + o) * lanes, y.layout.block * lanes);
  });
}

/// dx (+)= dy w.
template <class T>
void inner_product_backward_data(Cpu& b, View<const T, Cpu> dy, const T* w, bool transposed, View<T, Cpu> dx,
                                 bool add) {
  const std::int64_t outputs = dy.shape.count(1), depth = dx.shape.count(1), n = dx.shape[0];
  if (dx.layout.order == Order::canonical)
    return gemm<T>(b, Transpose::no, transposed ? Transpose::yes : Transpose::no, n, depth, outputs, 1,
                   dy.data, outputs, w, transposed ? outputs : depth, add ? T(1) : T(0), dx.data, depth);
  const auto& k = b.kernels<InnerProductKernels<T>>();
  const InputRuns runs = input_runs(dx.shape, dx.layout);
  // All outputs pass over a chunk of inputs, so that its lines are added up in one order. Chunks are 2 KB wide or
  // more where 16 of them are left: narrower stretches of weights cost a page's address each.
  const std::int64_t lines = runs.runs == 1 ? runs.length : runs.runs,
                     wide = runs.runs == 1 ? 512 : (511 / runs.length + 1);
  const EvenSplit pieces{
      lines, std::clamp<std::int64_t>(lines / wide, std::min<std::int64_t>(16, (lines + 7) / 8), 64)},
      sets{blocks(dx.shape), (blocks(dx.shape) + k.blocks - 1) / k.blocks};
  constexpr std::int64_t rows = 16;
  b.parallel(pieces.groups, [&](std::int64_t chunk) {
    const std::int64_t first = pieces.first(chunk), size = pieces.size(chunk);
    const std::int64_t dy_block = dy.layout.block * lanes, dx_block = dx.layout.block * lanes;
    for (std::int64_t o = 0; o < outputs; o += rows) {
      const int count = static_cast<int>(std::min(rows, outputs - o));
      for (std::int64_t s = 0; s < sets.groups; ++s) {
        const auto backward = k.backward[static_cast<std::size_t>(sets.size(s))];
        const T* d = dy.data + sets.first(s) * dy_block + o * lanes;
        T* out = dx.data + sets.first(s) * dx_block + first * lanes;
        if (runs.runs == 1)
          backward(w + o * depth + first, depth, count, d, dy_block, size, runs.step, out, dx_block,
                   add || o > 0);
        else
          for (std::int64_t r = 0; r < size; ++r)
            backward(w + o * depth + (first + r) * runs.length, depth, count, d, dy_block, runs.length,
                     runs.step, out + r * lanes, dx_block, add || o > 0);
      }
    }
  });
}

/// Elements of scratch that inner_product_backward_weights wants.
inline std::int64_t inner_product_scratch(Cpu&, const Shape& x, std::int64_t outputs, const Layout& l) {
  return l.order == Order::native ? x.size() + x[0] * outputs + 16 : 0;
}

/// dw (+)= dy^T x, and db (+)= column sums of dy; either may be null.
template <class T>
void inner_product_backward_weights(Cpu& b, View<const T, Cpu> x, View<const T, Cpu> dy, bool transposed,
                                    T* dw, bool add_w, T* db, bool add_b, std::span<std::byte> scratch) {
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

}  // namespace crema
