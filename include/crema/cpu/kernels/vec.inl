// SPDX-License-Identifier: Apache-2.0
// One vector register and its helpers; included by cpu/vec.hpp
// once per instruction set, which sets register_bytes.
//
//   vec<T>   V<T>::n lanes of T          ivec<T>  the same lanes as integers: masks, indices, bits
//   load loadu store storeu set          aligned and unaligned access, broadcast
//   vmax vmin select sum exp log sqrt rsqrt

template <class T>
struct V;
template <>
struct V<float> {
  typedef float type __attribute__((vector_size(register_bytes), may_alias));
  typedef float unaligned __attribute__((vector_size(register_bytes), may_alias, aligned(4)));
  typedef std::int32_t ints __attribute__((vector_size(register_bytes), may_alias));
  using integer = std::int32_t;
  static constexpr int n = register_bytes / 4, line = 16 / n;
};
template <>
struct V<double> {
  typedef double type __attribute__((vector_size(register_bytes), may_alias));
  typedef double unaligned __attribute__((vector_size(register_bytes), may_alias, aligned(8)));
  typedef std::int64_t ints __attribute__((vector_size(register_bytes), may_alias));
  using integer = std::int64_t;
  static constexpr int n = register_bytes / 8, line = 16 / n;
};
template <class T>
using vec = typename V<T>::type;
template <class T>
using ivec = typename V<T>::ints;

template <class T>
inline CREMA_ALWAYS_INLINE vec<T> load(const T* p) {
  return *reinterpret_cast<const vec<T>*>(p);
}
template <class T>
inline CREMA_ALWAYS_INLINE vec<T> loadu(const T* p) {
  return *reinterpret_cast<const typename V<T>::unaligned*>(p);
}
template <class T>
inline CREMA_ALWAYS_INLINE void store(T* p, vec<T> v) {
  *reinterpret_cast<vec<T>*>(p) = v;
}
template <class T>
inline CREMA_ALWAYS_INLINE void storeu(T* p, vec<T> v) {
  *reinterpret_cast<typename V<T>::unaligned*>(p) = v;
}
template <class T>
inline CREMA_ALWAYS_INLINE vec<T> set(T x) {
  return x - vec<T>{};
}  // minus +0: keeps -0
template <class T>
inline CREMA_ALWAYS_INLINE ivec<T> iset(typename V<T>::integer x) {
  return x - ivec<T>{};
}

using detail::scalar_of;

/// a where the mask is true, else b; the larger, the smaller (b if either is NaN).
template <class M, class X>
inline CREMA_ALWAYS_INLINE X select(M mask, X a, X b) {
  return mask ? a : b;
}
template <class X>
inline CREMA_ALWAYS_INLINE X vmax(X a, X b) {
  return a > b ? a : b;
}
template <class X>
inline CREMA_ALWAYS_INLINE X vmin(X a, X b) {
  return a < b ? a : b;
}

/// v, in a register from here on: g++ would load it again for each of up to three uses.
template <class X>
inline CREMA_ALWAYS_INLINE X in_register(X v) {
#if defined(__x86_64__)
  if constexpr (register_bytes == 64)
    asm("" : "+v"(v));
  else
    asm("" : "+x"(v));
#endif
  return v;
}

/// Lanes of a and b by index, as __builtin_shufflevector: Index::at(i) for lane i, b's lanes follow a's.
template <class Index, class X, std::size_t... I>
inline CREMA_ALWAYS_INLINE X shuffle(X a, X b, std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, Index::at(static_cast<int>(I))...);
}
template <class Index, class X>
inline CREMA_ALWAYS_INLINE X shuffle(X a, X b) {
  return shuffle<Index>(a, b, std::make_index_sequence<sizeof(X) / sizeof(a[0])>());
}

/// Rotates lanes by D: what folds a vector onto itself.
template <int N, int D>
struct RotateIndex {
  static constexpr int at(int i) { return (i + D) % N; }
};

template <int D, class X>
inline CREMA_ALWAYS_INLINE X fold(X v) {
  if constexpr (D == 0)
    return v;
  else
    return fold<D / 2>(v + shuffle<RotateIndex<int{sizeof(X) / sizeof(v[0])}, D>>(v, v));
}
/// The sum of all lanes, by halves: a fixed tree.
template <class X>
inline CREMA_ALWAYS_INLINE auto sum(X v) {
  return fold<int{sizeof(X) / sizeof(v[0])} / 2>(v)[0];
}

// --- functions of a vector

template <class X>
inline CREMA_ALWAYS_INLINE X sqrt(X v) {
  if constexpr (register_bytes == 16) {
    for (int i = 0; i < V<scalar_of<X>>::n; ++i) v[i] = std::sqrt(v[i]);
    return v;
  } else {
#if defined(__x86_64__)
    if constexpr (sizeof(scalar_of<X>) == 4)
      asm("vsqrtps %1, %0" : "=v"(v) : "v"(v));
    else
      asm("vsqrtpd %1, %0" : "=v"(v) : "v"(v));
#endif
    return v;
  }
}

/// 1 / sqrt(v) for normal positive v, to about 2 ulp.
template <class X>
inline CREMA_ALWAYS_INLINE X rsqrt(X v) {
  using T = scalar_of<X>;
#if defined(__x86_64__)
  if constexpr (register_bytes == 64) {  // 14 bits, doubled by each Newton step
    X r;
    if constexpr (sizeof(T) == 4)
      asm("vrsqrt14ps %1, %0" : "=v"(r) : "v"(v));
    else
      asm("vrsqrt14pd %1, %0" : "=v"(r) : "v"(v));
    const X half = T(0.5) * v;
    r = r + r * (T(0.5) - half * r * r);
    if constexpr (sizeof(T) == 8) r = r + r * (T(0.5) - half * r * r);
    return r;
  }
#endif
  return T(1) / sqrt(v);
}

/// e^v and ln v (cpu/vector_math.hpp).
template <class X>
inline CREMA_ALWAYS_INLINE X exp(X v) {
  vexp(v, v);
  return v;
}
template <class X>
inline CREMA_ALWAYS_INLINE X log(X v) {
  vlog(v, v);
  return v;
}

// --- transposition

/// Interleaves the lower (High = 0) or upper halves of every 16-byte quarter.
template <int PerQuarter, int N, int High>
struct ZipIndex {
  static constexpr int at(int i) {
    const int in = i % PerQuarter;
    return i - in + High * PerQuarter / 2 + in / 2 + (in % 2) * N;
  }
};
/// Exchanges lane groups of size D between two rows D apart: the lower (High = 0) or upper row of the result.
template <int D, int N, int High>
struct SwapIndex {
  static constexpr int at(int i) { return High == 0 ? ((i & D) ? i - D + N : i) : ((i & D) ? i + N : i + D); }
};

template <int D, class X, int N>
inline CREMA_ALWAYS_INLINE void swap_groups(X (&r)[N]) {
  if constexpr (D < N) {
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i)
      if ((i & D) == 0) {
        const X a = r[i], b = r[i + D];
        r[i] = shuffle<SwapIndex<D, N, 0>>(a, b);
        r[i + D] = shuffle<SwapIndex<D, N, 1>>(a, b);
      }
    swap_groups<2 * D>(r);
  }
}

/// Transposes the N x N block held by N registers of N lanes: inside 16-byte quarters by interleaving,
/// between them by exchange, which is what the shuffle units of all three sets do in one instruction each.
template <class X, int N>
inline CREMA_ALWAYS_INLINE void transpose(X (&r)[N]) {
  constexpr int q = 16 / int{sizeof(r[0][0])};
#pragma GCC unroll 16
  for (int g = 0; g < N; g += q) {
#pragma GCC unroll 2
    for (int stage = q; stage > 1; stage /= 2) {
      X t[q];
#pragma GCC unroll 4
      for (int i = 0; i < q / 2; ++i) {
        t[2 * i] = shuffle<ZipIndex<q, N, 0>>(r[g + i], r[g + i + q / 2]);
        t[2 * i + 1] = shuffle<ZipIndex<q, N, 1>>(r[g + i], r[g + i + q / 2]);
      }
#pragma GCC unroll 4
      for (int i = 0; i < q; ++i) r[g + i] = t[i];
    }
  }
  swap_groups<q>(r);
}
