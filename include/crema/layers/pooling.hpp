// SPDX-License-Identifier: Apache-2.0
// Pooling: the maximum or average over windows of N x C x H x W.
//
//   layer("Pooling", "pool1", {"conv1"}, {"pool1"}, PoolingOptions{.kernel_size = 2, .stride = 2});
//
// Caffe's rules: output extents round UP, (in + 2 pad - kernel) / stride + 1, less one if padded and the last
// window would begin in the padding; the average divides by the window's size within the padded image; of
// equal maxima the first wins. A second top of MAX gets where each maximum stood, y * W + x.
#pragma once

#include "crema/core/geometry.hpp"
#include "crema/net/layer.hpp"

namespace crema::inline CREMA_ABI {

struct PoolingGeometry {
  WindowAxis y, x;
};

/// Throws SpecError or ShapeError that names the option at fault.
CREMA_COLD inline PoolingGeometry pooling_geometry(const PoolingOptions& o, const Shape& bottom) {
  if (bottom.rank() != 4) throw ShapeError(cat("Pooling works on N x C x H x W, not on ", bottom));
  if (o.pool == PoolMethod::stochastic) throw SpecError("pool: STOCHASTIC is not supported: use MAX or AVE");
  PoolingGeometry g;
  const auto side = [&](WindowAxis& a, std::int64_t in, std::optional<std::uint32_t> kernel,
                        std::optional<std::uint32_t> stride, std::optional<std::uint32_t> pad) {
    if (in <= 0 || in > 1 << 24) throw ShapeError(cat("Pooling of an image side of ", in));
    a.in = static_cast<int>(in);
    if (o.global_pooling) {
      if (o.kernel_size || kernel) throw SpecError("global_pooling takes no kernel size");
      if (o.pad || pad.value_or(0) || o.stride != 1 || stride.value_or(1) != 1)
        throw SpecError("global_pooling takes no pad or stride");
      a.kernel = a.in;
      return;
    }
    if (o.kernel_size && kernel) throw SpecError("give kernel_size or kernel_h and kernel_w, not both");
    const std::uint32_t k = kernel ? *kernel : o.kernel_size.value_or(0), s = stride.value_or(o.stride),
                        p = pad.value_or(o.pad);
    if (k == 0) throw SpecError("pooling_param needs a kernel_size, or kernel_h and kernel_w, above 0");
    if (s == 0) throw SpecError("stride must be above 0");
    if (p >= k) throw SpecError(cat("pad ", p, " must be below the kernel size ", k));
    if (k > 1u << 20 || s > 1u << 20) throw SpecError("a kernel or stride above 2^20");
    a.kernel = static_cast<int>(k), a.stride = static_cast<int>(s), a.pad = static_cast<int>(p);
    const int room = a.in + 2 * a.pad - a.kernel;
    if (room < 0) throw ShapeError(cat("a window of ", k, " does not fit an input of ", in, " with pad ", p));
    a.out = (o.round_mode == RoundMode::ceil ? (room + a.stride - 1) / a.stride : room / a.stride) + 1;
    if (a.pad > 0 && (a.out - 1) * a.stride >= a.in + a.pad) --a.out;
  };
  side(g.y, bottom[2], o.kernel_h, o.stride_h, o.pad_h);
  side(g.x, bottom[3], o.kernel_w, o.stride_w, o.pad_w);
  if (o.pool == PoolMethod::max && std::int64_t{g.y.kernel} * g.x.kernel > 65536)
    throw SpecError("a MAX window of more than 65536 elements");
  return g;
}

template <class T, class B>
class Pooling final : public Layer<T, B> {
 public:
  static constexpr std::string_view type = "Pooling";

  CREMA_COLD static Plan plan(const LayerSpec& spec, std::span<const Shape> bottom) {
    check_bottoms(spec, bottom.size(), 1, 1);
    const auto o = read_options<PoolingOptions>(spec);
    check_tops(spec, 1, o.pool == PoolMethod::max ? 2 : 1);
    const PoolingGeometry g = pooling_geometry(o, bottom[0]);
    const Shape top{bottom[0][0], bottom[0][1], g.y.out, g.x.out};
    Plan p;
    p.top.push_back({.shape = top});
    if (spec.top.size() == 2) p.top.push_back({.shape = top, .kind = TopPlan::detached});
    p.bottom_any_order = {true}, p.top_any_order = {true};
    p.backward_reads = Reads::none;
    return p;
  }

  explicit Pooling(const LayerSpec& spec) : options_(read_options<PoolingOptions>(spec)) {}

  CREMA_COLD Needs prepare(B&, std::span<const Slot> bottom, std::span<const Slot> top) override {
    geometry_ = pooling_geometry(options_, bottom[0].shape);
    if (options_.pool != PoolMethod::max) return {};
    const std::int64_t images =
        top[0].layout.order == Order::native ? blocks(top[0].shape) * lanes : top[0].shape[0];
    return {.workspace =
                static_cast<std::size_t>(images * top[0].shape.count(1)) * index<std::byte>({}).bytes()};
  }

  void forward(B& b, const Forward<T, B>& f) override {
    pooling_forward(b, options_.pool == PoolMethod::max, geometry_.y, geometry_.x, f.bottom[0], f.top[0],
                    index(f.workspace));
    if (f.top.size() == 2)
      pooling_mask(b, geometry_.y, geometry_.x, f.bottom[0].layout, index<const std::byte>(f.workspace),
                   f.top[1]);
  }

  void backward(B& b, const Backward<T, B>& k) override {
    const auto& [dx, wanted, add] = k.bottom_diff[0];
    if (wanted)
      pooling_backward(b, options_.pool == PoolMethod::max, geometry_.y, geometry_.x, k.top_diff[0], dx,
                       index(k.workspace), add);
  }

 private:
  template <class Byte>
  WindowIndex<Byte> index(std::span<Byte> workspace) const {
    return {workspace.data(), geometry_.y.kernel * geometry_.x.kernel <= 256};
  }

  PoolingOptions options_;
  PoolingGeometry geometry_;
};

#if defined(CREMA_COMPILED)  // crema::compiled has it
extern template LayerKind<float, Cpu> layer_kind<float, Cpu, Pooling<float, Cpu>>();
extern template LayerKind<double, Cpu> layer_kind<double, Cpu, Pooling<double, Cpu>>();
#endif

}  // namespace crema
