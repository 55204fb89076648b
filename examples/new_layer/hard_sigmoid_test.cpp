// SPDX-License-Identifier: Apache-2.0
#include "hard_sigmoid.hpp"

#include "check_layer.hpp"
#include "crema/layers/input.hpp"
#include "crema/net/net.hpp"
#include "crema/spec/text_format.hpp"

using namespace crema;
using namespace crema_test;

TEST_CASE("HardSigmoid holds the layer contract", "[example]") {
  const LayerSpec spec = layer("HardSigmoid", "h", {"x"}, {"y"});
  check_layer<HardSigmoid>({.spec = spec, .bottom = {Shape{5, 3, 4, 4}}, .kink = 2.5});
  check_arity<HardSigmoid>(spec, Shape{2, 2}, 1, 1);
}

TEST_CASE("a prototxt uses HardSigmoid with its own options", "[example]") {
  const NetSpec spec = parse_net(R"(
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 4 } } }
    layer { name: "h" type: "HardSigmoid" bottom: "x" top: "y" hard_sigmoid_param { slope: 0.25 } })",
                                 "net.prototxt", {.layer_fields = {layer_field<HardSigmoidOptions>()}});
  Cpu cpu;
  Registry<float, Cpu> layers;
  layers.add<Input>().add<HardSigmoid>();
  Net<float, Cpu> net(cpu, spec, layers);
  net.write("x", std::vector<float>{-3, -1, 1, 3});
  net.forward({});
  std::vector<float> y(4);
  net.read("y", y);
  CHECK(y == std::vector<float>{0, 0.25f, 0.75f, 1});
}
