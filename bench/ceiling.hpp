// SPDX-License-Identifier: Apache-2.0
// The ceiling of one core: what 12 independent chains of fused multiply-adds reach, in GFLOP/s. Shares in
// benchmarks are shares of this number, measured in the same run.
#pragma once

#include <algorithm>

#include "crema/core/clock.hpp"
#include "crema/cpu/dispatch.hpp"
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

/// GFLOP/s of one core with the registers of an instruction set: the best of ten.
inline double fma_ceiling(crema::Isa isa = crema::best_isa()) {
  const bool wide = isa == crema::Isa::avx512, middle = isa == crema::Isa::avx2;
  const auto run = wide     ? &avx512::fma_chains<float>
                   : middle ? &avx2::fma_chains<float>
                            : &baseline::fma_chains<float>;
  constexpr long n = 1'000'000;
  const double flops = 2.0 * 12 * (wide ? 16 : middle ? 8 : 4) * n;
  double best = 1e9;
  volatile float keep = 0;
  for (int i = 0; i < 10; ++i) {
    const double start = crema::seconds(CLOCK_THREAD_CPUTIME_ID);
    keep = keep + run(n);
    best = std::min(best, crema::seconds(CLOCK_THREAD_CPUTIME_ID) - start);
  }
  return flops / best * 1e-9;
}

}  // namespace crema_bench
