// SPDX-License-Identifier: Apache-2.0
// SoftmaxWithLoss: the multinomial logistic loss of a softmax,
// -log p[label], summed over samples (and positions).
//
//   layer("SoftmaxWithLoss", "loss", {"ip2", "label"}, {"loss"});
//
// Bottoms: scores (classes along `axis`) and labels, as many as there are scores without that axis. The
// weight of its Loss is Caffe's normaliser: VALID (default) the labels that are not ignore_label, FULL all of
// them, BATCH_SIZE the samples, NONE 1. A second top gets the probabilities. A label out of range is a
// DataError that names the sample.
#pragma once

#include "crema/net/layer.hpp"

namespace crema::inline CREMA_ABI {

template <class T, class B>
class SoftmaxWithLoss final : public Layer<T, B> {
 public:
  static constexpr std::string_view type = "SoftmaxWithLoss";

  CREMA_COLD static Plan plan(const LayerSpec& spec, std::span<const Shape> bottom) {
    check_bottoms(spec, bottom.size(), 2, 2);
    check_tops(spec, 0, 2);
    const int axis = bottom[0].canonical_axis(read_options<SoftmaxOptions>(spec).axis);
    const std::int64_t classes = bottom[0][axis],
                       positions = bottom[0].count(0, axis) * bottom[0].count(axis + 1);
    if (classes == 0) throw ShapeError("the scores have no classes");
    if (bottom[1].size() != positions)
      throw ShapeError(cat("scores of shape ", bottom[0], " want ", positions,
                           " labels, but the labels have shape ", bottom[1]));
    Plan p;
    p.top.push_back({.shape = {}, .kind = TopPlan::loss, .loss_weight = 1});
    if (spec.top.size() == 2) p.top.push_back({.shape = bottom[0], .kind = TopPlan::detached});
    p.bottom_any_order = {axis == 1, false}, p.top_any_order = {false, axis == 1};
    p.no_gradient = 2;
    p.backward_reads = Reads::bottom;  // the labels
    return p;
  }

  explicit SoftmaxWithLoss(const LayerSpec& spec)
      : axis_(read_options<SoftmaxOptions>(spec).axis), options_(read_options<LossOptions>(spec)) {
    normalization_ = options_.normalization.value_or(
        options_.normalize.value_or(true) ? Normalization::valid : Normalization::batch_size);
  }

  CREMA_COLD Needs prepare(B&, std::span<const Slot> bottom, std::span<const Slot>) override {
    return {.workspace =
                static_cast<std::size_t>(storage_size(bottom[0].shape, bottom[0].layout)) * sizeof(T)};
  }

  void forward(B& b, const Forward<T, B>& f) override {
    const View<const T, B>& x = f.bottom[0];
    const int axis = x.shape.canonical_axis(axis_);
    T* const p = reinterpret_cast<T*>(f.workspace.data());
    softmax_forward(b, axis, x, p);
    const auto [sum, count] =
        softmax_loss_forward(b, axis, View<const T, B>{p, x.shape, x.layout}, f.bottom[1],
                             options_.ignore_label.has_value(), options_.ignore_label.value_or(0));
    f.loss[0] = {sum, weight(x.shape, axis, count)};
    const T value = static_cast<T>(f.loss[0].value());
    b.copy_in(f.top[0].data, &value, sizeof value);
    if (f.top.size() == 2) convert(b, View<const T, B>{p, x.shape, x.layout}, f.top[1], ConvertOptions{});
  }

  void backward(B& b, const Backward<T, B>& k) override {
    const auto& [dx, wanted, add] = k.bottom_diff[0];
    if (!wanted) return;
    const View<const T, B> p{reinterpret_cast<const T*>(k.workspace.data()), k.bottom[0].shape,
                             k.bottom[0].layout};
    softmax_loss_backward(b, p.shape.canonical_axis(axis_), p, k.bottom[1], options_.ignore_label.has_value(),
                          options_.ignore_label.value_or(0), static_cast<T>(k.loss_scale[0]), dx, add);
  }

 private:
  double weight(const Shape& s, int axis, std::int64_t valid) const {
    switch (normalization_) {
      case Normalization::full:
        return static_cast<double>(s.count(0, axis) * s.count(axis + 1));
      case Normalization::valid:
        return static_cast<double>(valid);
      case Normalization::batch_size:
        return static_cast<double>(s.count(0, axis));
      default:
        return 1;
    }
  }

  int axis_;
  LossOptions options_;
  Normalization normalization_ = Normalization::valid;
};

#if defined(CREMA_COMPILED)  // crema::compiled has it
extern template LayerKind<float, Cpu> layer_kind<float, Cpu, SoftmaxWithLoss<float, Cpu>>();
extern template LayerKind<double, Cpu> layer_kind<double, Cpu, SoftmaxWithLoss<double, Cpu>>();
#endif

}  // namespace crema
