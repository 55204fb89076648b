// SPDX-License-Identifier: Apache-2.0
// InnerProduct: y = W x + b for every sample, the fully connected layer.
//
//   layer("InnerProduct", "ip1", {"pool2"}, {"ip1"}, InnerProductOptions{.num_output = 500});
//
// The axes before `axis` (1) are kept, the others are K inputs. Weights num_output x K, or K x num_output
// with `transpose`; bias num_output.
#pragma once

#include "crema/net/layer.hpp"

namespace crema::inline CREMA_ABI {

template <class T, class B>
class InnerProduct final : public Layer<T, B> {
 public:
  static constexpr std::string_view type = "InnerProduct";

  CREMA_COLD static Plan plan(const LayerSpec& spec, std::span<const Shape> bottom) {
    check_bottoms(spec, bottom.size(), 1, 1);
    check_tops(spec, 1, 1);
    const auto o = read_options<InnerProductOptions>(spec);
    if (o.num_output == 0) throw SpecError("inner_product_param needs a num_output above 0");
    const int axis = bottom[0].canonical_axis(o.axis);
    const std::int64_t outputs = o.num_output, inputs = bottom[0].count(axis);
    if (inputs == 0 && bottom[0].size() == 0 && axis > 0 && bottom[0][0] != 0)
      throw ShapeError(cat("InnerProduct of an empty bottom ", bottom[0]));
    std::vector<std::int64_t> top(bottom[0].extents().begin(), bottom[0].extents().begin() + axis);
    top.push_back(outputs);
    Plan p;
    p.top.push_back({.shape = Shape(top)});
    const Shape weight = o.transpose ? Shape{inputs, outputs} : Shape{outputs, inputs};
    p.add_param("weight", weight, o.weight_filler).in_pieces = true;
    if (o.bias_term) p.add_param("bias", {outputs}, o.bias_filler);
    const bool native = axis == 1 && !o.transpose;
    p.bottom_any_order = {native}, p.top_any_order = {native};
    p.backward_reads = Reads::bottom;
    return p;
  }

  explicit InnerProduct(const LayerSpec& spec) : options_(read_options<InnerProductOptions>(spec)) {}

  CREMA_COLD Needs prepare(B& b, std::span<const Slot> bottom, std::span<const Slot>) override {
    const auto n = inner_product_scratch(b, bottom[0].shape, options_.num_output, bottom[0].layout);
    return {.backward_scratchpad = static_cast<std::size_t>(n + 32) * sizeof(T)};
  }

  void forward(B& b, const Forward<T, B>& f) override {
    inner_product_forward(b, rows(f.bottom[0]), f.params[0].data, options_.transpose,
                          f.params.size() > 1 ? f.params[1].data : nullptr, rows(f.top[0]));
  }

  void backward(B& b, const Backward<T, B>& k) override {
    const View<const T, B> x = rows(k.bottom[0]), dy = rows(k.top_diff[0]);
    const ParamGradient<T, B>& w = k.param_diff[0];
    const Gradient<T, B>& dx = k.bottom_diff[0];
    const bool bias = k.param_diff.size() > 1 && k.param_diff[1].wanted;
    const auto weights = [&](T* dw) {
      inner_product_backward_weights(b, x, dy, options_.transpose, dw, w.add,
                                     bias ? k.param_diff[1].view.data : nullptr, bias && k.param_diff[1].add,
                                     k.scratchpad);
    };
    if constexpr (B::ops_in_regions)
      if (w.sink && inner_product_in_one_pass(x.shape, options_.num_output, x.layout)) {
        if (bias) weights(nullptr);
        const T *const params = k.params[0].data, *const reads = w.sink->reads();
        return inner_product_backward(b, x, dy, params, dx.wanted ? rows(dx.view) : View<T, B>{}, dx.add,
                                      k.scratchpad, reads ? reads + w.first : params,
                                      [&](std::int64_t first, std::span<const T> piece) {
                                        w.sink->take(b, w.first + static_cast<std::size_t>(first), piece);
                                      });
      }
    if (w.wanted || bias) weights(w.wanted ? w.view.data : nullptr);
    if (dx.wanted)
      inner_product_backward_data(b, dy, k.params[0].data, options_.transpose, rows(dx.view), dx.add);
    if (w.sink) w.sink->take(b, w.first, {w.view.data, static_cast<std::size_t>(w.view.shape.size())});
  }

 private:
  /// Canonical blobs as a matrix: axes before `axis` are rows. No inline: it is called five times.
  template <class U>
  [[gnu::noinline]] View<U, B> rows(View<U, B> v) const {
    if (v.layout.order == Order::native) return v;
    const int axis =
        options_.axis < 0 || options_.axis >= v.shape.rank() ? v.shape.rank() - 1 : options_.axis;
    v.shape = Shape{v.shape.count(0, axis), v.shape.count(axis)};
    return v;
  }

  InnerProductOptions options_;
};

#if defined(CREMA_COMPILED)  // crema::compiled has it
extern template LayerKind<float, Cpu> layer_kind<float, Cpu, InnerProduct<float, Cpu>>();
extern template LayerKind<double, Cpu> layer_kind<double, Cpu, InnerProduct<double, Cpu>>();
#endif

}  // namespace crema
