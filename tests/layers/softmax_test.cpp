// SPDX-License-Identifier: Apache-2.0
#include "crema/layers/softmax.hpp"

#include "check_layer.hpp"

using namespace crema;
using namespace crema_test;

TEST_CASE("Softmax holds the layer contract", "[layers]") {
  check_layer<Softmax>({.spec = layer("Softmax", "s", {"x"}, {"y"}), .bottom = {{19, 10}}});
  check_layer<Softmax>({.spec = layer("Softmax", "s", {"x"}, {"y"}), .bottom = {{3, 5, 2, 3}}});
  check_layer<Softmax>(
      {.spec = layer("Softmax", "s", {"x"}, {"y"}, SoftmaxOptions{.axis = 2}), .bottom = {{2, 3, 4}}});
  check_arity<Softmax>(layer("Softmax", "s", {}, {"y"}), {2, 3}, 1, 1);
}

TEST_CASE("Softmax of large scores does not overflow", "[layers]") {
  const auto y =
      forward_once<Softmax>(layer("Softmax", "s", {"x"}, {"y"}), {{1, 3}}, {{1000, 1000, 0}}).top[0];
  CHECK(y[0] == Approx(0.5));
  CHECK(y[2] == 0);
}
