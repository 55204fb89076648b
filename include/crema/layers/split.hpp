// SPDX-License-Identifier: Apache-2.0
// Split: gives one blob several names. Nobody needs to write one, because a blob may have any number of
// readers; nets that Caffe has saved contain them.
//
//   layer("Split", "data_split", {"data"}, {"a", "b"});
//
// The gradient of the bottom is the sum of those of the tops.
#pragma once

#include "crema/net/layer.hpp"

namespace crema::inline CREMA_ABI {

template <class T, class B>
class Split final : public Layer<T, B> {
 public:
  static constexpr std::string_view type = "Split";

  CREMA_COLD static Plan plan(const LayerSpec& spec, std::span<const Shape> bottom) {
    check_bottoms(spec, bottom.size(), 1, 1);
    check_tops(spec, 1, spec.top.size());
    Plan p;
    p.top = std::vector<TopPlan>(spec.top.size(), {.shape = bottom[0]});
    p.bottom_any_order = {true};
    p.top_any_order = std::vector<bool>(spec.top.size(), true);
    p.backward_reads = Reads::none;
    return p;
  }

  explicit Split(const LayerSpec&) {}

  void forward(B& b, const Forward<T, B>& f) override {
    for (const View<T, B>& top : f.top) copy(b, f.bottom[0], top, false);
  }

  void backward(B& b, const Backward<T, B>& k) override {
    const auto& [dx, wanted, add] = k.bottom_diff[0];
    if (!wanted) return;
    bool written = add;
    for (const View<const T, B>& d : k.top_diff) {
      if (d.data == nullptr) continue;
      copy(b, d, dx, written);
      written = true;
    }
  }
};

#if defined(CREMA_COMPILED)  // crema::compiled has it
extern template LayerKind<float, Cpu> layer_kind<float, Cpu, Split<float, Cpu>>();
extern template LayerKind<double, Cpu> layer_kind<double, Cpu, Split<double, Cpu>>();
#endif

}  // namespace crema
