// SPDX-License-Identifier: Apache-2.0
#include "crema/comm/arithmetic.hpp"

#include <algorithm>
#include <iterator>

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
