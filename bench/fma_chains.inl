// SPDX-License-Identifier: Apache-2.0
// n rounds of 12 independent chains of a*x + y; included by bench/ceiling.hpp once per instruction set.
__attribute__((noinline)) inline float fma_chains(long n) {
  using v = typename V<float>::type;
  v a[12], x = set<float>(0.999f), y = set<float>(1e-3f);
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) a[i] = y;
  for (long k = 0; k < n; ++k) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) {
      a[i] = a[i] * x + y;
      asm("" : "+x"(a[i]));  // keeps the chain from being folded
    }
  }
  float total = 0;
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) total += a[i][0];
  return total;
}
