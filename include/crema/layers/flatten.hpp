// SPDX-License-Identifier: Apache-2.0
// Flatten: axes `axis` to `end_axis` become one; the elements stay as they are.
//
//   layer("Flatten", "flat", {"pool5"}, {"flat"});                       // N x C x H x W to N x (C H W)
//
// InnerProduct flattens by itself; a net needs this layer only where something else wants the shape.
#pragma once

#include "crema/net/layer.hpp"

namespace crema::inline CREMA_ABI {

template <class T, class B>
class Flatten final : public Layer<T, B> {
 public:
  static constexpr std::string_view type = "Flatten";

  CREMA_COLD static Plan plan(const LayerSpec& spec, std::span<const Shape> bottom) {
    check_bottoms(spec, bottom.size(), 1, 1);
    check_tops(spec, 1, 1);
    const auto o = read_options<FlattenOptions>(spec);
    const Shape& s = bottom[0];
    const int first = s.canonical_axis(o.axis), last = s.canonical_axis(o.end_axis);
    if (last < first)
      throw SpecError(cat("end_axis ", o.end_axis, " lies before axis ", o.axis, " of shape ", s));
    std::vector<std::int64_t> extents(s.extents().begin(), s.extents().begin() + first);
    extents.push_back(s.count(first, last + 1));
    for (int a = last + 1; a < s.rank(); ++a) extents.push_back(s[a]);
    return {.top = {{.shape = Shape(extents), .in_place_of = 0}},
            .backward_reads = Reads::none,
            .axis0_is_batch = first > 0 || last == 0};
  }

  explicit Flatten(const LayerSpec&) {}

  void forward(B& b, const Forward<T, B>& f) override { move(b, f.bottom[0], f.top[0], false); }

  void backward(B& b, const Backward<T, B>& k) override {
    const auto& [dx, wanted, add] = k.bottom_diff[0];
    if (wanted) move(b, k.top_diff[0], dx, add);
  }

 private:
  static void move(B& b, const View<const T, B>& from, const View<T, B>& to, bool add) {
    if (from.data != to.data) copy(b, from, to, add);
  }
};

#if defined(CREMA_COMPILED)  // crema::compiled has it
extern template LayerKind<float, Cpu> layer_kind<float, Cpu, Flatten<float, Cpu>>();
extern template LayerKind<double, Cpu> layer_kind<double, Cpu, Flatten<double, Cpu>>();
#endif

}  // namespace crema
