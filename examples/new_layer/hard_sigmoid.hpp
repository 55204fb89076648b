// SPDX-License-Identifier: Apache-2.0
// HardSigmoid: y = clip(slope x + 0.5, 0, 1), any shape. A layer of a user's own, with an option of its own.
//
//   layer { name: "h" type: "HardSigmoid" bottom: "x" top: "y" hard_sigmoid_param { slope: 0.25 } }
#pragma once

#include <algorithm>

#include "crema/net/layer.hpp"

struct HardSigmoidOptions {
  float slope = 0.2f;
};

template <>
inline const crema::Schema& crema::schema<HardSigmoidOptions>() {
  static const Schema s{"HardSigmoidParameter", {field(1, "slope", &HardSigmoidOptions::slope)}};
  return s;
}
template <>
inline const crema::SchemaField& crema::layer_field<HardSigmoidOptions>() {
  static const SchemaField f = options_field(20100, "hard_sigmoid_param", schema<HardSigmoidOptions>());
  return f;
}

template <class T, class B>
class HardSigmoid final : public crema::Layer<T, B> {
 public:
  static constexpr std::string_view type = "HardSigmoid";

  static crema::Plan plan(const crema::LayerSpec& spec, std::span<const crema::Shape> bottom) {
    crema::check_bottoms(spec, bottom.size(), 1, 1);
    crema::check_tops(spec, 1, 1);
    return {.top = {{.shape = bottom[0]}}, .backward_reads = crema::Reads::bottom};
  }

  explicit HardSigmoid(const crema::LayerSpec& spec)
      : slope_(static_cast<T>(crema::read_options<HardSigmoidOptions>(spec).slope)) {}

  void forward(B&, const crema::Forward<T, B>& f) override {
    for (std::int64_t i = 0; i < f.bottom[0].shape.size(); ++i)
      f.top[0].data[i] = std::clamp(slope_ * f.bottom[0].data[i] + T(0.5), T(0), T(1));
  }

  void backward(B&, const crema::Backward<T, B>& k) override {
    const auto& [dx, wanted, add] = k.bottom_diff[0];
    if (!wanted) return;
    for (std::int64_t i = 0; i < dx.shape.size(); ++i) {
      const T y = slope_ * k.bottom[0].data[i] + T(0.5);
      const T d = y > 0 && y < 1 ? slope_ * k.top_diff[0].data[i] : T(0);
      dx.data[i] = (add ? dx.data[i] : T(0)) + d;
    }
  }

 private:
  T slope_;
};
