// SPDX-License-Identifier: Apache-2.0
// Order conversion on the CPU: between Caffe's N,C,H,W and
// the net's native order, by 16 x 16 register transposes.
//
//   convert(cpu, canonical, native);                          // View<const T, Cpu> to View<T, Cpu>
//   convert(cpu, native_diff, canonical_diff, {.add = true});
//   convert(cpu, canonical_diff, native_diff, {.dead_lanes = DeadLanes::zero});
//
// Any number of images, channels and pixels, any pitch; 10
// to 20 GB/s per core, counted as bytes read and written.
#pragma once

#include "crema/cpu/elementwise.hpp"

namespace crema::inline CREMA_ABI {

/// One run of consecutive canonical elements c * pixels + p in [first, last), of up to 16 images.
template <class C, class N>
struct OrderRun {
  C* canonical;         // image 0 of the block
  std::int64_t row;     // elements from one image to the next
  N* native;            // the block
  std::int64_t pixel;   // lines from one pixel to the next
  std::int64_t pixels;  // height * width
  std::int64_t first, last;
  int live;          // images, 1 to 16
  bool add, repeat;  // repeat: dead lanes get the last image; otherwise zero
};

template <class T>
struct OrderKernels {
  void (*to_native)(const OrderRun<const T, T>&);
  void (*from_native)(const OrderRun<T, const T>&);
};

namespace detail {

/// Calls f(block, first, last) for runs that cover all of shape. Large images go in bands of pixels, through
/// all channels, so that what is written lies together; small ones go as a whole, so that no run is shorter
/// than 16.
template <class F>
void parallel_order_runs(Cpu& cpu, const Shape& shape, const F& f) {
  constexpr std::int64_t band = 256, run = 4096;
  const std::int64_t c = channels(shape), pixels = height(shape) * width(shape);
  if (pixels > band) {
    const std::int64_t bands = (pixels + band - 1) / band;
    cpu.parallel(blocks(shape) * bands, [&](std::int64_t chunk) {
      const std::int64_t first = chunk % bands * band, last = first + band < pixels ? first + band : pixels;
      for (std::int64_t k = 0; k < c; ++k) f(chunk / bands, k * pixels + first, k * pixels + last);
    });
  } else {
    const std::int64_t n = c * pixels, runs = (n + run - 1) / run;
    cpu.parallel(blocks(shape) * runs, [&](std::int64_t chunk) {
      const std::int64_t first = chunk % runs * run;
      f(chunk / runs, first, first + run < n ? first + run : n);
    });
  }
}

}  // namespace detail

/// dst (+)= src for two blobs of one shape, whatever their orders. Throws ShapeError when the shapes differ.
template <class T>
void convert(Cpu& cpu, const View<const T, Cpu>& src, const View<std::type_identity_t<T>, Cpu>& dst,
             ConvertOptions o = {}) {
  if (src.shape != dst.shape) throw ShapeError(cat("convert from shape ", src.shape, " to ", dst.shape));
  if (src.layout.order == dst.layout.order) return copy<T>(cpu, src, dst, o.add);
  const Shape& s = src.shape;
  const std::int64_t pixels = height(s) * width(s), row = channels(s) * pixels;
  const auto live = [&](std::int64_t block) {
    const std::int64_t left = s[0] - block * lanes;
    return static_cast<int>(left < lanes ? left : lanes);
  };
  const bool repeat = o.dead_lanes == DeadLanes::repeat && !o.add;
  detail::parallel_order_runs(cpu, s, [&](std::int64_t b, std::int64_t first, std::int64_t last) {
    if (dst.layout.order == Order::native)
      cpu.kernels<OrderKernels<T>>().to_native({src.data + b * lanes * row, row,
                                                dst.data + b * dst.layout.block * lanes, dst.layout.pixel,
                                                pixels, first, last, live(b), o.add, repeat});
    else
      cpu.kernels<OrderKernels<T>>().from_native({dst.data + b * lanes * row, row,
                                                  src.data + b * src.layout.block * lanes, src.layout.pixel,
                                                  pixels, first, last, live(b), o.add, false});
  });
}

}  // namespace crema
