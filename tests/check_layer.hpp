// SPDX-License-Identifier: Apache-2.0
// check_layer: what every layer has to hold, in one call.
//
//   check_layer<ReLU>({.spec = layer("ReLU", "relu", {"x"}, {"y"}), .bottom = {{5, 3, 4, 4}}, .kink = 0});
//
// It runs the layer in double and float, canonical and native, on every instruction set of the machine, with
// one and three threads, with a capacity above the live batch, with two sets of values in the dead lanes, in
// place where the plan allows it, with gradients stored and added, and checks
//   - gradients of bottoms and parameters against central differences in double (relative error 1e-6, floor
//   1),
//   - every run against the double, canonical, baseline one; float within 2e-4,
//   - equal bits for one and three threads and for any dead lanes,
//   - dead lanes: data finite, diff exactly zero.
// The objective is sum_i c_i * top_i with fixed random c for value tops, plus sums of losses.
#pragma once

#include "every_isa.hpp"
#include "layer_harness.hpp"

namespace crema_test {

/// Largest |a - b| / max(1, |b|).
inline double distance(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return 1e300;
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(a[i] - b[i]) / std::max(1.0, std::abs(b[i]));
    worst = d <= worst ? worst : d;  // a NaN sticks
    if (std::isnan(d)) return d;
  }
  return worst;
}

inline void check_close(const LayerResult& a, const LayerResult& b, double tolerance,
                        const std::string& what) {
  INFO(what);
  const auto each = [&](const auto& x, const auto& y, const char* name) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      INFO(name << " " << i << " differs by " << distance(x[i], y[i]));
      CHECK(distance(x[i], y[i]) <= tolerance);
    }
  };
  each(a.top, b.top, "top");
  each(a.bottom_diff, b.bottom_diff, "bottom diff");
  each(a.param_diff, b.param_diff, "parameter diff");
  for (std::size_t i = 0; i < a.loss.size(); ++i) {
    CHECK(a.loss[i].sum == Approx(b.loss[i].sum).epsilon(std::max(tolerance, 1e-12)).margin(tolerance));
    CHECK(a.loss[i].weight == b.loss[i].weight);
  }
}

inline void check_equal_bits(const LayerResult& a, const LayerResult& b, const std::string& what) {
  INFO(what << ": bits must be equal");
  CHECK(a.top == b.top);
  CHECK(a.bottom_diff == b.bottom_diff);
  CHECK(a.param_diff == b.param_diff);
  for (std::size_t i = 0; i < a.loss.size(); ++i) CHECK(a.loss[i].sum == b.loss[i].sum);
}

#if defined(CREMA_TEST_CUDA)
/// The same on the device, against the CPU's double.
template <template <class, class> class L>
void check_on_cuda(const LayerCase& c, const std::vector<std::vector<double>>& bottoms,
                   const std::vector<std::vector<double>>& params, const LayerResult& want) {
  using D = L<double, Cuda>;
  using F = L<float, Cuda>;
  LayerRun run;
  check_close(LayerHarness<double, Cuda>(std::in_place_type<D>, c, run)(bottoms, params), want, 1e-9,
              "double, CUDA");
  const LayerResult f = LayerHarness<float, Cuda>(std::in_place_type<F>, c, run)(bottoms, params);
  check_close(f, want, c.float_tolerance, "float, CUDA");
  check_equal_bits(LayerHarness<float, Cuda>(std::in_place_type<F>, c, run)(bottoms, params), f,
                   "again, CUDA");
  run.spare = 19;
  check_equal_bits(LayerHarness<float, Cuda>(std::in_place_type<F>, c, run)(bottoms, params), f,
                   "a capacity above the live batch, CUDA");
  run = {}, run.prefill = 0.75;
  check_close(LayerHarness<double, Cuda>(std::in_place_type<D>, c, run)(bottoms, params), want, 1e-9,
              "added gradients, CUDA");
}
#endif

template <template <class, class> class L>
void check_layer(const LayerCase& c) {
  INFO("layer '" << c.spec.name << "' (" << c.spec.type << ")");
  using D = L<double, Cpu>;
  using F = L<float, Cpu>;
  std::vector<std::vector<double>> bottoms, params;
  for (std::size_t i = 0; i < c.bottom.size(); ++i) {
    bottoms.push_back(i < c.values.size() && !c.values[i].empty()
                          ? c.values[i]
                          : random_values(c.bottom[i], cat("bottom", i)));
    for (double& x : bottoms.back()) {
      x = static_cast<float>(x);  // exact in both types
      if (c.kink && std::abs(x - *c.kink) < 1e-3) x = *c.kink + 0.25;
    }
  }
  LayerHarness<double> reference(std::in_place_type<D>, c, {});
  const Plan& plan = reference.plan();
  for (std::size_t i = 0; i < plan.params.size(); ++i) {
    params.push_back(random_values(plan.params[i].shape, plan.params[i].name));
    for (double& x : params.back()) x = static_cast<float>(x);
  }
  const LayerResult want = reference(bottoms, params);
  REQUIRE(want.top.size() == plan.top.size());

  // 1. Central differences. Each evaluation is a fresh version of the parameters.
  std::uint64_t version = 1;
  LayerRun forward_only;
  forward_only.backward = false;
  LayerHarness<double> probe(std::in_place_type<D>, c, forward_only);
  const auto difference = [&](std::vector<double>& blob, const std::vector<double>& gradient,
                              const std::string& what) {
    const std::size_t n = blob.size(),
                      stride = std::max<std::size_t>(1, n / static_cast<std::size_t>(c.samples));
    for (std::size_t i = 0; i < n; i += stride) {
      const double x = blob[i];
      blob[i] = x + c.step;
      const double up = probe(bottoms, params, ++version).objective;
      blob[i] = x - c.step;
      const double down = probe(bottoms, params, ++version).objective;
      blob[i] = x;
      const double numeric = (up - down) / (2 * c.step);
      const double error = std::abs(numeric - gradient[i]) / std::max(1.0, std::abs(numeric));
      if (!(error <= c.tolerance)) {
        INFO(what << " element " << i << ": numeric " << numeric << ", analytic " << gradient[i]);
        CHECK(error <= c.tolerance);
        return;
      }
    }
  };
  for (std::size_t i = 0; i < bottoms.size(); ++i)
    if (!(plan.no_gradient >> i & 1))
      difference(bottoms[i], want.bottom_diff[i], cat("gradient of bottom ", i));
  for (std::size_t i = 0; i < params.size(); ++i)
    difference(params[i], want.param_diff[i], cat("gradient of ", plan.params[i].name));

#if defined(CREMA_TEST_CUDA)
  check_on_cuda<L>(c, bottoms, params, want);
  return;  // the rest is of the CPU, and tested there
#endif

  // 2. Every order, instruction set, scalar, thread count and capacity against the reference.
  const bool in_place =
      !plan.top.empty() && plan.top[0].in_place_of == 0 && !reads(plan.backward_reads, Reads::bottom);
  for (const Order order : {Order::canonical, Order::native})
    for (const Isa isa : every_isa()) {
      const std::string where =
          cat(order == Order::native ? "native" : "canonical", ", isa ", static_cast<int>(isa));
      LayerRun run{.order = order, .isa = isa};
      const LayerResult d1 = LayerHarness<double>(std::in_place_type<D>, c, run)(bottoms, params);
      const LayerResult f1 = LayerHarness<float>(std::in_place_type<F>, c, run)(bottoms, params);
      check_close(d1, want, 1e-9, "double, " + where);
      check_close(f1, want, c.float_tolerance, "float, " + where);
      LayerRun other = run;
      other.threads = 3, other.poison = -3.5;
      check_equal_bits(LayerHarness<float>(std::in_place_type<F>, c, other)(bottoms, params), f1,
                       "three threads and other dead lanes, " + where);
      other = run, other.spare = 19, other.poison = 2;
      check_equal_bits(LayerHarness<float>(std::in_place_type<F>, c, other)(bottoms, params), f1,
                       "a capacity above the live batch, " + where);
      other = run, other.prefill = 0.75;
      check_close(LayerHarness<double>(std::in_place_type<D>, c, other)(bottoms, params), want, 1e-9,
                  "added gradients, " + where);
      other = run, other.in_place = true;
      if (in_place)
        check_equal_bits(LayerHarness<float>(std::in_place_type<F>, c, other)(bottoms, params), f1,
                         "in place, " + where);
    }
}

/// One forward pass in double on the best instruction set, native: for values computed by hand.
template <template <class, class> class L>
LayerResult forward_once(const LayerSpec& spec, const std::vector<Shape>& bottom,
                         const std::vector<std::vector<double>>& values) {
  const LayerCase c{.spec = spec, .bottom = bottom};
  LayerRun r{.order = Order::native, .isa = best_isa()};
  r.backward = false;
  return LayerHarness<double>(std::in_place_type<L<double, Cpu>>, c, r)(values, {});
}

/// plan() must refuse fewer than `least` and more than `most` bottoms with a SpecError, before it looks at
/// their shapes.
template <template <class, class> class L>
void check_arity(const LayerSpec& spec, const Shape& bottom, std::size_t least, std::size_t most) {
  for (const std::size_t n : {least - 1, most + 1}) {
    INFO("with " << n << " bottoms");
    CHECK_THROWS_AS((L<float, Cpu>::plan(spec, std::vector<Shape>(n, bottom))), SpecError);
  }
}

}  // namespace crema_test
