// SPDX-License-Identifier: Apache-2.0
#include "crema/layers/convolution.hpp"

#include "check_layer.hpp"

using namespace crema;
using namespace crema_test;

namespace {
LayerSpec conv(const ConvolutionOptions& o) { return layer("Convolution", "conv", {"x"}, {"y"}, o); }
}  // namespace

TEST_CASE("Convolution holds the layer contract in every geometry", "[layers]") {
  struct Case {
    ConvolutionOptions options;
    Shape bottom;
  };
  for (const Case& c : {
           Case{{.num_output = 5, .kernel_size = {3}}, {3, 2, 7, 6}},
           Case{{.num_output = 20, .pad = {2}, .kernel_size = {5}}, {17, 3, 8, 9}},
           Case{{.num_output = 4, .bias_term = false, .kernel_size = {5}}, {18, 1, 9, 9}},
           Case{{.num_output = 6, .pad = {1, 2}, .kernel_size = {3, 2}, .stride = {2, 3}}, {2, 4, 9, 11}},
           Case{{.num_output = 8, .kernel_size = {5}, .stride = {4}}, {5, 3, 17, 19}},
           Case{{.num_output = 6, .pad = {2}, .kernel_size = {3}, .dilation = {2}}, {4, 5, 8, 8}},
           Case{{.num_output = 6, .pad = {1}, .kernel_size = {3}, .group = 2}, {40, 4, 6, 6}},
           Case{{.num_output = 2, .kernel_size = {1}}, {150, 1, 6, 6}},  // more blocks than parts
           Case{{.num_output = 5, .pad = {1}, .kernel_size = {3}, .stride = {2}, .group = 5}, {3, 5, 7, 7}},
           Case{{.num_output = 17, .kernel_size = {1}}, {3, 13, 4, 5}},
           Case{{.num_output = 3, .kernel_size = {2}, .stride = {3}},
                {2, 2, 8, 8}},  // inputs that no output reads
           // Weight gradients of several tasks: many tiles, and kernels wider than one set of columns.
           Case{{.num_output = 33, .pad = {2}, .kernel_size = {5}}, {17, 24, 3, 4}},
           Case{{.num_output = 6, .pad = {1, 35}, .kernel_h = 3, .kernel_w = 70}, {2, 5, 2, 40}},
           Case{{.num_output = 6, .pad = {1, 35}, .kernel_h = 3, .kernel_w = 70}, {2, 2, 2, 40}},
       }) {
    INFO("num_output " << c.options.num_output << ", group " << c.options.group);
    check_layer<Convolution>({.spec = conv(c.options), .bottom = {c.bottom}, .samples = 25});
  }
}

TEST_CASE("Convolution of several bottoms shares its weights", "[layers]") {
  LayerSpec s = layer("Convolution", "conv", {"x", "z"}, {"y", "w"},
                      ConvolutionOptions{.num_output = 3, .kernel_size = {2}});
  check_layer<Convolution>({.spec = s, .bottom = {{3, 2, 4, 4}, {3, 2, 5, 3}}, .samples = 20});
}

TEST_CASE("Convolution rounds its output down, as in Caffe", "[layers]") {
  const auto shape = [](ConvolutionOptions o, Shape bottom) {
    return Convolution<float, Cpu>::plan(conv(o), std::vector{bottom}).top[0].shape;
  };
  CHECK(shape({.num_output = 2, .kernel_size = {3}, .stride = {2}}, {1, 1, 10, 10}) == Shape{1, 2, 4, 4});
  CHECK(shape({.num_output = 96, .kernel_size = {11}, .stride = {4}}, {1, 3, 227, 227}) ==
        Shape{1, 96, 55, 55});
  CHECK(shape({.num_output = 1, .kernel_h = 2, .kernel_w = 3}, {1, 1, 5, 5}) == Shape{1, 1, 4, 3});
}

TEST_CASE("Convolution says what is wrong with its options", "[layers]") {
  const auto fails = [](ConvolutionOptions o, Shape bottom, const std::string& message) {
    CHECK_THROWS_WITH((Convolution<float, Cpu>::plan(conv(o), std::vector{bottom})),
                      Catch::Contains(message));
  };
  fails({.kernel_size = {3}}, {1, 1, 5, 5}, "num_output");
  fails({.num_output = 1}, {1, 1, 5, 5}, "kernel_size must be above 0");
  fails({.num_output = 1, .kernel_size = {7}}, {1, 1, 5, 5}, "does not fit an input of 5");
  fails({.num_output = 1, .kernel_size = {3}, .stride = {0}}, {1, 1, 5, 5}, "stride");
  fails({.num_output = 4, .kernel_size = {3}, .group = 3}, {1, 3, 5, 5}, "group 3");
  fails({.num_output = 1, .kernel_size = {3}, .kernel_h = 3, .kernel_w = 3}, {1, 1, 5, 5}, "not both");
  fails({.num_output = 1, .kernel_h = 3}, {1, 1, 5, 5}, "both kernel_size_h and");
  fails({.num_output = 1, .kernel_size = {3}}, {1, 15}, "N x C x H x W");
  check_arity<Convolution>(conv({.num_output = 1, .kernel_size = {1}}), {1, 1, 2, 2}, 1, 1024);
}

TEST_CASE("Convolution of a hand-computed image", "[layers]") {
  // 1..9 in a square, kernel [[1, 0], [0, -1]], bias 0.5: every window gives x - (x + 4) + 0.5.
  LayerCase c{.spec = conv({.num_output = 1, .kernel_size = {2}}), .bottom = {{1, 1, 3, 3}}};
  LayerHarness<double> h(std::in_place_type<Convolution<double, Cpu>>, c, {});
  const LayerResult r = h({{1, 2, 3, 4, 5, 6, 7, 8, 9}}, {{1, 0, 0, -1}, {0.5}});
  CHECK(r.top[0] == std::vector<double>{-3.5, -3.5, -3.5, -3.5});
}
