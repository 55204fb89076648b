// SPDX-License-Identifier: Apache-2.0
// LRN: local response normalisation across channels, or within a channel over a window.
//
//   layer("LRN", "norm1", {"pool1"}, {"norm1"}, LrnOptions{.local_size = 5, .alpha = 1e-4f, .beta = 0.75f});
//
// ACROSS_CHANNELS: y = x (k + alpha/n sum x^2)^-beta over n channels. WITHIN_CHANNEL: y = x (1 + alpha/n^2
// sum x^2)^-beta over n x n pixels; k is not used there, as in Caffe.
#pragma once

#include "crema/core/geometry.hpp"
#include "crema/net/layer.hpp"

namespace crema::inline CREMA_ABI {

template <class T, class B>
class Lrn final : public Layer<T, B> {
 public:
  static constexpr std::string_view type = "LRN";

  CREMA_COLD static Plan plan(const LayerSpec& spec, std::span<const Shape> bottom) {
    check_bottoms(spec, bottom.size(), 1, 1);
    check_tops(spec, 1, 1);
    const auto o = read_options<LrnOptions>(spec);
    if (bottom[0].rank() != 4) throw ShapeError(cat("LRN works on N x C x H x W, not on ", bottom[0]));
    if (o.local_size % 2 == 0) throw SpecError(cat("local_size must be odd, not ", o.local_size));
    if (o.local_size > 1u << 16) throw SpecError("a local_size above 65536");
    Plan p;
    p.top.push_back({.shape = bottom[0]});
    p.bottom_any_order = {true}, p.top_any_order = {true};
    p.backward_reads = Reads::bottom;
    return p;
  }

  explicit Lrn(const LayerSpec& spec) {
    const auto o = read_options<LrnOptions>(spec);
    setting_.across = o.norm_region == NormRegion::across_channels,
    setting_.size = static_cast<int>(o.local_size);
    setting_.alpha = o.alpha, setting_.beta = o.beta, setting_.k = o.k;
  }

  CREMA_COLD Needs prepare(B&, std::span<const Slot> bottom, std::span<const Slot>) override {
    const auto bytes = static_cast<std::size_t>(storage_size(bottom[0].shape, bottom[0].layout)) * sizeof(T);
    return {.workspace = bytes, .backward_scratchpad = bytes};
  }

  void forward(B& b, const Forward<T, B>& f) override {
    lrn_forward(b, setting_, f.bottom[0], reinterpret_cast<T*>(f.workspace.data()), f.top[0]);
  }

  void backward(B& b, const Backward<T, B>& k) override {
    if (k.bottom_diff[0].wanted)
      lrn_backward(b, setting_, k.bottom[0], reinterpret_cast<const T*>(k.workspace.data()), k.top_diff[0],
                   k.bottom_diff[0].view, reinterpret_cast<T*>(k.scratchpad.data()), k.bottom_diff[0].add);
  }

 private:
  LrnSetting setting_;
};

#if defined(CREMA_COMPILED)  // crema::compiled has it
extern template LayerKind<float, Cpu> layer_kind<float, Cpu, Lrn<float, Cpu>>();
extern template LayerKind<double, Cpu> layer_kind<double, Cpu, Lrn<double, Cpu>>();
#endif

}  // namespace crema
