// SPDX-License-Identifier: Apache-2.0
// The sums, maxima and minima of collectives over any ElementType, one contribution at a time.
//
//   const Arithmetic& a = arithmetic(type, reduction);
//   a.first(acc, x0, n);  a.next(acc, x1, n);  a.last(out, also, acc, x2, n);     // out = (x0 + x1) + x2
//
// acc holds a.accumulator bytes for each element: floats for bfloat16, so that a sum is rounded once, at the end.
// out may be x2; the same goes to `also` in the same pass, unless that is null. Integers wrap. A NaN among the
// contributions gives NaN, also for maximum and minimum. Denormals count as zero, as in every region of crema.
#pragma once

#include <cstring>
#include <type_traits>

#include "crema/comm/communicator.hpp"
#include "crema/core/thread_pool.hpp"

namespace crema::inline CREMA_ABI::detail {

struct Arithmetic {
  std::size_t accumulator = 0;
  void (*first)(void* acc, const void* x, std::size_t n) = nullptr;
  void (*next)(void* acc, const void* x, std::size_t n) = nullptr;
  void (*last)(void* out, void* also, const void* acc, const void* x, std::size_t n) = nullptr;
};

template <class T>
using Accumulator = std::conditional_t<std::is_same_v<T, BFloat16>, float, T>;

template <Reduction R, class A>
A reduce_two(A a, A b) {
  if constexpr (R == Reduction::max)
    return b > a || b != b ? b : a;
  else if constexpr (R == Reduction::min)
    return b < a || b != b ? b : a;
  else if constexpr (std::is_integral_v<A>)
    return static_cast<A>(static_cast<std::make_unsigned_t<A>>(a) + static_cast<std::make_unsigned_t<A>>(b));
  else
    return a + b;
}

/// out = a + b, and the same to `also`, in vectors of `Bytes` from element i on; the first that is left.
template <std::size_t Bytes, class T>
CREMA_ALWAYS_INLINE inline std::size_t add_vectors(T* out, T* also, const T* a, const T* b, std::size_t i,
                                                   std::size_t n) {
  typedef T Vector __attribute__((vector_size(Bytes)));
  constexpr std::size_t width = Bytes / sizeof(T);
  for (; i + width <= n; i += width) {
    Vector u, v;
    std::memcpy(&u, a + i, sizeof u);
    std::memcpy(&v, b + i, sizeof v);
    u += v;
    std::memcpy(out + i, &u, sizeof u);
    if (also) std::memcpy(also + i, &u, sizeof u);
  }
  return i;
}
#if defined(__x86_64__)
template <class T>
[[gnu::target("avx2")]] std::size_t add_wide(T* out, T* also, const T* a, const T* b, std::size_t i,
                                             std::size_t n) {
  return add_vectors<32>(out, also, a, b, i, n);
}
#endif

/// out = acc op x, and the same to `also` unless it is null.
template <Reduction R, class T, class Out>
void reduce_into(void* out, void* also, const void* acc, const void* x, std::size_t n) {
  using A = Accumulator<T>;
  const A* const a = static_cast<const A*>(acc);
  const T* const b = static_cast<const T*>(x);
  Out *const c = static_cast<Out*>(out), *const d = static_cast<Out*>(also);
  std::size_t i = 0;
  const auto reduce_one = [&] {
    c[i] = static_cast<Out>(reduce_two<R, A>(a[i], static_cast<A>(b[i])));
    if (d) d[i] = c[i];
    ++i;
  };
  if constexpr (R == Reduction::sum && std::is_floating_point_v<T>) {
    while (i < n && reinterpret_cast<std::uintptr_t>(c + i) % 32 != 0) reduce_one();  // most others, too
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) i = add_wide(c, d, a, b, i, n);
#endif
    i = add_vectors<16>(c, d, a, b, i, n);
  }
  while (i < n) reduce_one();
}

template <class T, Reduction R>
constexpr Arithmetic arithmetic_of = {
    sizeof(Accumulator<T>),
    [](void* acc, const void* x, std::size_t n) {
      if constexpr (std::is_same_v<T, Accumulator<T>>)
        std::memcpy(acc, x, n * sizeof(T));
      else
        for (std::size_t i = 0; i < n; ++i)
          static_cast<Accumulator<T>*>(acc)[i] = static_cast<const T*>(x)[i];
    },
    [](void* acc, const void* x, std::size_t n) {
      const FloatMode mode;
      reduce_into<R, T, Accumulator<T>>(acc, nullptr, acc, x, n);
    },
    [](void* out, void* also, const void* acc, const void* x, std::size_t n) {
      const FloatMode mode;
      reduce_into<R, T, T>(out, also, acc, x, n);
    },
};

template <class T>
const Arithmetic& arithmetic_for(Reduction r) {
  switch (r) {
    case Reduction::max:
      return arithmetic_of<T, Reduction::max>;
    case Reduction::min:
      return arithmetic_of<T, Reduction::min>;
    default:
      return arithmetic_of<T, Reduction::sum>;
  }
}
inline const Arithmetic& arithmetic(ElementType t, Reduction r) {
  switch (t) {
    case ElementType::float64:
      return arithmetic_for<double>(r);
    case ElementType::bfloat16:
      return arithmetic_for<BFloat16>(r);
    case ElementType::int32:
      return arithmetic_for<std::int32_t>(r);
    case ElementType::int64:
      return arithmetic_for<std::int64_t>(r);
    case ElementType::uint8:
      return arithmetic_for<std::uint8_t>(r);
    default:
      return arithmetic_for<float>(r);
  }
}

}  // namespace crema
