// SPDX-License-Identifier: Apache-2.0
// Dropout: in TRAIN, sets a share of the elements to zero and divides the others by what is left (Srivastava
// et al., JMLR 2014, scaled while training as in Caffe); the identity in TEST. Any shape, in place or not.
//
//   layer("Dropout", "drop6", {"fc6"}, {"fc6"}, DropoutOptions{.dropout_ratio = 0.5f});
//
// The mask is a function of seed, layer name, iteration, sample and element, drawn again in backward: it
// needs no memory, and N ranks drop what one rank would.
#pragma once

#include "crema/core/dropout_mask.hpp"
#include "crema/net/layer.hpp"

namespace crema::inline CREMA_ABI {

template <class T, class B>
class Dropout final : public Layer<T, B> {
 public:
  static constexpr std::string_view type = "Dropout";

  CREMA_COLD static Plan plan(const LayerSpec& spec, std::span<const Shape> bottom) {
    check_bottoms(spec, bottom.size(), 1, 1);
    check_tops(spec, 1, 1);
    const float ratio = read_options<DropoutOptions>(spec).dropout_ratio;
    if (!(ratio >= 0 && ratio < 1))
      throw SpecError(cat("dropout_ratio must be at least 0 and below 1, not ", ratio));
    return {.top = {{.shape = bottom[0], .in_place_of = 0}},
            .bottom_any_order = {true},
            .top_any_order = {true},
            .backward_reads = Reads::none};
  }

  explicit Dropout(const LayerSpec& spec)
      : name_(spec.name), ratio_(double{read_options<DropoutOptions>(spec).dropout_ratio}) {}

  void forward(B& b, const Forward<T, B>& f) override { run(b, f.bottom[0], f.top[0], f.step, false); }

  void backward(B& b, const Backward<T, B>& k) override {
    const auto& [dx, wanted, add] = k.bottom_diff[0];
    if (wanted) run(b, k.top_diff[0], dx, k.step, add);
  }

 private:
  /// Forward and backward are the same linear function.
  void run(B& b, const View<const T, B>& x, const View<T, B>& y, const Step& step, bool add) const {
    if (step.phase == Phase::train) {
      const Key key = random_key(step.seed, name_);
      dropout(b, x, y, dropout_mask(key, step.iteration, step.part, ratio_), step.first_sample, add);
    } else if (x.data != y.data) {
      copy(b, x, y, add);
    }
  }

  std::string name_;
  double ratio_;
};

#if defined(CREMA_COMPILED)  // crema::compiled has it
extern template LayerKind<float, Cpu> layer_kind<float, Cpu, Dropout<float, Cpu>>();
extern template LayerKind<double, Cpu> layer_kind<double, Cpu, Dropout<double, Cpu>>();
#endif

}  // namespace crema
