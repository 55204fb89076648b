// SPDX-License-Identifier: Apache-2.0
// What ops of every backend take and give: the same structs and the same checks on each.
#pragma once

#include <cstdint>

#include "crema/core/error.hpp"
#include "crema/core/text.hpp"

namespace crema::inline CREMA_ABI {

enum class Transpose : bool { no, yes };

namespace detail {

/// One operand of a gemm: rows x columns after transposition, `ld` elements from one stored row to the next.
CREMA_INLINE void check_gemm(std::int64_t rows, std::int64_t columns, std::int64_t ld, bool transposed,
                             const char* name);
#if CREMA_BODIES
CREMA_INLINE void check_gemm(std::int64_t rows, std::int64_t columns, std::int64_t ld, bool transposed,
                             const char* name) {
  if (rows < 0 || columns < 0) throw ShapeError(cat("gemm: ", name, " is ", rows, " x ", columns));
  const std::int64_t least = transposed ? rows : columns;
  if (ld < least)
    throw ShapeError(cat("gemm: the leading dimension of ", name, " must be at least ", least, ", not ", ld));
}
#endif

}  // namespace detail

/// Caffe's SGD, the rate inside the momentum: g' = scale g + decay w (or decay sign(w)), h = momentum h +
/// rate g', w -= h. rate is base rate times lr_mult, decay is weight_decay times decay_mult, scale 1 /
/// iter_size times clipping's factor.
template <class T>
struct SgdRule {
  T rate = 0, momentum = 0, decay = 0;
  bool l1 = false;
  T scale = 1;
};

/// Sum of -log(max(p[label], smallest float)) and how many labels were counted.
struct SoftmaxLossSum {
  double sum = 0;
  std::int64_t count = 0;
};

}  // namespace crema
