// SPDX-License-Identifier: Apache-2.0
// hello: a net built in code, trained, and asked: is this point inside the circle?
#include <crema/crema.hpp>
#include <cstdio>
using namespace crema;

int main() {
  std::vector<float> points, inside;  // a grid over [-1, 1] x [-1, 1], and the answers
  for (float x = -1; x <= 1; x += 0.04f)
    for (float y = -1; y <= 1; y += 0.04f)
      points.insert(points.end(), {x, y}), inside.push_back(x * x + y * y < 0.5f);

  const FillerSpec msra{.type = "msra"};
  const NetSpec spec{.name = "circle",
                     .layers = {layer("Input", "in", {}, {"point", "label"},
                                      InputOptions{.shape = {{{50, 2, 1, 1}}, {{50}}}}),
                                layer("InnerProduct", "fc1", {"point"}, {"fc1"},
                                      InnerProductOptions{.num_output = 32, .weight_filler = msra}),
                                layer("ReLU", "relu1", {"fc1"}, {"fc1"}),
                                layer("InnerProduct", "fc2", {"fc1"}, {"fc2"},
                                      InnerProductOptions{.num_output = 2, .weight_filler = msra}),
                                layer("SoftmaxWithLoss", "loss", {"fc2", "label"}, {"loss"})}};

  Cpu cpu;
  Net<float, Cpu> net(cpu, spec, all_layers<float, Cpu>());
  DatasetSource<float> batches(std::make_shared<FloatDataset>(Shape{2, 1, 1}, points, inside), {},
                               {.batch = 50}, "point", "label");
  Trainer<float, Cpu>(cpu, {.base_lr = 0.1f, .max_iter = 1000, .lr_policy = "fixed", .momentum = 0.9f}, net,
                      batches)
      .run();

  net.reshape(std::array{Shape{2, 2, 1, 1}, Shape{2}});
  net.write("point", std::array{0.1f, -0.3f, 0.9f, 0.8f});
  net.forward({.phase = Phase::test});
  std::array<float, 4> score;
  net.read("fc2", score);
  std::printf("(0.1, -0.3) is %s, (0.9, 0.8) is %s\n", score[1] > score[0] ? "inside" : "outside",
              score[3] > score[2] ? "inside" : "outside");
}
