// SPDX-License-Identifier: Apache-2.0
// Softmax: y = exp(x) / sum exp(x) along an axis.
//
//   layer("Softmax", "prob", {"ip2"}, {"prob"});
#pragma once

#include "crema/net/layer.hpp"

namespace crema::inline CREMA_ABI {

template <class T, class B>
class Softmax final : public Layer<T, B> {
 public:
  static constexpr std::string_view type = "Softmax";

  CREMA_COLD static Plan plan(const LayerSpec& spec, std::span<const Shape> bottom) {
    check_bottoms(spec, bottom.size(), 1, 1);
    check_tops(spec, 1, 1);
    const int axis = bottom[0].canonical_axis(read_options<SoftmaxOptions>(spec).axis);
    Plan p;
    p.top.push_back({.shape = bottom[0], .in_place_of = 0});
    p.bottom_any_order = {axis == 1}, p.top_any_order = {axis == 1};
    p.backward_reads = Reads::top;
    return p;
  }

  explicit Softmax(const LayerSpec& spec) : axis_(read_options<SoftmaxOptions>(spec).axis) {}

  void forward(B& b, const Forward<T, B>& f) override {
    softmax_forward(b, f.bottom[0].shape.canonical_axis(axis_), f.bottom[0], f.top[0].data);
  }
  void backward(B& b, const Backward<T, B>& k) override {
    if (k.bottom_diff[0].wanted)
      softmax_backward(b, k.top[0].shape.canonical_axis(axis_), k.top[0], k.top_diff[0],
                       k.bottom_diff[0].view, k.bottom_diff[0].add);
  }

 private:
  int axis_;
};

#if defined(CREMA_COMPILED)  // crema::compiled has it
extern template LayerKind<float, Cpu> layer_kind<float, Cpu, Softmax<float, Cpu>>();
extern template LayerKind<double, Cpu> layer_kind<double, Cpu, Softmax<double, Cpu>>();
#endif

}  // namespace crema
