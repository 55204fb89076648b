// SPDX-License-Identifier: Apache-2.0
// Accuracy: the share of samples whose label is among the top_k scores.
//
//   layer("Accuracy", "accuracy", {"ip2", "label"}, {"accuracy"}, AccuracyOptions{.top_k = 5});
//
// A class counts as better when its score is at least the label's: ties are wrong, as in Caffe. ignore_label
// samples do not count. A second top gets the accuracy of each class.
#pragma once

#include "crema/core/label.hpp"
#include "crema/net/layer.hpp"

namespace crema::inline CREMA_ABI {

template <class T, class B>
class Accuracy final : public Layer<T, B> {
 public:
  static constexpr std::string_view type = "Accuracy";

  CREMA_COLD static Plan plan(const LayerSpec& spec, std::span<const Shape> bottom) {
    check_bottoms(spec, bottom.size(), 2, 2);
    check_tops(spec, 1, 2);
    const auto o = read_options<AccuracyOptions>(spec);
    const int axis = bottom[0].canonical_axis(o.axis);
    const std::int64_t classes = bottom[0][axis],
                       positions = bottom[0].count(0, axis) * bottom[0].count(axis + 1);
    if (bottom[1].size() != positions)
      throw ShapeError(cat("scores of shape ", bottom[0], " want ", positions,
                           " labels, but the labels have shape ", bottom[1]));
    if (o.top_k == 0 || o.top_k > classes)
      throw SpecError(cat("top_k ", o.top_k, " must be from 1 to the ", classes, " classes"));
    Plan p;
    p.top.push_back({.shape = {}, .kind = TopPlan::metric});
    if (spec.top.size() == 2) p.top.push_back({.shape = {classes}, .kind = TopPlan::detached});
    p.no_gradient = 3;
    p.backward_reads = Reads::none;
    return p;
  }

  explicit Accuracy(const LayerSpec& spec) : options_(read_options<AccuracyOptions>(spec)) {}

  CREMA_COLD Needs prepare(B&, std::span<const Slot> bottom, std::span<const Slot>) override {
    const std::int64_t classes = bottom[0].shape[options_.axis];
    return {.scratchpad = static_cast<std::size_t>(2 * classes) * sizeof(double)};
  }

  void forward(B& b, const Forward<T, B>& f) override {
    const View<const T, B>& x = f.bottom[0];
    const int axis = x.shape.canonical_axis(options_.axis);
    const std::int64_t classes = x.shape[axis], inner = x.shape.count(axis + 1), n = f.bottom[1].shape.size();
    const std::span<double> right(reinterpret_cast<double*>(f.scratchpad.data()),
                                  static_cast<std::size_t>(classes));
    const std::span<double> seen(right.data() + classes, static_cast<std::size_t>(classes));
    std::fill(right.begin(), right.end(), 0.0), std::fill(seen.begin(), seen.end(), 0.0);
    Loss total;
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t label =
          checked_label(f.bottom[1].data[i], i / inner, classes, options_.ignore_label.has_value(),
                        options_.ignore_label.value_or(0));
      if (label < 0) continue;
      const T* score = x.data + i / inner * classes * inner + i % inner;
      std::int64_t better = -1;  // the label itself is among those that reach its score
      for (std::int64_t c = 0; c < classes; ++c) better += score[c * inner] >= score[label * inner];
      const double correct = better < static_cast<std::int64_t>(options_.top_k) ? 1 : 0;
      total += {correct, 1};
      right[static_cast<std::size_t>(label)] += correct, seen[static_cast<std::size_t>(label)] += 1;
    }
    f.loss[0] = total;
    const T value = static_cast<T>(total.value());
    b.copy_in(f.top[0].data, &value, sizeof value);
    for (std::size_t c = 0; f.top.size() == 2 && c < seen.size(); ++c)
      f.top[1].data[c] = static_cast<T>(seen[c] > 0 ? right[c] / seen[c] : 0);
  }

  void backward(B&, const Backward<T, B>&) override {}

 private:
  AccuracyOptions options_;
};

#if defined(CREMA_COMPILED)  // crema::compiled has it
extern template LayerKind<float, Cpu> layer_kind<float, Cpu, Accuracy<float, Cpu>>();
extern template LayerKind<double, Cpu> layer_kind<double, Cpu, Accuracy<double, Cpu>>();
#endif

}  // namespace crema
