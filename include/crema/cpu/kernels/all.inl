// SPDX-License-Identifier: Apache-2.0
// All kernel families and their table; included by cpu/kernels.hpp once per instruction set.
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

template <class T>
inline constexpr Kernels<T> table = {
    .convolution = convolution_kernels<T>(),
    .inner_product = inner_product_kernels<T>(),
    .pooling = pooling_kernels<T>(),
    .lrn = lrn_kernels<T>(),
    .softmax = softmax_kernels<T>(),
    .order = order_kernels<T>(),
    .gemm = gemm_kernels<T>(),
    .elementwise = elementwise_kernels<T>(),
    .update = update_kernels<T>(),
    .dropout = dropout_kernels<T>(),
};
