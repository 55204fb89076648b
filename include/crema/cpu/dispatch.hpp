// SPDX-License-Identifier: Apache-2.0
// Dispatch: which instruction set a Cpu uses, and the table of kernels that goes with it.
//
//   const auto& k = kernel_table<ElementwiseKernels<float>>(best_isa());
//   k.axpby(n, a, x, b, y);
//
// Kernels are written once (cpu/kernels/*.inl) and compiled three times in one object file, each time inside
// a target region; there is one constant table per (instruction set, family, scalar type), chosen by the Cpu
// object, and no global state. Each family declares its table in its own header, next to the ops that use it.
// Those headers include cpu/backend.hpp; programs include cpu/cpu.hpp, which brings all families and, unless
// the program links crema::compiled, the kernels.
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

/// The table of one family of kernels, K = ConvolutionKernels<float> for one. Defined in cpu/kernels.hpp: by
/// every program that is header-only, by crema::compiled for those that link it. A program compiles the
/// families that it uses.
template <class K>
const K& kernel_table(Isa isa);

}  // namespace crema
