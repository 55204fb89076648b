// SPDX-License-Identifier: Apache-2.0
// Convolution: y[o] = b[o] + sum over c, ky, kx of w[o, c,
// ky, kx] * x[c, ...]; cross-correlation, as in Caffe.
//
//   layer("Convolution", "conv1", {"data"}, {"conv1"}, ConvolutionOptions{.num_output = 20, .kernel_size = {5}});
//
// N x C x H x W in and out; output extents round down: (in + 2 pad - dilation (kernel - 1) - 1) / stride + 1.
// Weights O x C/group x KH x KW, bias O. Several bottoms share the weights and make as many tops.
#pragma once

#include <optional>
#include <utility>

#include "crema/core/geometry.hpp"
#include "crema/net/layer.hpp"

namespace crema::inline CREMA_ABI {

namespace detail {

/// One axis of a repeated option (`stride: 2`, `stride: [2, 1]`) or of its _h and _w spelling.
CREMA_COLD inline int per_axis(std::string_view what, const std::vector<std::uint32_t>& list,
                               std::optional<std::uint32_t> h, std::optional<std::uint32_t> w,
                               std::size_t axis, std::uint32_t fallback) {
  if (h || w) {
    if (!list.empty()) throw SpecError(cat("give ", what, " or ", what, "_h and ", what, "_w, not both"));
    if (!h || !w) throw SpecError(cat("give both ", what, "_h and ", what, "_w"));
    return static_cast<int>(axis == 0 ? *h : *w);
  }
  if (list.size() > 2)
    throw SpecError(cat(what, " has ", list.size(), " values: one or two for the spatial axes"));
  const std::uint32_t v = list.empty() ? fallback : list[list.size() == 1 ? 0 : axis];
  if (v > 1u << 20) throw SpecError(cat(what, " of ", v, " is out of range"));
  return static_cast<int>(v);
}

}  // namespace detail

/// The geometry of a convolution over a bottom of this shape. Throws SpecError or ShapeError that names the
/// option at fault.
CREMA_COLD inline ConvolutionGeometry convolution_geometry(const ConvolutionOptions& o, const Shape& bottom) {
  if (bottom.rank() != 4 || (o.axis != 1 && o.axis != -3))
    throw ShapeError(
        cat("Convolution works on N x C x H x W with axis 1, not on ", bottom, " with axis ", o.axis));
  ConvolutionGeometry g;
  if (o.num_output == 0) throw SpecError("convolution_param needs a num_output above 0");
  if (o.num_output > 1u << 24 || bottom[1] > 1 << 24) throw SpecError("more than 2^24 channels");
  g.channels = static_cast<int>(bottom[1]), g.outputs = static_cast<int>(o.num_output),
  g.groups = static_cast<int>(o.group);
  if (g.groups <= 0 || g.channels % g.groups || g.outputs % g.groups)
    throw SpecError(cat("group ", o.group, " must divide the ", g.channels, " input channels and num_output ",
                        g.outputs));
  for (std::size_t axis = 0; axis < 2; ++axis) {
    WindowAxis& a = axis == 0 ? g.y : g.x;
    const std::int64_t in = bottom[axis == 0 ? 2 : 3];
    if (in > 1 << 24) throw ShapeError("an image side above 2^24");
    a.in = static_cast<int>(in);
    a.kernel = detail::per_axis("kernel_size", o.kernel_size, o.kernel_h, o.kernel_w, axis, 0);
    a.stride = detail::per_axis("stride", o.stride, o.stride_h, o.stride_w, axis, 1);
    a.pad = detail::per_axis("pad", o.pad, o.pad_h, o.pad_w, axis, 0);
    a.dilation = detail::per_axis("dilation", o.dilation, {}, {}, axis, 1);
    if (a.kernel <= 0) throw SpecError("kernel_size must be above 0");
    if (a.stride <= 0) throw SpecError("stride must be above 0");
    if (a.dilation <= 0) throw SpecError("dilation must be above 0");
    const std::int64_t room = in + 2 * std::int64_t{a.pad} - (std::int64_t{a.dilation} * (a.kernel - 1) + 1);
    if (room < 0)
      throw ShapeError(cat("a kernel of extent ", std::int64_t{a.dilation} * (a.kernel - 1) + 1,
                           " does not fit an input of ", in, " with pad ", a.pad,
                           ": make the kernel smaller or the pad larger"));
    a.out = static_cast<int>(room / a.stride) + 1;
  }
  return g;
}

template <class T, class B>
class Convolution final : public Layer<T, B> {
 public:
  static constexpr std::string_view type = "Convolution";

  CREMA_COLD static Plan plan(const LayerSpec& spec, std::span<const Shape> bottom) {
    check_bottoms(spec, bottom.size(), 1, 1024);
    check_tops(spec, bottom.size(), bottom.size());
    const auto o = read_options<ConvolutionOptions>(spec);
    Plan p;
    p.backward_reads = Reads::bottom;
    ConvolutionGeometry g;
    for (const Shape& s : bottom) {
      g = convolution_geometry(o, s);
      if (s[1] != bottom[0][1])
        throw ShapeError("bottoms that share weights must have equally many channels");
      p.top.push_back({.shape = {s[0], g.outputs, g.y.out, g.x.out}});
    }
    p.add_param("weight", {g.outputs, g.group_channels(), g.y.kernel, g.x.kernel}, o.weight_filler);
    if (o.bias_term) p.add_param("bias", {g.outputs}, o.bias_filler);
    p.bottom_any_order = p.top_any_order = std::vector<bool>(bottom.size(), true);
    return p;
  }

  explicit Convolution(const LayerSpec& spec) : options_(read_options<ConvolutionOptions>(spec)) {}

  CREMA_COLD Needs prepare(B& b, std::span<const Slot> bottom, std::span<const Slot> top) override {
    plans_.clear();
    Needs needs;
    for (std::size_t i = 0; i < bottom.size(); ++i) {
      plans_.push_back(make_convolution_plan<T>(b, convolution_geometry(options_, bottom[i].shape),
                                                bottom[i].layout, top[i].layout, bottom[i].shape[0]));
      needs.scratchpad = std::max(needs.scratchpad, plans_.back().scratch);
      needs.backward_scratchpad = std::max(needs.backward_scratchpad, plans_.back().gradient_scratch);
    }
    return needs;
  }

  void forward(B& b, const Forward<T, B>& f) override {
    const T* bias = f.params.size() > 1 ? f.params[1].data : nullptr;
    for (std::size_t i = 0; i < f.bottom.size(); ++i)
      convolution_forward(b, plans_[i], f.params[0].data, f.params_version, bias, f.bottom[i], f.top[i],
                          f.scratchpad);
  }

  void backward(B& b, const Backward<T, B>& k) override {
    bool first = true;  // further bottoms add to the shared weights' gradient
    for (std::size_t i = 0; i < k.bottom.size(); ++i) {
      if (!k.top_diff[i].data) continue;
      if (k.param_diff[0].wanted)
        convolution_backward_weights(b, plans_[i], k.bottom[i], k.top_diff[i], k.param_diff[0].view.data,
                                     k.param_diff[0].add || !first, k.scratchpad);
      if (k.param_diff.size() > 1 && k.param_diff[1].wanted)
        convolution_backward_bias(b, k.top_diff[i], k.param_diff[1].view.data, k.param_diff[1].add || !first,
                                  k.scratchpad);
      if (k.bottom_diff[i].wanted)
        convolution_backward_data(b, plans_[i], k.params[0].data, k.params_version, k.top_diff[i],
                                  k.bottom_diff[i].view, k.bottom_diff[i].add);
      first = false;
    }
  }

 private:
  using ConvolutionPlan = decltype(make_convolution_plan<T>(std::declval<B&>(), ConvolutionGeometry{},
                                                            Layout{}, Layout{}, std::int64_t{}));
  ConvolutionOptions options_;
  std::vector<ConvolutionPlan> plans_;
};

#if defined(CREMA_COMPILED)  // crema::compiled has it
extern template LayerKind<float, Cpu> layer_kind<float, Cpu, Convolution<float, Cpu>>();
extern template LayerKind<double, Cpu> layer_kind<double, Cpu, Convolution<double, Cpu>>();
#endif

}  // namespace crema
