// SPDX-License-Identifier: Apache-2.0
// Inner product: kernels, included once per instruction set.

template <class T> constexpr InnerProductKernels<T> inner_product_kernels() { return {}; }
