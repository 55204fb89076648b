// SPDX-License-Identifier: Apache-2.0
// BFloat16: the upper half of a float, as it is sent and stored; nothing computes in it.
//
//   BFloat16 h(1.0f / 3);        float x = h;        // 8 bits of precision, the range of float
//
// Conversion rounds to the nearest, ties to even; NaN stays NaN.
#pragma once

#include <bit>
#include <cstdint>

#include "crema/core/config.hpp"

namespace crema::inline CREMA_ABI {

struct BFloat16 {
  std::uint16_t bits = 0;

  BFloat16() = default;
  explicit BFloat16(float x) noexcept {
    const auto u = std::bit_cast<std::uint32_t>(x);
    const bool nan = (u & 0x7fffffff) > 0x7f800000;
    bits = static_cast<std::uint16_t>(nan ? u >> 16 | 0x40 : (u + 0x7fff + (u >> 16 & 1)) >> 16);
  }
  operator float() const noexcept { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
};

}  // namespace crema
