// SPDX-License-Identifier: Apache-2.0
// Pooling: kernels, included once per instruction set.

template <class T> constexpr PoolingKernels<T> pooling_kernels() { return {}; }
