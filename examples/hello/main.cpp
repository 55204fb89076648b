// SPDX-License-Identifier: Apache-2.0
// hello: a net built in code, trained, and asked: is this point inside the circle?
#include <crema/cpu/cpu.hpp>
#include <crema/layers/inner_product.hpp>
#include <crema/layers/input.hpp>
#include <crema/layers/relu.hpp>
#include <crema/layers/softmax_with_loss.hpp>
#include <crema/net/net.hpp>
#include <crema/solvers/sgd.hpp>

#include <array>
#include <cstdio>
using namespace crema;

int main() {
  std::vector<float> points, inside;  // a grid over [-1, 1] x [-1, 1], and the answers
  for (int i = 0; i < 400; ++i) {
    const float x = static_cast<float>(i % 20) / 10 - 0.95f, y = static_cast<float>(i / 20) / 10 - 0.95f;
    points.insert(points.end(), {x, y}), inside.push_back(x * x + y * y < 0.5f);
  }

  const FillerSpec msra{.type = "msra"};
  const InnerProductOptions wide{.num_output = 32, .weight_filler = msra},
      two{.num_output = 2, .weight_filler = msra};
  const NetSpec spec{
      .layers = {layer("Input", "in", {}, {"point", "label"}, InputOptions{.shape = {{{400, 2}}, {{400}}}}),
                 layer("InnerProduct", "fc1", {"point"}, {"fc1"}, wide),
                 layer("ReLU", "relu1", {"fc1"}, {"fc1"}),
                 layer("InnerProduct", "fc2", {"fc1"}, {"fc2"}, two),
                 layer("SoftmaxWithLoss", "loss", {"fc2", "label"}, {"loss"})}};

  Cpu cpu;
  Registry<float, Cpu> layers;
  layers.add<Input>().add<InnerProduct>().add<ReLU>().add<SoftmaxWithLoss>();
  Net<float, Cpu> net(cpu, spec, layers);
  SgdSolver<float, Cpu> solver(cpu, {.base_lr = 0.1f, .lr_policy = "fixed", .momentum = 0.9f},
                               *net.parameters());
  StoreGradients<float, Cpu> store;
  net.write("point", points), net.write("label", inside);
  for (std::uint64_t i = 0; i < 500; ++i) {
    const auto losses = net.forward({.iteration = i});
    net.backward({.iteration = i}, loss_scales(net.outputs(), losses), store);
    solver.update(cpu, *net.parameters(), net.gradients(), static_cast<std::int64_t>(i));
  }

  net.reshape(std::array{Shape{2, 2}, Shape{2}});
  net.write("point", std::array{0.1f, -0.3f, 0.9f, 0.8f});
  net.forward({.phase = Phase::test});
  std::array<float, 4> score;
  net.read("fc2", score);
  std::printf("(0.1, -0.3) is %s, (0.9, 0.8) is %s\n", score[1] > score[0] ? "inside" : "outside",
              score[3] > score[2] ? "inside" : "outside");
}
