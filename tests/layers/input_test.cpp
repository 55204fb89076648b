// SPDX-License-Identifier: Apache-2.0
#include "crema/layers/input.hpp"

#include "catch.hpp"
#include "crema/cpu/cpu.hpp"

using namespace crema;

namespace {
Plan plan(std::vector<std::string> tops, const InputOptions& o, std::vector<Shape> bottom = {}) {
  return Input<float, Cpu>::plan(layer("Input", "in", {}, std::move(tops), o), bottom);
}
}  // namespace

TEST_CASE("Input takes a shape for each top, or one for all", "[layers]") {
  const InputOptions two{.shape = {{.dim = {4, 3, 2, 2}}, {.dim = {4}}}}, one{.shape = {{.dim = {4, 7}}}};
  const Plan p = plan({"data", "label"}, two);
  REQUIRE(p.top.size() == 2);
  CHECK(p.top[0].shape == Shape{4, 3, 2, 2});
  CHECK(p.top[1].shape == Shape{4});
  CHECK(plan({"a", "b", "c"}, one).top[2].shape == Shape{4, 7});
  CHECK_THROWS_AS(plan({"a", "b", "c"}, two), SpecError);
  CHECK_THROWS_AS(plan({"a"}, {}), SpecError);
  CHECK_THROWS_AS(plan({}, one), SpecError);
  CHECK_THROWS_AS(plan({"a"}, one, {Shape{1}}), SpecError);
  CHECK_THROWS_AS(plan({"a"}, {.shape = {{.dim = {4, -1}}}}), ShapeError);
}
