// SPDX-License-Identifier: Apache-2.0
// The CPU kernels themselves: every cpu/kernels/*.inl, compiled once per instruction set into tables.
//
// Header-only programs get this through cpu/cpu.hpp. Programs that link crema::compiled do not include it:
// that target is the one translation unit which does, with CREMA_COMPILED defined.
#pragma once

#include <algorithm>
#include <type_traits>

#include "crema/cpu/convolution.hpp"
#include "crema/cpu/dropout.hpp"
#include "crema/cpu/elementwise.hpp"
#include "crema/cpu/gemm.hpp"
#include "crema/cpu/inner_product.hpp"
#include "crema/cpu/lines.hpp"
#include "crema/cpu/lrn.hpp"
#include "crema/cpu/order.hpp"
#include "crema/cpu/pooling.hpp"
#include "crema/cpu/softmax.hpp"
#include "crema/cpu/update.hpp"

namespace crema::inline CREMA_ABI::baseline {
#include "crema/cpu/kernels/all.inl"
}  // namespace crema::baseline

#if defined(__x86_64__)
#include "crema/cpu/kernels/begin_avx2.inl"
namespace crema::inline CREMA_ABI::avx2 {
#include "crema/cpu/kernels/all.inl"
}  // namespace crema::avx2
#include "crema/cpu/kernels/end.inl"

#include "crema/cpu/kernels/begin_avx512.inl"
namespace crema::inline CREMA_ABI::avx512 {
#include "crema/cpu/kernels/all.inl"
}  // namespace crema::avx512
#include "crema/cpu/kernels/end.inl"
#endif

namespace crema::inline CREMA_ABI {

template <class K>
const K& kernel_table(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512) return avx512::table<K>;
  if (isa == Isa::avx2) return avx2::table<K>;
#endif
  static_cast<void>(isa);
  return baseline::table<K>;
}

#if defined(CREMA_COMPILED)
template const ConvolutionKernels<float>& kernel_table(Isa);
template const ConvolutionKernels<double>& kernel_table(Isa);
template const InnerProductKernels<float>& kernel_table(Isa);
template const InnerProductKernels<double>& kernel_table(Isa);
template const PoolingKernels<float>& kernel_table(Isa);
template const PoolingKernels<double>& kernel_table(Isa);
template const LrnKernels<float>& kernel_table(Isa);
template const LrnKernels<double>& kernel_table(Isa);
template const SoftmaxKernels<float>& kernel_table(Isa);
template const SoftmaxKernels<double>& kernel_table(Isa);
template const OrderKernels<float>& kernel_table(Isa);
template const OrderKernels<double>& kernel_table(Isa);
template const GemmKernels<float>& kernel_table(Isa);
template const GemmKernels<double>& kernel_table(Isa);
template const ElementwiseKernels<float>& kernel_table(Isa);
template const ElementwiseKernels<double>& kernel_table(Isa);
template const UpdateKernels<float>& kernel_table(Isa);
template const UpdateKernels<double>& kernel_table(Isa);
template const DropoutKernels<float>& kernel_table(Isa);
template const DropoutKernels<double>& kernel_table(Isa);
#endif

}  // namespace crema
