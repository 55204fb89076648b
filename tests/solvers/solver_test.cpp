// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "crema/cpu/cpu.hpp"
#include "crema/solvers/all.hpp"

using namespace crema;

namespace {
std::vector<Segment> segments() {
  Segment a{.layer = "a",
            .param = "weight",
            .shared_name = {},
            .offset = 0,
            .count = 21,
            .shape = {21},
            .lr_mult = 1,
            .decay_mult = 1};
  Segment b{.layer = "a",
            .param = "bias",
            .shared_name = {},
            .offset = 32,
            .count = 5,
            .shape = {5},
            .lr_mult = 2,
            .decay_mult = 0};
  Segment c{.layer = "b",
            .param = "weight",
            .shared_name = {},
            .offset = 48,
            .count = 3,
            .shape = {3},
            .lr_mult = 0,
            .decay_mult = 1};
  return {a, b, c};
}
double draw(std::uint32_t i, std::uint32_t k) { return 2 * uniform(philox({i, k, 0, 0}, {1, 2})[0]) - 1; }

/// Caffe's equations in plain double, beside what the solver does in T.
template <class T>
double worst_difference(const SolverSpec& spec, double scale, int steps) {
  Cpu cpu({.threads = 2});
  Parameters<T, Cpu> p(cpu, segments());
  auto solver = make_solver<T, Cpu>(cpu, spec, p);
  std::vector<double> w(64, 0), h(64, 0);
  for (const Segment& s : p.segments())
    for (std::size_t i = s.offset; i < s.offset + s.count; ++i)
      p.edit()[i] = static_cast<T>(w[i] = static_cast<T>(draw(static_cast<std::uint32_t>(i), 1000)));
  double worst = 0;
  for (int it = 0; it < steps; ++it) {
    std::vector<T> g(64, 0);
    double norm = 0;
    for (const Segment& s : p.segments())
      for (std::size_t i = s.offset; i < s.offset + s.count; ++i) {
        g[i] = static_cast<T>(draw(static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(it)));
        norm += double(g[i]) * double(g[i]);
      }
    solver->update(cpu, p, g, it, scale);
    norm = std::sqrt(norm);
    const double clip =
        spec.clip_gradients >= 0 && norm > spec.clip_gradients ? spec.clip_gradients / norm : 1;
    const double rate =
        spec.base_lr * (spec.lr_policy == "step" ? std::pow(double(spec.gamma), it / spec.stepsize) : 1);
    for (const Segment& s : p.segments()) {
      if (s.lr_mult == 0) continue;
      for (std::size_t i = s.offset; i < s.offset + s.count; ++i) {
        const double sign = w[i] > 0 ? 1 : w[i] < 0 ? -1 : 0;
        const double d = double(g[i]) * clip * scale +
                         spec.weight_decay * s.decay_mult * (spec.regularization_type == "L1" ? sign : w[i]);
        h[i] = spec.momentum * h[i] + rate * s.lr_mult * d;
        w[i] -= h[i];
      }
    }
    for (std::size_t i = 0; i < 64; ++i)
      if (i < p.values().size()) worst = std::max(worst, std::abs(double(p.values()[i]) - w[i]));
  }
  return worst;
}
}  // namespace

TEST_CASE("SGD follows Caffe's equations", "[solvers]") {
  SolverSpec s;
  s.base_lr = 0.1f, s.lr_policy = "fixed", s.momentum = 0.9f, s.weight_decay = 0.01f;
  CHECK(worst_difference<double>(s, 1, 50) < 1e-13);
  CHECK(worst_difference<float>(s, 1, 50) < 1e-5);
  s.regularization_type = "L1";
  CHECK(worst_difference<double>(s, 0.25, 50) < 1e-13);
  s.clip_gradients = 0.7f;
  CHECK(worst_difference<double>(s, 0.5, 50) < 1e-13);
  s.lr_policy = "step", s.gamma = 0.5f, s.stepsize = 7;
  CHECK(worst_difference<double>(s, 1, 50) < 1e-13);
}

TEST_CASE("the seven learning-rate policies", "[solvers]") {
  SolverSpec s;
  s.base_lr = 0.5f, s.gamma = 0.25f, s.power = 2, s.stepsize = 10, s.max_iter = 100,
  s.stepvalue = {5, 20, 20, 30};
  const auto rate = [&](const char* policy, std::int64_t i) {
    s.lr_policy = policy;
    return learning_rate(s, i);
  };
  CHECK(rate("fixed", 1000) == 0.5);
  CHECK(rate("step", 9) == 0.5);
  CHECK(rate("step", 25) == Approx(0.5 / 16));
  CHECK(rate("exp", 3) == Approx(0.5 / 64));
  CHECK(rate("inv", 4) == Approx(0.5 / 4));
  CHECK(rate("multistep", 4) == 0.5);
  CHECK(rate("multistep", 5) == Approx(0.125));
  CHECK(rate("multistep", 29) == Approx(0.5 / 64));
  CHECK(current_step(s, 30) == 4);
  CHECK(rate("poly", 50) == Approx(0.125));
  CHECK(rate("poly", 100) == 0);
  CHECK(rate("sigmoid", 10) == Approx(0.25));
  CHECK(rate("sigmoid", 14) == Approx(0.5 / (1 + std::exp(-1.0))));
  CHECK_THROWS_WITH(rate("cosine", 1),
                    Catch::Contains("no lr_policy \"cosine\"") && Catch::Contains("sigmoid"));
  s.stepsize = 0;
  CHECK_THROWS_WITH(rate("step", 1), Catch::Contains("stepsize"));
}

TEST_CASE("solvers that cannot be right are refused", "[solvers]") {
  Cpu cpu({.threads = 1});
  Parameters<float, Cpu> p(cpu, segments());
  SolverSpec s;
  s.lr_policy = "fixed";
  s.type = "Adamm";
  CHECK_THROWS_WITH((make_solver<float, Cpu>(cpu, s, p)), Catch::Contains("no solver type \"Adamm\""));
  s.type = "SGD", s.momentum = 1.5f;
  CHECK_THROWS_WITH((make_solver<float, Cpu>(cpu, s, p)), Catch::Contains("momentum"));
  s.momentum = 0, s.regularization_type = "L3";
  CHECK_THROWS_WITH((make_solver<float, Cpu>(cpu, s, p)), Catch::Contains("L3"));
}
