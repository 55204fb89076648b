// SPDX-License-Identifier: Apache-2.0
// An outside program: trains a line to separate two classes.
#include <crema/cpu/cpu.hpp>
#include <crema/layers/inner_product.hpp>
#include <crema/layers/input.hpp>
#include <crema/layers/softmax_with_loss.hpp>
#include <crema/net/net.hpp>
#include <crema/solvers/sgd.hpp>

#include <cstdio>

int main() {
  using namespace crema;
  Cpu cpu;
  Registry<float, Cpu> layers;
  layers.add<Input>().add<InnerProduct>().add<SoftmaxWithLoss>();
  NetSpec spec;
  spec.layers = {layer("Input", "in", {}, {"x", "label"}, InputOptions{.shape = {{{32, 2}}, {{32}}}}),
                 layer("InnerProduct", "ip", {"x"}, {"ip"}, InnerProductOptions{.num_output = 2}),
                 layer("SoftmaxWithLoss", "loss", {"ip", "label"}, {"loss"})};
  Net<float, Cpu> net(cpu, spec, layers);
  std::vector<float> x(64), label(32);
  for (std::size_t i = 0; i < 32; ++i)
    label[i] = static_cast<float>(i % 2), x[2 * i] = i % 2 ? 1.f : -1.f,
    x[2 * i + 1] = static_cast<float>(i) / 32;
  net.write("x", x), net.write("label", label);
  SolverSpec s;
  s.base_lr = 0.5f, s.lr_policy = "fixed";
  SgdSolver<float, Cpu> solver(cpu, s, *net.parameters());
  StoreGradients<float, Cpu> store;
  double loss = 0;
  for (std::uint64_t i = 0; i < 50; ++i) {
    const Step step{.iteration = i};
    const auto losses = net.forward(step);
    loss = objective(net.outputs(), losses);
    net.backward(step, loss_scales(net.outputs(), losses), store);
    solver.update(cpu, *net.parameters(), net.gradients(), static_cast<std::int64_t>(i));
  }
  std::printf("crema %s loss %.4f\n", CREMA_VERSION, loss);
  return loss < 0.1 ? 0 : 1;
}
