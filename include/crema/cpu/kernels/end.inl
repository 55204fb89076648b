// SPDX-License-Identifier: Apache-2.0
// Closes the region that begin_avx2.inl or begin_avx512.inl opened.
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
