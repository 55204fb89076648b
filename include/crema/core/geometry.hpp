// SPDX-License-Identifier: Apache-2.0
// Geometry of sliding windows over N x C x H x W: what a convolution, a pooling or a normalisation is,
// whatever computes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "crema/core/config.hpp"

namespace crema::inline CREMA_ABI {

/// One spatial axis: output o reads inputs o * stride - pad + k * dilation for k in [0, kernel).
struct WindowAxis {
  int in = 1, out = 1, kernel = 1, stride = 1, pad = 0, dilation = 1;
  int extent() const { return dilation * (kernel - 1) + 1; }
  friend bool operator==(const WindowAxis&, const WindowAxis&) = default;
};

/// Where in its window each maximum stands, one number per output: of one byte where windows have 256 elements
/// at most, else of two. Byte: std::byte or, to read, const std::byte.
template <class Byte>
struct WindowIndex {
  Byte* data = nullptr;
  bool small = true;

  std::size_t bytes() const { return small ? 1 : 2; }  // of one
  Byte* at(std::int64_t i) const { return data + i * static_cast<std::int64_t>(bytes()); }
  int get(std::int64_t i) const {
    if (small) return std::to_integer<int>(data[i]);
    std::uint16_t v = 0;
    std::memcpy(&v, at(i), sizeof v);
    return v;
  }
  void set(std::int64_t i, int value) const {
    if (small) return void(data[i] = static_cast<std::byte>(value));
    const auto v = static_cast<std::uint16_t>(value);
    std::memcpy(at(i), &v, sizeof v);
  }
};

/// A convolution of C x H x W into O x OH x OW; weights O x C/groups x KH x KW.
struct ConvolutionGeometry {
  int channels = 1, outputs = 1, groups = 1;
  WindowAxis y, x;
  int taps() const { return y.kernel * x.kernel; }
  int group_channels() const { return channels / groups; }
  int group_outputs() const { return outputs / groups; }
};

/// Local response normalisation; weight() is what the sum of squares is multiplied by.
struct LrnSetting {
  bool across = true;
  int size = 5;
  double alpha = 1, beta = 0.75, k = 1;
  double weight() const { return across ? alpha / size : alpha / (double(size) * size); }
};

}  // namespace crema
