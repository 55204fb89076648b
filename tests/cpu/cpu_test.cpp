// SPDX-License-Identifier: Apache-2.0
#include "crema/cpu/cpu.hpp"

#include <vector>

#include "catch.hpp"
#include "every_isa.hpp"

using namespace crema;

static_assert(Backend<Cpu>);

TEST_CASE("memory is aligned, zeroed and has slack, small and huge", "[cpu]") {
  Cpu cpu({.threads = 1});
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{2} << 20,
                                  (std::size_t{5} << 20) + 8}) {
    auto* const p = static_cast<unsigned char*>(cpu.allocate(bytes));
    CHECK(reinterpret_cast<std::uintptr_t>(p) % 64 == 0);
    bool zero = true;
    for (std::size_t i = 0; i < bytes + 64; ++i) zero &= p[i] == 0;
    CHECK(zero);
    std::memset(p, 1, bytes + 64);
    cpu.deallocate(p, bytes);
  }
  CHECK_THROWS_AS(cpu.allocate(SIZE_MAX), std::bad_alloc);
}

TEST_CASE("a Cpu takes what it is told or says why not", "[cpu]") {
  CHECK(Cpu().threads() == allowed_cores());
  CHECK(Cpu().isa() == best_isa());
  for (const Isa isa : every_isa()) CHECK(Cpu({.threads = 2, .isa = isa}).isa() == isa);
  CHECK_THROWS_AS(Cpu({.threads = -1}), SpecError);
  if (!isa_available(Isa::avx512)) CHECK_THROWS_AS(Cpu({.isa = Isa::avx512}), SpecError);
}

TEST_CASE("parallel_range covers everything once", "[cpu]") {
  Cpu cpu({.threads = 3});
  for (const std::int64_t n : {0, 1, 9, 10, 11, 100}) {
    std::vector<int> hits(static_cast<std::size_t>(n));
    cpu.parallel_range(n, 10, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) ++hits[static_cast<std::size_t>(i)];
    });
    for (const int h : hits) CHECK(h == 1);
  }
}

TEST_CASE("scratch grows and stays", "[cpu]") {
  Cpu cpu({.threads = 1});
  std::byte* const p = cpu.scratch(1000);
  CHECK(cpu.scratch(500) == p);
  CHECK(cpu.scratch(100000) != nullptr);
}
