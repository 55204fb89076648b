// SPDX-License-Identifier: Apache-2.0
// The ceiling of one core: what 12 independent chains of fused multiply-adds reach, in GFLOP/s, best of several. Shares in
// benchmarks are shares of this number, measured in the same run.
#pragma once

#include <time.h>

#include <algorithm>

#include "crema/core/clock.hpp"
#include "crema/cpu/vec.hpp"

namespace crema_bench {

inline constexpr int chains = 12;

#define CREMA_CEILING(set)                                                            \
  namespace set {                                                                     \
  using namespace crema::set;                                                         \
  __attribute__((noinline)) inline float fma_chains(long n) {                         \
    vec<float> a[chains], x = crema::set::set(0.999f), y = crema::set::set(1e-3f);    \
    _Pragma("GCC unroll 12") for (int i = 0; i < chains; ++i) a[i] = y;               \
    for (long k = 0; k < n; ++k) {                                                    \
      _Pragma("GCC unroll 12") for (int i = 0; i < chains; ++i) a[i] = a[i] * x + y;  \
      _Pragma("GCC unroll 12") for (int i = 0; i < chains; ++i) asm("" : "+x"(a[i])); \
    }                                                                                 \
    float total = 0;                                                                  \
    _Pragma("GCC unroll 12") for (int i = 0; i < chains; ++i) total += a[i][0];       \
    return total;                                                                     \
  }                                                                                   \
  }
#include "crema/cpu/kernels/begin_avx512.inl"
CREMA_CEILING(avx512)
#include "crema/cpu/kernels/end.inl"
#include "crema/cpu/kernels/begin_avx2.inl"
CREMA_CEILING(avx2)
#include "crema/cpu/kernels/end.inl"
CREMA_CEILING(baseline)
#undef CREMA_CEILING

/// GFLOP/s of one core with the registers of an instruction set.
inline double fma_ceiling_gflops(crema::Isa isa = crema::best_isa()) {
  const auto run = isa == crema::Isa::avx512 ? &avx512::fma_chains : isa == crema::Isa::avx2 ? &avx2::fma_chains : &baseline::fma_chains;
  const int width = isa == crema::Isa::avx512 ? 16 : isa == crema::Isa::avx2 ? 8 : 4;
  const long n = 2'000'000;
  double best = 0;
  volatile float keep = 0;
  for (int i = 0; i < 10; ++i) {
    const double t = crema::seconds(CLOCK_THREAD_CPUTIME_ID);
    keep = keep + run(n);
    best = std::max(best, 2.0 * chains * width * n / (crema::seconds(CLOCK_THREAD_CPUTIME_ID) - t) * 1e-9);
  }
  return best;
}

}  // namespace crema_bench
