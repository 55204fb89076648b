// SPDX-License-Identifier: Apache-2.0
// DropoutMask: which elements stay, as a function that every backend and order computes alike.
//
//   const DropoutMask mask = dropout_mask(random_key(seed, "drop6"), iteration, part, 0.5);
#pragma once

#include "crema/core/random.hpp"

namespace crema::inline CREMA_ABI {

/// Element e = (c * H + y) * W + x of sample s stays, times `scale`, if word e % 4 of
/// philox({e / 4, s, iteration, part}, key) is at least `threshold`; else it becomes 0.
struct DropoutMask {
  Key key{};
  std::uint32_t iteration = 0, part = 0, threshold = 0;
  double scale = 1;
};

/// A mask that drops `ratio` of all elements, 0 <= ratio < 1.
inline DropoutMask dropout_mask(Key key, std::uint64_t iteration, std::uint32_t part, double ratio) {
  return {key, static_cast<std::uint32_t>(iteration), part,
          static_cast<std::uint32_t>(std::ceil(ratio * 0x1p32)), 1 / (1 - ratio)};
}

}  // namespace crema
