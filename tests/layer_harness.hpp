// SPDX-License-Identifier: Apache-2.0
// LayerHarness: runs one layer over memory of its own, in any order, instruction set and scalar; what
// check_layer is made of.
#pragma once

#include <cmath>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "catch.hpp"
#include "crema/core/random.hpp"
#include "crema/cpu/cpu.hpp"
#if defined(CREMA_TEST_CUDA)
#include "crema/cuda/cuda.hpp"
#endif
#include "crema/net/layer.hpp"

namespace crema_test {

using namespace crema;

struct LayerCase {
  LayerSpec spec;
  std::vector<Shape> bottom;  // live shapes
  Phase phase = Phase::train;
  std::vector<std::vector<double>> values =
      {};                                // per bottom, canonical; missing or empty: uniform in [-1, 1)
  std::optional<double> kink = {};       // bottom elements this near (1e-3) to it are moved away
  double step = 1e-5, tolerance = 1e-6;  // of the central differences
  double float_tolerance = 2e-4;
  int samples = 60;  // elements differenced per blob
};

/// What one run gives, everything canonical and double.
struct LayerResult {
  std::vector<std::vector<double>> top, bottom_diff, param_diff;
  std::vector<Loss> loss;
  double objective = 0;
};

struct LayerRun {
  Order order = Order::canonical;
  Isa isa = Isa::baseline;
  int threads = 1;
  std::int64_t spare = 0;  // capacity beyond the live batch
  double poison = 0;       // what stands in dead lanes and gaps before the run
  bool in_place = false, backward = true;
  double prefill = 0;  // gradients are added to this (0: stored)
};

inline std::vector<double> random_values(const Shape& s, std::string_view name) {
  std::vector<double> v(static_cast<std::size_t>(s.size()));
  for (std::size_t i = 0; i < v.size(); ++i)
    v[i] = 2 * uniform(philox({static_cast<std::uint32_t>(i), 0, 0, 0}, random_key(7, name))[0]) - 1;
  return v;
}

/// The backend of a run.
template <class B>
B make_backend(const LayerRun& run) {
  if constexpr (std::same_as<B, Cpu>)
    return B({.threads = run.threads, .isa = run.isa});
  else
    return B();
}

/// Works on host memory; for a backend with memory of its own everything is copied there before, and back
/// after, each pass.
template <class T, class B = Cpu>
class LayerHarness {
 public:
  template <class L>
  LayerHarness(std::in_place_type_t<L>, const LayerCase& c, const LayerRun& run)
      : case_(c), run_(run), backend_(make_backend<B>(run)), spec_(c.spec) {
    spec_.phase = c.phase;
    plan_ = L::plan(spec_, c.bottom);
    while (spec_.top.size() < plan_.top.size()) spec_.top.push_back("top");
    layer_ = std::make_unique<L>(spec_);
    const auto capacity = [&](const Shape& s) {
      return s.rank() > 0 && s[0] == c.bottom[0][0] ? s.with(0, s[0] + run.spare) : s;
    };
    std::vector<Slot> in, out;
    for (std::size_t i = 0; i < c.bottom.size(); ++i)
      bottom_.push_back(make(c.bottom[i], capacity(c.bottom[i]), any(plan_.bottom_any_order, i), in));
    for (std::size_t i = 0; i < plan_.top.size(); ++i)
      top_.push_back(
          make(plan_.top[i].shape, capacity(plan_.top[i].shape), any(plan_.top_any_order, i), out));
    if (run.in_place) top_[0].data = nullptr, top_[0].diff = nullptr;
    for (const ParamPlan& p : plan_.params) {
      std::vector<Slot> unused;
      params_.push_back(make(p.shape, p.shape, false, unused));
    }
    const Needs needs = layer_->prepare(backend_, in, out);
    workspace_ = Buffer<std::byte, B>(backend_, needs.workspace + 64),
    scratchpad_ = Buffer<std::byte, B>(backend_, std::max(needs.scratchpad, needs.backward_scratchpad) + 64);
  }

  /// `params` canonical; bottoms as given.
  LayerResult operator()(const std::vector<std::vector<double>>& bottoms,
                         const std::vector<std::vector<double>>& params, std::uint64_t version = 1) {
    std::vector<View<const T, B>> in, in_after, weights, out_after, out_diff;
    std::vector<View<T, B>> out;
    std::vector<Gradient<T, B>> in_diff;
    std::vector<ParamGradient<T, B>> weight_diff;
    for (std::size_t i = 0; i < bottom_.size(); ++i) {
      poison(bottom_[i], bottom_[i].data.get(), run_.poison);
      put(bottom_[i], bottom_[i].data.get(), bottoms[i]);
      in.push_back(view(bottom_[i], bottom_[i].data.get()));
    }
    for (std::size_t i = 0; i < params_.size(); ++i) {
      put(params_[i], params_[i].data.get(), params[i]);
      weights.push_back(view(params_[i], params_[i].data.get()));
    }
    for (auto& t : top_) {
      if (t.data) poison(t, t.data.get(), run_.poison);
      out.push_back(view(t, host_data(t)));
      out_after.push_back(out.back());
    }
    const Step step{.phase = case_.phase, .seed = 11, .iteration = 5};
    LayerResult r;
    r.loss.resize(top_.size());
    const std::span<std::byte> ws{workspace_.data(), workspace_.size()},
        sp{scratchpad_.data(), scratchpad_.size()};
    to_backend();
    layer_->forward(backend_, {in, weights, version, out, {}, ws, sp, step, r.loss});
    from_backend();
    std::vector<std::vector<double>> c;
    for (std::size_t i = 0; i < top_.size(); ++i) {
      r.top.push_back(get(top_[i], host_data(top_[i])));
      check_finite(top_[i], host_data(top_[i]));
      c.push_back(random_values(top_[i].live, cat("objective", i)));
      if (plan_.top[i].kind == TopPlan::loss) r.objective += r.loss[i].sum * 0.5;
      if (plan_.top[i].kind == TopPlan::value)
        for (std::size_t k = 0; k < c[i].size(); ++k) r.objective += c[i][k] * r.top[i][k];
    }
    if (!run_.backward) return r;
    // TopPlan::loss tops get their gradient through loss_scale, the others through top_diff.
    std::vector<double> scale(top_.size(), 0);
    for (std::size_t i = 0; i < top_.size(); ++i) {
      const bool value = plan_.top[i].kind == TopPlan::value;
      if (!value) {
        scale[i] = plan_.top[i].kind == TopPlan::loss ? 0.5 : 0;
        out_diff.push_back({nullptr, top_[i].live, {}});
        continue;
      }
      T* d = top_[i].diff ? top_[i].diff.get() : bottom_[0].diff.get();
      poison(top_[i], d, 0);
      put(top_[i], d, c[i]);
      out_diff.push_back(view(top_[i], d));
    }
    for (std::size_t i = 0; i < bottom_.size(); ++i) {
      const bool wanted = !(plan_.no_gradient >> i & 1);
      if (!run_.in_place)
        fill_live(bottom_[i], bottom_[i].diff.get(), run_.prefill, run_.prefill == 0 ? 7 : run_.prefill);
      in_diff.push_back({view(bottom_[i], bottom_[i].diff.get()), wanted, run_.prefill != 0});
    }
    for (auto& p : params_) {
      fill_live(p, p.diff.get(), run_.prefill, run_.prefill == 0 ? 7 : run_.prefill);
      weight_diff.push_back({{view(p, p.diff.get()), true, run_.prefill != 0}});
    }
    // Values that backward does not read may be gone: overwrite them.
    if (!run_.in_place && !reads(plan_.backward_reads, Reads::bottom))
      for (auto& b : bottom_) poison_all(b, b.data.get(), 1e9);
    if (!run_.in_place && !reads(plan_.backward_reads, Reads::top))
      for (auto& t : top_) poison_all(t, t.data.get(), 1e9);
    to_backend();
    layer_->backward(backend_,
                     {in, out_after, weights, version, out_diff, in_diff, weight_diff, ws, sp, step, scale});
    from_backend();
    for (std::size_t i = 0; i < bottom_.size(); ++i) {
      r.bottom_diff.push_back(in_diff[i].wanted ? get(bottom_[i], bottom_[i].diff.get())
                                                : std::vector<double>{});
      for (double& x : r.bottom_diff.back()) x -= run_.prefill;
      if (in_diff[i].wanted && run_.prefill == 0) check_dead_zero(bottom_[i], bottom_[i].diff.get());
    }
    for (auto& p : params_) {
      r.param_diff.push_back(get(p, p.diff.get()));
      for (double& x : r.param_diff.back()) x -= run_.prefill;
    }
    return r;
  }

  const Plan& plan() const { return plan_; }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  struct Blob {
    Shape live, capacity;
    Layout layout;
    std::size_t elements;
    std::unique_ptr<T, Free> data, diff;
    Buffer<T, B> own_data, own_diff;  // the backend's, if the host cannot reach its memory
  };
  static constexpr bool on_host = std::same_as<B, Cpu>;

  T* host_data(const Blob& b) const { return b.data ? b.data.get() : bottom_[0].data.get(); }  // in place
  /// f(host memory, the backend's, elements) for everything there is.
  template <class F>
  void each_memory(F&& f) {
    for (auto* list : {&bottom_, &top_, &params_})
      for (Blob& b : *list) {
        if (b.data) f(b.data.get(), b.own_data.data(), b.elements);
        if (b.diff) f(b.diff.get(), b.own_diff.data(), b.elements);
      }
  }
  View<T, B> view(const Blob& b, T* host) {
    T* p = host;
    if constexpr (!on_host)
      each_memory([&](T* h, T* own, std::size_t) {
        if (h == host) p = own;
      });
    return {p, b.live, b.layout};
  }
  void to_backend() {
    if constexpr (!on_host)
      each_memory([&](T* h, T* own, std::size_t n) { backend_.copy_in(own, h, n * sizeof(T)); });
  }
  void from_backend() {
    if constexpr (!on_host)
      each_memory([&](T* h, T* own, std::size_t n) { backend_.copy_out(h, own, n * sizeof(T)); });
  }
  static bool any(const std::vector<bool>& v, std::size_t i) { return i < v.size() && v[i]; }

  Blob make(const Shape& live, const Shape& capacity, bool any_order, std::vector<Slot>& slots) {
    Blob b;
    const bool native = any_order && run_.order == Order::native && has_native_order(live);
    b.live = live, b.capacity = capacity;
    b.layout = dense_layout(capacity, native ? Order::native : Order::canonical);
    b.elements = static_cast<std::size_t>(storage_size(capacity, b.layout)) + 16;
    for (auto* p : {&b.data, &b.diff}) {
      const std::size_t bytes = (b.elements * sizeof(T) + 63) / 64 * 64;
      p->reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
      std::memset(p->get(), 0, bytes);
    }
    if constexpr (!on_host) b.own_data = {backend_, b.elements}, b.own_diff = {backend_, b.elements};
    slots.push_back({capacity, b.layout});
    return b;
  }
  std::size_t at(const Blob& b, std::size_t i) const {  // where canonical element i lies
    if (b.layout.order == Order::canonical) return i;
    const Shape& s = b.live;
    const std::int64_t w = width(s), h = height(s), c = channels(s), k = static_cast<std::int64_t>(i);
    return static_cast<std::size_t>(
        native_index(s, b.layout, k / (w * h * c), k / (w * h) % c, k / w % h, k % w));
  }
  void put(const Blob& b, T* p, const std::vector<double>& v) const {
    for (std::size_t i = 0; i < v.size(); ++i) p[at(b, i)] = static_cast<T>(v[i]);
  }
  std::vector<double> get(const Blob& b, const T* p) const {
    std::vector<double> v(static_cast<std::size_t>(b.live.size()));
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = p[at(b, i)];
    return v;
  }
  void poison_all(const Blob& b, T* p, double x) const {
    for (std::size_t i = 0; i < b.elements; ++i) p[i] = static_cast<T>(x);
  }
  void poison(const Blob& b, T* p, double x) const {
    if (b.layout.order == Order::native) poison_all(b, p, x);
  }
  /// Live elements get `live`; memory that backward must write gets `rest`.
  void fill_live(const Blob& b, T* p, double live, double rest) const {
    for (std::size_t i = 0; i < b.elements; ++i) p[i] = static_cast<T>(rest);
    if (live == 0) return;
    poison(b, p, 0);
    for (std::size_t i = 0; i < static_cast<std::size_t>(b.live.size()); ++i)
      p[at(b, i)] = static_cast<T>(live);
  }
  template <class F>
  void each_dead(const Blob& b, F&& f) const {
    if (b.layout.order != Order::native) return;
    for (std::int64_t n = b.live[0]; n < blocks(b.live) * lanes; ++n)
      for (std::int64_t c = 0; c < channels(b.live); ++c)
        for (std::int64_t y = 0; y < height(b.live); ++y)
          for (std::int64_t x = 0; x < width(b.live); ++x)
            f(static_cast<std::size_t>(native_index(b.live, b.layout, n, c, y, x)));
  }
  void check_dead_zero(const Blob& b, const T* p) const {
    bool zero = true;
    each_dead(b, [&](std::size_t i) { zero = zero && p[i] == 0; });
    INFO("a diff's dead lanes must be zero");
    CHECK(zero);
  }
  void check_finite(const Blob& b, const T* p) const {
    bool finite = true;
    each_dead(b, [&](std::size_t i) { finite = finite && std::isfinite(p[i]); });
    INFO("dead lanes of a top's data must be finite");
    CHECK(finite);
  }

  const LayerCase& case_;
  LayerRun run_;
  B backend_;
  LayerSpec spec_;
  Plan plan_;
  std::unique_ptr<Layer<T, B>> layer_;
  std::vector<Blob> bottom_, top_, params_;
  Buffer<std::byte, B> workspace_, scratchpad_;
};

}  // namespace crema_test
