// SPDX-License-Identifier: Apache-2.0
// Matrix product: kernels, included once per instruction set.

template <class T> constexpr GemmKernels<T> gemm_kernels() { return {}; }
