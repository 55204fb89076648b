// SPDX-License-Identifier: Apache-2.0
// Layout: how a blob lies in memory. A shape is logical, an order is physical.
//
//   canonical   N,C,H,W, dense: what everyone outside a net sees, any rank.
//   native      the CPU's nhwc16n: [N/16][H][W][C|1][16 images], the batch is the vector. One *line* is one
//               channel of one pixel of 16 images (64 bytes of float, 128 of double). N x C is the case
//               H = W = 1. Other ranks have no native order. The odd pixel pitch C|1 keeps pixels from
//               falling into the same cache sets.
//
// The lines between C and the pitch, and the lanes beyond the live batch (*dead lanes*), exist in memory.
// Invariant of every net: there data is finite and diff is exactly zero.
#pragma once

#include <cstdint>

#include "crema/core/shape.hpp"

namespace crema::inline CREMA_ABI {

enum class Order : std::uint8_t { canonical, native };

/// Images per line. Part of the format: the same on every instruction set.
inline constexpr std::int64_t lanes = 16;

struct Layout {
  Order order = Order::canonical;
  std::int64_t pixel = 0;  // lines from one pixel to the next (native only)
  std::int64_t block = 0;  // lines from one block of 16 images to the next (native only)
  friend bool operator==(const Layout&, const Layout&) = default;
};

inline bool has_native_order(const Shape& s) { return s.rank() == 2 || s.rank() == 4; }
inline std::int64_t channels(const Shape& s) { return s[1]; }
inline std::int64_t height(const Shape& s) { return s.rank() == 4 ? s[2] : 1; }
inline std::int64_t width(const Shape& s) { return s.rank() == 4 ? s[3] : 1; }
inline std::int64_t blocks(const Shape& s) { return (s[0] + lanes - 1) / lanes; }

/// The dense layout of a shape in an order. Native asks for has_native_order(shape).
CREMA_INLINE_HOT Layout dense_layout(const Shape& s, Order order);
#if CREMA_BODIES
CREMA_INLINE_HOT Layout dense_layout(const Shape& s, Order order) {
  if (order == Order::canonical) return {};
  if (!has_native_order(s)) throw ShapeError(cat("no native order for shape ", s));
  const std::int64_t pixel = channels(s) | 1;
  return {Order::native, pixel, pixel * height(s) * width(s)};
}
#endif

/// Elements of memory that a blob of this shape takes, dead lanes included.
inline std::int64_t storage_size(const Shape& s, const Layout& l) {
  return l.order == Order::canonical ? s.size() : blocks(s) * l.block * lanes;
}

/// Where element (n, c, y, x) of a native blob lies, in elements.
inline std::int64_t native_index(const Shape& s, const Layout& l, std::int64_t n, std::int64_t c,
                                 std::int64_t y, std::int64_t x) {
  return (n / lanes * l.block + (y * width(s) + x) * l.pixel + c) * lanes + n % lanes;
}

/// What goes into lanes beyond the live batch: data wants something finite, diff wants exactly zero.
enum class DeadLanes : std::uint8_t { repeat, zero };

struct ConvertOptions {
  bool add = false;  // dst += src; dead lanes then stay as they are
  DeadLanes dead_lanes = DeadLanes::repeat;
};

}  // namespace crema
