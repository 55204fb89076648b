// SPDX-License-Identifier: Apache-2.0
#include "crema/layers/flatten.hpp"

#include "check_layer.hpp"

using namespace crema;
using namespace crema_test;

namespace {
LayerSpec flat(int axis, int end_axis) {
  return layer("Flatten", "flat", {"x"}, {"y"}, FlattenOptions{.axis = axis, .end_axis = end_axis});
}
Plan plan(int axis, int end_axis, const Shape& s) {
  return Flatten<float, Cpu>::plan(flat(axis, end_axis), std::vector{s});
}
}  // namespace

TEST_CASE("Flatten holds the layer contract", "[layers]") {
  check_layer<Flatten>({.spec = flat(1, -1), .bottom = {{5, 3, 4, 4}}});
  check_layer<Flatten>({.spec = flat(2, 3), .bottom = {{5, 3, 4, 4}}});
  check_arity<Flatten>(flat(1, -1), Shape{2, 2}, 1, 1);
}

TEST_CASE("Flatten's shapes", "[layers]") {
  const Shape s{2, 3, 4, 5};
  CHECK(plan(1, -1, s).top[0].shape == Shape{2, 60});
  CHECK(plan(1, 2, s).top[0].shape == Shape{2, 12, 5});
  CHECK(plan(-2, -1, s).top[0].shape == Shape{2, 3, 20});
  CHECK(plan(0, -1, s).top[0].shape == Shape{120});
  CHECK_FALSE(plan(0, 1, s).axis0_is_batch);
  CHECK(plan(1, 1, s).axis0_is_batch);
  CHECK_THROWS_AS(plan(2, 1, s), SpecError);
  CHECK_THROWS_AS(plan(4, -1, s), ShapeError);
}
