// SPDX-License-Identifier: Apache-2.0
#include "crema/layers/relu.hpp"

#include "check_layer.hpp"

using namespace crema;
using namespace crema_test;

TEST_CASE("ReLU holds the layer contract", "[layers]") {
  for (const float slope : {0.f, 0.25f, -0.5f}) {
    const LayerSpec spec = layer("ReLU", "relu", {"x"}, {"y"}, ReluOptions{.negative_slope = slope});
    for (const Shape& s : {Shape{5, 3, 4, 4}, Shape{18, 7}, Shape{2, 3, 5}, Shape{7}}) {
      CAPTURE(slope, s.rank());
      check_layer<ReLU>({.spec = spec, .bottom = {s}, .kink = 0});
    }
    check_arity<ReLU>(spec, Shape{2, 2}, 1, 1);
  }
}

TEST_CASE("ReLU by hand", "[layers]") {
  const LayerCase c{.spec = layer("ReLU", "relu", {"x"}, {"y"}, ReluOptions{.negative_slope = 0.5f}),
                    .bottom = {Shape{4}},
                    .values = {{-2, 0, 3, -1}}};
  LayerHarness<double> run(std::in_place_type<ReLU<double, Cpu>>, c, {});
  const LayerResult r = run(c.values, {});
  CHECK(r.top[0] == std::vector<double>{-1, 0, 3, -0.5});
  const auto objective = random_values(Shape{4}, "objective0");
  CHECK(r.bottom_diff[0][0] == 0.5 * objective[0]);
  CHECK(r.bottom_diff[0][1] == 0.5 * objective[1]);  // at 0 the slope counts, as in Caffe
  CHECK(r.bottom_diff[0][2] == objective[2]);
}
