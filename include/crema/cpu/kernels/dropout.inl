// SPDX-License-Identifier: Apache-2.0
// Dropout: kernels, included once per instruction set.

template <class T> constexpr DropoutKernels<T> dropout_kernels() { return {}; }
