// SPDX-License-Identifier: Apache-2.0
// ReLU: y = max(x, 0) + negative_slope min(x, 0), any shape, in place or not.
//
//   layer("ReLU", "relu1", {"conv1"}, {"conv1"});
//   layer("ReLU", "leaky", {"x"}, {"y"}, ReluOptions{.negative_slope = 0.1f});
//
// Backward looks at the sign of the top, which is the bottom's unless the slope is negative.
#pragma once

#include "crema/net/layer.hpp"

namespace crema::inline CREMA_ABI {

template <class T, class B>
class ReLU final : public Layer<T, B> {
 public:
  static constexpr std::string_view type = "ReLU";

  CREMA_COLD static Plan plan(const LayerSpec& spec, std::span<const Shape> bottom) {
    check_bottoms(spec, bottom.size(), 1, 1);
    check_tops(spec, 1, 1);
    const bool sign_is_lost = read_options<ReluOptions>(spec).negative_slope < 0;
    return {.top = {{.shape = bottom[0], .in_place_of = 0}},
            .bottom_any_order = {true},
            .top_any_order = {true},
            .backward_reads = sign_is_lost ? Reads::bottom : Reads::top};
  }

  explicit ReLU(const LayerSpec& spec)
      : slope_(static_cast<T>(read_options<ReluOptions>(spec).negative_slope)) {}

  void forward(B& b, const Forward<T, B>& f) override { relu_forward(b, f.bottom[0], f.top[0], slope_); }

  void backward(B& b, const Backward<T, B>& k) override {
    const auto& [dx, wanted, add] = k.bottom_diff[0];
    if (wanted) relu_backward(b, slope_ < 0 ? k.bottom[0] : k.top[0], k.top_diff[0], dx, slope_, add);
  }

 private:
  T slope_;
};

#if defined(CREMA_COMPILED)  // crema::compiled has it
extern template LayerKind<float, Cpu> layer_kind<float, Cpu, ReLU<float, Cpu>>();
extern template LayerKind<double, Cpu> layer_kind<double, Cpu, ReLU<double, Cpu>>();
#endif

}  // namespace crema
