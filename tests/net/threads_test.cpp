// SPDX-License-Identifier: Apache-2.0
// Nets of one program share nothing that they do not say:
// two host threads train at once. Run under TSan in CI.
#include <thread>

#include "catch.hpp"
#include "crema/cpu/cpu.hpp"
#include "crema/layers/all.hpp"
#include "crema/net/net.hpp"
#include "crema/solvers/all.hpp"
#include "crema/spec/text_format.hpp"

using namespace crema;

namespace {
constexpr const char* text = R"(
  layer { name: "in" type: "Input" top: "x" top: "label" input_param { shape { dim: [20, 2, 9, 9] } shape { dim: 20 } } }
  layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } } }
  layer { name: "norm" type: "LRN" bottom: "conv" top: "norm" }
  layer { name: "relu" type: "ReLU" bottom: "norm" top: "norm" }
  layer { name: "pool" type: "Pooling" bottom: "norm" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
  layer { name: "drop" type: "Dropout" bottom: "pool" top: "drop" }
  layer { name: "ip" type: "InnerProduct" bottom: "drop" top: "ip" inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
  layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" })";

/// Ten steps on a backend; the weights after them.
std::vector<float> train(Cpu& cpu, std::uint64_t seed) {
  Net<float, Cpu> net(cpu, parse_net(text), all_layers<float, Cpu>(), {.seed = seed});
  std::vector<float> x(20 * 2 * 81), label(20);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * (seed + 7) % 101) / 101;
  for (std::size_t i = 0; i < label.size(); ++i) label[i] = static_cast<float>(i % 3);
  SolverSpec s;
  s.base_lr = 0.1f, s.lr_policy = "fixed", s.momentum = 0.9f;
  const auto solver = make_solver<float, Cpu>(cpu, s, *net.parameters());
  StoreGradients<float, Cpu> store;
  for (std::uint64_t i = 0; i < 10; ++i) {
    const Step step{.seed = seed, .iteration = i};
    net.write("x", x), net.write("label", label);
    const auto losses = net.forward(step);
    net.backward(step, loss_scales(net.outputs(), losses), store);
    solver->update(cpu, *net.parameters(), net.gradients(), static_cast<std::int64_t>(i));
  }
  const auto w = net.parameters()->values();
  return {w.begin(), w.end()};
}
}  // namespace

TEST_CASE("two threads train two nets on two backends, with the bits of one after the other", "[net]") {
  Cpu first({.threads = 2}), second({.threads = 2});
  std::vector<float> a, b;
  std::thread other([&] { b = train(second, 2); });
  a = train(first, 1);
  other.join();
  CHECK(a == train(first, 1));
  CHECK(b == train(first, 2));
  CHECK(a != b);
}
