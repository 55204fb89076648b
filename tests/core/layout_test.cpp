// SPDX-License-Identifier: Apache-2.0
#include "crema/core/layout.hpp"

#include <set>

#include "catch.hpp"

using namespace crema;

TEST_CASE("the native order has an odd pixel pitch and whole blocks", "[core]") {
  const Shape s{20, 4, 3, 2};
  const Layout l = dense_layout(s, Order::native);
  CHECK(l.pixel == 5);
  CHECK(l.block == 30);
  CHECK(storage_size(s, l) == 2 * 30 * 16);
  CHECK(blocks(s) == 2);
  CHECK(native_index(s, l, 0, 0, 0, 0) == 0);
  CHECK(native_index(s, l, 1, 0, 0, 0) == 1);
  CHECK(native_index(s, l, 0, 1, 0, 0) == 16);
  CHECK(native_index(s, l, 0, 0, 0, 1) == 5 * 16);
  CHECK(native_index(s, l, 0, 0, 1, 0) == 2 * 5 * 16);
  CHECK(native_index(s, l, 17, 3, 2, 1) == (30 + 5 * 5 + 3) * 16 + 1);
}

TEST_CASE("no two elements share a place", "[core]") {
  const Shape s{18, 3, 2, 5};
  const Layout l = dense_layout(s, Order::native);
  std::set<std::int64_t> places;
  for (std::int64_t n = 0; n < 18; ++n)
    for (std::int64_t c = 0; c < 3; ++c)
      for (std::int64_t y = 0; y < 2; ++y)
        for (std::int64_t x = 0; x < 5; ++x) places.insert(native_index(s, l, n, c, y, x));
  CHECK(static_cast<std::int64_t>(places.size()) == s.size());
  CHECK(*places.begin() >= 0);
  CHECK(*places.rbegin() < storage_size(s, l));
}

TEST_CASE("which shapes have a native order", "[core]") {
  CHECK(has_native_order(Shape{4, 5}));
  CHECK(has_native_order(Shape{4, 5, 6, 7}));
  CHECK_FALSE(has_native_order(Shape{4}));
  CHECK_FALSE(has_native_order(Shape{4, 5, 6}));
  CHECK(dense_layout(Shape{4, 6}, Order::native).pixel == 7);
  CHECK(dense_layout(Shape{4, 6}, Order::native).block == 7);
  CHECK(dense_layout(Shape{4, 5, 6}, Order::canonical) == Layout{});
  CHECK(storage_size(Shape{4, 5, 6}, {}) == 120);
  CHECK_THROWS_AS(dense_layout(Shape{4, 5, 6}, Order::native), ShapeError);
}
