// SPDX-License-Identifier: Apache-2.0
// Order conversion: kernels, included once per instruction set.

template <class T> constexpr OrderKernels<T> order_kernels() { return {}; }
