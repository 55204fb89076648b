// SPDX-License-Identifier: Apache-2.0
#include "crema/comm/arithmetic.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <vector>

#include "catch.hpp"

using namespace crema;

namespace {

/// out = acc + x for n elements from addresses of all alignments, into out and perhaps `also`, and nothing beside them.
template <class T>
void add_everywhere(ElementType type) {
  using A = detail::Accumulator<T>;
  const detail::Arithmetic& arithmetic = detail::arithmetic(type, Reduction::sum);
  constexpr std::size_t most = 70, steps = 64 / sizeof(T);
  for (std::size_t n = 0; n <= most; ++n)
    for (std::size_t shift = 0; shift < 2 * steps; ++shift) {
      const std::size_t to = shift % steps, from = (3 * shift + shift / steps) % steps;
      alignas(64) A acc[most + steps];
      alignas(64) T x[most + steps], out[most + 2 * steps], also[most + 2 * steps];
      for (std::size_t i = 0; i < n; ++i)
        acc[from + i] = A(i + 1) / 3, x[to + i] = static_cast<T>(A(i) - A(7) / 5);
      const auto untouched = static_cast<T>(A(-1));
      std::fill(std::begin(out), std::end(out), untouched);
      std::fill(std::begin(also), std::end(also), untouched);
      arithmetic.last(out + to, shift % 3 == 0 ? nullptr : also + from, acc + from, x + to, n);
      const auto wrong = [&](const T* place, std::size_t begin, std::size_t count) {
        for (std::size_t i = 0; i < std::size(out); ++i) {
          const bool inside = i >= begin && i < begin + count;
          const T right = inside ? static_cast<T>(acc[from + i - begin] + A(x[to + i - begin])) : untouched;
          if (A(place[i]) != A(right)) return true;
        }
        return false;
      };
      INFO(n << " elements at " << to << " and " << from);
      REQUIRE(!wrong(out, to, n));
      REQUIRE(!wrong(also, from, shift % 3 == 0 ? 0 : n));
    }
}

}  // namespace

TEST_CASE("arithmetic: sums of any alignment, into two places or one") {
  add_everywhere<float>(ElementType::float32);
  add_everywhere<double>(ElementType::float64);
  add_everywhere<BFloat16>(ElementType::bfloat16);
}

namespace {

/// ((x0 + x1) + x2) by the three ways that collectives use, of one element and of a vector's width.
template <class T>
T reduce_three(Reduction r, T x0, T x1, T x2, std::size_t n) {
  const detail::Arithmetic& a = detail::arithmetic(element_type<T>, r);
  std::vector<detail::Accumulator<T>> sum(n);
  const std::vector<T> first(n, x0), next(n, x1), last(n, x2);
  std::vector<T> out(n);
  a.first(sum.data(), first.data(), n), a.next(sum.data(), next.data(), n);
  a.last(out.data(), nullptr, sum.data(), last.data(), n);
  for (const T x : out) REQUIRE(std::memcmp(&x, out.data(), sizeof x) == 0);
  return out[0];
}
template <class T>
void reduce_all() {
  using Limits = std::numeric_limits<T>;
  const T low = static_cast<T>(2), middle = static_cast<T>(3), high = static_cast<T>(7);
  T order[] = {low, middle, high};
  for (const std::size_t n : {1u, 37u}) {
    do {
      const auto of = [&](Reduction r) {
        return static_cast<double>(reduce_three<T>(r, order[0], order[1], order[2], n));
      };
      CHECK(of(Reduction::sum) == 12);
      CHECK(of(Reduction::max) == 7);
      CHECK(of(Reduction::min) == 2);
    } while (std::next_permutation(std::begin(order), std::end(order)));
    if constexpr (std::is_integral_v<T>) {
      const T most = Limits::max(), one = 1;
      CHECK(reduce_three<T>(Reduction::sum, most, one, T{0}, n) == Limits::min());
      CHECK(reduce_three<T>(Reduction::sum, T{0}, most, one, n) == Limits::min());
      CHECK(reduce_three<T>(Reduction::max, most, one, Limits::min(), n) == most);
      CHECK(reduce_three<T>(Reduction::min, most, one, Limits::min(), n) == Limits::min());
    } else {
      const T nan = static_cast<T>(std::numeric_limits<float>::quiet_NaN()), one = static_cast<T>(1);
      for (const Reduction r : {Reduction::sum, Reduction::max, Reduction::min})
        for (int who = 0; who < 3; ++who)
          CHECK(std::isnan(static_cast<double>(
              reduce_three<T>(r, who == 0 ? nan : one, who == 1 ? nan : one, who == 2 ? nan : one, n))));
    }
  }
}

}  // namespace

TEST_CASE("arithmetic: sums, maxima and minima of every type; NaN stays, integers wrap") {
  reduce_all<float>();
  reduce_all<double>();
  reduce_all<BFloat16>();
  reduce_all<std::int32_t>();
  reduce_all<std::int64_t>();
  reduce_all<std::uint8_t>();
}
