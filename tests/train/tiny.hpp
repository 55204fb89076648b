// SPDX-License-Identifier: Apache-2.0
// A job small enough to run a hundred times: 90 images of 6 x 6, three classes told by their brightest third.
#pragma once

#include "../data/temporary.hpp"
#include "crema/cpu/cpu.hpp"
#include "crema/layers/all.hpp"
#include "crema/spec/text_format.hpp"
#include "crema/train/trainer.hpp"

namespace crema_test {

using namespace crema;

inline constexpr std::int64_t tiny_samples = 90;

inline std::string tiny_pixels() {
  std::string p;
  for (int i = 0; i < tiny_samples; ++i)
    for (int k = 0; k < 36; ++k)
      p += static_cast<char>((k / 12 == i % 3 ? 120 : 0) + (i * 37 + k * k * 11) % 90);
  return p;
}
inline std::string tiny_labels() {
  std::string l;
  for (int i = 0; i < tiny_samples; ++i) l += static_cast<char>(i % 3);
  return l;
}
inline std::shared_ptr<const Dataset> tiny_data() {
  const std::string p = tiny_pixels(), l = tiny_labels();
  return std::make_shared<MemoryDataset>(Shape{1, 6, 6}, std::vector<std::uint8_t>(p.begin(), p.end()),
                                         std::vector<float>(l.begin(), l.end()));
}

inline constexpr const char* tiny_layers = R"(
  layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { lr_mult: 2 }
    convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
  layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
  layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
  layer { name: "drop" type: "Dropout" bottom: "pool" top: "drop" dropout_param { dropout_ratio: 0.3 } }
  layer { name: "ip" type: "InnerProduct" bottom: "drop" top: "ip" inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
  layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
  layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" })";

inline std::string tiny_net(std::int64_t batch) {
  return cat(
      R"(name: "tiny" layer { name: "in" type: "Input" top: "data" top: "label" input_param { shape { dim: )",
      batch, " dim: [1, 6, 6] } shape { dim: ", batch, " } } }", tiny_layers);
}

/// The job's parts, built anew for each run.
struct Tiny {
  static constexpr double scale = 0.00390625;
  Cpu cpu{{.threads = 2}};
  Net<float, Cpu> net, test_net;
  DatasetSource<float> source, test_source;

  explicit Tiny(std::uint64_t seed = 1, std::int64_t batch = 8)
      : net(cpu, parse_net(tiny_net(batch)), all_layers<float, Cpu>(), {.phase = Phase::train, .seed = seed}),
        test_net(cpu, parse_net(tiny_net(20)), all_layers<float, Cpu>(), {.phase = Phase::test},
                 net.parameters()),
        source(tiny_data(), {.scale = scale}, {.batch = batch, .seed = seed, .shuffle = true}, "data",
               "label"),
        test_source(tiny_data(), {.scale = scale}, {.batch = 20, .phase = Phase::test, .wrap = false}, "data",
                    "label") {}

  std::vector<float> weights() const {
    const auto w = net.parameters()->values();
    return {w.begin(), w.end()};
  }
};

inline SolverSpec tiny_solver(int iterations) {
  SolverSpec s;
  s.base_lr = 0.05f, s.lr_policy = "step", s.gamma = 0.5f, s.stepsize = 20, s.momentum = 0.9f,
  s.weight_decay = 1e-3f;
  s.max_iter = iterations, s.snapshot_after_train = false;
  return s;
}

}  // namespace crema_test
