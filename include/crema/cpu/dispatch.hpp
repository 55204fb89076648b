// SPDX-License-Identifier: Apache-2.0
// Dispatch: which instruction set a Cpu uses, and the table of kernels that goes with it.
//
//   const Kernels<float>& k = kernel_table<float>(best_isa());
//   k.elementwise.add(n, a, b, y);
//
// Kernels are written once (cpu/kernels/*.inl) and compiled three times in one object file, each time inside
// a target region; there is one constant table per (instruction set, scalar type), chosen by the Cpu object,
// and no global state. Each family declares its part of the table in its own header, next to the ops that use
// it. Those headers include cpu/backend.hpp; programs include cpu/cpu.hpp, which brings all families and,
// unless the program links crema::compiled, the kernels.
#pragma once

#include <cstdint>
#include <string_view>

#include "crema/core/config.hpp"

namespace crema::inline CREMA_ABI {

/// baseline: 16-byte vectors, any processor. avx2: AVX2 and FMA. avx512: F, VL, BW, DQ.
enum class Isa : std::uint8_t { baseline, avx2, avx512 };

inline std::string_view name_of(Isa isa) {
  return isa == Isa::avx512 ? "avx512" : isa == Isa::avx2 ? "avx2" : "baseline";
}

/// Whether this processor, and its operating system, run every instruction of the set.
inline bool isa_available(Isa isa) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (isa == Isa::avx2) return avx2;
  if (isa == Isa::avx512)
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
#endif
  return isa == Isa::baseline;
}

inline Isa best_isa() {
  return isa_available(Isa::avx512) ? Isa::avx512 : isa_available(Isa::avx2) ? Isa::avx2 : Isa::baseline;
}

template <class T>
struct ConvolutionKernels;  // cpu/convolution.hpp
template <class T>
struct InnerProductKernels;  // cpu/inner_product.hpp
template <class T>
struct PoolingKernels;  // cpu/pooling.hpp
template <class T>
struct LrnKernels;  // cpu/lrn.hpp
template <class T>
struct SoftmaxKernels;  // cpu/softmax.hpp
template <class T>
struct OrderKernels;  // cpu/order.hpp
template <class T>
struct GemmKernels;  // cpu/gemm.hpp
template <class T>
struct ElementwiseKernels;  // cpu/elementwise.hpp
template <class T>
struct UpdateKernels;  // cpu/update.hpp
template <class T>
struct DropoutKernels;  // cpu/dropout.hpp

template <class T>
struct Kernels {
  ConvolutionKernels<T> convolution;
  InnerProductKernels<T> inner_product;
  PoolingKernels<T> pooling;
  LrnKernels<T> lrn;
  SoftmaxKernels<T> softmax;
  OrderKernels<T> order;
  GemmKernels<T> gemm;
  ElementwiseKernels<T> elementwise;
  UpdateKernels<T> update;
  DropoutKernels<T> dropout;
};

/// Defined in cpu/kernels.hpp: by every program that is header-only, by crema::compiled for those that link
/// it.
template <class T>
const Kernels<T>& kernel_table(Isa isa);

}  // namespace crema
