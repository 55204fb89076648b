// SPDX-License-Identifier: Apache-2.0
// All kernel families and their tables; included by cpu/kernels.hpp once per instruction set.
#include "crema/cpu/kernels/convolution.inl"
#include "crema/cpu/kernels/dropout.inl"
#include "crema/cpu/kernels/elementwise.inl"
#include "crema/cpu/kernels/gemm.inl"
#include "crema/cpu/kernels/inner_product.inl"
#include "crema/cpu/kernels/lrn.inl"
#include "crema/cpu/kernels/order.inl"
#include "crema/cpu/kernels/pooling.inl"
#include "crema/cpu/kernels/softmax.inl"
#include "crema/cpu/kernels/update.inl"

template <class K>
inline constexpr K table = make_table(std::type_identity<K>{});
