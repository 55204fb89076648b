// SPDX-License-Identifier: Apache-2.0
// Parameter update: kernels, included once per instruction set.

template <class T> constexpr UpdateKernels<T> update_kernels() { return {}; }
