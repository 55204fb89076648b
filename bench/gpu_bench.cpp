// SPDX-License-Identifier: Apache-2.0
// A fully connected net, 784-4096-4096-10, batch 256: milliseconds of a training step and TFLOP/s, on CUDA
// and on the CPU.
#include <cstdio>

#include "crema/cpu/cpu.hpp"
#include "crema/cuda/cuda.hpp"
#include "crema/layers/all.hpp"
#include "crema/net/net.hpp"
#include "crema/solvers/all.hpp"
#include "crema/spec/text_format.hpp"

using namespace crema;

namespace {

constexpr const char* text = R"(
  layer { name: "in" type: "Input" top: "x" top: "label" input_param { shape { dim: [256, 784] } shape { dim: 256 } } }
  layer { name: "ip1" type: "InnerProduct" bottom: "x" top: "ip1" inner_product_param { num_output: 4096 weight_filler { type: "xavier" } } }
  layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
  layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" inner_product_param { num_output: 4096 weight_filler { type: "xavier" } } }
  layer { name: "relu2" type: "ReLU" bottom: "ip2" top: "ip2" }
  layer { name: "ip3" type: "InnerProduct" bottom: "ip2" top: "ip3" inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
  layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip3" bottom: "label" top: "loss" })";
constexpr double flops = 2.0 * 256 * (2.0 * 784 * 4096 + 3.0 * 4096 * 4096 + 3.0 * 4096 * 10);

template <class B>
void measure(B& b, const char* what, int steps) {
  Net<float, B> net(b, parse_net(text), all_layers<float, B>(), {.seed = 1});
  net.write("x", std::vector<float>(256 * 784, 0.1f)), net.write("label", std::vector<float>(256, 3));
  const auto solver =
      make_solver<float, B>(b, {.base_lr = 0.01f, .lr_policy = "fixed", .momentum = 0.9f}, *net.parameters());
  StoreGradients<float, B> store;
  double best = 1e9;
  for (int i = 0; i < steps; ++i) {
    const double start = monotonic_seconds();
    const Step step{.iteration = static_cast<std::uint64_t>(i)};
    const auto losses = net.forward(step);
    net.backward(step, loss_scales(net.outputs(), losses), store);
    solver->update(b, *net.parameters(), net.gradients(), i);
    b.synchronize();
    best = std::min(best, monotonic_seconds() - start);
  }
  std::printf("%-12s %8.3f ms  %7.2f TFLOP/s\n", what, best * 1e3, flops / best * 1e-12);
}

}  // namespace

int main() {
  Cuda cuda, tf32({.tf32 = true});
  Cpu cpu;
  measure(cuda, "CUDA", 100), measure(tf32, "CUDA, TF32", 100), measure(cpu, "CPU", 10);
}
