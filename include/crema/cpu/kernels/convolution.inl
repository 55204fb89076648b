// SPDX-License-Identifier: Apache-2.0
// Convolution: kernels, included once per instruction set.

template <class T> constexpr ConvolutionKernels<T> convolution_kernels() { return {}; }
