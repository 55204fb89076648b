// SPDX-License-Identifier: Apache-2.0
// Input: the blobs that a program, or a Batcher, fills.
//
//   layer("Input", "data", {}, {"data", "label"},
//         InputOptions{.shape = {{.dim = {64, 1, 28, 28}}, {.dim = {64}}}});
//
// One shape for each top, or one for all. It is the capacity: Net::reshape makes the batch smaller for free.
#pragma once

#include "crema/net/layer.hpp"

namespace crema::inline CREMA_ABI {

template <class T, class B>
class Input final : public Layer<T, B> {
 public:
  static constexpr std::string_view type = "Input";

  CREMA_COLD static Plan plan(const LayerSpec& spec, std::span<const Shape> bottom) {
    check_bottoms(spec, bottom.size(), 0, 0);
    check_tops(spec, 1, spec.top.size());
    const auto shapes = read_options<InputOptions>(spec).shape;
    if (shapes.size() != 1 && shapes.size() != spec.top.size())
      throw SpecError(cat("input_param needs one shape, or one for each of its ", spec.top.size(),
                          " tops, not ", shapes.size()));
    Plan p;
    for (std::size_t i = 0; i < spec.top.size(); ++i)
      p.top.push_back({.shape = Shape(shapes[shapes.size() == 1 ? 0 : i].dim)});
    p.top_any_order = std::vector<bool>(spec.top.size(), true);
    p.backward_reads = Reads::none;
    return p;
  }

  explicit Input(const LayerSpec&) {}

  void forward(B&, const Forward<T, B>&) override {}
  void backward(B&, const Backward<T, B>&) override {}
};

#if defined(CREMA_COMPILED)  // crema::compiled has it
extern template LayerKind<float, Cpu> layer_kind<float, Cpu, Input<float, Cpu>>();
extern template LayerKind<double, Cpu> layer_kind<double, Cpu, Input<double, Cpu>>();
#endif

}  // namespace crema
