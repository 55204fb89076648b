// SPDX-License-Identifier: Apache-2.0
// Shape: the logical extents of a blob, N x C x H x W as in Caffe, whatever its physical order.
//
//   Shape s{64, 3, 28, 28};   s.rank() == 4;   s[1] == 3;   s[-1] == 28;   s.size() == 150528
//
// At most 8 axes, stored inline. Extents are 0 or more; a product beyond 2^48 elements throws ShapeError, so
// that no later size computation can overflow.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "crema/core/error.hpp"
#include "crema/core/text.hpp"

namespace crema::inline CREMA_ABI {

class Shape {
 public:
  static constexpr int max_rank = 8;
  static constexpr std::int64_t max_size = std::int64_t{1} << 48;

  Shape() = default;  // a scalar: rank 0, one element
  Shape(std::initializer_list<std::int64_t> extents)
      : Shape(std::span<const std::int64_t>(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const std::int64_t> extents);

  int rank() const noexcept { return rank_; }
  std::int64_t size() const noexcept { return size_; }
  /// Negative axes count from the back. Throws ShapeError beyond the rank.
  std::int64_t operator[](int axis) const { return extents_[index(axis)]; }
  /// The axis as 0 .. rank-1. Throws ShapeError beyond the rank.
  int canonical_axis(int axis) const { return static_cast<int>(index(axis)); }
  /// Product of the extents of axes [first, last). No inline: every layer asks, none per element, and all of
  /// them inline took 1 % of a build.
  [[gnu::noinline]] std::int64_t count(int first, int last) const {
    std::int64_t n = 1;
    for (int i = first; i < last; ++i) n *= (*this)[i];
    return n;
  }
  std::int64_t count(int first) const { return count(first, rank_); }
  /// The same shape with one extent changed: how a live batch differs from its capacity.
  Shape with(int axis, std::int64_t extent) const;
  std::span<const std::int64_t> extents() const noexcept {
    return {extents_.data(), static_cast<std::size_t>(rank_)};
  }
  friend bool operator==(const Shape& a, const Shape& b) noexcept {
    if (a.rank_ != b.rank_) return false;
    for (std::size_t i = 0; i < static_cast<std::size_t>(a.rank_); ++i)
      if (a.extents_[i] != b.extents_[i]) return false;
    return true;
  }

 private:
  std::size_t index(int axis) const {
    const int a = axis < 0 ? axis + rank_ : axis;
    if (a < 0 || a >= rank_) no_axis(axis);
    return static_cast<std::size_t>(a);
  }
  [[noreturn]] void no_axis(int axis) const;
  void check();

  std::array<std::int64_t, max_rank> extents_{};
  int rank_ = 0;
  std::int64_t size_ = 1;
};

/// "64 3 28 28 (150528)", Caffe's way of printing a shape.
CREMA_INLINE void append(std::string& out, const Shape& s);

#if CREMA_BODIES
CREMA_INLINE_HOT Shape::Shape(std::span<const std::int64_t> extents) {
  if (extents.size() > max_rank) throw ShapeError(cat("a shape has at most 8 axes, not ", extents.size()));
  for (const std::int64_t e : extents) extents_[static_cast<std::size_t>(rank_++)] = e;
  check();
}
CREMA_INLINE_HOT Shape Shape::with(int axis, std::int64_t extent) const {
  Shape s = *this;
  s.extents_[s.index(axis)] = extent;
  s.check();
  return s;
}
CREMA_INLINE void Shape::no_axis(int axis) const {
  throw ShapeError(cat("axis ", axis, " of a shape with ", rank_, " axes"));
}
CREMA_INLINE_HOT void Shape::check() {
  size_ = 1;
  bool zero = false;
  for (const std::int64_t e : extents()) {
    if (e < 0) throw ShapeError(cat("a shape's extent must not be negative: ", e));
    if (e == 0)
      zero = true;
    else if (e > max_size / size_)
      throw ShapeError("a shape with more than 2^48 elements: check its extents");
    else
      size_ *= e;
  }
  if (zero) size_ = 0;
}
CREMA_INLINE void append(std::string& out, const Shape& s) {
  for (const std::int64_t e : s.extents()) out += cat(e, " ");
  out += cat("(", s.size(), ")");
}
#endif

}  // namespace crema
