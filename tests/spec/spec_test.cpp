// SPDX-License-Identifier: Apache-2.0
// Specs as values: LayerSpec, NetSpec, SolverSpec.
#include "catch.hpp"
#include "crema/spec/text_format.hpp"
#include "crema/spec/text_printer.hpp"
#include "crema/spec/wire_format.hpp"

using namespace crema;

TEST_CASE("options are typed, compare, and print back", "[spec]") {
  const ConvolutionOptions o{.num_output = 20, .kernel_size = {5}, .weight_filler = {.type = "xavier"}};
  LayerSpec spec = layer("Convolution", "conv1", {"data"}, {"conv1"}, o);
  CHECK(read_options<ConvolutionOptions>(spec) == o);
  CHECK(read_options<PoolingOptions>(spec) == PoolingOptions{});
  write_options(spec, ConvolutionOptions{.num_output = 7});
  CHECK(read_options<ConvolutionOptions>(spec).num_output == 7);
  CHECK(print(spec) ==
        "name: \"conv1\"\ntype: \"Convolution\"\nbottom: \"data\"\ntop: \"conv1\"\nconvolution_param {\n  "
        "num_output: 7\n}\n");
}

TEST_CASE("several messages of one option merge as in protobuf", "[spec]") {
  const LayerSpec spec = parse_wire<LayerSpec>(
      write_wire(layer("Convolution", "c", {}, {}, ConvolutionOptions{.num_output = 3, .kernel_size = {5}})) +
      write_wire(layer("", "", {}, {}, ConvolutionOptions{.num_output = 4, .kernel_size = {7}})));
  CHECK(read_options<ConvolutionOptions>(spec).num_output == 4);
  CHECK(read_options<ConvolutionOptions>(spec).kernel_size == std::vector<std::uint32_t>{5, 7});
}

TEST_CASE("text, bytes and C++ are three spellings of one value", "[spec]") {
  NetSpec net{.name = "n"};
  net.layers = {
      layer("Input", "in", {}, {"x"}, InputOptions{.shape = {{{2, 3}}}}),
      layer("Pooling", "p", {"x"}, {"y"}, PoolingOptions{.pool = PoolMethod::ave, .kernel_size = 2})};
  net.layers[1].include = {{.phase = Phase::test, .stage = {"deploy"}}};
  net.layers[1].loss_weight = {0.1f};
  CHECK(parse_net(print(net)) == net);
  CHECK(parse_wire<NetSpec>(write_wire(net)) == net);
  NetSpec other = net;
  other.layers[1].name = "q";
  CHECK(!(other == net));
}

TEST_CASE("a solver keeps every field", "[spec]") {
  const SolverSpec s = parse_solver(
      R"(net: "n.prototxt" test_iter: 1 test_iter: 2 base_lr: 0.01 lr_policy: "multistep" gamma: 0.1
    stepvalue: [10, 20] momentum: 0.9 snapshot_format: HDF5 solver_type: ADAM test_state { stage: "t" } clip_gradients: 35)",
      "s.prototxt");
  CHECK(s.net == "n.prototxt");
  CHECK(s.test_iter == std::vector<int>{1, 2});
  CHECK(s.stepvalue == std::vector<int>{10, 20});
  CHECK(s.base_lr == 0.01f);
  CHECK(s.snapshot_format == SnapshotFormat::hdf5);
  CHECK(s.solver_type == SolverType::adam);
  CHECK(s.test_state.at(0).stage == std::vector<std::string>{"t"});
  CHECK(s.clip_gradients == 35);
  CHECK(s.iter_size == 1);
  CHECK(parse_solver(print(s)) == s);
  CHECK(parse_wire<SolverSpec>(write_wire(s)) == s);
}

TEST_CASE("legacy inputs become an Input layer", "[spec]") {
  const NetSpec dims = with_input_layers(parse_net("input: \"data\" input_dim: [1, 3, 8, 9]"));
  CHECK(dims.layers.at(0).top == std::vector<std::string>{"data"});
  CHECK(read_options<InputOptions>(dims.layers[0]).shape.at(0).dim == std::vector<std::int64_t>{1, 3, 8, 9});
  const NetSpec shapes = with_input_layers(
      parse_net("input: [\"a\", \"b\"] input_shape { dim: 5 } input_shape { dim: [6, 7] }"));
  CHECK(read_options<InputOptions>(shapes.layers.at(0)).shape.at(1).dim == std::vector<std::int64_t>{6, 7});
  CHECK(shapes.input.empty());
  CHECK_THROWS_AS(with_input_layers(parse_net("input: [\"a\", \"b\"] input_shape { dim: 5 }")), SpecError);
}
