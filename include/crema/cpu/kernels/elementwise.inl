// SPDX-License-Identifier: Apache-2.0
// Element-wise ops: kernels, included once per instruction set.

template <class T> constexpr ElementwiseKernels<T> elementwise_kernels() { return {}; }
