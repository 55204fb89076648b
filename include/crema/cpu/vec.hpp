// SPDX-License-Identifier: Apache-2.0
// Vectors: one register of each instruction set, with the arithmetic that kernels need, in namespaces
// crema::avx512, crema::avx2 and crema::baseline. Everything is GCC's vector extension (g++ and clang):
// v = a * b + c fuses to FMA inside a region, a > b gives a mask, mask ? a : b selects.
//
// The namespaces hold the same names on purpose: kernels/*.inl is written once against them. No vector type
// may be wider than its set's register: g++ falls to a tenth of the speed.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "crema/core/config.hpp"
#include "crema/cpu/vector_math.hpp"

namespace crema::inline CREMA_ABI::baseline {
inline constexpr int register_bytes = 16, registers = 16;
#include "crema/cpu/kernels/vec.inl"
}  // namespace crema::baseline

#if defined(__x86_64__)
#include "crema/cpu/kernels/begin_avx2.inl"
namespace crema::inline CREMA_ABI::avx2 {
inline constexpr int register_bytes = 32, registers = 16;
#include "crema/cpu/kernels/vec.inl"
}  // namespace crema::avx2
#include "crema/cpu/kernels/end.inl"

#include "crema/cpu/kernels/begin_avx512.inl"
namespace crema::inline CREMA_ABI::avx512 {
inline constexpr int register_bytes = 64, registers = 32;
#include "crema/cpu/kernels/vec.inl"
}  // namespace crema::avx512
#include "crema/cpu/kernels/end.inl"
#endif
