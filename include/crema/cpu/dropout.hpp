// SPDX-License-Identifier: Apache-2.0
// Dropout on the CPU: y = x / (1 - ratio) where a random number says that an element stays, 0 elsewhere.
//
//   const DropoutMask mask = dropout_mask(random_key(seed, "drop6"), iteration, part, 0.5);
//   dropout(cpu, bottom, top, mask, first_sample);              // and the same call for the gradient
//
// The mask is a function (core/dropout_mask.hpp), so backward draws it again instead of reading it: a layer
// needs no workspace, and it does not matter in which order a mask was made. A draw costs 0.6 ns per element
// with AVX-512, 0.9 with AVX2, 1.7 without: 0.04 ms for 16 x 4096, nothing beside the product that made them.
#pragma once

#include "crema/core/dropout_mask.hpp"
#include "crema/cpu/elementwise.hpp"

namespace crema::inline CREMA_ABI {

/// Elements [first, last) of one image (canonical) or of a block of 16 (native); first is a multiple of 64.
template <class T>
struct DropoutRun {
  DropoutMask mask;
  const T* x;
  T* y;
  std::int64_t first, last;
  std::uint32_t sample;                   // of the (first) image
  std::int64_t pixels, x_pixel, y_pixel;  // native: height * width, and lines from one pixel to the next
  T scale;
  bool add;
};

template <class T>
struct DropoutKernels {
  void (*native)(const DropoutRun<T>&);
  void (*canonical)(const DropoutRun<T>&);
};

/// y (+)= x times mask and scale, for two blobs of one shape
/// and one order. In place is fine. Throws ShapeError.
template <class T>
void dropout(Cpu& cpu, const View<const T, Cpu>& x, const View<std::type_identity_t<T>, Cpu>& y,
             const DropoutMask& mask, std::int64_t first_sample, bool add = false) {
  if (x.shape != y.shape || x.layout.order != y.layout.order)
    throw ShapeError(cat("dropout from shape ", x.shape, " to ", y.shape, ", or between two orders"));
  if (x.shape.size() == 0) return;
  constexpr std::int64_t run = 1024;
  const bool native = x.layout.order == Order::native;
  const std::int64_t rows = native ? blocks(x.shape) : x.shape.rank() == 0 ? 1 : x.shape[0];
  const std::int64_t size = x.shape.rank() == 0 ? 1 : x.shape.count(1), runs = (size + run - 1) / run;
  const std::int64_t x_row = native ? x.layout.block * lanes : size,
                     y_row = native ? y.layout.block * lanes : size;
  cpu.parallel(rows * runs, [&](std::int64_t chunk) {
    const std::int64_t row = chunk / runs, first = chunk % runs * run;
    const DropoutRun<T> r{.mask = mask,
                          .x = x.data + row * x_row,
                          .y = y.data + row * y_row,
                          .first = first,
                          .last = first + run < size ? first + run : size,
                          .sample = static_cast<std::uint32_t>(first_sample + row * (native ? lanes : 1)),
                          .pixels = native ? height(x.shape) * width(x.shape) : 1,
                          .x_pixel = x.layout.pixel,
                          .y_pixel = y.layout.pixel,
                          .scale = static_cast<T>(mask.scale),
                          .add = add};
    native ? cpu.kernels<DropoutKernels<T>>().native(r) : cpu.kernels<DropoutKernels<T>>().canonical(r);
  });
}

}  // namespace crema
