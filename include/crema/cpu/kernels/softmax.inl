// SPDX-License-Identifier: Apache-2.0
// Softmax: kernels, included once per instruction set.

template <class T> constexpr SoftmaxKernels<T> softmax_kernels() { return {}; }
