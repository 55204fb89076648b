// SPDX-License-Identifier: Apache-2.0
// Dropout: kernels, included once per instruction set.

typedef std::uint32_t PhiloxWords __attribute__((vector_size(register_bytes), may_alias));

/// The full products of the even lanes of a and b. Compilers do not all see that the upper halves are zero.
inline CREMA_ALWAYS_INLINE PhiloxWords multiply_even(PhiloxWords a, PhiloxWords b) {
#if defined(__x86_64__)
  if constexpr (register_bytes > 16)
    asm("vpmuludq %2, %1, %0" : "=v"(a) : "v"(a), "v"(b));
  else
    asm("pmuludq %1, %0" : "+x"(a) : "x"(b));
  return a;
#else
  typedef std::uint64_t Pairs __attribute__((vector_size(register_bytes)));
  return (PhiloxWords)(((Pairs)a & 0xffffffff) * ((Pairs)b & 0xffffffff));
#endif
}

/// Philox4x32-10 (core/random.hpp), one counter per lane: c[0..3] become the four words.
inline CREMA_ALWAYS_INLINE void philox_lanes(PhiloxWords (&c)[4], const Key& key) {
  typedef std::uint64_t Pairs __attribute__((vector_size(register_bytes)));
  constexpr std::uint64_t low_half = 0xffffffff;
  const auto multiply = [](PhiloxWords a, std::uint32_t by, PhiloxWords& high, PhiloxWords& low)
                            CREMA_ALWAYS_INLINE {
                              const PhiloxWords m = by - PhiloxWords{};
                              const Pairs even = (Pairs)multiply_even(a, m),
                                          odd = (Pairs)multiply_even((PhiloxWords)((Pairs)a >> 32), m);
                              low = (PhiloxWords)((even & low_half) | (odd << 32));
                              high = (PhiloxWords)((even >> 32) | (odd & ~low_half));
                            };
  std::uint32_t k0 = key[0], k1 = key[1];
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    PhiloxWords high0, low0, high1, low1;
    multiply(c[0], philox_m0, high0, low0);
    multiply(c[2], philox_m1, high1, low1);
    c[0] = high1 ^ c[1] ^ k0, c[1] = low1, c[2] = high0 ^ c[3] ^ k1, c[3] = low0;
    k0 += philox_w0, k1 += philox_w1;
  }
}

/// word[w][i]: word w of the counter {group[i], sample[i], iteration, part}, for 16 lanes. Ten rounds, compiled once.
[[gnu::noinline]] inline void dropout_words(const DropoutMask& mask, const std::uint32_t (&group)[16],
                                            const std::uint32_t (&sample)[16], std::uint32_t (&word)[4][16]) {
  constexpr int n = V<float>::n;
  for (int i = 0; i < 16; i += n) {
    PhiloxWords c[4] = {*reinterpret_cast<const PhiloxWords*>(group + i),
                        *reinterpret_cast<const PhiloxWords*>(sample + i), mask.iteration - PhiloxWords{},
                        mask.part - PhiloxWords{}};
    philox_lanes(c, mask.key);
    for (int w = 0; w < 4; ++w) *reinterpret_cast<PhiloxWords*>(&word[w][i]) = c[w];
  }
}

/// Lanes whose word says that they stay.
template <class T>
inline CREMA_ALWAYS_INLINE ivec<T> dropout_kept(const std::uint32_t* word, std::uint32_t threshold) {
  typedef std::uint32_t Words __attribute__((vector_size(V<T>::n * 4), may_alias));
  const Words w = *reinterpret_cast<const Words*>(word);
  if constexpr (sizeof(T) == 4)
    return w >= threshold;
  else
    return __builtin_convertvector(w, ivec<T>) >= std::int64_t{threshold};
}

template <class T>
void dropout_native(const DropoutRun<T>& run) {
  constexpr int n = V<T>::n;
  alignas(64) std::uint32_t group[16], sample[16], word[4][16];
  for (std::uint32_t i = 0; i < 16; ++i) sample[i] = run.sample + i;
  std::int64_t pixel = run.first % run.pixels, channel = run.first / run.pixels;
  for (std::int64_t e = run.first; e < run.last; e += 4) {
    for (std::uint32_t& g : group) g = static_cast<std::uint32_t>(e / 4);
    dropout_words(run.mask, group, sample, word);
    for (std::int64_t w = 0; w < 4 && e + w < run.last; ++w) {
      const T* const x = run.x + (pixel * run.x_pixel + channel) * 16;
      T* const y = run.y + (pixel * run.y_pixel + channel) * 16;
      for (int i = 0; i < 16; i += n) {
        const vec<T> v =
            select(dropout_kept<T>(&word[w][i], run.mask.threshold), load(x + i) * run.scale, vec<T>{});
        store(y + i, run.add ? load(y + i) + v : v);
      }
      if (++pixel == run.pixels) pixel = 0, ++channel;
    }
  }
}

template <class T>
void dropout_canonical(const DropoutRun<T>& run) {  // one image
  alignas(64) std::uint32_t group[16], sample[16], word[4][16];
  for (std::uint32_t& s : sample) s = run.sample;
  for (std::int64_t first = run.first; first < run.last; first += 64) {
    for (std::uint32_t i = 0; i < 16; ++i) group[i] = static_cast<std::uint32_t>(first / 4) + i;
    dropout_words(run.mask, group, sample, word);
    alignas(64) std::uint32_t in_order[64];
    for (unsigned i = 0; i < 64; ++i) in_order[i] = word[i % 4][i / 4];
    for (int i = 0; i < 64 && first + i < run.last; i += V<T>::n) {
      const std::int64_t at = first + i, count = std::min<std::int64_t>(V<T>::n, run.last - at);
      const bool whole = count == V<T>::n;
      const vec<T> x = whole ? loadu(run.x + at) : load_some(run.x + at, count);
      vec<T> v = select(dropout_kept<T>(in_order + i, run.mask.threshold), x * run.scale, vec<T>{});
      if (run.add) v = v + (whole ? loadu(run.y + at) : load_some(run.y + at, count));
      if (whole)
        storeu(run.y + at, v);
      else
        store_some(run.y + at, v, count);
    }
  }
}

template <class T>
constexpr DropoutKernels<T> make_table(std::type_identity<DropoutKernels<T>>) {
  return {.native = dropout_native<T>, .canonical = dropout_canonical<T>};
}
