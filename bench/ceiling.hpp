// SPDX-License-Identifier: Apache-2.0
// The ceiling: what 12 independent chains of fused multiply-adds reach in registers, in GFLOP/s. Shares in
// benchmarks are shares of this number, measured in the same run.
//
//   fma_ceiling(cpu);                             // all threads of this Cpu, its instruction set
//
// Costs about 60 ms.
#pragma once

#include <algorithm>

#include "crema/core/clock.hpp"
#include "crema/cpu/backend.hpp"
#include "crema/cpu/vec.hpp"

namespace crema_bench {

namespace baseline {
using namespace crema::baseline;
#include "fma_chains.inl"
}  // namespace baseline
#include "crema/cpu/kernels/begin_avx2.inl"
namespace avx2 {
using namespace crema::avx2;
#include "fma_chains.inl"
}  // namespace avx2
#include "crema/cpu/kernels/end.inl"

#include "crema/cpu/kernels/begin_avx512.inl"
namespace avx512 {
using namespace crema::avx512;
#include "fma_chains.inl"
}  // namespace avx512
#include "crema/cpu/kernels/end.inl"

/// GFLOP/s of all threads of this Cpu together in its instruction set: the best of `rounds`. The baseline has
/// no fused instruction; its multiplication and addition count the same.
inline double fma_ceiling(crema::Cpu& cpu, int rounds = 20) {
  const bool wide = cpu.isa() == crema::Isa::avx512, middle = cpu.isa() == crema::Isa::avx2;
  const auto run = wide     ? &avx512::fma_chains<float>
                   : middle ? &avx2::fma_chains<float>
                            : &baseline::fma_chains<float>;
  constexpr long n = 100'000;
  const int pieces = 8 * cpu.threads();  // a thread that comes late takes fewer
  const double flops = 2.0 * 12 * (wide ? 16 : middle ? 8 : 4) * n * pieces;
  double best = 1e9;
  for (int i = 0; i < rounds; ++i) {
    const double start = crema::monotonic_seconds();
    cpu.parallel(pieces, [&](std::int64_t) {
      volatile float keep = run(n);
      static_cast<void>(keep);
    });
    best = std::min(best, crema::monotonic_seconds() - start);
  }
  return flops / best * 1e-9;
}

}  // namespace crema_bench
