// SPDX-License-Identifier: Apache-2.0
// lines: element-wise code at full vector width, written once, for layers and for users' layers.
//
//   lines<T>(cpu, n, [=](auto& y, const auto& x) CREMA_ALWAYS_INLINE { y = x > 0 ? x : x * slope; }, top, bottom);
//
// The body is compiled once per instruction set. It gets registers by reference: y holds the old elements at
// `top` and its new value is stored there; then one for each further pointer. + - * /, comparisons, ?:, vexp
// and vlog (cpu/vector_math.hpp) work on them, and mix with scalars of type T. Every element gets the same
// arithmetic wherever it lies. Runs on all threads of the Cpu, at the speed of memory.
#pragma once

#include "crema/cpu/elementwise.hpp"
#include "crema/cpu/vec.hpp"

namespace crema::inline CREMA_ABI::baseline {
#include "crema/cpu/kernels/lines.inl"
}  // namespace crema::baseline

#if defined(__x86_64__)
#include "crema/cpu/kernels/begin_avx2.inl"
namespace crema::inline CREMA_ABI::avx2 {
#include "crema/cpu/kernels/lines.inl"
}  // namespace crema::avx2
#include "crema/cpu/kernels/end.inl"

#include "crema/cpu/kernels/begin_avx512.inl"
namespace crema::inline CREMA_ABI::avx512 {
#include "crema/cpu/kernels/lines.inl"
}  // namespace crema::avx512
#include "crema/cpu/kernels/end.inl"
#endif

namespace crema::inline CREMA_ABI {

/// body(y, x...) over n contiguous elements at y and at
/// each x. An x may be y; otherwise they must not overlap.
template <class T, class F, class... X>
void lines(Cpu& cpu, std::int64_t n, const F& body, T* y, const X*... x) {
  cpu.parallel_range(n, elementwise_grain, [&](std::int64_t first, std::int64_t last) {
#if defined(__x86_64__)
    if (cpu.isa() == Isa::avx512) return avx512::run_lines<T>(last - first, body, y + first, x + first...);
    if (cpu.isa() == Isa::avx2) return avx2::run_lines<T>(last - first, body, y + first, x + first...);
#endif
    baseline::run_lines<T>(last - first, body, y + first, x + first...);
  });
}

}  // namespace crema
