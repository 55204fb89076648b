// SPDX-License-Identifier: Apache-2.0
#include "crema/cpu/lines.hpp"

#include <cmath>
#include <vector>

#include "catch.hpp"
#include "crema/cpu/cpu.hpp"
#include "every_isa.hpp"

using namespace crema;

TEMPLATE_TEST_CASE("lines applies a body to every element, wherever it lies", "[cpu]", float, double) {
  using T = TestType;
  for (const Isa isa : every_isa())
    for (const std::int64_t n : {1, 7, 16, 33, 40001}) {
      CAPTURE(name_of(isa), n);
      Cpu cpu({.threads = 2, .isa = isa});
      std::vector<T> x(static_cast<std::size_t>(n + 1)), y(x.size(), T(0.5));
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(i % 11) - T(5.5);
      const T slope = T(0.25);
      const auto body = [=](auto& v, const auto& u) CREMA_ALWAYS_INLINE { v = v + (u > 0 ? u : u * slope); };
      lines<T>(cpu, n, body, y.data(), x.data());
      bool right = true;
      for (std::size_t i = 0; i + 1 < x.size(); ++i)
        right &= y[i] == T(0.5) + (x[i] > 0 ? x[i] : x[i] * slope);
      CHECK(right);
      CHECK(y.back() == T(0.5));  // not a lane beyond n
    }
}

TEMPLATE_TEST_CASE("vexp and vlog are right to a few units in the last place", "[cpu]", float, double) {
  using T = TestType;
  const double unit = std::ldexp(1.0, sizeof(T) == 4 ? -24 : -53);
  for (const Isa isa : every_isa()) {
    CAPTURE(name_of(isa));
    Cpu cpu({.threads = 1, .isa = isa});
    std::vector<T> x(4000), y(x.size());
    const auto worst = [&](long double (*f)(long double)) {
      long double error = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const long double want = f(x[i]), wrong = std::fabs((y[i] - want) / want);
        if (!(wrong <= error)) error = wrong;
      }
      return static_cast<double>(error) / unit;
    };
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(-80 + 0.04 * static_cast<double>(i));
    lines<T>(
        cpu, 4000, [](auto& v, const auto& u) CREMA_ALWAYS_INLINE { vexp(v, u); }, y.data(), x.data());
    CHECK(worst(std::exp) < 2.5);
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = static_cast<T>(1.5e-5 * static_cast<double>((i + 1) * (i + 2)));
    lines<T>(
        cpu, 4000, [](auto& v, const auto& u) CREMA_ALWAYS_INLINE { vlog(v, u); }, y.data(), x.data());
    CHECK(worst(std::log) < 2.5);

    x = {T(-1e30), T(1e30), std::nanf(""), 0};
    lines<T>(
        cpu, 4, [](auto& v, const auto& u) CREMA_ALWAYS_INLINE { vexp(v, u); }, y.data(), x.data());
    CHECK(y[0] == 0);
    CHECK(std::isfinite(y[1]));
    CHECK(std::isnan(y[2]));
    CHECK(y[3] == 1);
  }
}
