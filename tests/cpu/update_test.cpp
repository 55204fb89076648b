// SPDX-License-Identifier: Apache-2.0
#include "crema/cpu/update.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "crema/core/random.hpp"
#include "crema/cpu/cpu.hpp"
#include "every_isa.hpp"

using namespace crema;

namespace {
template <class T>
std::vector<T> noise(std::size_t n, std::uint32_t key) {
  std::vector<T> v(n);
  for (std::size_t i = 0; i < n; ++i)
    v[i] = static_cast<T>(uniform(philox({static_cast<std::uint32_t>(i), 0, 0, 0}, {key, 0})[0]) - 0.5);
  return v;
}
}  // namespace

TEMPLATE_TEST_CASE("SGD is Caffe's, element by element", "[cpu]", float, double) {
  using T = TestType;
  for (const Isa isa : every_isa())
    for (const bool l1 : {false, true})
      for (const std::size_t n : {std::size_t{5}, std::size_t{40003}}) {
        CAPTURE(name_of(isa), l1, n);
        Cpu one({.threads = 1, .isa = isa}), three({.threads = 3, .isa = isa});
        auto w = noise<T>(n, 1), h = noise<T>(n, 3), w3 = w, h3 = h;
        const auto g = noise<T>(n, 2);
        w[1] = w3[1] = 0;  // sign(0) is 0
        std::vector<double> want_w(w.begin(), w.end()), want_h(h.begin(), h.end());
        const SgdRule<T> rule{
            .rate = T(0.1), .momentum = T(0.9), .decay = T(0.01), .l1 = l1, .scale = T(0.5)};
        double worst = 0;
        for (int step = 0; step < 3; ++step) {
          sgd_update<T>(one, w, g, h, rule);
          sgd_update<T>(three, w3, g, h3, rule);
        }
        for (std::size_t i = 0; i < n; ++i) {
          for (int step = 0; step < 3; ++step) {
            double d = 0.5 * double{g[i]};
            d += 0.01 * (l1 ? (want_w[i] > 0 ? 1 : want_w[i] < 0 ? -1 : 0) : want_w[i]);
            want_h[i] = 0.9 * want_h[i] + 0.1 * d;
            want_w[i] -= want_h[i];
          }
          worst = std::max({worst, std::fabs(want_w[i] - double{w[i]}), std::fabs(want_h[i] - double{h[i]})});
        }
        CHECK(worst < (sizeof(T) == 4 ? 1e-6 : 1e-14));
        CHECK(w == w3);
        CHECK(h == h3);
      }
  Cpu cpu({.threads = 1});
  std::vector<T> a(3), b(4);
  CHECK_THROWS_AS(sgd_update<T>(cpu, a, b, a, {}), ShapeError);
}

TEST_CASE("pieces of any size update to the same bits", "[cpu]") {
  for (const Isa isa : every_isa()) {
    Cpu cpu({.threads = 1, .isa = isa});
    auto w = noise<float>(1000, 1), h = noise<float>(1000, 2), v = w, u = h;
    const auto g = noise<float>(1000, 3);
    const SgdRule<float> rule{.rate = 0.1f, .momentum = 0.9f, .decay = 0.01f};
    sgd_update<float>(cpu, w, g, h, rule);
    for (std::size_t i = 0; i < 1000; i += 37) {
      const std::size_t n = std::min<std::size_t>(37, 1000 - i);
      sgd_update<float>(cpu, std::span(v).subspan(i, n), std::span(g).subspan(i, n),
                        std::span(u).subspan(i, n), rule);
    }
    CHECK(v == w);
    CHECK(u == h);
  }
}

TEMPLATE_TEST_CASE("sums of squares and finiteness", "[cpu]", float, double) {
  using T = TestType;
  for (const Isa isa : every_isa())
    for (const std::size_t n : {std::size_t{0}, std::size_t{3}, std::size_t{100001}}) {
      CAPTURE(name_of(isa), n);
      Cpu one({.threads = 1, .isa = isa}), three({.threads = 3, .isa = isa});
      auto x = noise<T>(n, 9);
      long double want = 0;
      for (const T v : x) want += static_cast<long double>(v) * static_cast<long double>(v);
      const double sum = sum_of_squares<T>(one, x);
      CHECK(sum == Approx(static_cast<double>(want)).epsilon(1e-12));
      CHECK(sum_of_squares<T>(three, x) == sum);
      CHECK(all_finite<T>(one, x));
      for (const T bad : {std::numeric_limits<T>::infinity(), std::numeric_limits<T>::quiet_NaN()})
        for (const std::size_t at : {std::size_t{0}, n / 2, n - 1}) {
          if (at >= n) continue;
          auto y = x;
          y[at] = bad;
          CHECK_FALSE(all_finite<T>(three, y));
        }
    }
  Cpu cpu({.threads = 1});
  const std::vector<T> large(64, std::numeric_limits<T>::max());
  CHECK(all_finite<T>(cpu, large));
}
