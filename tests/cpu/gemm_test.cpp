// SPDX-License-Identifier: Apache-2.0
#include "crema/cpu/gemm.hpp"

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
std::vector<T> noise(std::int64_t n, std::uint32_t key) {
  std::vector<T> v(static_cast<std::size_t>(n));  // exactly as long as BLAS says: reading on is an error
  for (std::size_t i = 0; i < v.size(); ++i)
    v[i] = static_cast<T>(uniform(philox({static_cast<std::uint32_t>(i), 0, 0, 0}, {key, 0})[0]) - 0.5);
  return v;
}

struct Case {
  std::int64_t m, n, k, pad;
  double alpha, beta;
};

/// Against three loops in double; returns C for comparisons of bits.
template <class T>
std::vector<T> check(Cpu& cpu, const Case& t, Transpose ta, Transpose tb) {
  CAPTURE(t.m, t.n, t.k, t.pad, ta == Transpose::yes, tb == Transpose::yes);
  const auto stored = [&](std::int64_t rows, std::int64_t columns, Transpose trans, std::int64_t& ld) {
    if (trans == Transpose::yes) std::swap(rows, columns);
    ld = columns + t.pad;
    return rows == 0 ? 0 : (rows - 1) * ld + columns;
  };
  std::int64_t lda, ldb, ldc;
  const auto a = noise<T>(stored(t.m, t.k, ta, lda), 1), b = noise<T>(stored(t.k, t.n, tb, ldb), 2);
  const auto before = noise<T>(stored(t.m, t.n, Transpose::no, ldc), 3);
  auto c = before;
  if (t.beta == 0)
    for (T& x : c) x = std::numeric_limits<T>::quiet_NaN();  // must not be read
  gemm(cpu, ta, tb, t.m, t.n, t.k, static_cast<T>(t.alpha), a.data(), lda, b.data(), ldb,
       static_cast<T>(t.beta), c.data(), ldc);
  double worst = 0;
  bool padding = true;
  for (std::int64_t i = 0; i < t.m; ++i)
    for (std::int64_t j = 0; j < ldc; ++j) {
      const auto at = static_cast<std::size_t>(i * ldc + j);
      if (j >= t.n) {
        if (at < c.size()) padding &= t.beta == 0 ? std::isnan(c[at]) : c[at] == before[at];
        continue;
      }
      double sum = 0;
      for (std::int64_t k = 0; k < t.k; ++k)
        sum += double{a[static_cast<std::size_t>(ta == Transpose::yes ? k * lda + i : i * lda + k)]} *
               double{b[static_cast<std::size_t>(tb == Transpose::yes ? j * ldb + k : k * ldb + j)]};
      const double wrong =
          std::fabs(double{c[at]} - (t.alpha * sum + (t.beta == 0 ? 0 : t.beta * double{before[at]})));
      if (!(wrong <= worst)) worst = wrong;
    }
  CHECK(worst < (sizeof(T) == 4 ? 2e-6 : 4e-15) * (2 + std::sqrt(static_cast<double>(t.k))));
  CHECK(padding);
  return c;
}

}  // namespace

TEMPLATE_TEST_CASE("gemm agrees with three loops", "[cpu]", float, double) {
  const Case cases[] = {{1, 1, 1, 0, 1, 0},      {3, 5, 2, 0, 1, 0},       {14, 32, 16, 0, 1, 0},
                        {15, 33, 17, 3, 2, 1},   {50, 64, 50, 0, 1, 0},    {64, 10, 130, 1, 1, 0},
                        {10, 70, 3, 0, -1, 1},   {29, 31, 600, 0, 1, 0.5}, {45, 100, 40, 5, 1, 1},
                        {7, 3200, 9, 0, 1, 0.5}, {130, 3, 520, 0, 1, 2},   {1, 40, 37, 0, 1, 0},
                        {40, 1, 37, 2, 1, 1},    {5, 6, 0, 0, 1, 0.5},     {0, 3, 4, 0, 1, 0}};
  for (const Isa isa : every_isa()) {
    CAPTURE(name_of(isa));
    Cpu one({.threads = 1, .isa = isa}), three({.threads = 3, .isa = isa});
    for (const Case& t : cases)
      for (const Transpose ta : {Transpose::no, Transpose::yes})
        for (const Transpose tb : {Transpose::no, Transpose::yes}) {
          const auto a = check<TestType>(one, t, ta, tb), b = check<TestType>(three, t, ta, tb);
          CHECK((a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(TestType)) == 0));
        }
  }
}

TEST_CASE("every height of the tile is right", "[cpu]") {
  for (const Isa isa : every_isa()) {
    Cpu cpu({.threads = 1, .isa = isa});
    for (std::int64_t m = 1; m <= 20; ++m) {
      check<float>(cpu, {m, 64, 20, 0, 1, 0}, Transpose::no, Transpose::no);
      check<double>(cpu, {m, 64, 20, 0, 1, 1}, Transpose::yes, Transpose::yes);
    }
  }
}

TEST_CASE("gemm refuses sizes that cannot be", "[cpu]") {
  Cpu cpu({.threads = 1});
  float x[64] = {}, y[64];
  CHECK_THROWS_AS(gemm(cpu, Transpose::no, Transpose::no, 4, 4, 4, 1, x, 3, x, 4, 0, y, 4), ShapeError);
  CHECK_THROWS_AS(gemm(cpu, Transpose::no, Transpose::yes, 4, 4, 4, 1, x, 4, x, 3, 0, y, 4), ShapeError);
  CHECK_THROWS_AS(gemm(cpu, Transpose::no, Transpose::no, 4, 4, 4, 1, x, 4, x, 4, 0, y, 3), ShapeError);
  CHECK_THROWS_AS(gemm(cpu, Transpose::no, Transpose::no, -4, 4, 4, 1, x, 4, x, 4, 0, y, 4), ShapeError);
}
