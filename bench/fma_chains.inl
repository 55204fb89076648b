// SPDX-License-Identifier: Apache-2.0
// n rounds of 12 independent chains of a*x + y; included by bench/ceiling.hpp once per instruction set.
template <class T>
__attribute__((noinline)) T fma_chains(long n) {
  vec<T> a[12], x = set<T>(T(0.999)), y = set<T>(T(1e-3));
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) a[i] = y;
  for (long k = 0; k < n; ++k) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) {
      a[i] = a[i] * x + y;
      asm("" : "+x"(a[i]));  // keeps the chain from being folded
    }
  }
  T total = 0;
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) total += a[i][0];
  return total;
}
