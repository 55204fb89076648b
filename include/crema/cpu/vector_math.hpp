// SPDX-License-Identifier: Apache-2.0
// exp and log of vectors of any width, by reference: vexp(y, x) sets y = e^x lane by lane. Bodies of lines()
// call them; kernels inside an instruction set's region write y = exp(x).
//
// By reference and always inlined, because a function outside the regions may not take or return a wide
// vector. About 2 ulp. vexp underflows to 0 and stops growing at e^88 (float) or e^709 (double); vlog wants
// positive normal numbers.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "crema/core/config.hpp"

namespace crema::inline CREMA_ABI {
namespace detail {

template <class X>
using scalar_of = std::remove_cvref_t<decltype(std::declval<X&>()[0])>;

template <int bytes>
struct FloatFormat;
template <>
struct FloatFormat<4> {
  using integer = std::int32_t;
  static constexpr int mantissa = 23, exp_degree = 7, log_degree = 9;
  static constexpr float magic = 12582912, exp_top = 88, exp_bottom = -87.3f;  // magic = 1.5 * 2^mantissa
  static constexpr float ln2_high = 0.693145751953125f, ln2_low = 1.42860682030941723212e-6f;
  static constexpr integer root_half = 0x3f3504f3;  // the bits of sqrt(1/2)
};
template <>
struct FloatFormat<8> {
  using integer = std::int64_t;
  static constexpr int mantissa = 52, exp_degree = 13, log_degree = 21;
  static constexpr double magic = 6755399441055744, exp_top = 709, exp_bottom = -708.3;
  static constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
  static constexpr integer root_half = 0x3fe6a09e667f3bcd;
};

}  // namespace detail

/// y = e^x: 2^k times the Taylor series of what is left, at most ln(2)/2 in size. A NaN stays one.
template <class X>
inline CREMA_ALWAYS_INLINE void vexp(X& y, const X& x) {
  using T = detail::scalar_of<X>;
  using F = detail::FloatFormat<sizeof(T)>;
  typedef typename F::integer I __attribute__((vector_size(sizeof(X))));
  constexpr double inverse_factorial[] = {
      1,         1,          1 / 2.,      1 / 6.,       1 / 24.,       1 / 120.,       1 / 720.,
      1 / 5040., 1 / 40320., 1 / 362880., 1 / 3628800., 1 / 39916800., 1 / 479001600., 1 / 6227020800.};
  const X zero{}, top = F::exp_top - zero, bottom = F::exp_bottom - zero;
  const X raised = bottom > x ? bottom : x, v = top < raised ? top : raised;  // in this order a NaN stays one
  const X rounded = v * T(1.4426950408889634074) + F::magic, k = rounded - F::magic;
  const X r = (v - k * F::ln2_high) - k * F::ln2_low;
  X p = T(inverse_factorial[F::exp_degree]) - zero;
#pragma GCC unroll 16
  for (int i = F::exp_degree - 1; i >= 0; --i) p = p * r + T(inverse_factorial[i]);
  const I scaled = (I)p + ((I)rounded << F::mantissa);  // k to the exponent; magic's own bits fall off
  y = x < bottom ? zero : (X)scaled;
}

/// y = ln x: x = 2^k m with m in [sqrt(1/2), sqrt(2)), ln m = 2 artanh((m - 1) / (m + 1)).
template <class X>
inline CREMA_ALWAYS_INLINE void vlog(X& y, const X& x) {
  using T = detail::scalar_of<X>;
  using F = detail::FloatFormat<sizeof(T)>;
  typedef typename F::integer I __attribute__((vector_size(sizeof(X))));
  const I k = ((I)x - F::root_half) >> F::mantissa;
  const X m = (X)((I)x - (k << F::mantissa)), s = (m - T(1)) / (m + T(1)), s2 = s * s;
  X p = T(2.0 / F::log_degree) - X{};
#pragma GCC unroll 16
  for (int i = F::log_degree - 2; i >= 3; i -= 2) p = p * s2 + T(2.0 / i);
  const X n = __builtin_convertvector(k, X);
  y = n * F::ln2_high + (s * T(2) + (p * s2 * s + n * F::ln2_low));
}

}  // namespace crema
