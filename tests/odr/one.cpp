// SPDX-License-Identifier: Apache-2.0
// Two units of one program that include everything, header-only: they must link, and agree.
#include "everything.hpp"

double other_unit();

double train_two_steps() {
  using namespace crema;
  Cpu cpu({.threads = 1});
  const NetSpec spec = parse_net(R"(
    layer { name: "in" type: "Input" top: "x" top: "l" input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "l" top: "loss" })");
  Net<float, Cpu> net(cpu, spec, all_layers<float, Cpu>(), {.seed = 1});
  net.write("x", std::vector<float>(12, 0.5f));
  net.write("l", std::vector<float>{0, 1, 1, 1});
  SolverSpec s;
  s.base_lr = 0.1f, s.lr_policy = "fixed";
  auto solver = make_solver<float, Cpu>(cpu, s, *net.parameters());
  StoreGradients<float, Cpu> store;
  for (int i = 0; i < 2; ++i) {
    const Step step{.iteration = static_cast<std::uint64_t>(i)};
    net.backward(step, loss_scales(net.outputs(), net.forward(step)), store);
    solver->update(cpu, *net.parameters(), net.gradients(), i);
  }
  return objective(net.outputs(), net.forward({}));
}

int main() { return train_two_steps() == other_unit() && other_unit() < 0.8 ? 0 : 1; }
