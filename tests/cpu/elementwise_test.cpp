// SPDX-License-Identifier: Apache-2.0
#include "crema/cpu/elementwise.hpp"

#include <cmath>
#include <vector>

#include "catch.hpp"
#include "crema/cpu/cpu.hpp"
#include "every_isa.hpp"

using namespace crema;

TEMPLATE_TEST_CASE("fill, copy, add, scale over memory", "[cpu]", float, double) {
  using T = TestType;
  for (const Isa isa : every_isa()) {
    CAPTURE(name_of(isa));
    Cpu cpu({.threads = 2, .isa = isa});
    std::vector<T> x(40007), y(x.size() + 1, 9);
    const std::span<T> out(y.data(), x.size());
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(i % 100);
    fill<T>(cpu, out, 2);
    add<T>(cpu, x, out);
    scale<T>(cpu, 3, out);
    axpby<T>(cpu, 2, x, -1, out);
    bool right = true;
    for (std::size_t i = 0; i < x.size(); ++i) right &= y[i] == 2 * x[i] - 3 * (2 + x[i]);
    CHECK(right);
    CHECK(y.back() == 9);
    x[0] = std::numeric_limits<T>::denorm_min(), x[1] = std::nanf("");
    fill<T>(cpu, out, std::nanf(""));
    copy<T>(cpu, x, out);  // keeps bits, and does not read what it overwrites
    CHECK(std::memcmp(x.data(), y.data(), x.size() * sizeof(T)) == 0);
    CHECK_THROWS_AS(add<T>(cpu, x, std::span<T>(y)), ShapeError);
  }
}

TEMPLATE_TEST_CASE("relu works in both orders, in slices, in place", "[cpu]", float, double) {
  using T = TestType;
  const Shape shape{18, 6, 3, 3};
  Layout slice = dense_layout(shape, Order::native);
  slice.pixel += 2, slice.block = slice.pixel * 9;
  for (const Isa isa : every_isa())
    for (const Layout& layout : {Layout{}, dense_layout(shape, Order::native), slice}) {
      CAPTURE(name_of(isa), layout.pixel);
      Cpu cpu({.threads = 2, .isa = isa});
      const auto n = static_cast<std::size_t>(storage_size(shape, layout));
      std::vector<T> x(n), y(n, 77), d(n, 1);
      for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<T>(i % 9) - 4;
      const View<T, Cpu> in{x.data(), shape, layout}, out{y.data(), shape, layout},
          diff{d.data(), shape, layout};
      relu_forward<T>(cpu, in, out, T(0.5));
      bool right = true;
      for (std::size_t i = 0; i < n; ++i) {
        const bool own =
            layout.pixel == 0 || static_cast<std::int64_t>(i) / lanes % layout.pixel < (shape[1] | 1);
        right &= y[i] == (own && y[i] != 77 ? (x[i] > 0 ? x[i] : T(0.5) * x[i]) : T(77));
      }
      CHECK(right);
      CHECK(std::count(y.begin(), y.end(), T(77)) <= (layout.pixel == 0 ? 0 : 2 * 9 * 3 * lanes));
      relu_backward<T>(cpu, out, diff, diff, T(0.5), false);  // in place: the gradient's own memory
      relu_backward<T>(cpu, out, diff, diff, T(0.5), true);
      bool gradient = true;
      for (std::size_t i = 0; i < n; ++i)
        if (y[i] != 77) gradient &= d[i] == (x[i] > 0 ? T(2) : T(0.75));
      CHECK(gradient);
      relu_forward<T>(cpu, in, in, T(0.5));
      bool in_place = true;
      for (std::size_t i = 0; i < n; ++i)
        if (y[i] != 77) in_place &= x[i] == y[i];
      CHECK(in_place);
    }
  Cpu cpu({.threads = 1});
  T v[3] = {std::nanf(""), -1, 2};
  const View<T, Cpu> view{v, Shape{3}, {}};
  relu_forward<T>(cpu, view, view, 0);
  CHECK(std::isnan(v[0]));  // a NaN is not hidden
  CHECK(v[1] == 0);
  const View<T, Cpu> native{v, Shape{1, 1}, dense_layout(Shape{1, 1}, Order::native)};
  CHECK_THROWS_AS(relu_forward<T>(cpu, view, native, 0), ShapeError);
}
