// SPDX-License-Identifier: Apache-2.0
#include "crema/layers/split.hpp"

#include "check_layer.hpp"

using namespace crema;
using namespace crema_test;

TEST_CASE("Split holds the layer contract", "[layers]") {
  const LayerSpec spec = layer("Split", "split", {"x"}, {"a", "b", "c"});
  for (const Shape& s : {Shape{5, 3, 4, 4}, Shape{18, 7}, Shape{2, 3, 5}})
    check_layer<Split>({.spec = spec, .bottom = {s}});
  check_arity<Split>(spec, Shape{2, 2}, 1, 1);
}

TEST_CASE("a top of Split without a gradient adds nothing", "[layers]") {
  Cpu cpu({.threads = 1});
  Split<float, Cpu> split(layer("Split", "split", {"x"}, {"a", "b"}));
  float a[2] = {1, 2}, sum[2] = {10, 20};
  const View<const float, Cpu> diffs[2] = {{nullptr, Shape{2}, {}}, {a, Shape{2}, {}}};
  Gradient<float, Cpu> dx{{sum, Shape{2}, {}}, true, true};
  const Step step;
  split.backward(cpu, {{}, {}, {}, 1, diffs, std::span(&dx, 1), {}, {}, {}, step, {}});
  CHECK(sum[0] == 11);
  CHECK(sum[1] == 22);
}
