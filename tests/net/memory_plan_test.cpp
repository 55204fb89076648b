// SPDX-License-Identifier: Apache-2.0
#include "crema/net/memory_plan.hpp"

#include "catch.hpp"
#include "crema/core/random.hpp"

using namespace crema;

TEST_CASE("pieces alive at the same time never share bytes", "[net]") {
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    std::vector<MemoryPiece> p(1 + seed % 40);
    std::size_t sum = 0;
    for (std::uint32_t i = 0; i < p.size(); ++i) {
      const Counter r = philox({i, 0, 0, 0}, {seed, 0});
      p[i].bytes = r[0] % 5000, p[i].first = static_cast<int>(r[1] % 50),
      p[i].last = p[i].first + static_cast<int>(r[2] % 20);
      sum += p[i].bytes + 64;
    }
    const std::size_t arena = place(p);
    CHECK(arena <= sum);
    bool good = true;
    for (const auto& a : p) {
      good = good && a.offset % 64 == 0 && a.offset + a.bytes <= arena;
      for (const auto& b : p) {
        const bool together = &a != &b && a.first <= b.last && b.first <= a.last;
        const bool overlap =
            a.bytes && b.bytes && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
        good = good && !(together && overlap);
      }
    }
    CHECK(good);
  }
}

TEST_CASE("a chain needs the memory of its two largest neighbours", "[net]") {
  std::vector<MemoryPiece> p;
  for (int i = 0; i < 10; ++i) p.push_back({1024, i, i + 1});
  CHECK(place(p) == 2 * 1024);
}
