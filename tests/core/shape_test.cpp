// SPDX-License-Identifier: Apache-2.0
#include "crema/core/shape.hpp"

#include "catch.hpp"

using namespace crema;

TEST_CASE("a shape knows its extents, from either end", "[core]") {
  const Shape s{64, 3, 28, 27};
  CHECK(s.rank() == 4);
  CHECK(s.size() == 64 * 3 * 28 * 27);
  CHECK(s[0] == 64);
  CHECK(s[-1] == 27);
  CHECK(s.canonical_axis(-2) == 2);
  CHECK(s.count(1) == 3 * 28 * 27);
  CHECK(s.count(1, 3) == 3 * 28);
  CHECK(s.count(4) == 1);
  CHECK(s == Shape{64, 3, 28, 27});
  CHECK_FALSE(s == Shape{64, 3, 28});
  CHECK(s.with(0, 5) == Shape{5, 3, 28, 27});
  CHECK(cat(s) == "64 3 28 27 (145152)");
}

TEST_CASE("scalars and empty shapes", "[core]") {
  CHECK(Shape().size() == 1);
  CHECK(Shape().rank() == 0);
  CHECK(cat(Shape()) == "(1)");
  CHECK(Shape{3, 0, 5}.size() == 0);
  CHECK(Shape{3, 0, 5}.with(1, 2).size() == 30);
}

TEST_CASE("shapes that cannot be are refused", "[core]") {
  CHECK_THROWS_AS(Shape({1, 2, 3, 4, 5, 6, 7, 8, 9}), ShapeError);
  CHECK_THROWS_AS(Shape({2, -1}), ShapeError);
  CHECK_THROWS_AS(Shape({std::int64_t{1} << 32, std::int64_t{1} << 32}), ShapeError);
  CHECK_THROWS_AS(Shape({std::int64_t{1} << 62, 0, std::int64_t{1} << 62}).with(1, 1), ShapeError);
  CHECK(Shape({std::int64_t{1} << 48}).size() == Shape::max_size);
  CHECK_THROWS_AS((Shape{2, 3}[2]), ShapeError);
  CHECK_THROWS_AS((Shape{2, 3}[-3]), ShapeError);
  CHECK_THROWS_AS((Shape{2, 3}.with(0, -1)), ShapeError);
}
