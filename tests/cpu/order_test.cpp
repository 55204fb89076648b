// SPDX-License-Identifier: Apache-2.0
#include "crema/cpu/cpu.hpp"

#include <vector>

#include "catch.hpp"
#include "every_isa.hpp"

using namespace crema;

namespace {

template <class T>
void check_round_trip(Cpu& cpu, const Shape& shape, std::int64_t extra_pitch) {
  CAPTURE(shape.extents()[0], channels(shape), height(shape), width(shape), extra_pitch);
  Layout native = dense_layout(shape, Order::native);
  native.pixel += extra_pitch, native.block = native.pixel * height(shape) * width(shape);
  const auto n = static_cast<std::size_t>(shape.size());
  const auto stored = static_cast<std::size_t>(storage_size(shape, native));
  Buffer<T, Cpu> a(cpu, n), b(cpu, n), native_memory(cpu, stored);
  for (std::size_t i = 0; i < n; ++i) a.data()[i] = static_cast<T>(i + 1);
  const View<const T, Cpu> from{a.data(), shape, {}};
  const View<T, Cpu> to{native_memory.data(), shape, native};
  convert(cpu, from, to);
  const std::int64_t rows = blocks(shape) * lanes;
  bool placed = true, repeated = true;
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t c = 0; c < channels(shape); ++c)
      for (std::int64_t y = 0; y < height(shape); ++y)
        for (std::int64_t x = 0; x < width(shape); ++x) {
          const std::int64_t image = std::min(i, shape[0] - 1);
          const std::int64_t e = ((image * channels(shape) + c) * height(shape) + y) * width(shape) + x;
          (i < shape[0] ? placed : repeated) &=
              native_memory.data()[native_index(shape, native, i, c, y, x)] == static_cast<T>(e + 1);
        }
  CHECK(placed);
  CHECK(repeated);
  bool gap = true;  // lines behind the channels belong to others
  for (std::int64_t p = 0; p < blocks(shape) * height(shape) * width(shape); ++p)
    for (std::int64_t k = channels(shape) * lanes; k < native.pixel * lanes; ++k)
      gap &= native_memory.data()[p * native.pixel * lanes + k] == 0;
  CHECK(gap);

  for (std::size_t i = 0; i < n; ++i) b.data()[i] = 1;
  const View<const T, Cpu> back{native_memory.data(), shape, native};
  convert(cpu, back, View<T, Cpu>{b.data(), shape, {}}, {.add = true});
  bool sum = true;
  for (std::size_t i = 0; i < n; ++i) sum &= b.data()[i] == static_cast<T>(i + 2);
  CHECK(sum);
  convert(cpu, back, View<T, Cpu>{b.data(), shape, {}});
  CHECK(std::equal(a.data(), a.data() + n, b.data()));

  convert(cpu, from, to, {.dead_lanes = DeadLanes::zero});
  convert(cpu, from, to, {.add = true, .dead_lanes = DeadLanes::zero});
  bool doubled = true, dead = true;
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t c = 0; c < channels(shape); ++c) {
      const T v = native_memory.data()[native_index(shape, native, i, c, 0, 0)];
      if (i < shape[0])
        doubled &= v == 2 * a.data()[(i * channels(shape) + c) * height(shape) * width(shape)];
      else
        dead &= v == 0;
    }
  CHECK(doubled);
  CHECK(dead);
}

}  // namespace

TEMPLATE_TEST_CASE("convert goes to the native order and back", "[cpu]", float, double) {
  for (const Isa isa : every_isa())
    for (const int threads : {1, 3}) {
      CAPTURE(name_of(isa), threads);
      Cpu cpu({.threads = threads, .isa = isa});
      check_round_trip<TestType>(cpu, {16, 3, 5, 7}, 0);
      check_round_trip<TestType>(cpu, {1, 1, 1, 1}, 0);
      check_round_trip<TestType>(cpu, {35, 20, 4, 4}, 0);
      check_round_trip<TestType>(cpu, {20, 3, 17, 19}, 4);  // more than one band, a slice of a concat
      check_round_trip<TestType>(cpu, {33, 5000}, 0);       // N x C, more than one run
    }
}

TEST_CASE("convert between two shapes is an error", "[cpu]") {
  Cpu cpu({.threads = 1});
  float x[32] = {};
  const View<const float, Cpu> a{x, Shape{2, 3}, {}};
  CHECK_THROWS_AS(convert(cpu, a, View<float, Cpu>{x, Shape{3, 2}, {}}), ShapeError);
}
