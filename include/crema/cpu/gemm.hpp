// SPDX-License-Identifier: Apache-2.0
// gemm: C = alpha op(A) op(B) + beta C, row-major, BLAS's meaning of every argument.
//
//   gemm<float>(cpu, Transpose::no, Transpose::yes, m, n, k, 1, a, k, b, k, 0, c, n);
//
// After Goto and van de Geijn ("Anatomy of high-performance matrix multiplication", TOMS 2008): blocks of A
// and B are packed into the order in which one register tile reads them. Rows are split into groups of nearly
// equal height, each height with a tile of its own, so that no row is padded. About 95 % of the FMA ceiling
// on large matrices.
#pragma once

#include <algorithm>

#include "crema/core/op_settings.hpp"
#include "crema/cpu/backend.hpp"

namespace crema::inline CREMA_ABI {

/// [0, total) in `groups` groups whose sizes differ by one at most.
struct EvenSplit {
  std::int64_t total = 0, groups = 1;
  std::int64_t first(std::int64_t i) const {
    const std::int64_t extra = total % groups;
    return total / groups * i + (i < extra ? i : extra);
  }
  std::int64_t size(std::int64_t i) const { return first(i + 1) - first(i); }
};

/// A or B as packing sees it: element (i, k) at data[i * across + k * along], i < count a row of A or a
/// column of B; one of the strides is 1. Nothing at or behind `end` is read.
template <class T>
struct GemmOperand {
  const T *data, *end;
  std::int64_t count, across, along;
};

/// Panels [first, last) to pack, depth [k, k + depth). Panel i holds what split says, made up beyond the
/// operand's count.
template <class T>
struct GemmPanels {
  GemmOperand<T> from;
  EvenSplit split;
  std::int64_t first, last, k, depth;
  T* to;  // panel 0
};

inline constexpr std::int64_t gemm_slack = 16;  // elements behind every packed panel

/// Where panel i lies among packed panels.
inline std::int64_t gemm_panel_offset(const EvenSplit& split, std::int64_t i, std::int64_t depth) {
  return split.first(i) * depth + i * gemm_slack;
}

/// A block of tiles: groups of rows times panels of columns. The first `direct` panels of B are read where
/// they are.
template <class T>
struct GemmBlock {
  EvenSplit rows, columns;
  std::int64_t first_row_group, last_row_group, first_panel, last_panel, depth;
  const T *a, *b, *b_direct;
  std::int64_t direct, ldb;
  T* c;                                              // C's element at first_row, first_column
  std::int64_t first_row, first_column;              // of the part of C that there is
  std::int64_t column_count, row_step, column_step;  // of C
  T alpha, beta;
};

template <class T>
struct GemmKernels {
  int rows, columns;  // of the largest tile
  void (*pack)(const GemmPanels<T>&);
  void (*block)(const GemmBlock<T>&);
};

namespace detail {

inline std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// How tiles are dealt out: about 64 chunks, none of less
/// than 2^17 multiplications, each at most 16 panels wide.
struct TileGrid {
  std::int64_t groups, panels, high, wide;
  TileGrid(std::int64_t group_count, std::int64_t panel_count, std::int64_t tile_work)
      : groups(group_count), panels(panel_count) {
    const std::int64_t tiles = std::max(divide_up(groups * panels, 64), divide_up(1 << 17, tile_work));
    wide = std::min({panels, tiles, std::int64_t{16}});
    high = std::min(groups, divide_up(tiles, wide));
  }
  std::int64_t chunks() const { return divide_up(groups, high) * divide_up(panels, wide); }
  void range(std::int64_t chunk, std::int64_t& g0, std::int64_t& g1, std::int64_t& p0,
             std::int64_t& p1) const {
    const std::int64_t down = divide_up(groups, high);
    g0 = chunk % down * high, g1 = std::min(g0 + high, groups);
    p0 = chunk / down * wide, p1 = std::min(p0 + wide, panels);
  }
};

/// Sees C as its transpose, with the operands exchanged, where that wastes fewer lanes, a tenth at least: few
/// columns, many rows. Stores of a transposed C are slow, and so is packing a wide B by groups of rows.
inline bool gemm_should_swap(std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t rows,
                             std::int64_t columns) {
  const auto cost = [&](std::int64_t height, std::int64_t width) {  // in rows of one register and one k
    return divide_up(width, columns) * 2 * (2 * height + 3 * divide_up(height, rows)) / 2 * k;
  };
  return cost(n, m) * 10 / 9 + 2 * m * n < cost(m, n);
}

/// The product itself: A's count is the number of rows, B's of columns.
template <class T>
void multiply(Cpu& cpu, const GemmOperand<T>& a, const GemmOperand<T>& b, std::int64_t k,
              GemmBlock<T> block) {
  // Blocks of depth, so that a panel of A stays in L1, and of columns, so that B's panels stay in L3.
  constexpr std::int64_t max_depth = 2048 / sizeof(T), max_columns = 3072;
  const auto& kernel = cpu.kernels<GemmKernels<T>>();
  const std::int64_t width = kernel.columns, most_panels = divide_up(std::min(b.count, max_columns), width);
  const EvenSplit rows{a.count, divide_up(a.count, kernel.rows)};
  const EvenSplit depths{k, std::max<std::int64_t>(1, divide_up(k, max_depth))};
  const std::int64_t a_size =
      divide_up(gemm_panel_offset(rows, rows.groups, depths.size(0)), gemm_slack) * gemm_slack;
  const std::int64_t b_size = most_panels * (width * depths.size(0) + gemm_slack);
  T* const packed_a =
      reinterpret_cast<T*>(cpu.scratch(static_cast<std::size_t>(a_size + b_size) * sizeof(T)));
  T* const packed_b = packed_a + a_size;
  T* const c = block.c;
  const T beta = block.beta;

  for (std::int64_t j = 0; j < b.count; j += most_panels * width)
    for (std::int64_t d = 0; d < depths.groups; ++d) {
      const std::int64_t k0 = depths.first(d), depth = depths.size(d);
      const std::int64_t count = std::min(b.count - j, most_panels * width), panels = divide_up(count, width);
      GemmOperand<T> b_part = b;
      b_part.data += j * b.across, b_part.count = count;
      block.rows = rows, block.columns = {panels * width, panels}, block.column_count = count,
      block.depth = depth;
      block.a = packed_a, block.b = packed_b, block.b_direct = b_part.data + k0 * b.along,
      block.ldb = b.along;
      // What is read once or twice is not worth packing, but for columns that do not fill a panel, and rows
      // so far apart that a panel lies on more pages than the processor keeps addresses of.
      const bool near = depth * b.along * static_cast<std::int64_t>(sizeof(T)) <= 1 << 20;
      block.direct = b.across == 1 && rows.groups <= 2 && near ? count / width : 0;
      block.c = c + j * block.column_step, block.beta = d == 0 ? beta : T(1);

      const std::int64_t grain = divide_up(8192, width * depth + 1) + 3;
      const std::int64_t a_chunks = divide_up(rows.groups, grain),
                         b_chunks = divide_up(panels - block.direct, grain);
      cpu.parallel(a_chunks + b_chunks, [&](std::int64_t chunk) {
        if (chunk < a_chunks) {
          const std::int64_t first = chunk * grain;
          kernel.pack({a, rows, first, std::min(first + grain, rows.groups), k0, depth, packed_a});
        } else {
          const std::int64_t first = block.direct + (chunk - a_chunks) * grain;
          kernel.pack({b_part, block.columns, first, std::min(first + grain, panels), k0, depth, packed_b});
        }
      });
      const TileGrid grid(rows.groups, panels, depth * width * kernel.rows + 1);
      cpu.parallel(grid.chunks(), [&](std::int64_t chunk) {
        GemmBlock<T> part = block;
        grid.range(chunk, part.first_row_group, part.last_row_group, part.first_panel, part.last_panel);
        kernel.block(part);
      });
    }
}

}  // namespace detail

/// A is m x k after op, B is k x n, C m x n and apart from both; C is not read where beta is 0. The leading
/// dimensions are elements from one stored row to the next. Throws ShapeError. Not to be called from inside a
/// region of this Cpu.
template <class T>
void gemm(Cpu& cpu, Transpose trans_a, Transpose trans_b, std::int64_t m, std::int64_t n, std::int64_t k,
          std::type_identity_t<T> alpha, const T* a, std::int64_t lda, const T* b, std::int64_t ldb,
          std::type_identity_t<T> beta, T* c, std::int64_t ldc) {
  const bool ta = trans_a == Transpose::yes, tb = trans_b == Transpose::yes;
  detail::check_gemm(m, k, lda, ta, "A");
  detail::check_gemm(k, n, ldb, tb, "B");
  detail::check_gemm(m, n, ldc, false, "C");
  if (m <= 0 || n <= 0) return;  // none is below zero here, which compilers do not know
  if (k <= 0) {                  // A and B may be null
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j) c[i * ldc + j] = beta == 0 ? T(0) : beta * c[i * ldc + j];
    return;
  }
  const GemmOperand<T> rows{a, a + (ta ? (k - 1) * lda + m : (m - 1) * lda + k), m, ta ? 1 : lda,
                            ta ? lda : 1};
  const GemmOperand<T> columns{b, b + (tb ? (n - 1) * ldb + k : (k - 1) * ldb + n), n, tb ? ldb : 1,
                               tb ? 1 : ldb};
  GemmBlock<T> block{};
  block.c = c, block.alpha = alpha, block.beta = beta;
  const auto& kernel = cpu.kernels<GemmKernels<T>>();
  if (detail::gemm_should_swap(m, n, k, kernel.rows, kernel.columns)) {
    block.row_step = 1, block.column_step = ldc;
    detail::multiply(cpu, columns, rows, k, block);
  } else {
    block.row_step = ldc, block.column_step = 1;
    detail::multiply(cpu, rows, columns, k, block);
  }
}

}  // namespace crema
