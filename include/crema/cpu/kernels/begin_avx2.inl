// SPDX-License-Identifier: Apache-2.0
// Opens a region whose functions may use AVX2 and FMA;
// end.inl closes it. Must name what isa_available() asks for.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
